"""Networks that differ in stacks or gates alone: comparable, and with the dependencies that they should have."""

import pytest
import torch

from course_lib import data
from course_lib.dependencies import dependencies
from course_lib.experiments import gates

NETWORKS = [(dataset, *network) for dataset, networks in gates.MEASURED.items() for network in networks]


def test_every_network_was_measured_from_the_same_seeds():
    assert {dataset: set(networks) for dataset, networks in gates.MEASURED.items()} == {
        dataset: set(channels) for dataset, channels in gates.CHANNELS.items()
    }
    for networks in gates.MEASURED.values():
        assert len({len(values) for values in networks.values()}) == 1


@pytest.mark.parametrize("dataset", gates.MEASURED)
def test_the_numbers_of_weights_are_comparable(dataset):
    sizes = [gates.weights(gates.build(dataset, *network)) for network in gates.MEASURED[dataset]]
    assert max(sizes) < 1.05 * min(sizes)


def test_masked_weights_do_not_count():
    one = gates.Ablation((1, 2, 2), 2, stacks=1, activation="ReLU", channels=1, layers=1, head=1)
    # 4 weights of a 2 x 3 kernel under mask A, with 1 x 1 convolutions, biases and a number at each of 4 pixels
    assert gates.weights(one) == 4 + 1 + 3 * 2 + 4


@pytest.mark.parametrize("activation", gates.ACTIVATIONS)
@pytest.mark.parametrize("stacks", [1, 2])
def test_one_stack_has_a_blind_spot_and_two_have_none(stacks, activation):
    torch.manual_seed(0)
    model = gates.Ablation((1, 4, 4), 2, stacks=stacks, activation=activation, channels=8, layers=4, head=8)
    earlier = torch.ones(16, 16).tril(-1).bool()
    reads = dependencies(model)
    assert not (reads & ~earlier).any()
    blind = [(i, j) for i, j in (earlier & ~reads).nonzero().tolist()]
    assert blind == [(i, j) for i in range(16) for j in range(i) if stacks == 1 and j % 4 - i % 4 > i // 4 - j // 4]


@pytest.mark.parametrize("dataset, uniform", [("world", 16 * 0.6931 - 4.968), ("digits", 4.0)])
def test_training_measures_what_it_says(monkeypatch, dataset, uniform):
    """An output of zeros is uniform, and a learning rate cannot change it in no step."""
    model = gates.build(dataset, 2, "ReLU")
    for weight in model.output.parameters():
        torch.nn.init.zeros_(weight)
    if dataset == "world":
        assert gates.train_on_the_world(model, steps=0) == pytest.approx(uniform, abs=1e-2)
    else:
        monkeypatch.setattr(gates, "fit", lambda *args, **settings: None)
        assert gates.train_on_digits(model) == pytest.approx(uniform, abs=1e-4)


def test_a_measurement_can_be_repeated(monkeypatch):
    monkeypatch.setitem(gates.TRAINING, "world", lambda model, seed: gates.train_on_the_world(model, 2, seed))
    entropy = float(16 * torch.log(torch.tensor(2.0)) - data.tiny_world().entropy)
    first = gates.measure("world", 1, "gate", seed=1)
    assert first == gates.measure("world", 1, "gate", seed=1) != gates.measure("world", 1, "gate", seed=2)
    assert 0 < first < 2 * entropy
