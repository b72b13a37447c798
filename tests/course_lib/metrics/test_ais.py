"""Annealed importance sampling against likelihoods that are known exactly."""

import math

import pytest
import torch

from course_lib.metrics import ais, likelihood, log_probs_by_integration
from course_lib.models import VAE, ConditionalVAE, ProbabilisticPCA

DEVIATIONS = 4.9  # a normal variable is farther from its mean once in a million times


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def a_pca(D: int, L: int, log_variance: float) -> tuple[ProbabilisticPCA, torch.Tensor]:
    torch.manual_seed(0)
    model = ProbabilisticPCA(D, L).double()
    with torch.no_grad():
        model.likelihood.log_variance.fill_(log_variance)
    return model, model.sample(3, generator=generator())


def a_vae(model: VAE) -> tuple[VAE, torch.Tensor]:
    torch.manual_seed(0)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    return model, torch.randint(2, (4, 6), generator=generator())


def check_unbiased(steps: int) -> None:
    """The mean weight of two short runs is p(x): many chains, so that its standard error is a few percent."""
    model, x = a_pca(3, 2, -1.0)
    log_w = ais(model, x, steps=steps, chains=4000, generator=generator(steps)).log_weights
    ratio = (log_w - model.log_prob(x)).exp()
    assert ((ratio.mean(0) - 1).abs() < DEVIATIONS * ratio.std(0) / math.sqrt(len(ratio))).all()


@pytest.mark.parametrize("steps", [1, 4, 12])
def test_weights_are_unbiased_however_few_the_steps(steps):
    check_unbiased(steps)


@pytest.mark.parametrize(
    "method, wrong",
    [
        # The prior counts twice; every move is accepted.
        ("energy", lambda old: lambda self, s, p, beta: old(self, s, p, beta) - self.prior.log_prob(s[0])),
        ("energy", lambda old: lambda self, s, p, beta: torch.zeros_like(s[1])),
    ],
)
def test_a_wrong_move_makes_them_biased(monkeypatch, method, wrong):
    monkeypatch.setattr(likelihood._Annealed, method, wrong(getattr(likelihood._Annealed, method)))
    with pytest.raises(AssertionError):
        check_unbiased(12)


def test_one_step_is_importance_sampling_from_the_prior():
    model, x = a_pca(3, 2, 0.0)
    estimates = ais(model, x, steps=1, chains=5, generator=generator())
    u = generator()
    torch.rand(10, 3, 2, dtype=torch.float64, generator=u)  # the run before the run
    z = model.prior().draw(torch.rand(5, 3, 2, dtype=torch.float64, generator=u))
    expected = model.likelihood.log_prob(model.decode(z.flatten(0, 1)), x.repeat(5, 1)).view(5, 3)
    torch.testing.assert_close(estimates.log_weights, expected.detach())
    torch.testing.assert_close(estimates.log_probs, expected.detach().logsumexp(0) - math.log(5))


def test_many_steps_come_near_the_exact_likelihood_from_below():
    model, x = a_pca(12, 4, -3.0)
    exact = model.log_prob(x)
    few, many = (ais(model, x, steps=steps, chains=20, generator=generator()) for steps in (10, 200))
    assert (many.log_probs - exact).abs().max() < 0.5 < (few.log_probs - exact).abs().max()
    assert (few.log_weights.mean(0) < exact).all()
    assert many.log_weights.std(0).max() < few.log_weights.std(0).min()
    assert 0.5 < many.acceptance < 0.8


def test_it_agrees_with_integration():
    model, x = a_vae(VAE((6,), 2, 2, [8]))
    estimates = ais(model.float(), x, steps=100, chains=40, generator=generator())
    assert (estimates.log_probs - log_probs_by_integration(model, x)).abs().max() < 0.15
    assert estimates.nll.mean == pytest.approx(-estimates.log_probs.mean().item())
    model, x = a_vae(ConditionalVAE((6,), 2, 1, [8], classes=3))
    y = torch.tensor([0, 1, 2, 0])
    estimates = ais(model, x, labels=y, steps=50, chains=40, generator=generator())
    assert (estimates.log_probs - log_probs_by_integration(model, x, labels=y)).abs().max() < 0.15


def test_it_leaves_the_model_as_it_was():
    model, x = a_vae(VAE((6,), 2, 2, [8]))
    before, stream = {name: p.clone() for name, p in model.state_dict().items()}, torch.get_rng_state()
    with torch.no_grad():
        first, again = (ais(model.train(), x, steps=3, chains=2, generator=generator()) for _ in range(2))
    assert torch.equal(first.log_weights, again.log_weights) and not first.log_weights.requires_grad
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("wrong", [dict(steps=0), dict(chains=0)])
def test_numbers_below_one_are_refused(wrong):
    model, x = a_pca(3, 2, 0.0)
    with pytest.raises(ValueError, match="at least 1 step, chain and image"):
        ais(model, x, **wrong)
    with pytest.raises(ValueError, match="at least 1 step, chain and image"):
        ais(model, x[:0])
