"""WaveNet with the paper's 30 layers: a step of the cached sampler against one whose window is the receptive field."""

from itertools import islice

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.pixelcnn import TIMED, decided_alike
from course_lib import device
from course_lib.models import WaveNet

RATE = 8000
STEPS = 500


@torch.inference_mode()
def steps(model: WaveNet, x: torch.Tensor, count: int, *, cached: bool) -> None:
    """The first `count` steps of a sampler for series like x, (n, T)."""
    for _ in islice(model.conditionals(x, cached=cached), count):
        pass


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    comparisons = []
    torch.manual_seed(0)
    model = WaveNet(STEPS, channels=32, skip=128).to(device()).eval()
    window = model.receptive_field
    for n in (1, 16):
        uniforms = torch.rand(n, STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        alike = decided_alike(model, model.sample(n, uniforms=uniforms), uniforms) / (n * STEPS)
        x = torch.zeros(n, window, dtype=torch.long, device=device())
        fast, slow = side_by_side(
            lambda n=n, uniforms=uniforms: model.sample(n, uniforms=uniforms),
            lambda x=x: steps(model, x, TIMED, cached=False),
            repetitions=2,
        )
        rate = STEPS / fast
        what = f"WaveNet, 30 layers of 32, n = {n}, {100 * alike:.4g} % alike"
        cached = f"{rate:.0f}/s, {rate / RATE:.2g} x 8 kHz"
        comparisons.append(Comparison(what, cached, f"window of {window}", fast / STEPS, slow / TIMED))
    return comparisons
