"""PixelCNN and PixelRNN beside each other: comparable, and measured as it says."""

import pytest
import torch

from course_lib.experiments import gates, recurrence


def test_every_network_was_measured_from_the_same_seeds():
    assert list(recurrence.MEASURED) == list(recurrence.NETWORKS)
    for result in recurrence.MEASURED.values():
        assert len(result.equal_time) == len(result.equal_epochs) == 3 and result.epoch > 0


def test_the_numbers_of_weights_are_comparable():
    sizes = [gates.weights(recurrence.build(network)) for network in recurrence.NETWORKS]
    assert max(sizes) < 1.05 * min(sizes)


def test_training_measures_bits_per_dim(monkeypatch):
    uniform = recurrence.build("PixelCNN")
    for weight in uniform.output.parameters():
        torch.nn.init.zeros_(weight)
    monkeypatch.setattr(recurrence, "build", lambda network, seed: uniform)
    with monkeypatch.context() as untrained:
        untrained.setattr(recurrence, "fit", lambda *args, **settings: None)
        assert recurrence.train("PixelCNN", epochs=1) == pytest.approx(4, abs=1e-4)


def test_the_time_of_an_epoch_is_the_shortest(monkeypatch):
    clock = iter([0.0, 3.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(recurrence.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(recurrence, "train", lambda network, epochs: None)
    assert recurrence.seconds_per_epoch("PixelCNN") == 2
