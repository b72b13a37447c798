"""PixelRNN: an autoregressive model of images whose layers are LSTMs that run over rows or over diagonals.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, sections 3.1 to 3.4
and Table 1. With the gates o, f, i and the candidate g, a layer computes

    o, f, i, g = of_state(h of the step before) + of_input(x)           sigmoid(o), sigmoid(f), sigmoid(i), tanh(g)
    c = f * (c of the step before) + i * g
    h = o * tanh(c)

for a whole row or a whole diagonal at once. What the input contributes is one convolution of the whole image; only what
the state contributes needs a step after the other: H steps over rows, H + W - 1 over diagonals.

    Row LSTM            reads the state of three pixels in the row above. It sees a triangle above each pixel, and
                        misses earlier pixels beside the triangle.
    Diagonal BiLSTM     reads the state of the pixel to the left and the one above. A second LSTM runs from right to
                        left; its output is shifted down by one row, or each pixel would see those to its right.
                        Together they see all earlier pixels but one: because of the shift and of mask A, the last
                        pixel of the row above is seen only where the first convolution reaches it.

The states of all colours of *earlier* pixels may be read, so `of_state` has no mask.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.gated_pixelcnn import one_row_down
from course_lib.models.pixel_network import PixelNetwork
from course_lib.nn import MaskedConv2d, PixelSteps


class PixelRNN(PixelNetwork):
    """A PixelRNN over images of K levels, with one or more colours. `ImageModel` has the layout of its logits.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number h of channels of each LSTM's state; between the layers there are 2h.
        layers: number of LSTM layers, each with a residual connection around it.
        recurrence: `row` or `diagonal`.
        kernel: width of the Row LSTM's convolution of its input, odd. (The Diagonal BiLSTM's is 1x1.)
        first_kernel: side of the first convolution, odd.
        head: number of channels before the logits.
        position_bias: as in `PixelCNN`.
        classes, context_channels: of a conditional model, as in `PixelCNN`.

    Attributes:
        first, head, output: the masked convolutions, as in `PixelCNN`.
        blocks: the layers, see `RecurrentBlock`.

    Raises:
        ValueError: event_shape is not the shape of an image, a size is too small, a kernel is even, or recurrence is
            neither `row` nor `diagonal`.

    >>> model = PixelRNN((3, 8, 8), levels=4, channels=12, layers=2, recurrence="diagonal")
    >>> model(torch.zeros(5, 3, 8, 8, dtype=torch.long)).shape
    torch.Size([5, 4, 3, 8, 8])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        channels: int = 16,
        layers: int = 7,
        *,
        recurrence: Literal["row", "diagonal"],
        kernel: int = 3,
        first_kernel: int = 7,
        head: int = 32,
        position_bias: bool = False,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        if recurrence not in ("row", "diagonal"):
            raise ValueError(f"recurrence must be 'row' or 'diagonal'; got {recurrence!r}")

        def block(outer: Sequence[int], inner: Sequence[int]) -> RecurrentBlock:
            layer = RowLSTM(outer, inner, kernel) if recurrence == "row" else DiagonalBiLSTM(outer, inner)
            return RecurrentBlock(layer, outer)

        super().__init__(
            event_shape,
            levels,
            channels,
            layers,
            block,
            kernels=[kernel],
            first_kernel=first_kernel,
            head=head,
            position_bias=position_bias,
            classes=classes,
            context_channels=context_channels,
        )


class RecurrentBlock(nn.Module):
    """The branch of a residual block, without its input: an LSTM layer, and a 1x1 convolution to 2h channels (3.3)."""

    def __init__(self, lstm: "RowLSTM | DiagonalBiLSTM", outer: Sequence[int]):
        super().__init__()
        self.lstm, self.enlarge = lstm, MaskedConv2d("B", lstm.channels, outer)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.enlarge(self.lstm(h))

    def steps(self, shape: tuple[int, int, int]) -> "RecurrentSteps":
        return RecurrentSteps(self, shape)


class RecurrentSteps:
    """A `RecurrentBlock` for n images that become known pixel by pixel."""

    def __init__(self, block: RecurrentBlock, shape: tuple[int, int, int]):
        self.lstm, self.enlarge = block.lstm.steps(shape), PixelSteps(block.enlarge, shape)

    def begin_row(self, r: int) -> None:
        self.lstm.begin_row(r)
        self.enlarge.begin_row(r)

    def __call__(self, c: int, colour: int, h: torch.Tensor) -> torch.Tensor:
        return self.enlarge(c, colour, self.lstm(c, colour, h))


class RowLSTM(nn.Module):
    """An LSTM that runs from the first row to the last (section 3.1).

    Args:
        inputs: the colour of each input channel.
        channels: the colour of each channel of the state.
        kernel: width of the convolution of the input.

    Attributes:
        of_input: reads kernel // 2 pixels to the left, and the pixel itself with mask B; o, f, i, g.
        of_state: reads three pixels of the row above; no mask, no bias.
        channels: as given.
    """

    def __init__(self, inputs: Sequence[int], channels: Sequence[int], kernel: int):
        super().__init__()
        self.channels = list(channels)
        self.of_input = MaskedConv2d("B", inputs, self.channels * 4, left=kernel // 2)
        self.of_state = nn.Conv1d(len(channels), 4 * len(channels), 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, H, W) -> (n, channels, H, W)."""
        of_input = self.of_input(x)
        h = c = of_input.new_zeros(x.shape[0], len(self.channels), x.shape[3])
        rows = []
        for a in of_input.unbind(2):
            c, h = lstm(a + self.of_state(h), c)
            rows.append(h)
        return torch.stack(rows, 2)

    def steps(self, shape: tuple[int, int, int]) -> "RowLSTMSteps":
        return RowLSTMSteps(self, shape)


class DiagonalBiLSTM(nn.Module):
    """Two LSTMs that run over diagonals, one from the left and one from the right (section 3.2).

    Skewed by `skew`, a diagonal is a column: the pixel to the left is in the same row of the column before, and the
    pixel above is in the row above of that column. The LSTM from the right does the same with the mirrored image.

    Args:
        inputs: the colour of each input channel.
        channels: the colour of each channel of the state.

    Attributes:
        from_left, from_right: the contributions of the input to each LSTM, 1x1 with mask B; o, f, i, g.
        of_state: of both LSTMs, as two groups of channels. Its kernel covers the pixel above, then the one beside; no
            mask, no bias.
        channels: as given.
    """

    def __init__(self, inputs: Sequence[int], channels: Sequence[int]):
        super().__init__()
        self.channels = list(channels)
        self.from_left = MaskedConv2d("B", inputs, self.channels * 4)
        self.from_right = MaskedConv2d("B", inputs, self.channels * 4)
        self.of_state = nn.Conv1d(2 * len(channels), 8 * len(channels), 2, groups=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, H, W) -> (n, channels, H, W)."""
        of_input = skew(torch.cat([self.from_left(x), self.from_right(x).flip(3)], 1))
        h = c = of_input.new_zeros(x.shape[0], 2 * len(self.channels), x.shape[2])
        diagonals = []
        for a in of_input.unbind(3):
            c, h = self.step(a, c, h)
            diagonals.append(h)
        left, right = unskew(torch.stack(diagonals, 3)).chunk(2, 1)
        return self.combine(left, right.flip(3))

    def step(self, of_input: torch.Tensor, c: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The cells and outputs of a diagonal (n, 2 channels, H) of both LSTMs, from those of the diagonal before."""
        gates = of_input + self.of_state(F.pad(h, (1, 0)))
        c, h = lstm(gates.unflatten(1, (2, -1)), c.unflatten(1, (2, -1)), axis=2)
        return c.flatten(1, 2), h.flatten(1, 2)

    def combine(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The layer's output, from those of both LSTMs, which see their own pixels' rows to the left and right."""
        return left + one_row_down(right)

    def steps(self, shape: tuple[int, int, int]) -> "DiagonalSteps":
        return DiagonalSteps(self, shape)


def lstm(a: torch.Tensor, c: torch.Tensor, axis: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The new cell c and output h from the sums a of o, f, i and g along an axis, and the cell before."""
    o, f, i, g = a.chunk(4, axis)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return c, torch.sigmoid(o) * torch.tanh(c)


def skew(x: torch.Tensor) -> torch.Tensor:
    """Each row moved to the right by its number, with zeros around it: (n, channels, H, W) -> (*, H, H + W - 1).

    >>> skew(torch.arange(1, 7).view(1, 1, 3, 2))[0, 0]
    tensor([[1, 2, 0, 0],
            [0, 3, 4, 0],
            [0, 0, 5, 6]])
    """
    height, width = x.shape[2:]
    rows = F.pad(x, (0, height)).flatten(2)  # read with one number less per row, each row begins one place later
    return rows[:, :, :-height].unflatten(2, (height, height + width - 1))


def unskew(x: torch.Tensor) -> torch.Tensor:
    """The inverse of `skew`: (n, channels, H, H + W - 1) -> (*, H, W)."""
    height, width = x.shape[2], x.shape[3] - x.shape[2] + 1
    return F.pad(x.flatten(2), (0, height)).unflatten(2, (height, height + width))[..., :width]


class RowLSTMSteps:
    """A `RowLSTM` for n images that become known pixel by pixel: see `PixelSteps`."""

    def __init__(self, layer: RowLSTM, shape: tuple[int, int, int]):
        n, _, width = shape
        self.of_input, self.of_state = PixelSteps(layer.of_input, shape), layer.of_state
        self.places = places(layer.channels)
        self.c = layer.of_state.weight.new_zeros(n, len(layer.channels), width)  # of the row above, then of this one
        self.h = torch.zeros_like(self.c)

    @torch.no_grad()
    def begin_row(self, r: int) -> None:
        self.of_input.begin_row(r, self.of_state(self.h))

    def __call__(self, c: int, colour: int, x: torch.Tensor) -> torch.Tensor:
        here = self.places[colour]
        cell, h = lstm(self.of_input(c, colour, x), self.c[:, here, c])
        self.c[:, here, c], self.h[:, here, c] = cell, h
        return h


class DiagonalSteps:
    """A `DiagonalBiLSTM` for n images that become known pixel by pixel: see `PixelSteps`.

    The LSTM from the left takes one step per pixel. The one from the right reads a row as soon as it is complete, to
    be ready for the row below.
    """

    def __init__(self, layer: DiagonalBiLSTM, shape: tuple[int, int, int]):
        n, _, width = shape
        H = len(layer.channels)
        self.width, self.places = width, places(layer.channels)
        self.of_input, self.from_right = PixelSteps(layer.from_left, shape), layer.from_right
        (self.above, self.beside), (self.above_right, self.beside_right) = (
            weight.unbind(2) for weight in layer.of_state.weight.detach().chunk(2)
        )
        zeros = layer.of_state.weight.new_zeros
        self.row = zeros(n, layer.from_left.in_channels, width)  # the inputs of this row
        self.inputs = places(layer.from_left.input_colours)
        self.h, self.right = zeros(n, H, width), zeros(n, H, width)  # of both LSTMs, in the row above
        self.nothing = zeros(n, H)

    @torch.no_grad()
    def begin_row(self, r: int) -> None:
        if r:
            self.right = self._read_from_right()
        self.of_input.begin_row(r, torch.einsum("gh,nhw->ngw", self.above, self.h))
        self.c, self.last = self.nothing.clone(), self.nothing.clone()

    def _read_from_right(self) -> torch.Tensor:
        """The outputs (n, H, W) of the LSTM from the right for the row that is complete."""
        of_input = self.from_right(self.row.unsqueeze(2)).squeeze(2)
        of_input = of_input + torch.einsum("gh,nhw->ngw", self.above_right, self.right)
        c = h = self.nothing
        outputs = []
        for a in reversed(of_input.unbind(2)):
            c, h = lstm(a + h @ self.beside_right.t(), c)
            outputs.append(h)
        return torch.stack(outputs[::-1], 2)

    def __call__(self, c: int, colour: int, x: torch.Tensor) -> torch.Tensor:
        here = self.places[colour]
        self.row[:, self.inputs[colour], c] = x
        if colour == 0:
            self.of_left = (self.last @ self.beside.t()).unflatten(1, (4, -1))  # o, f, i, g
        a = self.of_input(c, colour, x) + self.of_left[:, :, here].flatten(1)
        cell, h = lstm(a, self.c[:, here])
        self.c[:, here] = cell
        self.last[:, here] = self.h[:, here, c] = h
        return h + self.right[:, here, c]


def places(colours: Sequence[int]) -> list[slice]:
    """Where the channels of each colour are, in `colour_groups`."""
    ends = [*accumulate(colours.count(colour) for colour in range(max(colours) + 1))]
    return [slice(start, end) for start, end in pairwise([0, *ends])]
