"""Linear layers with connections removed."""

import copy

import torch
import torch.nn.functional as F
from torch import nn


class MaskedLinear(nn.Linear):
    """A linear layer in which output i reads input j only where mask[i, j] is true.

    Every call uses mask * weight, with the mask as numbers 0 and 1 of the weight's dtype: to convert a bool mask in
    each call would take as long as the product. The mask is never written into the weight: a masked entry keeps its
    value, has no effect and gets a gradient of exactly 0. It must be finite, since 0 * inf is nan.

    Args:
        mask: (outputs, inputs) bool.
        bias: as in `torch.nn.Linear`.
        save_mask: whether the mask is part of `state_dict`. A model that can compute its masks need not save them.

    Raises:
        ValueError: the mask is not a bool matrix.

    >>> layer = MaskedLinear(torch.tensor([[False, False], [True, False]]))
    >>> layer(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """

    mask: torch.Tensor

    def __init__(self, mask: torch.Tensor, bias: bool = True, *, save_mask: bool = True):
        if mask.dtype != torch.bool or mask.ndim != 2:
            raise ValueError(f"mask must be a bool matrix (outputs, inputs); got {mask.dtype}, {tuple(mask.shape)}")
        super().__init__(mask.shape[1], mask.shape[0], bias)
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=save_mask)

    def masked_weight(self) -> torch.Tensor:
        """The weight with its masked entries at 0: (outputs, inputs)."""
        return self.mask * self.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(*, inputs) -> (*, outputs)."""
        return F.linear(x, self.masked_weight(), self.bias)

    def with_mask(self, mask: torch.Tensor) -> "MaskedLinear":
        """The same layer under another bool mask of the same shape. The two share weight and bias."""
        layer = copy.copy(self)
        layer._buffers = {"mask": mask.to(self.mask)}
        return layer
