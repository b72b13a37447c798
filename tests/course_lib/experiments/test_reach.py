"""Networks that lack one part of a WaveNet: comparable, and with the dependencies that they should have."""

import pytest
import torch

from course_lib import data
from course_lib.dependencies import influence
from course_lib.experiments import reach


def reads(model, length: int) -> list[int]:
    """How many steps back the last of so many outputs depends on."""
    model = model.double().with_length(length)
    last = influence(model, outputs=torch.tensor([length - 1]))[0] > 0
    return sorted(length - 1 - int(t) for t in last.nonzero())


def test_every_network_was_measured_from_the_same_seeds():
    assert set(reach.MEASURED) == set(reach.NETWORKS)
    assert {len(costs) for costs in reach.MEASURED.values()} == {3}


def test_the_numbers_of_weights_are_comparable():
    sizes = {name: sum(weight.numel() for weight in reach.build(name).parameters()) for name in reach.NETWORKS}
    assert max(sizes.values()) < 1.05 * min(sizes.values())
    assert {sizes[name] for name in list(reach.NETWORKS)[:3]} == {23_904}


@pytest.mark.parametrize("name", reach.NETWORKS)
def test_a_network_reads_its_receptive_field_and_no_more(name):
    model = reach.build(name)
    assert reads(model, model.receptive_field + 20) == list(range(1, model.receptive_field + 1))


@pytest.mark.parametrize(
    "without, back",
    [
        ({}, [1, 2, 3, 5]),
        ({"gates": False}, [1, 2, 3, 5]),
        ({"residuals": False}, [1, 2]),
        ({"skips": False}, [1, 5]),
    ],
)
def test_what_is_left_when_nothing_is_mixed(without, back):
    """Residuals then hand each layer the input itself, and skips hand every layer to the output."""
    model = reach.Ablation([1, 2, 4], channels=4, **without)
    for mix in model.mixes:
        torch.nn.init.zeros_(mix.weight)
    assert reads(model, 10) == back


def test_without_gates_the_activation_is_tanh():
    a = torch.randn(2, 4, 3)
    assert torch.equal(reach.Ablation([1], 4, gates=False).activation(a), a.tanh())
    assert torch.equal(reach.Ablation([1], 4).activation(a), a[:, :2].tanh() * a[:, 2:].sigmoid())


def test_pieces_are_parts_of_the_training_sounds():
    tones = data.tones()
    pieces = reach.pieces(tones)
    assert pieces.shape == (7 * len(tones.train), 500)
    assert torch.equal(pieces[7 * 3 + 2], tones.train.x[3, 500:1000])


def test_training_measures_what_it_says(monkeypatch):
    """An output of zeros gives every level the same probability, 8 bits."""
    model = reach.Ablation([1], channels=1)
    for weight in model.output.parameters():
        torch.nn.init.zeros_(weight)
    monkeypatch.setattr(reach, "build", lambda name: model)
    assert reach.measure("any", seed=0, steps=0) == pytest.approx(8)


def test_a_measurement_can_be_repeated(monkeypatch):
    monkeypatch.setattr(reach, "build", lambda name: reach.Ablation([1, 2], channels=2))
    first = reach.measure("any", seed=1, steps=2)
    assert first == reach.measure("any", seed=1, steps=2) != reach.measure("any", seed=2, steps=2)
