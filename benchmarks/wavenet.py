"""WaveNet with the paper's 30 layers: a step of the cached sampler against one whose window is the receptive field."""

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.pixelcnn import TIMED, decided_alike, some_passes
from course_lib import device
from course_lib.models import WaveNet

RATE = 8000  # of real time, in Hz
STEPS = 300


def measure() -> list[Comparison]:
    """Run this file's comparison on the machine's best device, for one series."""
    torch.manual_seed(0)
    model = WaveNet(STEPS, channels=32, skip=128).to(device()).eval()
    uniforms = torch.rand(1, STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alike = decided_alike(model, model.sample(1, uniforms=uniforms), uniforms) / STEPS
    window = model.with_length(model.receptive_field)
    fast, slow = side_by_side(lambda: model.sample(1, uniforms=uniforms), lambda: some_passes(window, 1), repetitions=5)
    rate = STEPS / fast
    what = f"WaveNet, 30 layers, {rate:.0f} steps/s, {rate / RATE:.2g} x real time, {100 * alike:.4g} % alike"
    return [Comparison(what, "cached", f"window of {model.receptive_field}", fast / STEPS, slow / TIMED)]
