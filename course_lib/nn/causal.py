"""Convolutions over images in raster order: row by row, from left to right, within a pixel colour by colour.

Each channel (feature map) belongs to one colour. At pixel (r, c) a channel may read the rows above, the pixels to the
left in its own row, and earlier colours of pixel (r, c) itself: those before its own (mask A, for a network's first
layer) or its own as well (mask B, for all other layers). No layer reads rows below, so the kernels do not cover them.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, sections 3.4 and 3.5.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


def colour_groups(channels: int, colours: int) -> list[int]:
    """The colour of each of `channels` channels, in blocks whose sizes differ by at most 1.

    Raises:
        ValueError: there are fewer channels than colours.

    >>> colour_groups(7, colours=3)
    [0, 0, 0, 1, 1, 2, 2]
    """
    if channels < colours:
        raise ValueError(f"{channels} channels are too few for {colours} colours; expected at least one per colour")
    return [i * colours // channels for i in range(channels)]


def conv_mask(
    kind: Literal["A", "B"], outputs: Sequence[int], inputs: Sequence[int], *, above: int, left: int, right: int
) -> torch.Tensor:
    """Which weights of a convolution may be used: (len(outputs), len(inputs), above + 1, left + 1 + right) bool.

    Args:
        kind: at the pixel itself, A reads earlier colours only, B also the channel's own.
        outputs, inputs: the colour of each channel; colours come in the order 0, 1, ...
        above: number of rows above the pixel's own that the kernel covers. Its last row is the pixel's own.
        left, right: number of columns that the kernel covers on each side.

    Raises:
        ValueError: kind is neither A nor B.

    >>> conv_mask("A", [0], [0], above=1, left=1, right=1)[0, 0].int()
    tensor([[1, 1, 1],
            [1, 0, 0]], dtype=torch.int32)
    >>> conv_mask("B", [0, 1, 2], [0, 1, 2], above=0, left=0, right=0)[..., 0, 0].int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    if kind not in ("A", "B"):
        raise ValueError(f"kind must be 'A' or 'B'; got {kind!r}")
    o, i = torch.as_tensor(outputs)[:, None], torch.as_tensor(inputs)
    mask = torch.ones(len(o), len(i), above + 1, left + 1 + right, dtype=torch.bool)
    mask[:, :, above, left:] = False
    mask[:, :, above, left] = o > i if kind == "A" else o >= i
    return mask


class ShiftedConv2d(nn.Conv2d):
    """A convolution whose output at (r, c) reads rows r - above .. r and columns c - left .. c + right, zeros outside.

    Args:
        inputs, outputs: number of channels.
        above, left, right: how far the kernel reaches. Its weight is (outputs, inputs, above + 1, left + 1 + right).
        stride: with 2, the layer computes only the outputs at even r and c, a grid of half the size, rounded up.

    Attributes:
        input_colours, output_colours: the colour of each channel.
        by_colour: (outputs,) long, the output channels colour by colour; None where they come in this order.

    >>> conv = ShiftedConv2d(1, 4, above=1, left=1, right=1)
    >>> conv
    ShiftedConv2d(1, 4, above=1, left=1, right=1)
    >>> conv(torch.zeros(2, 1, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    by_colour: torch.Tensor | None

    def __init__(
        self, inputs: int, outputs: int, *, above: int = 0, left: int = 0, right: int = 0, stride: Literal[1, 2] = 1
    ):
        super().__init__(inputs, outputs, (above + 1, left + 1 + right), stride)
        self.above, self.left, self.right = above, left, right
        self.input_colours, self.output_colours = [0] * inputs, [0] * outputs  # all channels alike
        self.register_buffer("by_colour", None, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, H, W) -> (n, outputs, H, W)."""
        if self.left or self.right or self.above:  # padding by nothing is a copy
            x = F.pad(x, (self.left, self.right, self.above, 0))
        return F.conv2d(x, self.masked_weight(), self.bias, self.stride)

    def extra_repr(self) -> str:
        stride = ", stride=2" if self.stride == (2, 2) else ""
        reach = f"above={self.above}, left={self.left}, right={self.right}"
        return f"{self.in_channels}, {self.out_channels}, {reach}{stride}"

    def masked_weight(self) -> torch.Tensor:
        """The weight that the layer applies: all of it here; `MaskedConv2d` sets masked entries to 0."""
        return self.weight


class EnlargingConv2d(nn.ConvTranspose2d):
    """The inverse of a stride of 2: a transposed convolution that turns each pixel into two by two.

    The output at (r, c) reads (r // 2, c // 2) through one of four weights. With right=1, an output at an odd c also
    reads the next pixel to the right.

    Args:
        inputs, outputs: number of channels.
        size: height and width of the output, each odd or even.
        right: 0 or 1.

    >>> EnlargingConv2d(1, 4, (5, 6))(torch.zeros(2, 1, 3, 3)).shape
    torch.Size([2, 4, 5, 6])
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], *, right: Literal[0, 1] = 0):
        super().__init__(inputs, outputs, (2, 2 + right), 2, padding=(0, right), output_padding=(0, right))
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, ceil(H / 2), ceil(W / 2)) -> (n, outputs, H, W)."""
        height, width = self.size
        return super().forward(x)[:, :, :height, :width]

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, size={self.size}, right={self.padding[1]}"


class MaskedConv2d(ShiftedConv2d):
    """A convolution that reads only earlier pixels and colours in raster order, as `conv_mask` says.

    Every call uses mask * weight, as in `MaskedLinear`.

    Args:
        kind, above, left, right: see `conv_mask`.
        inputs, outputs: the colour of each channel, as `colour_groups` gives them.

    Raises:
        ValueError: kind is neither A nor B.

    >>> conv = MaskedConv2d("A", [0], [0] * 4, above=1, left=1, right=1)
    >>> conv
    MaskedConv2d('A', 1, 4, above=1, left=1, right=1)
    >>> conv(torch.zeros(2, 1, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    mask: torch.Tensor

    def __init__(
        self,
        kind: Literal["A", "B"],
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        above: int = 0,
        left: int = 0,
        right: int = 0,
    ):
        super().__init__(len(inputs), len(outputs), above=above, left=left, right=right)
        self.kind = kind
        self.input_colours, self.output_colours = list(inputs), list(outputs)
        if self.output_colours != sorted(outputs):
            self.by_colour = torch.tensor(self.output_colours).argsort(stable=True)
        self.register_buffer("mask", conv_mask(kind, outputs, inputs, above=above, left=left, right=right))

    def extra_repr(self) -> str:
        colours = max(self.input_colours + self.output_colours) + 1
        return f"{self.kind!r}, {super().extra_repr()}" + (f", colours={colours}" if colours > 1 else "")

    def masked_weight(self) -> torch.Tensor:
        """The weight with its masked entries at 0, in the weight's shape."""
        return self.mask.to(self.weight.dtype) * self.weight
