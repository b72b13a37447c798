"""Convolutions of images that become known row by row or pixel by pixel, for sampling.

Each class computes what a layer of `course_lib.nn.causal` computes: every output once, as soon as its inputs are known,
without gradients. An object serves one batch of images; make new ones for the next, or after the weights change.
"""

import torch
import torch.nn.functional as F

from course_lib.nn.causal import EnlargingConv2d, ShiftedConv2d


class PixelSteps:
    """A masked convolution of n images that become known pixel by pixel.

    When a row begins, the contribution of the rows above is computed for the whole row at once. Then each colour of
    each pixel needs one more matrix product, with the pixels to the left. The order of calls is

        for r in range(H):
            steps.begin_row(r)
            for c in range(W):
                for colour in range(colours):
                    with mask A: steps.read(c, colour), then steps.write(c, colour, values)
                    with mask B: steps(c, colour, values), which first writes, then reads

    A 1x1 convolution of one colour reads the values at once, and need not write them.

    Args:
        conv: a masked convolution, or a shifted one that does not reach to the right, whose channels all have one
            colour. The input channels of each colour must be contiguous.
        shape: n, H and W.
    """

    def __init__(self, conv: ShiftedConv2d, shape: tuple[int, int, int]):
        n, height, width = shape
        weight = conv.masked_weight().detach()
        self.above, self.left, self.width = conv.above, conv.left, width
        self.inputs = weight.new_zeros(n, conv.above + height, conv.left + width + conv.right, conv.in_channels)
        self.bias = conv.bias.detach()
        self.weight_above = weight[:, :, : conv.above]
        self.by_colour = conv.by_colour
        self.input_sizes, self.output_sizes = (
            [colours.count(k) for k in range(max(colours) + 1)] for colours in (conv.input_colours, conv.output_colours)
        )
        self.pointwise = conv.kernel_size == (1, 1) and len(self.input_sizes) == len(self.output_sizes) == 1
        beside = weight[:, :, conv.above, : conv.left + 1].transpose(1, 2).flatten(1)  # the pixels' order in memory
        self.weights_beside = [part.t().contiguous() for part in self._each_colour(beside, 0)]
        self.biases = [[part] * width for part in self._each_colour(self.bias, 0)]

    def begin_row(self, r: int, offset: torch.Tensor | None = None) -> None:
        """Start row r: add up what its outputs read from the rows above, and `offset`, (n or 1, outputs, W or 1)."""
        row = self.inputs[:, self.above + r]
        n, _, inputs = row.shape
        if self.above or offset is not None:
            base = self.bias[:, None] if offset is None else self.bias[:, None] + offset
            if self.above:
                rows = self.inputs[:, r : self.above + r].permute(0, 3, 1, 2)
                base = base + F.conv2d(rows, self.weight_above).squeeze(2)
            base = base.expand(n, -1, self.width).permute(2, 0, 1)
            self.base = [part.unbind(0) for part in self._each_colour(base, 2)]
        else:
            self.base = self.biases  # vectors, with which a GPU's addmm is one kernel
        # For each column: the pixel and those to its left as one vector, and each colour's cells, to be written.
        window = (self.width, n, (self.left + 1) * inputs)
        self.windows = row.as_strided(window, (inputs, row.stride(0), 1)).unbind(0)
        pixels = row[:, self.left : self.left + self.width]
        self.cells = [part.unbind(1) for part in pixels.split(self.input_sizes, 2)]

    def __call__(self, c: int, colour: int, values: torch.Tensor) -> torch.Tensor:
        """Set the inputs of one colour at column c and return its outputs there: (n, channels of this colour) each."""
        if self.pointwise:
            return torch.addmm(self.base[0][c], values, self.weights_beside[0])
        self.write(c, colour, values)
        return self.read(c, colour)

    def read(self, c: int, colour: int) -> torch.Tensor:
        """The outputs of one colour at column c: (n, channels of this colour)."""
        return torch.addmm(self.base[colour][c], self.windows[c], self.weights_beside[colour])

    def write(self, c: int, colour: int, values: torch.Tensor) -> None:
        """Set the inputs of one colour at column c: (n, channels of this colour)."""
        self.cells[colour][c].copy_(values)

    def _each_colour(self, outputs: torch.Tensor, axis: int) -> tuple[torch.Tensor, ...]:
        """The parts of a tensor that belong to the outputs of each colour, along the axis of the outputs."""
        if self.by_colour is not None:
            outputs = outputs.index_select(axis, self.by_colour)
        return outputs.split(self.output_sizes, axis)


class RowSteps:
    """A shifted convolution of n images that become known row by row.

    Args:
        conv: the convolution.
        n: number of images.
        width: W.
    """

    def __init__(self, conv: ShiftedConv2d, n: int, width: int):
        self.weight, self.bias = conv.masked_weight().detach(), conv.bias.detach()
        self.padding = conv.left, conv.right
        self.above = self.weight.new_zeros(n, conv.in_channels, conv.above, width)
        self.stride, self.known = conv.stride, 0

    def __call__(self, row: torch.Tensor) -> torch.Tensor | None:
        """The next row of the output, (n, outputs, W), from the next row of the input, (n, inputs, W).

        With a stride of 2 every second input row gives None.
        """
        rows = torch.cat([self.above, row.unsqueeze(2)], 2)
        self.above = rows[:, :, 1:]
        self.known += 1
        if (self.known - 1) % self.stride[0]:
            return None
        if any(self.padding):
            rows = F.pad(rows, self.padding)
        return F.conv2d(rows, self.weight, self.bias, self.stride).squeeze(2)


class EnlargingRowSteps:
    """An `EnlargingConv2d` of n images that become known row by row: each input row gives two output rows in turn."""

    def __init__(self, conv: EnlargingConv2d):
        self.conv = conv

    @torch.no_grad()
    def __call__(self, row: torch.Tensor | None) -> torch.Tensor:
        """The next row of the output, (n, outputs, W). Every second call takes None."""
        if row is not None:
            self.made = iter(self.conv(row.unsqueeze(2)).unbind(2))
        return next(self.made)


class RasterSteps:
    """A shifted convolution of n images that become known pixel by pixel, in raster order: see `PixelSteps`.

    Args:
        conv: a convolution that does not reach to the right.
        shape: n, H and W.
    """

    def __init__(self, conv: ShiftedConv2d, shape: tuple[int, int, int]):
        self.steps, self.width, self.stride, self.known = PixelSteps(conv, shape), shape[2], conv.stride[0], 0

    def __call__(self, pixel: torch.Tensor) -> torch.Tensor | None:
        """The next pixel of the output, (n, outputs), from the next pixel of the input, (n, inputs).

        With a stride of 2 pixels in odd rows or columns give None.
        """
        r, c = divmod(self.known, self.width)
        self.known += 1
        if c == 0:
            self.steps.begin_row(r)
        if r % self.stride == c % self.stride == 0:
            return self.steps(c, 0, pixel)
        self.steps.write(c, 0, pixel)
        return None


class EnlargingRasterSteps:
    """An `EnlargingConv2d` with right=0 of n images that become known pixel by pixel: each one gives two by two."""

    def __init__(self, conv: EnlargingConv2d):
        self.weight = conv.weight.detach().permute(0, 2, 3, 1).flatten(1)
        self.bias = conv.bias.detach().repeat(4)
        self.width, self.known, self.made = conv.size[1], 0, {}

    def __call__(self, pixel: torch.Tensor | None) -> torch.Tensor:
        """The next pixel of the output, (n, outputs). In odd rows or columns the input is None."""
        r, c = divmod(self.known, self.width)
        self.known += 1
        if pixel is not None:
            self.made[c // 2] = torch.addmm(self.bias, pixel, self.weight).chunk(4, 1)
        return self.made[c // 2][2 * (r % 2) + c % 2]
