"""MADE on 28x28 images: a training step with and without masks, the cached sampler against the plain one."""

import torch
from torch import nn

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from course_lib import device
from course_lib.models import MADE, AutoregressiveModel

D = 784


class Unmasked(AutoregressiveModel):
    """MADE without its masks: an autoencoder, which is not a distribution, to show what masks cost."""

    def __init__(self, width: int):
        super().__init__((D,), levels=2)
        self.layers = nn.Sequential(nn.Linear(D, width), nn.ReLU(), nn.Linear(width, D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.float())


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x = torch.randint(0, 2, (100, D)).to(device())
    masked, unmasked = MADE(D, [500]).to(device()), Unmasked(500).to(device())
    times = side_by_side(training_step(unmasked, x), training_step(masked, x), repetitions=50)
    comparisons = [Comparison("MADE 784-500-784, training step, 100 images", "no masks", "masks", *times)]
    uniforms = torch.rand(16, D, dtype=torch.float64)
    for widths in [500], [500, 500], [2000]:
        model = MADE(D, widths).to(device()).eval()
        times = side_by_side(
            lambda model=model: model.sample(16, uniforms=uniforms),
            lambda model=model: model.sample(16, uniforms=uniforms, cached=False),
            repetitions=3,
        )
        name = f"MADE {'-'.join(map(str, [D, *widths, D]))}, 16 samples"
        comparisons.append(Comparison(name, "cached", "784 forward passes", *times))
    return comparisons
