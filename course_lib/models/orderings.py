"""Orderings of an image's pixels: `order[k]` is the dimension (in raster numbering) that comes k-th."""

from collections.abc import Sequence

import torch


def checked(order: Sequence[int], D: int) -> torch.Tensor:
    """An ordering as a tensor, (D,) integers.

    Raises:
        ValueError: it is not a permutation of 0..D-1.

    >>> checked([2, 0, 1], 3)
    tensor([2, 0, 1])
    """
    order = torch.as_tensor(order)
    if order.is_floating_point() or order.shape != (D,) or order.sort().values.tolist() != list(range(D)):
        raise ValueError(f"order must hold each of 0..{D - 1} once, as integers; got {order.tolist()}")
    return order


def raster(height: int, width: int) -> torch.Tensor:
    """Row by row, each from left to right: (height * width,) long.

    >>> raster(2, 3)
    tensor([0, 1, 2, 3, 4, 5])
    """
    return _pixels(height, width).flatten()


def spiral(height: int, width: int) -> torch.Tensor:
    """Clockwise from the top left corner inwards: (height * width,) long.

    >>> spiral(3, 3)
    tensor([0, 1, 2, 5, 8, 7, 6, 3, 4])
    """
    rest, turns = _pixels(height, width), []
    while rest.numel():
        turns.append(rest[0])
        rest = rest[1:].rot90()
    return torch.cat(turns)


def pixel_by_pixel(colours: int, height: int, width: int) -> torch.Tensor:
    """Pixels in raster order, within a pixel colour by colour: (colours * height * width,) long.

    >>> pixel_by_pixel(2, 1, 3)      # dimensions 0..2 are the first colour's, 3..5 the second's
    tensor([0, 3, 1, 4, 2, 5])
    """
    return (torch.arange(colours)[:, None] * height * width + _pixels(height, width).flatten()).t().flatten()


def random(D: int, seed: int) -> torch.Tensor:
    """A uniformly drawn ordering of D dimensions, the same for the same seed: (D,) long.

    >>> random(5, seed=0).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    return torch.randperm(D, generator=torch.Generator().manual_seed(seed))


def _pixels(height: int, width: int) -> torch.Tensor:
    if height < 1 or width < 1:
        raise ValueError(f"expected a height and a width of at least 1, got {height} and {width}")
    return torch.arange(height * width).view(height, width)
