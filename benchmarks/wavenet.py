"""WaveNet with the paper's 30 layers: a step of the cached sampler against one whose window is the receptive field.

And a student of Parallel WaveNet, which draws a second of sound in one pass, against the cached sampler of its teacher.
"""

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.pixelcnn import TIMED, decided_alike, some_passes
from course_lib import device
from course_lib.models import ParallelWaveNet, WaveNet

RATE = 8000  # of real time, in Hz
STEPS = 300


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device, for one series."""
    return [cached(), parallel()]


def cached() -> Comparison:
    """A step of the cached sampler, and one of the plain one."""
    torch.manual_seed(0)
    model = WaveNet(STEPS, channels=32, skip=128).to(device()).eval()
    uniforms = torch.rand(1, STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alike = decided_alike(model, model.sample(1, uniforms=uniforms), uniforms) / STEPS
    window = model.with_length(model.receptive_field)
    fast, slow = side_by_side(lambda: model.sample(1, uniforms=uniforms), lambda: some_passes(window, 1), repetitions=5)
    what = f"WaveNet, 30 layers, {_rate(STEPS / fast)}, {100 * alike:.4g} % alike"
    return Comparison(what, "cached", f"window of {model.receptive_field}", fast / STEPS, slow / TIMED)


def parallel() -> Comparison:
    """A step of a student with four flows of 10 layers, and one of its teacher, with 10 logistics and 30 layers."""
    torch.manual_seed(0)
    teacher = WaveNet(STEPS, 2**16, channels=32, skip=128, mixtures=10).to(device()).eval()
    student = ParallelWaveNet(RATE, channels=32).to(device()).eval()
    fast, slow = side_by_side(lambda: student.sample(1), lambda: teacher.sample(1), repetitions=5)
    what = f"Parallel WaveNet, {len(student.flows)} flows, {_rate(RATE / fast)}"
    return Comparison(what, "one pass", "cached teacher", fast / RATE, slow / STEPS)


def _rate(steps: float) -> str:
    return f"{steps:.0f} steps/s, {steps / RATE:.2g} x real time"
