"""Handwritten digits, 8x8: the course's default data set. It comes with scikit-learn, so it needs no network.

They are the test part (1,797 images, 13 writers) of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998): bitmaps of 32x32 pixels, in which the ink of every block of 4x4 is
counted, which gives 0..16.
"""

import math

import numpy as np
import torch

from course_lib.data.dataset import Dataset, Split

NAMES = {"binary": "digits, binary", "levels": "digits, 16 levels", "real": "digits, dequantized"}
NOISE_SEEDS = {"train": 1, "valid": 2, "test": 3}
NOISE_STEPS = 2**15


def digits(view: str = "binary", *, generator: torch.Generator | None = None) -> Dataset:
    """8x8 images of handwritten digits: 1,197 for training, 300 for validation, 300 for testing.

    The counts of scikit-learn take 17 values, 0..16. The three views make of them:

    * `binary`: 1 where at least half of the block is ink (count >= 8), else 0. int64, K = 2.
    * `levels`: min(count, 15): the two darkest values are merged. int64, K = 16.
    * `real`: `levels` dequantized into (0, 1). float32; `log_jacobian` is -64 log 16 nats (see `dequantize`).

    The split is the same in every view, and holds each class in equal shares to within one image. The writers are
    not kept apart: an image's writer may be in all three parts.

    Args:
        view: `binary`, `levels` or `real`.
        generator: draws the noise of the real view's *training* images (default: the same noise every time).
            The noise of validation and test images never changes.

    Raises:
        ValueError: another view.

    >>> ds = digits("levels")
    >>> ds.train.x.shape, ds.levels, int(ds.train.x.max())
    (torch.Size([1197, 1, 8, 8]), 16, 15)
    """
    if view not in NAMES:
        raise ValueError(f"view is {view!r}; expected one of {', '.join(map(repr, NAMES))}")
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(counts).long().view(-1, 1, 8, 8), torch.from_numpy(labels).long()
    x = (x >= 8).long() if view == "binary" else x.clamp(max=15)
    parts = {part: Split(x[index], y[index]) for part, index in split_by_class(y).items()}
    if view != "real":
        return Dataset(NAMES[view], (1, 8, 8), 2 if view == "binary" else 16, **parts)
    for part, split in parts.items():
        noise = torch.Generator().manual_seed(NOISE_SEEDS[part])
        if part == "train" and generator is not None:
            noise = generator
        parts[part] = Split(dequantize(split.x, 16, generator=noise), split.y)
    return Dataset(NAMES[view], (1, 8, 8), None, **parts, log_jacobian=-64 * math.log(16))


def split_by_class(y: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    """Indices of a test, a validation (1 in 6 each) and a training part that share out every class evenly.

    The shuffled images are laid out class by class, then dealt round to six hands. Each part keeps the data's own
    order. The shuffle is NumPy's RandomState, whose stream is frozen (NEP 19): the split will not change with a
    new version of NumPy or PyTorch.

    >>> {part: len(index) for part, index in split_by_class(torch.arange(1797) % 10).items()}
    {'train': 1197, 'valid': 300, 'test': 300}
    """
    shuffled = torch.from_numpy(np.random.RandomState(seed).permutation(len(y)))
    by_class = shuffled[y[shuffled].argsort(stable=True)]
    hand = torch.arange(len(y)) % 6
    dealt = {"train": hand >= 2, "valid": hand == 1, "test": hand == 0}
    return {part: by_class[mask].sort().values for part, mask in dealt.items()}


def dequantize(x: torch.Tensor, levels: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
    """Integers 0..K-1 spread evenly over the cells of (0, 1): z = (x + u) / K with u uniform on (0, 1).

    Since p(x) is the mass that a density q of z puts on the cell of x, Jensen's inequality gives

        log p(x) = log of the integral of q over the cell >= E_u[log q(z)] - D log K,

    so with bits per dimension of the density taken on the scale (0, 1),

        bits/dim of the levels <= bits/dim of the density + log2 K

    (Theis, van den Oord and Bethge, "A note on the evaluation of generative models", ICLR 2016, section 3.1).
    The noise lies on the midpoints of a grid of 2^15 cells, which float32 holds exactly: no z is 0 or 1, and
    floor(K z) gives x back without error for K up to 256.

    Args:
        x: integers 0..levels-1, any shape.
        levels: K, from 2 to 256, a power of two.
        generator: draws the noise.

    Returns:
        float32, x's shape, strictly between 0 and 1.

    Raises:
        ValueError: x is not integer or out of range, or levels is not such a power of two.

    >>> z = dequantize(torch.tensor([0, 7, 15]), 16, generator=torch.Generator().manual_seed(0))
    >>> (z * 16).floor().long()
    tensor([ 0,  7, 15])
    """
    if levels not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise ValueError(f"levels is {levels}; expected a power of two from 2 to 256, for which float32 is exact")
    if x.is_floating_point() or x.numel() and not 0 <= int(x.min()) <= int(x.max()) < levels:
        raise ValueError(f"x must hold integers 0..{levels - 1}; got {x.dtype}, {x.min()} to {x.max()}")
    steps = torch.randint(NOISE_STEPS, x.shape, generator=generator).to(x.device)
    return ((x + (steps + 0.5) / NOISE_STEPS) / levels).float()
