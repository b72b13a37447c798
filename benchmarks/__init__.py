"""Speed, compared in one run: `python -m benchmarks`. Ratios carry over to other machines; times do not."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Comparison:
    """The times of a fast and a slow way of doing the same, in seconds."""

    what: str
    fast: str
    slow: str
    fast_seconds: float
    slow_seconds: float


def side_by_side(fast: Callable[[], object], slow: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Measure the shortest time of each, in seconds, in turns, so that both suffer the same disturbances."""
    shortest = [float("inf"), float("inf")]
    for repetition in range(repetitions + 1):
        for k, run in enumerate((fast, slow)):
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repetition:  # the first repetition warms up
                shortest[k] = min(shortest[k], time.perf_counter() - start)
    return shortest[0], shortest[1]
