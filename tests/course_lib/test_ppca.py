"""Probabilistic PCA: its closed form, EM and gradients find the same maximum."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from course_lib.data import Dataset, Split
from course_lib.metrics import principal_angles
from course_lib.models import ProbabilisticPCA
from course_lib.training import fit


def some_data(n=400, D=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, D, generator=generator).double() @ torch.randn(D, D, generator=generator).double() + 3


@pytest.mark.parametrize("D, latents", [(4, 2), (3, 3), (2, 5), (6, 1)])
def test_log_prob_is_that_of_the_marginal_gaussian(D, latents):
    torch.manual_seed(0)
    model, x = ProbabilisticPCA(D, latents).double(), torch.randn(20, D).double()
    torch.nn.init.normal_(model.mu)
    torch.nn.init.constant_(model.likelihood.log_variance, -1.5)
    covariance = model.W @ model.W.T + model.variance * torch.eye(D)
    torch.testing.assert_close(model.log_prob(x), MultivariateNormal(model.mu, covariance).log_prob(x))


def test_a_tiny_variance_cancels_nothing():
    model = ProbabilisticPCA(3, 1).double()
    torch.nn.init.constant_(model.likelihood.log_variance, -40.0)
    x = model.W.detach().T * 2.0 + model.mu.detach()  # on the line: z = 2
    covariance = model.W @ model.W.T
    log_det = covariance.trace().log() - 2 * 40.0  # up to a relative error of 1e-17
    expected = -0.5 * (3 * torch.log(torch.tensor(2 * torch.pi)) + log_det + 4.0)
    torch.testing.assert_close(model.log_prob(x)[0].item(), expected.item())


def test_no_step_from_the_closed_form_raises_the_likelihood():
    x = some_data()
    model = ProbabilisticPCA.of(x, 2)
    best = model.log_prob(x).mean()
    for gradient in torch.autograd.grad(best, list(model.parameters())):
        assert gradient.abs().max() < 1e-9
    torch.manual_seed(0)
    for _ in range(20):
        other = ProbabilisticPCA.of(x, 2)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        assert other.log_prob(x).mean() < best


def test_em_never_lowers_the_likelihood_and_finds_the_closed_form():
    x = some_data()
    best = ProbabilisticPCA.of(x, 2)
    torch.manual_seed(0)
    model, values = ProbabilisticPCA(5, 2).double(), []
    for _ in range(500):
        model.em_step(x)
        values.append(model.log_prob(x).mean().item())
    assert all(later >= earlier - 1e-12 for earlier, later in zip(values, values[1:], strict=False))
    assert values[-1] == pytest.approx(best.log_prob(x).mean().item(), abs=1e-9)
    assert principal_angles(model.W, best.W).max() < 1e-3
    torch.testing.assert_close(model.W @ model.W.T, best.W @ best.W.T, rtol=1e-5, atol=1e-5)


def test_fit_finds_it_as_well():
    x = some_data().float()
    x = x - x.mean(0)
    ds = Dataset("Gaussian", (5,), None, Split(x), Split(x), Split(x))
    torch.manual_seed(0)
    model = ProbabilisticPCA(5, 2)
    history = fit(model, ds, epochs=150, batch_size=100, lr=5e-2, lr_decay=0.996)
    assert history.valid[-1] == pytest.approx(-ProbabilisticPCA.of(x, 2).log_prob(x).mean().item(), abs=0.02)


@pytest.mark.parametrize(
    "x, latents, message",
    [
        (torch.zeros(5, 3).long(), 1, "real numbers"),
        (torch.zeros(5), 1, r"shape \(n, D\)"),
        ([[1.0]], 1, "got list"),
        (torch.randn(5, 3), 3, "latents is 3; expected 1 to 2"),
        (torch.randn(5, 3), 0, "latents is 0"),
        (torch.randn(5, 1) @ torch.ones(1, 3), 1, "subspace of 1 dimensions"),
    ],
)
def test_what_has_no_maximum_is_refused(x, latents, message):
    with pytest.raises(ValueError, match=message):
        ProbabilisticPCA.of(x, latents)
