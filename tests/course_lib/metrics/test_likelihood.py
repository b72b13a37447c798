import math

import pytest
import torch
from torch import nn

from course_lib.metrics import (
    Estimate,
    active_units,
    bits_per_dim,
    log_probs,
    log_probs_by_integration,
    nll,
    nll_difference,
    principal_angles,
)
from course_lib.models import FVBN, VAE, ConditionalVAE, IndependentPixels, TabularModel


def images(n: int, D: int = 6, levels: int = 2) -> torch.Tensor:
    return torch.randint(0, levels, (n, D), generator=torch.Generator().manual_seed(0))


def random_fvbn() -> FVBN:
    model = FVBN(6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    return model


def test_nll_is_the_mean_over_images_with_its_standard_error():
    model, x = random_fvbn().double(), images(103)
    costs = -model.log_prob(x).detach().numpy()
    estimate = nll(model, x)
    assert estimate.n == 103
    assert estimate.mean == pytest.approx(costs.mean(), rel=1e-12)
    assert estimate.stderr == pytest.approx(costs.std(ddof=1) / math.sqrt(103), rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 10, 102, 103, 1000])
def test_a_ragged_last_batch_changes_nothing(batch_size):
    model, x = random_fvbn().double(), images(103)
    assert nll(model, x, batch_size=batch_size).mean == pytest.approx(nll(model, x).mean, rel=1e-12)
    assert len(log_probs(model, x, batch_size=batch_size)) == 103


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_a_uniform_model_costs_log2_k_bits_per_dim(levels):
    model = IndependentPixels(6, levels=levels).double()
    cost = bits_per_dim(nll(model, images(50, levels=levels)), 6)
    assert cost.mean == pytest.approx(math.log2(levels), abs=1e-12)
    assert cost.stderr == pytest.approx(0, abs=1e-12)


def test_bits_per_dim_of_numbers_tensors_and_estimates():
    assert bits_per_dim(math.log(2) * 10, 10) == pytest.approx(1)
    torch.testing.assert_close(
        bits_per_dim(torch.tensor([1.0, 2.0]), 5), torch.tensor([0.2885, 0.5771]), atol=1e-4, rtol=0
    )
    estimate = bits_per_dim(Estimate(10.0, 1.0, 7), 5)
    assert (estimate.mean, estimate.stderr, estimate.n) == (
        pytest.approx(2.8854, abs=1e-4),
        pytest.approx(0.2885, abs=1e-4),
        7,
    )
    with pytest.raises(ValueError, match="at least 1; got 0"):
        bits_per_dim(1.0, 0)


def test_the_mode_of_every_part_is_put_back_even_after_an_error():
    class Dropping(IndependentPixels):
        def __init__(self):
            super().__init__(6)
            self.noise, self.frozen = nn.Dropout(0.5), nn.Dropout(0.5)

        def log_prob(self, x):
            return super().log_prob(x) + self.noise(torch.ones(len(x)))

    model = Dropping().train()
    model.frozen.eval()
    modes = [part.training for part in model.modules()]
    cost = nll(model, images(40))
    assert cost.mean == pytest.approx(6 * math.log(2) - 1) and cost.stderr < 1e-6  # eval mode: nothing dropped
    with pytest.raises(ValueError):
        nll(model, images(40, D=7))
    assert [part.training for part in model.modules()] == modes


def test_no_gradient_is_recorded():
    model = random_fvbn()
    assert not log_probs(model, images(5)).requires_grad
    model.log_prob(images(5)).sum().backward()  # and none is in the way afterwards


def test_a_paired_difference_has_the_error_of_the_differences():
    model, other, x = random_fvbn().double(), IndependentPixels(6).double(), images(200)
    difference = nll_difference(model, other, x)
    costs = other.log_prob(x).detach() - model.log_prob(x).detach()
    assert difference.mean == pytest.approx(nll(model, x).mean - nll(other, x).mean)
    assert difference.stderr == pytest.approx(costs.std().item() / math.sqrt(200))
    same = nll_difference(model, model, x)
    assert (same.mean, same.stderr) == (0, 0)


def test_a_model_without_parameters_will_do():
    table = TabularModel.from_probs(torch.full((2, 2, 2), 1 / 8))
    assert nll(table, images(20, D=3)).mean == pytest.approx(3 * math.log(2))


@pytest.mark.parametrize(
    "estimate, printed",
    [
        (Estimate(23.40879, 0.11843, 360), "23.41 ± 0.12"),
        (Estimate(1234.5, 33.0, 360), "1234 ± 33"),
        (Estimate(1234.5, 1033.0, 360), "1234 ± 1033"),
        (Estimate(-0.00123, 0.00045, 360), "-0.00123 ± 0.00045"),
        (Estimate(44.36142, 0.0, 360), "44.36 ± 0"),
        (Estimate(math.inf, math.nan, 360), "inf ± nan"),
        (Estimate(10.0, 0.0999, 360), "10.000 ± 0.100"),
    ],
)
def test_an_estimate_prints_as_precisely_as_it_is_known(estimate, printed):
    assert str(estimate) == printed


@pytest.mark.parametrize(
    ("values", "got"),
    [(torch.zeros(1), "one image"), (torch.zeros(0), r"shape \(0,\)"), (torch.zeros(3, 2), r"shape \(3, 2\)")],
)
def test_an_estimate_needs_two_values_an_image_each(values, got):
    with pytest.raises(ValueError, match=f"n >= 2 images.*got {got}"):
        Estimate.of(values)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        nll(FVBN(6), images(0))


def random_vae(latents=2, **settings):
    torch.manual_seed(0)
    model = VAE((6,), 2, latents, [5], **settings).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def test_a_bound_takes_the_likelihoods_place_and_has_the_same_noise_every_time():
    model, x = random_vae(), images(50)
    bound = log_probs(model, x, draws=7, batch_size=20)
    assert torch.equal(bound, log_probs(model, x, draws=7, batch_size=20)) and not bound.requires_grad
    generator = torch.Generator().manual_seed(0)
    parts = [model.iwae_bound(batch, 7, generator=generator) for batch in x.split(20)]
    torch.testing.assert_close(bound, torch.cat(parts).detach())
    assert nll(model, x, draws=7, batch_size=20).mean == pytest.approx(-bound.mean().item())
    with pytest.raises(ValueError, match="a VAE has no exact log_prob; pass draws=k"):
        nll(model, x)


def test_many_draws_come_near_the_integral():
    model, x = random_vae(), images(20)
    exact = log_probs_by_integration(model, x)
    assert (log_probs(model, x, draws=20_000) - exact).abs().max() < 0.05
    coarse = log_probs_by_integration(model, x, points=81)
    torch.testing.assert_close(coarse, exact)  # the error falls exponentially
    torch.manual_seed(0)
    conditional, labels = ConditionalVAE((6,), 2, 1, [5], classes=3).double(), torch.arange(20) % 3
    given = log_probs_by_integration(conditional, x, labels=labels)
    assert (log_probs(conditional, x, draws=20_000, labels=labels) - given).abs().max() < 0.05


@pytest.mark.parametrize(
    "model, settings, message",
    [
        (random_vae(3), {}, "3 latent variables; a grid can be summed over for 1 or 2"),
        (random_vae(1), dict(points=1), "at least 2 points; got 8.0 and 1"),
        (random_vae(1), dict(reach=0.0), "a positive reach"),
    ],
)
def test_an_integral_that_cannot_be_had_is_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        log_probs_by_integration(model, images(2), **settings)


def test_a_latent_variable_that_the_encoder_ignores_has_collapsed():
    model, x = random_vae(4), images(100)
    with torch.no_grad():
        for unit in (1, 3):
            model.encoder.layers[-1].weight[unit] = 0
    use = active_units(model, x)
    torch.testing.assert_close(use.variances, model.encode(x).mean.var(0).detach())
    assert use.active.tolist() == [True, False, True, False]
    assert str(use) == "2 of 4 latent variables are active; collapsed: 1, 3"
    assert str(active_units(model, x, threshold=-1.0)) == "4 of 4 latent variables are active"
    with pytest.raises(ValueError, match="at least 2 images; got 1"):
        active_units(model, x[:1])
    conditional = ConditionalVAE((6,), 2, 2, [5], classes=3)
    assert len(active_units(conditional, x, labels=torch.arange(100) % 3).variances) == 2


def test_angles_between_subspaces_are_those_of_a_rotation():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(6, 2, generator=generator).double()
    assert principal_angles(A, A @ torch.tensor([[2.0, 1.0], [0.0, -1.0]]).double()).max() < 1e-6
    Q, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator).double())
    tilted = Q[:, :2].clone()
    tilted[:, 1] = math.cos(0.3) * Q[:, 1] + math.sin(0.3) * Q[:, 2]
    torch.testing.assert_close(principal_angles(Q[:, :2], tilted)[1].item(), math.degrees(0.3))
    torch.testing.assert_close(principal_angles(Q[:, :2], Q[:, 2:4]), torch.full((2,), 90.0).double())
    with pytest.raises(ValueError, match="two matrices of one shape"):
        principal_angles(A, A[:, :1])
