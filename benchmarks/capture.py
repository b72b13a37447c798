"""Samplers on 28x28 images captured as CUDA graphs, beside the ordinary ones. On a CUDA GPU only."""

import torch

from benchmarks import Comparison, pixelcnn, side_by_side
from course_lib.capture import CapturedSampler
from course_lib.models import MADE, NADE

MODELS = {"MADE 784-500-784": lambda: MADE(784, [500]), "NADE 784-500": lambda: NADE(784, 500), **pixelcnn.MODELS}


def measure() -> list[Comparison]:
    """Run this file's comparisons, none without a CUDA GPU. A capture itself is part of the warm-up."""
    comparisons = []
    for name, build in MODELS.items() if torch.cuda.is_available() else ():
        torch.manual_seed(0)
        model = build().cuda().eval()
        for n in 16, 256:
            sampler, uniforms = CapturedSampler(model, n), torch.rand(n, len(model.order), dtype=torch.float64)
            times = side_by_side(
                lambda sampler=sampler, uniforms=uniforms: sampler.sample(uniforms=uniforms),
                lambda model=model, n=n, uniforms=uniforms: model.sample(n, uniforms=uniforms),
                repetitions=3,
            )
            comparisons.append(Comparison(f"{name}, {n} samples", "captured", "ordinary", *times))
    return comparisons
