"""What every loader returns."""

import math
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        x: (n, *shape). Integers 0..levels-1 (int64, or uint8 for the large data sets), or float32 in (0, 1).
        y: (n,) class labels, int64 from every loader of the course, or None where the data set has none. `fit` takes
            every integer dtype and bool; as an index, torch takes uint8 and bool for a mask. Labels of several kinds
            are (n, kinds).
        context: (n, channels, *space) real numbers that a conditional model is given, or None. No loader has any.
    """

    x: torch.Tensor
    y: torch.Tensor | None = None
    context: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """A data set with a fixed training, validation and test split.

    Attributes:
        name: what it is, in words fit for a figure's title.
        shape: the shape of one image, (channels, height, width), or (D,) once flattened.
        levels: the number K of values that a pixel takes, 0..K-1; None for real-valued pixels.
        train, valid, test: the three splits.
        log_jacobian: nats per image to *add* to the log-density of a real-valued view to get a lower bound on the
            log-probability of the integer image behind it (see `dequantize`); 0 for integer pixels.
    """

    name: str
    shape: tuple[int, ...]
    levels: int | None
    train: Split
    valid: Split
    test: Split
    log_jacobian: float = 0.0

    def flatten(self) -> "Dataset":
        """The same data set with images as vectors: x becomes (n, D), in raster order (channels outermost).

        >>> from course_lib import data
        >>> data.digits().flatten().train.x.shape
        torch.Size([1197, 64])
        """
        flat = {name: replace(split, x=split.x.flatten(1)) for name, split in self.splits().items()}
        return replace(self, shape=(math.prod(self.shape),), **flat)

    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}
