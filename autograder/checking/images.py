"""Images (n, channels, H, W) moved and convolved, for the closed forms that checks compare with."""

import numpy as np

__all__ = ["convolution", "moved"]


def moved(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images whose pixel (r, c) is pixel (r + rows, c + columns) of x, and 0 where that is outside.

    >>> moved(np.array([[1, 2], [3, 4]]), 1, 0)
    array([[3., 4.],
           [0., 0.]])
    """
    H, W = x.shape[-2:]
    r, c = np.arange(H) + rows, np.arange(W) + columns
    inside = ((r >= 0) & (r < H))[:, None] & ((c >= 0) & (c < W))
    return np.where(inside, x[..., np.clip(r, 0, H - 1)[:, None], np.clip(c, 0, W - 1)], 0.0)


def convolution(x: np.ndarray, weight: np.ndarray, above: int, left: int) -> np.ndarray:
    """Each output at (r, c) reads x at (r - above + a, c - left + b) through weight[..., a, b].

    >>> convolution(np.array([[[[1, 2, 3]]]]), np.array([[[[10, 1]]]]), 0, 1)
    array([[[[ 1., 12., 23.]]]])
    """
    return sum(
        np.einsum("oi,nihw->nohw", weight[:, :, a, b], moved(x, a - above, b - left))
        for a, b in np.ndindex(weight.shape[2:])
    )
