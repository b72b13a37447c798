"""MADE on 28x28 images: a training step beside an unmasked one and those of other libraries; cached and plain sampling.

Half of a masked weight's gradients are exactly 0, whose square roots take torch's plain Adam 20 times as long on some
CPUs as those of other numbers. A fused Adam takes them as fast.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

import torch
from torch import nn

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from course_lib import device
from course_lib.models import MADE, AutoregressiveModel

D = 784


class Network(AutoregressiveModel):
    """A network of D logits from D inputs, with the likelihood of a MADE."""

    def __init__(self, layers: nn.Module):
        super().__init__((D,), levels=2)
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.float())


def unmasked(widths: Sequence[int]) -> Network:
    """MADE without its masks: an autoencoder, which is not a distribution, to show what masks cost."""
    layers = [layer for below, above in pairwise([D, *widths, D]) for layer in (nn.Linear(below, above), nn.ReLU())]
    return Network(nn.Sequential(*layers[:-1]))


class AlwaysMasked(nn.Linear):
    """The layer of A. Karpathy's pytorch-made: a float mask and a product in each call."""

    def __init__(self, mask: torch.Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.mask * self.weight, self.bias)


def peers() -> dict[str, tuple[list[int], nn.Module]]:
    """The other libraries' MADEs that are installed: hidden widths and network. Those of nflows have two or more."""
    first, last = MADE(D, [500]).masks()
    found = {"pytorch-made's layers": ([500], nn.Sequential(AlwaysMasked(first), nn.ReLU(), AlwaysMasked(last)))}
    if find_spec("zuko"):
        from zuko.nn import MaskedMLP

        found["zuko"] = [500], MaskedMLP(torch.ones(D, D).tril(-1).bool(), hidden_features=[500])
    if find_spec("nflows"):
        from nflows.transforms.made import MADE as NFlowsMADE

        found["nflows"] = [500, 500], NFlowsMADE(D, 500, num_blocks=1, use_residual_blocks=False)
    if len(found) < 3:
        print("zuko or nflows is missing beside MADE: .venv/bin/pip install -e '.[bench]' installs both")
    return found


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x, comparisons = torch.randint(0, 2, (100, D)).to(device()), []
    for fused in False, True:
        floor, masked = (model.to(device()) for model in (unmasked([500]), MADE(D, [500])))
        steps = (training_step(model, x, fused=fused) for model in (floor, masked))
        what = f"MADE 784-500-784, training step, 100 images{', fused Adam' * fused}"
        comparisons.append(Comparison(what, "no masks", "masks", *side_by_side(*steps, repetitions=50)))
    for name, (widths, layers) in peers().items():
        steps = (training_step(model.to(device()), x) for model in (MADE(D, widths), Network(layers)))
        what = f"MADE {'-'.join(map(str, [D, *widths, D]))}, training step, 100 images"
        comparisons.append(Comparison(what, "ours", name, *side_by_side(*steps, repetitions=50)))
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
