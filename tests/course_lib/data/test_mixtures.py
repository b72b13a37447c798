"""Mixtures in the plane: their densities integrate to one, samples follow them, modes are counted by hand."""

import math

import pytest
import torch

from course_lib import data
from course_lib.data import GaussianMixture


@pytest.mark.parametrize("mixture", [data.ring(std=0.2), data.grid(side=3, std=0.2)], ids=lambda mixture: mixture.name)
def test_the_density_is_that_of_torch_and_integrates_to_one(mixture):
    distributions = torch.distributions
    expected = distributions.MixtureSameFamily(
        distributions.Categorical(torch.ones(len(mixture.centres), dtype=torch.float64)),
        distributions.Independent(distributions.Normal(mixture.centres.double(), mixture.std), 1),
    )
    line = torch.linspace(-4, 4, 201, dtype=torch.float64)
    x = torch.cartesian_prod(line, line)
    log_p = mixture.log_prob(x)
    torch.testing.assert_close(log_p, expected.log_prob(x))
    assert log_p.exp().sum().item() * 0.04**2 == pytest.approx(1, abs=1e-6)


def test_samples_have_the_modes_and_the_spread():
    mixture = data.ring(modes=4, std=0.1)
    ds = mixture.dataset(n=8000, seed=3)
    counts = torch.bincount(ds.train.y, minlength=4)
    assert ((counts - 2000).abs() < 6 * math.sqrt(8000 * 3 / 16)).all()
    distances = (ds.train.x - mixture.centres[ds.train.y]) / mixture.std
    assert distances.mean(0).abs().max() < 6 / math.sqrt(8000)
    assert (distances.square().mean(0) - 1).abs().max() < 6 * math.sqrt(2 / 8000)
    cost = -mixture.log_prob(ds.train.x)
    entropy = math.log(2 * math.pi * math.e * mixture.std**2) + math.log(4)  # the modes hardly overlap
    assert cost.mean().item() == pytest.approx(entropy, abs=6 / math.sqrt(8000))


def test_seeds_and_generators_decide():
    ring = data.ring()
    assert torch.equal(ring.dataset(100, seed=1).test.x, ring.dataset(100, seed=1).test.x)
    assert not torch.equal(ring.dataset(100, seed=1).test.x, ring.dataset(100, seed=2).test.x)
    ds = ring.dataset(100)
    assert (len(ds.train), len(ds.valid), len(ds.test)) == (100, 25, 25) and ds.levels is None
    first, again = (ring.sample(5, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (5, 2)


def test_rings_and_grids_are_where_they_should_be():
    ring, grid = data.ring(modes=5, radius=3.0), data.grid(side=2, spacing=2.0)
    torch.testing.assert_close(ring.centres.norm(dim=1), torch.full((5,), 3.0))
    steps = (ring.centres - ring.centres.roll(1, 0)).norm(dim=1)
    torch.testing.assert_close(steps, torch.full((5,), 6 * math.sin(math.pi / 5)))
    assert sorted(grid.centres.tolist()) == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert data.ring(modes=1).centres.tolist() == [[2.0, 0.0]] and data.grid(side=1).centres.tolist() == [[0.0, 0.0]]


def test_modes_are_counted_only_by_samples_close_to_them():
    mixture = GaussianMixture(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), std=1.0)
    x = torch.tensor([[0.0, 3.0], [0.0, -3.1], [10.0, 2.0], [11.0, 0.0], [0.0, 6.0]])
    assert mixture.modes_covered(x) == (2, 3 / 5)
    assert mixture.modes_covered(x, deviations=4.0) == (3, 1.0)
    assert mixture.modes_covered(torch.full((2, 2), 50.0)) == (0, 0.0)
    coverage = mixture.modes_covered(mixture.sample(20000, generator=torch.Generator().manual_seed(0)))
    assert coverage.covered == 3 and coverage.share == pytest.approx(1 - math.exp(-4.5), abs=0.005)


def test_what_is_not_a_mixture_is_refused():
    with pytest.raises(ValueError, match=r"centres must have shape \(K, 2\)"):
        GaussianMixture(torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="std is 0.0; expected a positive number"):
        GaussianMixture(torch.zeros(3, 2), 0.0)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, 2\); got \(4, 3\)"):
        data.ring().modes_covered(torch.zeros(4, 3))
    for build in (lambda: data.ring(modes=0), lambda: data.grid(side=0)):
        with pytest.raises(ValueError, match="is 0; expected at least 1"):
            build()
    with pytest.raises(ValueError, match="n is 3"):
        data.ring().dataset(n=3)
