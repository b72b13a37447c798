"""PixelCNN: an autoregressive model of images whose conditionals share one masked convolutional network.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3 and
Table 1: a convolution with mask A, residual blocks 1x1 - kxk - 1x1 with mask B, and two 1x1 convolutions with mask B.

The kernel of a masked convolution is cut off on the right of its own row. Layer on layer that leaves a *blind spot*:
pixels above and to the right that come before, but that no output depends on. `GatedPixelCNN` has none.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib.models import orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.nn import MaskedConv2d, PixelSteps, colour_groups


class PixelCNN(AutoregressiveModel):
    """A PixelCNN over images of K levels, one or more colours.

    Pixels come in raster order, within a pixel colour by colour (`orderings.pixel_by_pixel`). The network reads
    x / (K - 1). `forward` gives (batch, C, H, W) logits for K = 2 and (batch, K, C, H, W) for more levels.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number h of feature maps inside the residual blocks; between them there are 2h. Each map belongs to
            one colour, so there must be C at least.
        layers: number of residual blocks.
        kernel: side of the convolutions in the residual blocks, odd.
        first_kernel: side of the first convolution, odd.
        head: number of feature maps before the logits (in the paper 32 for MNIST, 1024 for CIFAR-10).
        position_bias: add a learned number to each of the first layer's maps at each pixel: what no convolution
            knows is where it is. Not in the paper; small images gain by it.

    Attributes:
        first, blocks, head, output: the masked convolutions.
        position: (2h, H, W), or None.

    Raises:
        ValueError: event_shape is no such shape, a size is too small, or a kernel is even.

    >>> model = PixelCNN((3, 8, 8), levels=4, channels=12, layers=2)
    >>> model(torch.zeros(5, 3, 8, 8, dtype=torch.long)).shape
    torch.Size([5, 4, 3, 8, 8])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        channels: int = 64,
        layers: int = 7,
        *,
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 64,
        position_bias: bool = False,
    ):
        colours, height, width = check_image_shape(event_shape)
        super().__init__(event_shape, levels, orderings.pixel_by_pixel(colours, height, width))
        if layers < 0 or min(kernel, first_kernel) < 1 or kernel % 2 == 0 or first_kernel % 2 == 0:
            raise ValueError(f"expected layers >= 0 and odd kernels; got {layers}, {kernel} and {first_kernel}")
        pixel, inner, outer = range(colours), colour_groups(channels, colours), colour_groups(2 * channels, colours)
        last = colour_groups(head, colours)
        self.first = MaskedConv2d("A", pixel, outer, **_reach(first_kernel))
        self.position = nn.Parameter(torch.zeros(2 * channels, height, width)) if position_bias else None
        self.blocks = nn.ModuleList(ResidualBlock(outer, inner, kernel) for _ in range(layers))
        self.head = MaskedConv2d("B", outer, last)
        self.output = MaskedConv2d("B", last, logit_colours(colours, levels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(scaled(self, x))
        if self.position is not None:
            h = h + self.position
        for block in self.blocks:
            h = h + block(h)
        logits = self.output(torch.relu(self.head(torch.relu(h))))
        return logits if self.levels == 2 else logits.unflatten(1, (self.levels, -1))

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Each feature map of each pixel once, as soon as the pixel's earlier colours are known."""
        colours, height, width = self.event_shape
        shape = len(x), height, width
        first, head, output = (PixelSteps(conv, shape) for conv in (self.first, self.head, self.output))
        blocks = [[PixelSteps(conv, shape) for conv in block.convolutions()] for block in self.blocks]
        inside = [steps for block in blocks for steps in block]
        for r in range(height):
            first.begin_row(r, 0.0 if self.position is None else self.position[:, r].detach())
            for steps in (*inside, head, output):
                steps.begin_row(r)
            for c in range(width):
                for colour in range(colours):
                    h = first.read(c, colour)
                    for block in blocks:
                        branch = h
                        for steps in block:
                            branch = steps(c, colour, torch.relu(branch))
                        h = h + branch
                    logits = output(c, colour, torch.relu(head(c, colour, torch.relu(h))))
                    yield logits.squeeze(1) if self.levels == 2 else logits
                    first.write(c, colour, scaled(self, x[:, colour, r, c, None]))


class ResidualBlock(nn.Module):
    """What a residual block adds to its input: relu, 1x1, relu, kxk, relu, 1x1 (Figure 5, left)."""

    def __init__(self, outer: Sequence[int], inner: Sequence[int], kernel: int):
        super().__init__()
        self.reduce = MaskedConv2d("B", outer, inner)
        self.spread = MaskedConv2d("B", inner, inner, **_reach(kernel))
        self.enlarge = MaskedConv2d("B", inner, outer)

    def convolutions(self) -> tuple[MaskedConv2d, ...]:
        return self.reduce, self.spread, self.enlarge

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions():
            h = convolution(torch.relu(h))
        return h


def check_image_shape(event_shape: Sequence[int]) -> tuple[int, int, int]:
    """The colours, height and width that an event_shape says; ValueError where it is no image's."""
    if len(event_shape) != 3 or min(event_shape) < 1:
        raise ValueError(f"event_shape is {tuple(event_shape)}; expected (colours, height, width)")
    return tuple(event_shape)


def scaled(model: AutoregressiveModel, x: torch.Tensor) -> torch.Tensor:
    """Levels as the network reads them, from 0 to 1. (Integers divided without a dtype would become float32.)"""
    return x.to(model.head.weight.dtype) / (model.levels - 1)


def logit_colours(colours: int, levels: int) -> list[int]:
    """The colour of each logit: one logit a colour for two levels, else level by level all colours."""
    return [*range(colours)] * (1 if levels == 2 else levels)


def _reach(kernel: int) -> dict[str, int]:
    return dict(above=kernel // 2, left=kernel // 2, right=kernel // 2)
