"""Draws from mixtures: RNADE's samples in training steps, and 65,536 levels of a mixture of logistics against 256."""

import math
from collections.abc import Callable

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from course_lib import device
from course_lib.distributions import discretized_logistic_mixture_invert
from course_lib.models import RNADE


def draws(mixtures: torch.Tensor, u: torch.Tensor, levels: int) -> Callable[[], torch.Tensor]:
    """Draws from mixtures in [0, 1), (n, 3, M), stretched over the levels, ready to be run."""
    logits, means, log_scales = mixtures.unbind(1)
    stretched = torch.stack([logits, means * levels, log_scales + math.log(levels / 16)], 1)
    return lambda: discretized_logistic_mixture_invert(stretched, u, levels)


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x, uniforms = torch.rand(100, 64).to(device()), torch.rand(100, 64, dtype=torch.float64)
    model = RNADE(64, 128, 10).to(device())
    times = side_by_side(training_step(model, x), lambda: model.sample(100, uniforms=uniforms), repetitions=5)
    comparisons = [Comparison("RNADE 64-128, 10 components, 100 images", "a training step", "sampling", *times)]

    u, mixtures = torch.rand(10_000).to(device()), torch.rand(10_000, 3, 10).to(device())
    few, many = (draws(mixtures, u, levels) for levels in (256, 65536))
    times = side_by_side(few, many, repetitions=10)
    return [*comparisons, Comparison("10,000 draws of 10 discretized logistics", "256 levels", "65,536", *times)]
