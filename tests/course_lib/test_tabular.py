import itertools
import math

import pytest
import torch

from course_lib.models import FVBN, TabularModel
from tests.course_lib.instances import random_table
from tests.course_lib.properties import chi_square, numbers


@pytest.fixture
def xor():
    """Two equal bits, and a third that is always 1."""
    joint = torch.zeros(2, 2, 2, dtype=torch.float64)
    joint[0, 0, 1] = joint[1, 1, 1] = 0.5
    return TabularModel.from_probs(joint)


def test_log_prob_reads_the_table():
    model = random_table(3, 3)
    for state in itertools.product(range(3), repeat=3):
        assert math.isclose(model.log_prob(torch.tensor([state])).exp(), model.joint[state])
    assert model.log_prob(model.states).equal(model.log_p)


def test_conditionals_are_ratios_of_marginals():
    model = random_table(2, 4)
    for dimension, known in [(0, {}), (2, {0: 1}), (1, {3: 0, 0: 1}), (3, {0: 0, 1: 1, 2: 1})]:
        agree = torch.ones(16, dtype=torch.bool)
        for d, value in known.items():
            agree &= model.states[:, d] == value
        p = [model.log_p.exp()[agree & (model.states[:, dimension] == v)].sum() for v in (0, 1)]
        expected = torch.stack(p) / sum(p)
        torch.testing.assert_close(model.conditional(dimension, known), expected)


@pytest.mark.parametrize("known", list(itertools.product([False, True], repeat=3)))
def test_completion_takes_any_known_set(known):
    model = random_table(2, 3, order=[2, 0, 1])
    mask = torch.tensor(known)
    x = torch.tensor([[1, 0, 1]]).expand(20_000, -1)
    y = model.complete(x, mask, generator=torch.Generator().manual_seed(0))
    agrees = (model.states[:, mask] == x[0, mask]).all(1)
    p = torch.where(agrees, model.log_p.exp(), 0.0)
    chi_square(numbers(model, y), p / p.sum())


def test_completion_takes_each_image_by_itself(xor):
    x = torch.tensor([[0, 0, 0], [0, 1, 0]])
    assert xor.complete(x, torch.tensor([False, True, False])).tolist() == [[0, 0, 1], [1, 1, 1]]


def test_the_order_changes_nothing_but_the_order():
    model, other = random_table(2, 4), random_table(2, 4, order=[3, 1, 0, 2])
    assert model.log_prob(model.states).equal(other.log_prob(other.states))
    assert not model(model.states).equal(other(other.states))


def test_impossible_states_cost_infinitely_much_and_break_nothing(xor):
    assert xor.log_prob(torch.tensor([[0, 1, 1]])).item() == -math.inf
    assert not xor(xor.states).isnan().any()
    assert set(map(tuple, xor.sample(200).tolist())) == {(0, 0, 1), (1, 1, 1)}
    assert xor.entropy == pytest.approx(math.log(2))


def test_impossible_evidence_is_refused(xor):
    with pytest.raises(ValueError, match="probability 0"):
        xor.conditional(0, {2: 0})
    with pytest.raises(ValueError, match="probability 0"):
        xor.complete(torch.tensor([[0, 0, 1], [0, 1, 1]]), torch.tensor([True, True, False]))
    with pytest.raises(ValueError, match="among the known"):
        xor.conditional(0, {0: 1})


def test_entropy_and_kl_have_their_closed_forms(xor):
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    fair, biased = TabularModel.from_probs(p), TabularModel.from_probs(q)
    assert fair.entropy == pytest.approx(math.log(2))
    assert fair.kl(biased) == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))
    assert biased.kl(fair) == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5))
    assert biased.kl(biased) == 0
    # Any model with a log_prob will do; a uniform one has cross-entropy D log 2.
    assert xor.kl(FVBN(3)) == pytest.approx(3 * math.log(2) - xor.entropy)
    assert random_table(2, 3).kl(xor) == math.inf


def test_fit_counts():
    x = torch.tensor([[0, 2], [0, 2], [1, 0], [2, 2]])
    model = TabularModel.fit(x, levels=3)
    assert model.joint[0, 2] == 0.5 and model.joint[1, 0] == model.joint[2, 2] == 0.25
    smooth = TabularModel.fit(x, levels=3, smoothing=0.5)
    assert smooth.joint[0, 2] == pytest.approx(2.5 / 8.5) and smooth.joint[1, 1] == pytest.approx(0.5 / 8.5)
    nothing = TabularModel.fit(x[:0], levels=3, smoothing=1.0)
    assert nothing.entropy == pytest.approx(2 * math.log(3))


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (torch.zeros(3, 25, dtype=torch.long), {}, "too large"),
        (torch.zeros(3, 2), {}, "integers"),
        (torch.full((3, 2), 2), {}, "integers 0..1"),
        (torch.zeros(3, dtype=torch.long), {}, r"\(n, D\)"),
        (torch.zeros(0, 2, dtype=torch.long), {}, "images to count"),
        (torch.zeros(3, 2, dtype=torch.long), {"smoothing": -1.0}, "smoothing"),
    ],
)
def test_fit_refuses_what_it_cannot_count(x, settings, message):
    with pytest.raises(ValueError, match=message):
        TabularModel.fit(x, **settings)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        (torch.tensor([0.5, 0.6]), "sum to 1"),
        (torch.tensor([1.5, -0.5]), "negative"),
        (torch.tensor([torch.nan, 1.0]), "sum to 1"),
        (torch.full((2, 3), 1 / 6), "D axes"),
        (torch.tensor(1.0), "D axes"),
    ],
)
def test_other_tables_are_refused(joint, message):
    with pytest.raises(ValueError, match=message):
        TabularModel.from_probs(joint)
