"""NADE on 28x28 images: its own backward pass against autograd's, the cached sampler against the plain one."""

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from course_lib import device
from course_lib.models import NADE

D, HIDDEN = 784, 500


class ByAutograd(NADE):
    """The same model, computed step by step by its recursion: autograd keeps every hidden layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(self.conditionals(x)), 1)[:, self.order.argsort()]


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x = torch.randint(0, 2, (100, D)).to(device())
    model, by_autograd = NADE(D, HIDDEN).to(device()), ByAutograd(D, HIDDEN).to(device())
    steps = side_by_side(training_step(model, x), training_step(by_autograd, x), repetitions=3)
    uniforms = torch.rand(16, D, dtype=torch.float64)
    samplers = side_by_side(
        lambda: model.sample(16, uniforms=uniforms),
        lambda: model.sample(16, uniforms=uniforms, cached=False),
        repetitions=1,
    )
    return [
        Comparison("NADE 784-500, training step, 100 images", "own backward pass", "autograd", *steps),
        Comparison("NADE 784-500, 16 samples", "cached", "784 forward passes", *samplers),
    ]
