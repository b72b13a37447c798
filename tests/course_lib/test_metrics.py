import math

import pytest
import torch
from torch import nn

from course_lib.metrics import Estimate, bits_per_dim, log_probs, nll, nll_difference
from course_lib.models import FVBN, IndependentPixels, TabularModel


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
