"""Coloured shapes: images that are a known function of five known factors, and all of their combinations."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.data.dataset import Dataset, Split

COLOURS = {
    "red": (0.85, 0.15, 0.1),
    "orange": (0.95, 0.6, 0.1),
    "green": (0.1, 0.6, 0.3),
    "sky": (0.3, 0.7, 0.95),
    "blue": (0.1, 0.25, 0.8),
    "purple": (0.6, 0.2, 0.7),
}
LIGHTS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
FACTORS = {
    "shape": ("square", "triangle", "cross", "half disc"),
    "colour": tuple(COLOURS),
    "angle": tuple(f"{15 * k}°" for k in range(6)),
    "place": ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"),
    "light": tuple(LIGHTS),
}
COUNTS = {"train": 3600, "valid": 792, "test": 792}
PAPER = 0.92  # the background, of every colour
FINER = 3  # points per pixel along each axis
CHUNK = 256  # images drawn at once


@dataclass(frozen=True)
class Shapes(Dataset):
    """Images with known factors: x is `draw(y)`, y (n, 5), one column for each factor.

    Attributes:
        factors: for each factor its values, in words; column by column of y.
    """

    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[int, ...]:
        """The number of values of each factor, as a conditional model takes it."""
        return tuple(map(len, self.factors.values()))

    def draw(self, y: torch.Tensor) -> torch.Tensor:
        """The images of these factors: (n, 3, size, size) uint8, from y (n, 5). Each combination has one image.

        Raises:
            ValueError: y has another shape, dtype or range.

        >>> ds = shapes()
        >>> bool((ds.draw(ds.test.y) == ds.test.x).all())
        True
        """
        if y.ndim != 2 or y.shape[1] != len(self.classes) or y.is_floating_point():
            raise ValueError(f"y must be integers of shape (n, {len(self.classes)}); got {y.dtype}, {tuple(y.shape)}")
        for (name, values), column in zip(self.factors.items(), y.unbind(1), strict=True):
            if len(y) and not 0 <= int(column.min()) <= int(column.max()) < len(values):
                extremes = f"{int(column.min())} to {int(column.max())}"
                raise ValueError(f"{name} must lie in 0..{len(values) - 1}; got {extremes}")
        x = torch.zeros(len(y), *self.shape)
        for start in range(0, len(y), CHUNK):
            x[start : start + CHUNK] = _drawn(y[start : start + CHUNK].cpu(), self.shape[-1])
        return (x * (self.levels - 1)).round().to(torch.uint8)


def shapes(size: int = 16, levels: int = 16) -> Shapes:
    """All 5,184 combinations of five factors, one image of each: 3,600 for training, 792 for validation, 792 for tests.

    A shape (square, triangle, cross, half disc) of one of six colours, turned by one of six angles, lies at one of nine
    places on light paper. The light comes from one of four sides: the shape is brighter there. The combinations are
    dealt at random, the same every time, so no image is in two parts.

    Args:
        size: height and width.
        levels: K, 2 to 256.

    Raises:
        ValueError: size is below 8, or levels out of range.

    >>> ds = shapes()
    >>> ds.shape, ds.levels, len(ds.train), ds.classes
    ((3, 16, 16), 16, 3600, (4, 6, 6, 9, 4))
    >>> [names[value] for names, value in zip(ds.factors.values(), ds.test.y[0])]
    ['half disc', 'red', '60°', 'top', 'below']
    """
    if size < 8:
        raise ValueError(f"size is {size}; expected at least 8 pixels")
    if not 2 <= levels <= 256:
        raise ValueError(f"levels is {levels}; expected 2 to 256")
    everything = torch.cartesian_prod(*(torch.arange(len(values)) for values in FACTORS.values()))
    dealt = torch.from_numpy(np.random.RandomState(0).permutation(len(everything)))  # its stream is frozen (NEP 19)
    empty = Split(torch.zeros(0, 3, size, size, dtype=torch.uint8), everything[:0])
    blank = Shapes(f"shapes, {levels} levels", (3, size, size), levels, empty, empty, empty, factors=FACTORS)
    labels = everything[dealt].split(list(COUNTS.values()))
    return replace(blank, **{part: Split(blank.draw(y), y) for part, y in zip(COUNTS, labels, strict=True)})


def _drawn(y: torch.Tensor, size: int) -> torch.Tensor:
    """Images (n, 3, size, size) in 0..1, each pixel the mean of FINER^2 points. Lengths are in units of the image."""
    shape, colour, angle, place, light = y.unbind(1)
    ticks = (torch.arange(size * FINER) + 0.5) / (size * FINER) - 0.5
    down, across = torch.meshgrid(ticks, ticks, indexing="ij")
    x = across - (place % 3 - 1).view(-1, 1, 1) * 0.17
    y = down - (place // 3 - 1).view(-1, 1, 1) * 0.17
    turn = (angle * math.pi / 12).view(-1, 1, 1)
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    inside = torch.stack(
        [
            torch.maximum(u.abs(), v.abs()) < 0.22,
            torch.maximum(v, math.sqrt(0.75) * u.abs() - v / 2) < 0.155,
            (torch.minimum(u.abs(), v.abs()) < 0.09) & (torch.maximum(u.abs(), v.abs()) < 0.27),
            (u.square() + (v + 0.12).square() < 0.28**2) & (v > -0.12),
        ]
    )[shape, torch.arange(len(shape))]
    towards = torch.tensor(list(LIGHTS.values()), dtype=x.dtype)[light]
    shade = 0.8 + (towards[:, :1, None] * x + towards[:, 1:, None] * y)  # brighter where the light comes from
    ink = torch.tensor(list(COLOURS.values()))[colour][:, :, None, None] * shade[:, None]
    points = torch.where(inside[:, None], ink.clamp(0, 1), torch.tensor(PAPER))
    return F.avg_pool2d(points, FINER)
