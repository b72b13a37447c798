import pytest
import torch
from torch import nn

from course_lib.dependencies import dependencies, influence, leaks_and_blind
from course_lib.models import FVBN, IndependentPixels, orderings


def random_fvbn(order) -> FVBN:
    model = FVBN(len(order), order)
    with torch.no_grad():
        model.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    return model


def test_the_dependencies_of_an_autoregressive_model_follow_its_ordering():
    order = orderings.random(9, seed=1)
    found = dependencies(random_fvbn(order))
    assert torch.equal(found[order][:, order], torch.ones(9, 9, dtype=torch.bool).tril(-1))


def test_influence_of_a_linear_model_is_the_size_of_its_weights():
    model = random_fvbn(range(5))
    strength = influence(model, batch=4000)
    # The mean of |r w| over normal r is |w| sqrt(2 / pi).
    expected = model.linear.masked_weight().detach().double().abs() * (2 / torch.pi) ** 0.5
    torch.testing.assert_close(strength, expected, rtol=0.05, atol=0)


def test_single_outputs_are_rows_of_the_whole():
    model = random_fvbn(range(6))
    torch.testing.assert_close(influence(model, outputs=torch.tensor([4, 1])), influence(model)[[4, 1]])


def test_parameters_that_cancel_in_their_sum_are_seen():
    class Opposed(nn.Module):
        event_shape, levels = (1, 2, 2), 3

        def forward(self, x):
            return torch.stack([x.roll(1, -1), -x.roll(1, -1), torch.zeros_like(x)], dim=1)  # (B, K, 1, 2, 2)

    assert dependencies(Opposed()).int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


def test_a_model_that_reads_nothing_depends_on_nothing():
    assert not dependencies(IndependentPixels(4, levels=3)).any()


def test_the_model_and_the_global_generator_are_left_alone():
    model, state = random_fvbn(range(4)).train(), torch.get_rng_state()
    influence(model)
    assert model.linear.weight.dtype == torch.float32 and model.linear.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_outputs_of_another_layout_are_refused():
    class Sideways(nn.Module):
        event_shape, levels = (2, 3), 2

        def forward(self, x):
            return x.transpose(1, 2)

    with pytest.raises(ValueError, match=r"shape \(8, 3, 2\); expected \(batch, \*P, \*event_shape\)"):
        influence(Sideways())


@pytest.mark.parametrize("axis", [(), 0], ids=["a number", "no batch"])
def test_outputs_that_are_not_one_a_random_input_are_refused(axis):
    class Summed(nn.Module):
        event_shape, levels = (2, 2), 2

        def forward(self, x):
            return x.sum(axis)

    with pytest.raises(ValueError, match="with batch 8 and event_shape"):
        influence(Summed())


@pytest.mark.parametrize("seed", range(4))
def test_leaks_and_blind_pairs_are_those_on_the_wrong_side_of_the_ordering(seed):
    generator = torch.Generator().manual_seed(seed)
    depends = torch.rand(6, 6, generator=generator) < 0.5
    order = torch.randperm(6, generator=generator)
    leaks, blind = leaks_and_blind(depends, order)
    for i in range(6):
        for j in range(6):
            earlier = order.tolist().index(j) < order.tolist().index(i)
            assert leaks[i, j] == (depends[i, j] and not earlier)
            assert blind[i, j] == (earlier and not depends[i, j])
    few_leaks, few_blind = leaks_and_blind(depends[[4, 1]], order.tolist(), outputs=[4, 1])
    assert torch.equal(few_leaks, leaks[[4, 1]]) and torch.equal(few_blind, blind[[4, 1]])


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [0.0, 1.0, 2.0]])
def test_what_is_no_ordering_is_refused(order):
    with pytest.raises(ValueError, match=r"each of 0\.\.2 once"):
        leaks_and_blind(torch.zeros(3, 3, dtype=torch.bool), order)
