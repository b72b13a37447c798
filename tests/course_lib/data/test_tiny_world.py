import math

import pytest
import torch

from course_lib import data
from course_lib.models import FVBN, IndependentPixels
from tests.course_lib.properties import chi_square, numbers


@pytest.fixture(scope="module")
def world():
    return data.tiny_world()


def test_the_probabilities_follow_from_the_story(world):
    """By brute force, for a few images: sum over the clean images of the noise's probability."""
    assert world.log_p.exp().sum().item() == pytest.approx(1)
    assert world.log_p.isfinite().all()
    assert len(set(map(tuple, world.clean.tolist()))) == 32
    clean = world.clean.tolist()
    for x in world.states[[0, 1, 1234, 40_000, 65_535]]:
        p = sum(math.prod(0.98 if a == b else 0.02 for a, b in zip(x.tolist(), c, strict=True)) for c in clean) / 32
        assert world.log_prob(x[None]).item() == pytest.approx(math.log(p))


def test_a_clean_image_shows_its_glyph(world):
    ink = ["".join(".#"[p] for p in row) for row in world.clean[4 * 4 + 3].view(4, 4).tolist()]
    assert ink == ["....", ".#..", ".#..", ".###"]


def test_samples_and_data_follow_the_table(world):
    p = world.log_p.exp()
    chi_square(numbers(world, world.sample(50_000, generator=torch.Generator().manual_seed(0))), p)
    ds = world.dataset(n=50_000)
    chi_square(numbers(world, ds.train.x), p)


def test_the_data_set_is_seeded_and_labelled(world):
    ds = world.dataset(n=2000, seed=1)
    assert [len(split) for split in ds.splits().values()] == [2000, 500, 500]
    assert ds.shape == (1, 4, 4) and ds.levels == 2 and ds.train.x.dtype == torch.int64
    assert ds.test.x.equal(world.dataset(n=2000, seed=1).test.x)
    assert not ds.test.x.equal(world.dataset(n=2000, seed=2).test.x)
    # The nearest clean image mostly bears the right label.
    distance = (ds.train.x.view(-1, 1, 16) != world.clean).sum(2)
    assert (distance.argmin(1) // 4 == ds.train.y).float().mean() > 0.95
    with pytest.raises(ValueError, match="at least 4"):
        world.dataset(n=3)


def test_the_figures_of_the_docstring(world):
    """The cross-entropy is convex in the weights, so its minimum is soon found, from the states that matter."""
    common = world.log_p > math.log(3e-6)
    states, p = world.states[common], world.log_p[common].exp()
    assert p.sum() > 0.996

    def best(model):
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def loss():
            optimizer.zero_grad()
            value = -(p * model.log_prob(states)).sum()
            value.backward()
            return value

        optimizer.step(loss)
        return world.kl(model) / math.log(2)

    assert world.entropy / math.log(2) == pytest.approx(7.17, abs=0.005)
    assert round(0.98**16, 2) == 0.72
    assert best(IndependentPixels(16).double()) == pytest.approx(6.80, abs=0.005)
    assert best(FVBN(16).double()) == pytest.approx(2.18, abs=0.005)
