"""mu-law companding: few levels for sound, close together where it is quiet.

The ear notices an error of a given size less where the sound is loud. So a sound x in -1..1 is first compressed,

    F(x) = sign(x) log(1 + mu |x|) / log(1 + mu),

and only then rounded to K = mu + 1 levels: ITU-T Recommendation G.711 with mu = 255, in the form of A. van den Oord et
al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016, section 2.2. Level k is at F = 2 k / mu - 1,
so the first and last levels are -1 and 1 themselves, and the levels are symmetric about 0. If K is even, 0 is not a
level: silence lies half-way between two of them.
"""

import math

import torch

from course_lib import distributions

__all__ = ["expand", "mu_law_decode", "mu_law_encode"]


def mu_law_encode(x: torch.Tensor, levels: int = 256) -> torch.Tensor:
    """The level closest to x after compression, 0..K-1, int64, in x's shape.

    A sound and its negative have levels that add up to K - 1 (0 itself, and ties, go to the upper level).

    Args:
        x: real numbers in -1..1, of any shape.
        levels: K, at least 2; mu is K - 1.

    Raises:
        ValueError: x is not real, or not in -1..1, or levels is below 2.

    >>> mu_law_encode(torch.tensor([-1.0, -0.01, 0.0, 0.01, 1.0]))
    tensor([  0,  98, 128, 157, 255])
    """
    _check_levels(levels)
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise ValueError(f"x must be a tensor of real numbers in -1..1; got {getattr(x, 'dtype', type(x).__name__)}")
    if x.numel() and not (x.abs() <= 1).all():  # also where x is nan
        raise ValueError(
            f"x must lie in -1..1; got {x.min():.4g} to {x.max():.4g}. Divide a sound by its largest magnitude, "
            "or 16-bit samples by 32768"
        )
    x, mu = distributions.at_least_float32(x), levels - 1
    steps = mu / 2 * torch.log1p(mu * x.abs()) / math.log1p(mu)  # from the middle of the levels
    upper = torch.floor((steps + levels / 2).clamp_max(mu)).long()
    return torch.where(x < 0, mu - upper, upper)


def mu_law_decode(x: torch.Tensor, levels: int = 256) -> torch.Tensor:
    """The sound of each level: float32 in -1..1, in x's shape.

    Args:
        x: integers 0..K-1, of any shape and integer dtype.
        levels: K, at least 2; mu is K - 1.

    Raises:
        ValueError: x is not integer or out of range, or levels is below 2.

    >>> mu_law_decode(torch.tensor([0, 127, 128, 255]))
    tensor([-1.0000e+00, -8.6212e-05,  8.6212e-05,  1.0000e+00])
    """
    _check_levels(levels)
    mu = levels - 1
    if not isinstance(x, torch.Tensor) or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise ValueError(f"x must hold integers 0..{mu}; got {getattr(x, 'dtype', type(x).__name__)}")
    if x.numel() and not 0 <= int(x.min()) <= int(x.max()) <= mu:
        raise ValueError(f"x must hold integers 0..{mu}; got {int(x.min())} to {int(x.max())}")
    return expand(2 * x.double() / mu - 1, mu).float()


def expand(y: torch.Tensor, mu: int) -> torch.Tensor:
    """The inverse of F: the sound x that compression turns into y, for y in -1..1."""
    return y.sign() * torch.expm1(y.abs() * math.log1p(mu)) / mu


def _check_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"levels must be at least 2; got {levels}")
