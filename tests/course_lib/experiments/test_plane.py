"""The best q of a family for one posterior in the plane: densities, gaps, and that a search closes them."""

import math

import pytest
import torch

from course_lib.experiments.plane import Flow, GaussianMixture, Plane, search
from course_lib.models import VAE


class Bimodal:
    """A model of one binary pixel: p(x = 1 | z) grows with |z_0|, so the posterior of x = 1 has two modes."""

    class likelihood:
        @staticmethod
        def log_prob(outputs, x):
            return torch.nn.functional.logsigmoid((2 * x - 1) * outputs).sum(1)

    def decode(self, z):
        return 4 * z[:, :1].square() - 16

    def prior(self):
        return VAE((1,), 2, 2, [1]).double().prior()


@pytest.fixture
def plane() -> Plane:
    return Plane(Bimodal(), torch.tensor([[1]]), reach=5.0, points=101)


def tilted(v, A, a, B, b, inverse):
    """One step of a flow, by its definition."""
    A, B = A.tril(-1), B.tril(-1)
    noise = v[:, :1]
    if inverse:
        noise = (noise - a[0]) * torch.exp(-b[0])
    mean, log_scale = a[1] + A[1, 0] * noise, b[1] + B[1, 0] * noise
    e = torch.cat([noise, (v[:, 1:] - mean) * torch.exp(-log_scale)], 1) if inverse else v
    z = torch.cat([a[0] + torch.exp(b[0]) * noise, mean + torch.exp(log_scale) * e[:, 1:]], 1)
    log_q = -0.5 * (e.square() + math.log(2 * math.pi)).sum(1) - b[0] - log_scale[:, 0]
    return (e if inverse else z), log_q


def families(plane):
    torch.manual_seed(0)
    flow = Flow(tilted, 3, torch.tensor([0.5, -0.3], dtype=torch.float64))
    for parameter in flow.parameters:
        parameter.add_(0.3 * torch.randn_like(parameter))
    mixture = GaussianMixture(plane.centres(), 0.5)
    mixture.parameters[2][0] = 0.7
    return [mixture, flow]


def test_the_grid_holds_the_posterior(plane):
    cell = (2 * plane.reach / 100) ** 2
    assert plane.log_posterior.exp().sum().item() * cell == pytest.approx(1)
    z = torch.randn(200_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sampled = torch.sigmoid(plane.model.decode(z)).mean()
    assert plane.log_evidence == pytest.approx(sampled.log().item(), abs=0.05)


def test_the_mode_and_the_centres_lie_in_the_modes(plane):
    assert plane.mode()[0].abs().tolist() == pytest.approx([2.0, 0.0], abs=0.2)
    assert sorted(plane.centres()[:, 0].tolist()) == pytest.approx([-2.3, 2.3], abs=0.2)


def test_densities_have_mass_one_and_are_those_of_the_draws(plane):
    cell = (2 * plane.reach / 100) ** 2
    e = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for family in families(plane):
        z, log_q, weights = family.draws(e)
        assert torch.allclose(log_q, family.log_prob(z)) and weights.sum().item() == pytest.approx(1)
        assert family.log_prob(plane.z).exp().sum().item() * cell == pytest.approx(1, abs=0.02)
        # Draws and density belong together: the mean of each is that on the grid.
        mean = (family.log_prob(plane.z).exp()[:, None] * plane.z).sum(0) * cell
        assert (weights[:, None] * z).sum(0).tolist() == pytest.approx(mean.tolist(), abs=0.15)


def test_gaps_are_kl_divergences_from_the_posterior(plane):
    cell = (2 * plane.reach / 100) ** 2
    for family in families(plane):
        log_q = family.log_prob(plane.z)
        kl = float((log_q.exp() * (log_q - plane.log_posterior.flatten())).sum() * cell)
        assert plane.gap(family) == pytest.approx(kl, rel=0.1)


def test_a_search_closes_what_the_family_can(plane):
    """Two modes of equal weight, far apart: the mixture gains log 2."""
    one, two = GaussianMixture(plane.mode()), GaussianMixture(plane.centres())
    for family in (one, two):
        search(plane, family, steps=300)
        assert not any(parameter.requires_grad for parameter in family.parameters)
    gain = plane.gap(one) - plane.gap(two)
    assert gain == pytest.approx(math.log(2), abs=0.05)
    assert plane.gap(two) < 0.1
