"""Mixtures of models: completions. Likelihoods and samples are in the generic suite."""

import pytest
import torch

from course_lib.models import EoNADE, MADEEnsemble, OrderlessNADE
from course_lib.models.mixture import Mixture
from tests.course_lib.instances import ORDER
from tests.course_lib.properties import chi_square, numbers, randomize, states

KNOWN = torch.tensor([False, True, False, False, True])


def randomized(model):
    model = model.double().eval()
    randomize(model, 0, 1.5)
    return model


def probabilities(members, x):
    return torch.stack([member.log_prob(x) for member in members]).exp().mean(0).detach()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("known", [KNOWN, ~KNOWN], ids=["two known", "three known"])
def test_an_ensemble_of_orderings_completes_by_the_mixtures_conditionals(known, cached):
    """Members that find the known dimensions likely complete more often."""
    orders = [ORDER, range(5), ORDER[::-1]]
    eonade = randomized(EoNADE(OrderlessNADE(5, [8]), orders))
    made = randomized(MADEEnsemble(5, [16], masks=4))
    for model in (eonade, made):
        members = []
        for m, order in enumerate(model.orders.tolist()):
            known_first = sorted(order, key=lambda d: not known[d])
            if model is eonade:
                members.append(model.model.with_order(known_first))
            else:
                members.append(model.network._with_masks(torch.tensor(known_first), model.unit_degrees[m]))
        evidence = torch.tensor([1, 0, 1, 1, 0])
        y = model.complete(evidence.expand(20_000, 5), known, cached=cached, generator=torch.Generator().manual_seed(0))
        assert torch.equal(y[:, known], evidence[known].expand(20_000, -1))
        possible = torch.where(known, evidence, states(model))
        p = torch.zeros(32, dtype=torch.float64)
        p[numbers(model, possible)] = probabilities(members, possible)
        chi_square(numbers(model, y), p)


def test_members_of_one_ordering_complete_what_comes_first_in_it_and_refuse_the_rest():
    model = randomized(MADEEnsemble(5, [16], order=ORDER, masks=3))
    known = torch.zeros(5, dtype=torch.bool)
    known[list(ORDER[:2])] = True
    evidence = torch.tensor([1, 1, 1, 0, 1])
    y = model.complete(evidence.expand(20_000, 5), known, generator=torch.Generator().manual_seed(0))
    possible = torch.where(known, evidence, states(model))
    p = torch.zeros(32, dtype=torch.float64)
    p[numbers(model, possible)] = model.log_prob(possible).exp().detach()
    chi_square(numbers(model, y), p)
    with pytest.raises(ValueError, match="the known dimensions must come first in the ordering of the members"):
        model.complete(evidence[None], ~known)


def test_with_nothing_or_all_known_an_ensemble_samples_or_returns_its_input():
    model = randomized(MADEEnsemble(5, [16], masks=3))
    u = torch.rand(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, nothing = torch.ones(50, 5, dtype=torch.long), torch.zeros(5, dtype=torch.bool)
    assert torch.equal(model.complete(x, nothing, uniforms=u), model.sample(50, uniforms=u))
    assert torch.equal(model.complete(x, ~nothing), x)
    assert model.complete(x[:0], KNOWN).shape == (0, 5)


def test_completions_ignore_autocast():
    model = randomized(MADEEnsemble(6, [32], masks=3)).float()
    x, known = torch.randint(2, (4000, 6)), torch.arange(6) % 2 == 0
    u = torch.rand(4000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = model.complete(x, known, uniforms=u)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.complete(x, known, uniforms=u), drawn)


def test_a_members_ordering_is_found_impossible_by_name():
    with pytest.raises(NotImplementedError, match="Mixture must define member_in_order"):
        Mixture((2,), levels=2).member_in_order(0, torch.arange(2))


@pytest.mark.parametrize(
    "build", [lambda: MADEEnsemble(4, [9], masks=2), lambda: EoNADE(OrderlessNADE(4, [5]), [range(4)])]
)
def test_ensembles_without_classes_take_no_labels(build):
    for call in (
        lambda model, y: model.log_prob(torch.zeros(3, 4).long(), labels=y),
        lambda model, y: model.sample(3, labels=y),
        lambda model, y: model.complete(torch.zeros(3, 4).long(), torch.tensor([True, False, False, False]), labels=y),
    ):
        with pytest.raises(ValueError, match="takes no labels"):
            call(build(), torch.zeros(3).long())
