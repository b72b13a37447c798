"""What recurrence costs and buys: PixelRNN beside PixelCNN on the digits, at equal weights and equal training.

`python -m course_lib.experiments.recurrence` trains all networks from several seeds, once for the same processor time
and once for the same number of epochs, and prints what `MEASURED` holds, in about 16 minutes of processor time.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from course_lib import data, metrics
from course_lib.models import GatedPixelCNN, PixelCNN, PixelRNN
from course_lib.training import fit

__all__ = ["EPOCHS", "MEASURED", "NETWORKS", "SECONDS", "Result", "build", "seconds_per_epoch", "train"]

SECONDS, EPOCHS = 30, 30  # the two lengths of training: processor time, and passes over the training images
_SIZES = dict(event_shape=(1, 8, 8), levels=16, head=48, position_bias=True)
# Sizes that give each network about as many weights: 35,298 to 36,496.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "PixelCNN": partial(PixelCNN, channels=24, layers=3, kernel=5, first_kernel=5, **_SIZES),
    "Gated PixelCNN": partial(GatedPixelCNN, channels=19, layers=3, kernel=5, **_SIZES),
    "Row LSTM": partial(PixelRNN, channels=22, layers=2, recurrence="row", first_kernel=5, **_SIZES),
    "Diagonal BiLSTM": partial(PixelRNN, channels=21, layers=2, recurrence="diagonal", first_kernel=5, **_SIZES),
}


class Result(NamedTuple):
    """Test bits/dim of one network, one number for each of the seeds 0, 1, ...

    Attributes:
        epoch: seconds of processor time for one epoch, its validation included.
        equal_time: after as many epochs as `SECONDS` allow.
        equal_epochs: after `EPOCHS` epochs.
    """

    epoch: float
    equal_time: list[float]
    equal_epochs: list[float]


# Printed by `python -m course_lib.experiments.recurrence` on 28 November 2026 on one CPU core that had other work as
# well. In equal time the networks had 31, 27, 24 and 8 epochs.
MEASURED: dict[str, Result] = {
    "PixelCNN": Result(0.97, [1.7404, 1.7459, 1.7347], [1.7403, 1.7488, 1.7347]),
    "Gated PixelCNN": Result(1.1, [1.7517, 1.7624, 1.771], [1.7466, 1.7504, 1.7647]),
    "Row LSTM": Result(1.27, [1.7681, 1.7571, 1.7508], [1.7402, 1.7338, 1.732]),
    "Diagonal BiLSTM": Result(3.91, [1.9131, 1.922, 1.9194], [1.705, 1.7082, 1.7205]),
}


def build(network: str, seed: int = 0) -> nn.Module:
    """One of `NETWORKS`, untrained.

    >>> build("Row LSTM").event_shape
    (1, 8, 8)
    """
    torch.manual_seed(seed)
    return NETWORKS[network]()


def train(network: str, epochs: int, seed: int = 0) -> float:
    """Build and train one of the networks on the digits of 16 levels; returns the test bits/dim."""
    digits, model = data.digits("levels"), build(network, seed)
    decay = partial(torch.optim.AdamW, weight_decay=0.3)
    fit(model, digits, epochs=epochs, batch_size=64, lr=4e-3, optimizer=decay, seed=seed, progress=False)
    return metrics.nll(model, digits.test.x).mean / (64 * math.log(2))


def seconds_per_epoch(network: str) -> float:
    """Processor time of one epoch of training, the shortest of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        train(network, epochs=1)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    seconds = {network: seconds_per_epoch(network) for network in NETWORKS}
    for network, epoch in seconds.items():
        lengths = round(SECONDS / epoch), EPOCHS
        results = [[round(train(network, epochs, seed), 4) for seed in range(3)] for epochs in lengths]
        print(f'"{network}": {Result(round(epoch, 2), *results)}, {lengths[0]} epochs in equal time', flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
