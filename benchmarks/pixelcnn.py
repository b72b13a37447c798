"""PixelCNNs on 28x28 images: the cached sampler against the plain one, timed for a few of its passes only."""

from itertools import islice

import torch

from benchmarks import Comparison, side_by_side
from course_lib import device
from course_lib.models import AutoregressiveModel, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus

TIMED = 4
MODELS = {
    "Gated PixelCNN, 10 layers of 32": lambda: GatedPixelCNN((1, 28, 28), 2, channels=32, layers=10, kernel=5),
    "PixelCNN, 7 blocks of 32": lambda: PixelCNN((1, 28, 28), 2, channels=32, layers=7),
    "PixelCNN++, 3 grids, 2 blocks of 32": lambda: PixelCNNPlusPlus((1, 28, 28), 2, channels=32, blocks=2, halvings=2),
}


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
    comparisons, n = [], 16
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
