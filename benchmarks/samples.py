"""The Frechet distance of Gaussians, by the singular values of two symmetric roots and in the usual ways."""

import torch
from scipy import linalg
from torchmetrics.image.fid import _compute_fid

from benchmarks import Comparison, side_by_side
from course_lib.metrics import frechet_distance, gaussian_fit

Gaussian = tuple[torch.Tensor, torch.Tensor]


def two_gaussians(d: int) -> tuple[Gaussian, Gaussian]:
    """Gaussians fitted to 2 d draws each."""
    generator = torch.Generator().manual_seed(0)
    return tuple(gaussian_fit(torch.randn(2 * d, d, generator=generator, dtype=torch.float64)) for _ in range(2))


def by_the_root_of_the_product(p: Gaussian, q: Gaussian) -> float:
    """As in the first public code: the root of a matrix that is not symmetric, without its imaginary part."""
    root = linalg.sqrtm((p[1] @ q[1]).numpy()).real.trace()
    return float((p[0] - q[0]).square().sum() + p[1].trace() + q[1].trace() - 2 * root)


def by_eigenvalues_of_the_product(p: Gaussian, q: Gaussian) -> float:
    """As in torchmetrics."""
    return _compute_fid(*p, *q).item()


def measure() -> list[Comparison]:
    """Run this file's comparisons, on the CPU: all three are."""
    comparisons = []
    for d, repetitions in ((64, 10), (512, 3)):
        p, q = two_gaussians(d)
        for name, other in (("sqrtm", by_the_root_of_the_product), ("torchmetrics", by_eigenvalues_of_the_product)):
            times = side_by_side(lambda: frechet_distance(*p, *q), lambda o=other: o(p, q), repetitions)  # noqa: B023
            comparisons.append(Comparison(f"Frechet distance of {d} features", "symmetric roots", name, *times))
    return comparisons
