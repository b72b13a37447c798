"""PixelCNNs on 28x28 images: training steps beside unmasked ones and a peer's; cached sampling against plain sampling.

The plain sampler is timed for a few of its passes only.
"""

import copy
from itertools import islice

import torch
from torch import nn

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from course_lib import device
from course_lib.models import AutoregressiveModel, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus
from course_lib.nn import MaskedConv2d

TIMED = 4
MODELS = {
    "Gated PixelCNN, 10 layers of 32": lambda: GatedPixelCNN((1, 28, 28), 2, channels=32, layers=10, kernel=5),
    "PixelCNN, 7 blocks of 32": lambda: PixelCNN((1, 28, 28), 2, channels=32, layers=7),
    "PixelCNN++, 3 grids, 2 blocks of 32": lambda: PixelCNNPlusPlus((1, 28, 28), 2, channels=32, blocks=2, halvings=2),
}


class CentredConv2d(nn.Conv2d):
    """A masked convolution as E. Sharma's pytorch-generative writes it: a square kernel, half of which is masked.

    The mask is written into the weight in each call.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, own_pixel: bool):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        mask = torch.ones(kernel, kernel)
        mask[kernel // 2, kernel // 2 + own_pixel :] = 0
        mask[kernel // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.weight.data *= self.mask
        return super().forward(x)


class PeerPixelCNN(AutoregressiveModel):
    """pytorch-generative's PixelCNN of binary images with one colour: residual blocks with h channels inside."""

    def __init__(self, side: int, h: int, layers: int, head: int):
        super().__init__((1, side, side), levels=2)
        self.first = CentredConv2d(1, 2 * h, 7, own_pixel=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.ReLU(), nn.Conv2d(2 * h, h, 1)),
                *(nn.ReLU(), CentredConv2d(h, h, 3, own_pixel=True)),
                *(nn.ReLU(), nn.Conv2d(h, 2 * h, 1)),
            )
            for _ in range(layers)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * h, head, 1), nn.ReLU(), nn.Conv2d(head, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x.to(self.first.weight.dtype))
        for block in self.blocks:
            h = h + block(h)
        return self.head(h)


def unmasked(model: nn.Module) -> nn.Module:
    """A copy of the network whose convolutions use all of their weights: what it would cost without masks."""
    model = copy.deepcopy(model)
    for conv in model.modules():
        if isinstance(conv, MaskedConv2d):
            conv.masked_weight = lambda conv=conv: conv.weight
    return model


def training_steps(x: torch.Tensor) -> list[Comparison]:
    """Training steps of images x, (16, 1, 28, 28). (PixelCNN++ shifts its convolutions, and masks none.)"""
    event_shape = tuple(x.shape[1:])
    plain = PixelCNN(event_shape, 2, channels=16, layers=15, head=32)
    gated = GatedPixelCNN(event_shape, 2, channels=32, layers=10)
    pairs = [
        ("PixelCNN, 15 blocks of 16", "no masks", unmasked(plain), "masks", plain),
        ("Gated PixelCNN, 10 layers of 32", "no masks", unmasked(gated), "masks", gated),
        ("PixelCNN, 15 blocks of 16", "pytorch-generative", PeerPixelCNN(28, 16, 15, head=32), "ours", plain),
        ("PixelCNN, 15 blocks of 16", "channels_last", plain, "contiguous", copy.deepcopy(plain)),
    ]
    comparisons = []
    for what, fast, quick, slow, model in pairs:
        if fast == "channels_last":
            quick = quick.to(memory_format=torch.channels_last)
        steps = (training_step(each.to(device()), x) for each in (quick, model))
        times = side_by_side(*steps, repetitions=5)
        comparisons.append(Comparison(f"{what}, training step, {len(x)} images", fast, slow, *times))
    return comparisons


@torch.no_grad()
def decided_alike(model: AutoregressiveModel, x: torch.Tensor, uniforms: torch.Tensor) -> int:
    """Count the dimensions of the samples x that one full forward pass decides alike, from the same uniforms.

    The plain sampler makes such a pass before each decision. If all dimensions agree, it draws the same samples.
    """
    parameters = model(x).flatten(-len(model.event_shape)).movedim(-1, 1)
    again = (model.cumulative(parameters) <= uniforms.to(x.device).unsqueeze(-1)).sum(-1)
    return int((again == x.flatten(1)).sum())


@torch.no_grad()
def some_passes(model: AutoregressiveModel, n: int) -> None:
    """Run the plain sampler's first passes. All passes cost the same: each computes the whole image."""
    x = torch.zeros(n, *model.event_shape, dtype=torch.long, device=model.order.device)
    for _ in islice(model.conditionals(x, cached=False), TIMED):
        pass


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    n = 16
    comparisons = training_steps(torch.randint(0, 2, (n, 1, 28, 28)).to(device()))
    for name, build in MODELS.items():
        torch.manual_seed(0)
        model = build().to(device()).eval()
        D = len(model.order)
        uniforms = torch.rand(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        alike = decided_alike(model, model.sample(n, uniforms=uniforms), uniforms) / (n * D)
        fast, slow = side_by_side(
            lambda model=model, uniforms=uniforms: model.sample(n, uniforms=uniforms),
            lambda model=model: some_passes(model, n),
            repetitions=3,
        )
        what = f"{name}, {n} samples, {100 * alike:.4g} % alike"
        comparisons.append(Comparison(what, "cached", f"{D} passes, {TIMED} timed", fast, slow * D / TIMED))
    return comparisons
