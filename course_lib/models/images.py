"""The base class of autoregressive models of images: order of the pixels, scaled input, layout of logits."""

from collections.abc import Sequence

import torch
from torch import nn

from course_lib.models import orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.nn import Condition


class ImageModel(AutoregressiveModel):
    """An autoregressive model of images of K levels, with one or more colours.

    Pixels come in raster order, and the colours of a pixel one after the other (`orderings.pixel_by_pixel`). The
    network reads x / (K - 1). A model with a softmax over the levels gives (batch, C, H, W) logits for K = 2 and
    (batch, K, C, H, W) logits for more levels.

    Args:
        event_shape: (C, H, W).
        levels: K.
        kernels: sides of the model's square convolutions.
        classes, context_channels: as in `AutoregressiveModel`. A context has one vector per pixel.

    Attributes:
        head: a layer that every model defines near its output; the network computes in the dtype of its weight.

    Raises:
        ValueError: event_shape is not the shape of an image, levels is below 2, or a kernel is even or below 1.

    >>> ImageModel((3, 1, 2), levels=4).order
    tensor([0, 2, 4, 1, 3, 5])
    """

    head: nn.Module

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        *,
        kernels: Sequence[int] = (),
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        if len(event_shape) != 3 or min(event_shape) < 1:
            raise ValueError(f"event_shape is {tuple(event_shape)}; expected (colours, height, width)")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"expected odd kernels; got {', '.join(map(str, kernels))}")
        if levels is None:
            raise ValueError("levels is None; expected an integer of at least 2")
        order = orderings.pixel_by_pixel(*event_shape)
        super().__init__(event_shape, levels, order, classes=classes, context_channels=context_channels)

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        """The network's input: x / (K - 1), from 0 to 1, in x's shape and the network's dtype."""
        return x.to(self.head.weight.dtype) / (self.levels - 1)

    def _condition(self, channels: int) -> Condition:
        """The layer that adds labels and context to so many channels."""
        return Condition(channels, self.classes, self.context_channels, space=2)

    def _logit_colours(self) -> list[int]:
        """The colour of each output channel of a softmax: for K = 2 one channel per colour, else K blocks of these."""
        return [*range(self.event_shape[0])] * (1 if self.levels == 2 else self.levels)

    def _logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Output channels in the layout of logits: (n, C, *) unchanged for K = 2, else (n, K C, *) -> (n, K, C, *)."""
        return outputs if self.levels == 2 else outputs.unflatten(1, (self.levels, -1))

    def _logits_of_one_colour(self, outputs: torch.Tensor) -> torch.Tensor:
        """Output channels of one colour at one pixel, as `conditionals` yields them: (n, 1) -> (n,), or (n, K)."""
        return outputs.squeeze(1) if self.levels == 2 else outputs
