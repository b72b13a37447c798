"""FVBN on 28x28 images: one masked layer against one layer per pixel, the cached sampler against the plain one."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import Comparison, side_by_side
from course_lib import device
from course_lib.models import FVBN

D = 784


class SeparateLayers(nn.Module):
    """FVBN as D logistic regressions: the d-th reads the d pixels before it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1))
        self.regressions = nn.ModuleList(nn.Linear(d, 1) for d in range(1, D))

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """(batch,) nats."""
        inputs = x.float()
        logits = [self.first.expand(len(x), 1)]
        logits += [layer(inputs[:, :d]) for d, layer in enumerate(self.regressions, start=1)]
        return -F.binary_cross_entropy_with_logits(torch.cat(logits, 1), inputs, reduction="none").sum(1)


def training_step(model: nn.Module, x: torch.Tensor, **settings: bool) -> Callable[[], None]:
    """One step of Adam with these settings, ready to be run."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **settings)

    def step() -> None:
        loss = -model.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x = torch.randint(0, 2, (100, D)).to(device())
    model = FVBN(D).to(device())
    steps = side_by_side(training_step(model, x), training_step(SeparateLayers().to(device()), x), repetitions=20)
    uniforms = torch.rand(16, D, dtype=torch.float64)
    samplers = side_by_side(
        lambda: model.sample(16, uniforms=uniforms),
        lambda: model.sample(16, uniforms=uniforms, cached=False),
        repetitions=5,
    )
    return [
        Comparison("FVBN 784, training step, 100 images", "one masked layer", "784 layers", *steps),
        Comparison("FVBN 784, 16 samples", "cached", "784 forward passes", *samplers),
    ]
