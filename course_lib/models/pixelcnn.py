"""PixelCNN: an autoregressive model of images whose conditionals share one masked convolutional network.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3 and
Table 1: a convolution with mask A, residual blocks 1x1 - kxk - 1x1 with mask B, and two 1x1 convolutions with mask B.

The kernel of a masked convolution does not cover the right part of its own row. However many layers there are, this
leaves a *blind spot*: earlier pixels, above and to the right, on which the output does not depend. `GatedPixelCNN` has
no blind spot.
"""

from collections.abc import Sequence

import torch
from torch import nn

from course_lib.models.pixel_network import PixelNetwork
from course_lib.nn import MaskedConv2d, PixelSteps


class PixelCNN(PixelNetwork):
    """A PixelCNN over images of K levels, with one or more colours. `ImageModel` has the layout of its logits.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number h of channels (feature maps) inside the residual blocks; between them there are 2h. Each
            channel belongs to one colour, so h must be at least C.
        layers: number of residual blocks.
        kernel: side of the convolutions in the residual blocks, odd.
        first_kernel: side of the first convolution, odd.
        head: number of channels before the logits (in the paper 32 for MNIST, 1024 for CIFAR-10).
        position_bias: add a learned number to each of the first layer's channels at each pixel, since a convolution
            does not know its position. This is not in the paper; it helps with small images.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. What labels and context add, they
            add to the first layer's channels. (The paper's model has neither.)

    Attributes:
        first, blocks, head, output: the masked convolutions.
        position: (2h, H, W), or None.
        condition: what labels and context add, see `course_lib.nn.Condition`.

    Raises:
        ValueError: event_shape is not the shape of an image, a size is too small, or a kernel is even.

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
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(
            event_shape,
            levels,
            channels,
            layers,
            lambda outer, inner: ResidualBlock(outer, inner, kernel),
            kernels=[kernel],
            first_kernel=first_kernel,
            head=head,
            position_bias=position_bias,
            classes=classes,
            context_channels=context_channels,
        )


class ResidualBlock(nn.Module):
    """The branch of a residual block, without its input: relu, 1x1, relu, kxk, relu, 1x1 (Figure 5, left)."""

    def __init__(self, outer: Sequence[int], inner: Sequence[int], kernel: int):
        super().__init__()
        self.reduce = MaskedConv2d("B", outer, inner)
        self.spread = MaskedConv2d("B", inner, inner, above=kernel // 2, left=kernel // 2, right=kernel // 2)
        self.enlarge = MaskedConv2d("B", inner, outer)

    def convolutions(self) -> tuple[MaskedConv2d, ...]:
        return self.reduce, self.spread, self.enlarge

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions():
            h = convolution(torch.relu(h))
        return h

    def steps(self, shape: tuple[int, int, int]) -> "ResidualSteps":
        return ResidualSteps(self, shape)


class ResidualSteps:
    """A `ResidualBlock` for n images that become known pixel by pixel: see `PixelSteps`."""

    def __init__(self, block: ResidualBlock, shape: tuple[int, int, int]):
        self.convolutions = [PixelSteps(convolution, shape) for convolution in block.convolutions()]

    def begin_row(self, r: int) -> None:
        for steps in self.convolutions:
            steps.begin_row(r)

    def __call__(self, c: int, colour: int, h: torch.Tensor) -> torch.Tensor:
        for steps in self.convolutions:
            h = steps(c, colour, torch.relu(h))
        return h
