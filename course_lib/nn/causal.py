"""Convolutions over images in raster order: row by row, from left to right, within a pixel colour by colour.

A feature map at pixel (r, c) may read pixels of the rows above, pixels to the left in its own row, and of pixel (r, c)
itself colours that come first: those before its own (mask A, of a network's first layer) or its own as well (mask B, of
all other layers). Each feature map belongs to one colour. Rows below are never read, so the kernels have none.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, sections 3.4 and 3.5.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


def colour_groups(maps: int, colours: int) -> list[int]:
    """The colour that each of `maps` feature maps belongs to: as even shares as can be, in blocks.

    Raises:
        ValueError: there are fewer maps than colours.

    >>> colour_groups(7, colours=3)
    [0, 0, 0, 1, 1, 2, 2]
    """
    if maps < colours:
        raise ValueError(f"{maps} feature maps cannot be shared out to {colours} colours; expected one each at least")
    return [i * colours // maps for i in range(maps)]


def conv_mask(
    kind: Literal["A", "B"], outputs: Sequence[int], inputs: Sequence[int], *, above: int, left: int, right: int
) -> torch.Tensor:
    """Which weights of a convolution may be used: (len(outputs), len(inputs), above + 1, left + 1 + right) bool.

    Args:
        kind: at the pixel itself, A reads earlier colours only, B also the map's own.
        outputs, inputs: the colour of each feature map; colours come in the order 0, 1, ...
        above: rows above the pixel's own that the kernel covers. Its last row is the pixel's own.
        left, right: columns that it covers on each side.

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
        inputs, outputs: number of feature maps.
        above, left, right: how far the kernel reaches. Its weight is (outputs, inputs, above + 1, left + 1 + right).
        stride: with 2, only the outputs at even r and c are computed, which makes maps of half the size, rounded up.

    >>> ShiftedConv2d(1, 4, above=1, left=1, right=1)(torch.zeros(2, 1, 5, 6)).shape
    torch.Size([2, 4, 5, 6])
    """

    def __init__(
        self, inputs: int, outputs: int, *, above: int = 0, left: int = 0, right: int = 0, stride: Literal[1, 2] = 1
    ):
        super().__init__(inputs, outputs, (above + 1, left + 1 + right), stride)
        self.above, self.left, self.right = above, left, right
        self.input_colours, self.output_colours = [0] * inputs, [0] * outputs  # no map is told from another

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, H, W) -> (n, outputs, H, W)."""
        return F.conv2d(F.pad(x, (self.left, self.right, self.above, 0)), self.used_weight(), self.bias, self.stride)

    def used_weight(self) -> torch.Tensor:
        """The weight that the convolution is done with."""
        return self.weight


class EnlargingConv2d(nn.ConvTranspose2d):
    """The way back from maps of half the size: a transposed convolution in which each pixel makes two by two.

    The output at (r, c) reads (r // 2, c // 2), by one of four weights. With right=1, that at an odd c reads the pixel
    to the right of it too.

    Args:
        inputs, outputs: number of feature maps.
        size: height and width of the output, either of them odd or even.
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


class MaskedConv2d(ShiftedConv2d):
    """A convolution that reads what comes before in raster order, as `conv_mask` says.

    The mask is applied on every call and never written into the weight: a masked entry keeps its value, has no
    effect and gets a gradient of exactly 0.

    Args:
        kind, above, left, right: see `conv_mask`.
        inputs, outputs: the colour of each feature map, such as `colour_groups` gives.

    Raises:
        ValueError: kind is neither A nor B.

    >>> conv = MaskedConv2d("A", [0], [0] * 4, above=1, left=1, right=1)
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
        self.input_colours, self.output_colours = list(inputs), list(outputs)
        self.register_buffer("mask", conv_mask(kind, outputs, inputs, above=above, left=left, right=right))

    def used_weight(self) -> torch.Tensor:
        """The weight with its masked entries at 0."""
        return torch.where(self.mask, self.weight, 0.0)


class PixelSteps:
    """A masked convolution of n images that become known pixel by pixel: computes every output once, without gradients.

    What a row's outputs read from the rows above is computed for the whole row at once, when the row begins. For each
    pixel, and each colour of it, there remains one product with what stands to the left. The order of calls is

        for r in range(H):
            steps.begin_row(r)
            for c in range(W):
                for colour in range(colours):
                    with mask A: steps.read(c, colour), then steps.write(c, colour, values)
                    with mask B: steps(c, colour, values), which writes, then reads

    Args:
        conv: the convolution, or a shifted one that does not reach to the right: its maps are of one colour. The maps
            of a colour are neighbours among its inputs.
        shape: n, H and W.
    """

    def __init__(self, conv: ShiftedConv2d, shape: tuple[int, int, int]):
        n, height, width = shape
        weight, colours = conv.used_weight().detach(), range(max(conv.output_colours) + 1)
        self.above, self.left, self.width = conv.above, conv.left, width
        self.inputs = weight.new_zeros(n, conv.above + height, conv.left + width + conv.right, conv.in_channels)
        self.bias = conv.bias.detach()
        self.weight_above = weight[:, :, : conv.above]
        self.maps = [[i for i, colour in enumerate(conv.output_colours) if colour == k] for k in colours]
        beside = weight[:, :, conv.above, : conv.left + 1].transpose(1, 2).flatten(1)  # as pixels lie in memory
        self.weights_beside = [beside[maps].t().contiguous() for maps in self.maps]
        self.input_sizes = [conv.input_colours.count(k) for k in range(max(conv.input_colours) + 1)]

    def begin_row(self, r: int, offset: torch.Tensor | float = 0.0) -> None:
        """Compute what row r reads from the rows above. `offset` (n or 1, outputs, W) is added to the row's outputs."""
        row = self.inputs[:, self.above + r]
        n, _, inputs = row.shape
        base = self.bias[:, None] + offset
        if self.above:
            rows = self.inputs[:, r : self.above + r].permute(0, 3, 1, 2)
            base = base + F.conv2d(rows, self.weight_above).squeeze(2)
        base = base.expand(n, -1, self.width).permute(2, 0, 1)
        self.base = [base[:, :, maps].unbind(0) for maps in self.maps]
        # Column by column: the pixel and those to its left as one vector, and the cells of each colour to write to.
        window = (self.width, n, (self.left + 1) * inputs)
        self.windows = row.as_strided(window, (inputs, row.stride(0), 1)).unbind(0)
        pixels = row[:, self.left : self.left + self.width]
        self.cells = [part.unbind(1) for part in pixels.split(self.input_sizes, 2)]

    def __call__(self, c: int, colour: int, values: torch.Tensor) -> torch.Tensor:
        """Set the inputs of one colour at column c, and compute its outputs there: (n, maps of this colour) each."""
        self.write(c, colour, values)
        return self.read(c, colour)

    def read(self, c: int, colour: int) -> torch.Tensor:
        """The outputs of one colour at column c: (n, maps of this colour)."""
        return torch.addmm(self.base[colour][c], self.windows[c], self.weights_beside[colour])

    def write(self, c: int, colour: int, values: torch.Tensor) -> None:
        """Set the inputs of one colour at column c: (n, maps of this colour)."""
        self.cells[colour][c].copy_(values)


class RowSteps:
    """A shifted convolution of n images that become known row by row: computes every output once, without gradients.

    Args:
        conv: the convolution.
        n: number of images.
        width: W.
    """

    def __init__(self, conv: ShiftedConv2d, n: int, width: int):
        self.padding, self.weight, self.bias = (conv.left, conv.right), conv.used_weight().detach(), conv.bias.detach()
        self.above = self.weight.new_zeros(n, conv.in_channels, conv.above, width)
        self.stride, self.known = conv.stride, 0

    def __call__(self, row: torch.Tensor) -> torch.Tensor | None:
        """The next row of the output, (n, outputs, W), from that of the input, (n, inputs, W).

        With a stride of 2 every second row makes none.
        """
        rows = torch.cat([self.above, row.unsqueeze(2)], 2)
        self.above = rows[:, :, 1:]
        self.known += 1
        if (self.known - 1) % self.stride[0]:
            return None
        return F.conv2d(F.pad(rows, self.padding), self.weight, self.bias, self.stride).squeeze(2)


class EnlargingRowSteps:
    """An `EnlargingConv2d` of n images that become known row by row: each row makes two, which come in turn."""

    def __init__(self, conv: EnlargingConv2d):
        self.conv = conv

    @torch.no_grad()
    def __call__(self, row: torch.Tensor | None) -> torch.Tensor:
        """The next row of the output, (n, outputs, W). Every second one needs no input."""
        if row is not None:
            self.made = iter(self.conv(row.unsqueeze(2)).unbind(2))
        return next(self.made)


class RasterSteps:
    """A shifted convolution of n images that become known pixel by pixel, in raster order: see `PixelSteps`.

    Args:
        conv: the convolution. It must not reach to the right.
        shape: n, H and W.
    """

    def __init__(self, conv: ShiftedConv2d, shape: tuple[int, int, int]):
        self.steps, self.width, self.stride, self.known = PixelSteps(conv, shape), shape[2], conv.stride[0], 0

    def __call__(self, pixel: torch.Tensor) -> torch.Tensor | None:
        """The next pixel of the output, (n, outputs), from that of the input, (n, inputs).

        With a stride of 2 those in odd rows and columns make none.
        """
        r, c = divmod(self.known, self.width)
        self.known += 1
        if c == 0:
            self.steps.begin_row(r)
        self.steps.write(c, 0, pixel)
        return None if r % self.stride or c % self.stride else self.steps.read(c, 0)


class EnlargingRasterSteps:
    """An `EnlargingConv2d` with right=0 of n images that become known pixel by pixel: each one makes two by two."""

    def __init__(self, conv: EnlargingConv2d):
        self.weight = conv.weight.detach().permute(0, 2, 3, 1).flatten(1)
        self.bias = conv.bias.detach().repeat(4)
        self.width, self.known, self.made = conv.size[1], 0, {}

    def __call__(self, pixel: torch.Tensor | None) -> torch.Tensor:
        """The next pixel of the output, (n, outputs). Those in odd rows and columns need no input."""
        r, c = divmod(self.known, self.width)
        self.known += 1
        if pixel is not None:
            self.made[c // 2] = torch.addmm(self.bias, pixel, self.weight).chunk(4, 1)
        return self.made[c // 2][2 * (r % 2) + c % 2]
