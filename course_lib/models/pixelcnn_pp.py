"""PixelCNN++: gated residual blocks on grids of several sizes, and mixtures of discretized logistics.

T. Salimans, A. Karpathy, X. Chen and D. P. Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic
Mixture Likelihood and Other Modifications", ICLR 2017, section 2 and Figure 2; what the text leaves open is done as in
the authors' code, github.com/openai/pixel-cnn.

The model has no masks: the image is shifted, and convolutions reach only up and to the left. There are two streams.

    vertical    at row r depends on the image's rows up to r - 1. Its kernels cover two rows and three columns.
    horizontal  at (r, c) depends on the vertical stream there and on the pixels to the left. Its kernels cover two
                rows and two columns, with (r, c) at the bottom right.

Each stream goes through blocks on the full grid, then on a grid of half the height and width, and so on, and all the
way back (section 2.3). A block on the way back also reads the output of the block that it mirrors on the way there
(the skip connections, *short-cuts* in section 2.4). Pixel (i, j) of a halved grid is the shifted convolution's output
at (2 i, 2 j) of the larger grid, so it depends only on pixels on which (2 i, 2 j) may depend. On the way back it feeds
into (2 i, 2 j) and the three pixels to the right and below, which may depend on all of these. Sizes may be odd: a
halved grid has half as many rows and columns, rounded up, and the way back cuts off what lies beyond the edge.

The network is written once: its forward pass takes a function `run` that applies a convolution. Training runs
convolutions on whole images; the sampler runs them on the row or pixel that has just become known.

This version leaves out the authors' weight normalization and their initial weights, which depend on the data.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.models.gated_pixelcnn import one_row_down
from course_lib.models.images import ImageModel
from course_lib.nn import (
    EnlargingConv2d,
    EnlargingRasterSteps,
    EnlargingRowSteps,
    RasterSteps,
    RowSteps,
    ShiftedConv2d,
)

# Applies a convolution, see above. It gives None while the halved grid's next row or pixel does not begin yet.
Run = Callable[[nn.Module, torch.Tensor | None], torch.Tensor | None]
# The vertical stream's contributions to the horizontal one, by (number of halvings, number of the block on that grid).
Links = dict[tuple[int, int], torch.Tensor]


class PixelCNNPlusPlus(ImageModel):
    """A PixelCNN++ over images of K levels, with one or more colours.

    All colours of a pixel come from one pass of the network and share one mixture component: see
    `distributions.sub_pixel_chain`.

    `forward` gives (batch, 3, M, C, H, W), for `distributions.discretized_logistic_mixture_log_prob`: logits of the
    weights, means and logarithms of the scales of each conditional, the latter two in units of levels. The network
    itself reads and writes levels on a scale from -1 to 1, with h = (K - 1) / 2 levels per unit. Its outputs m, s and
    t give

        mean_c = h (1 + m_c) + sum over colours b < c of tanh(t_bc) (x_b - h),    scale_c = h exp(max(s_c, -7))

    so outputs near 0 mean the same for any K, and no scale is so small that the likelihood loses precision.

    Args:
        event_shape: (C, H, W), of any height and width.
        levels: K.
        channels: number of channels (feature maps) of each stream.
        blocks: number of blocks on each grid on the way there. On the way back each but the smallest has one more.
        halvings: number of times the grid is halved.
        mixtures: number M of logistics.
        dropout: probability that a unit inside a block is dropped in training.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. What labels and context add, they
            add to the first channels of both streams. (The authors' code adds labels in every block.)

    Attributes:
        rows_above: computes the vertical stream's first channels from the two rows above.
        row_above, left: compute the horizontal stream's first channels from the row above and the column to the left.
        vertical, horizontal: the two streams, see `Stream`.
        condition: what labels and context add, see `course_lib.nn.Condition`.
        head: the last convolution, 1x1.

    Raises:
        ValueError: event_shape is not the shape of an image, a number is out of range, or the grid is too small for so
            many halvings.

    >>> model = PixelCNNPlusPlus((3, 7, 5), levels=256, channels=8, blocks=1, halvings=2, mixtures=4)
    >>> model(torch.zeros(2, 3, 7, 5, dtype=torch.long)).shape
    torch.Size([2, 3, 4, 3, 7, 5])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        channels: int = 64,
        blocks: int = 2,
        *,
        halvings: int = 2,
        mixtures: int = 10,
        dropout: float = 0.5,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(event_shape, levels, classes=classes, context_channels=context_channels)
        colours, height, width = self.event_shape
        if min(channels, blocks, mixtures) < 1:
            raise ValueError(
                f"channels, blocks and mixtures must be at least 1; got {channels}, {blocks} and {mixtures}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a probability below 1; got {dropout}")
        most = (max(height, width) - 1).bit_length()
        if not 0 <= halvings <= most:
            raise ValueError(f"{height}x{width} can be halved 0 to {most} times, then it is one pixel; got {halvings}")
        self.mixtures = mixtures
        inputs = colours + 1
        self.rows_above = ShiftedConv2d(inputs, channels, above=1, left=1, right=1)
        self.row_above = ShiftedConv2d(inputs, channels, left=1, right=1)
        self.left = ShiftedConv2d(inputs, channels, above=1)
        self.condition = self._condition(2 * channels)
        settings = dict(channels=channels, blocks=blocks, halvings=halvings, dropout=dropout)
        self.vertical = Stream(VerticalBlock, (height, width), **settings)
        self.horizontal = Stream(HorizontalBlock, (height, width), **settings)
        self.head = ShiftedConv2d(channels, mixtures * (1 + 2 * colours + colours * (colours - 1) // 2))

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        image, links = self._read(x), {}
        of_vertical, of_horizontal = self.condition(labels, context).chunk(2, 1)
        self.vertical(one_row_down(self.rows_above(image)) + of_vertical, links, whole)
        h = one_row_down(self.row_above(image)) + one_column_right(self.left(image)) + of_horizontal
        h = self.horizontal(h, links, whole)
        # bfloat16, in which `fit` trains on a GPU, cannot tell 256 levels apart.
        with torch.autocast(h.device.type, enabled=False):
            outputs = self.head(F.elu(h.to(self.head.weight.dtype)))
        return distributions.sub_pixel_chain(*self._mixture(outputs), x, self.levels)

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        """Levels from -1 to 1, (n, C, *), and a channel of ones: (n, C + 1, *).

        Beyond the edge all channels are 0. Without the last one this would look like a pixel of middle grey.
        """
        levels = 2 * self._scaled(x) - 1
        return torch.cat([levels, torch.ones_like(levels[:, :1])], 1)

    def _mixture(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's outputs, (n, channels, *), as parameters and coefficients of `distributions.sub_pixel_chain`."""
        colours, half = self.event_shape[0], (self.levels - 1) / 2
        counts = [1, colours, colours, colours * (colours - 1) // 2]
        outputs = distributions.at_least_float32(outputs)
        logits, m, s, t = outputs.unflatten(1, (self.mixtures, sum(counts))).split(counts, 2)
        a = torch.tanh(t)
        # The chain adds a x_b; subtracting a h makes it a (x_b - h).
        sums = [a[:, :, c * (c - 1) // 2 : c * (c + 1) // 2].sum(2) for c in range(colours)]
        means = half * (1 + m - torch.stack(sums, 2))
        log_scales = s.clamp_min(-7.0) + math.log(half)
        return torch.stack([logits.expand_as(means), means, log_scales], 1), a.transpose(1, 2)

    @torch.no_grad()
    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """The vertical stream row by row, the horizontal one pixel by pixel: each channel of each pixel once.

        A halved grid's next row, or pixel, begins with every second one of the larger grid.
        """
        n, (_, height, width) = len(x), self.event_shape
        by_row, by_pixel = self._row_steps(n), self._pixel_steps(n)
        condition = self.condition(labels, context).expand(-1, -1, height, width)
        links, nothing = {}, self.head.weight.new_zeros(n, self.head.in_channels, width)
        for r in range(height):
            v = above = nothing
            if r:
                row = self._read(x[:, :, r - 1])
                v, above = by_row(self.rows_above, row), by_row(self.row_above, row)
            of_vertical, of_horizontal = condition[:, :, r].chunk(2, 1)
            self.vertical(v + of_vertical, links, by_row)
            above = above + of_horizontal
            above, left = above.unbind(2), nothing[..., 0]
            columns = {place: link.unbind(2) for place, link in links.items()}
            for c in range(width):
                here = {place: column[c >> place[0]] for place, column in columns.items()}
                h = self.horizontal(above[c] + left, here, by_pixel)
                mixture = self._mixture(by_pixel(self.head, F.elu(h)))
                yield from distributions.sub_pixel_steps(*mixture, x[:, :, r, c], self.levels)
                left = by_pixel(self.left, self._read(x[:, :, r, c]))

    def _row_steps(self, n: int) -> Run:
        """Convolutions of the vertical stream on the row that has just become known: (n, channels, W)."""
        width = self.event_shape[2]
        steps = {conv: RowSteps(conv, n, width) for conv in (self.rows_above, self.row_above)}
        for conv, (_, width) in self.vertical.convolutions():
            steps[conv] = EnlargingRowSteps(conv) if isinstance(conv, EnlargingConv2d) else RowSteps(conv, n, width)
        return lambda conv, row: steps[conv](row)

    def _pixel_steps(self, n: int) -> Run:
        """Convolutions of the horizontal stream on the pixel that has just become known: (n, channels)."""
        shape = n, *self.event_shape[1:]
        steps = {conv: RasterSteps(conv, shape) for conv in (self.left, self.head)}
        for conv, size in self.horizontal.convolutions():
            enlarging = isinstance(conv, EnlargingConv2d)
            steps[conv] = EnlargingRasterSteps(conv) if enlarging else RasterSteps(conv, (n, *size))
        return lambda conv, pixel: steps[conv](pixel)

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return distributions.discretized_logistic_mixture_log_prob(parameters, x, self.levels)

    def cumulative(self, parameters: torch.Tensor) -> torch.Tensor:
        return distributions.discretized_logistic_mixture_cumulative(parameters, self.levels)

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return distributions.discretized_logistic_mixture_invert(parameters, u, self.levels)


class Stream(nn.Module):
    """One stream on one grid and on all smaller ones.

    Args:
        block: `VerticalBlock` or `HorizontalBlock`.
        size: height and width of the grid.
        channels, blocks, halvings, dropout: as in `PixelCNNPlusPlus`.
        level: number of times this grid has been halved.

    Attributes:
        there, back: the blocks on the way there and back.
        halve, smaller, enlarge: the way to the next grid, its stream, and the way back; None on the smallest grid.
    """

    def __init__(
        self,
        block: type["Block"],
        size: tuple[int, int],
        *,
        channels: int,
        blocks: int,
        halvings: int,
        dropout: float,
        level: int = 0,
    ):
        super().__init__()
        self.size, self.level = size, level
        self.there = nn.ModuleList(block(channels, dropout) for _ in range(blocks))
        self.back = nn.ModuleList(block(channels, dropout, short_cut=True) for _ in range(blocks + (halvings > 0)))
        self.halve = self.smaller = self.enlarge = None
        if halvings:
            half = (size[0] + 1) // 2, (size[1] + 1) // 2
            settings = dict(channels=channels, blocks=blocks, halvings=halvings - 1, dropout=dropout)
            self.halve = ShiftedConv2d(channels, channels, above=1, left=1, right=block.RIGHT, stride=2)
            self.smaller = Stream(block, half, **settings, level=level + 1)
            self.enlarge = EnlargingConv2d(channels, channels, size, right=block.RIGHT)

    def forward(self, maps: torch.Tensor, links: Links, run: Run) -> torch.Tensor:
        """The stream's outputs from its inputs, (n, channels, *) each. The vertical stream sets links."""
        outputs = [maps]
        for i, block in enumerate(self.there):
            outputs.append(block(outputs[-1], None, links, (self.level, i), run))
        if self.smaller is None:
            maps = outputs.pop()
        else:
            halved = run(self.halve, outputs[-1])
            if halved is not None:  # a row or a pixel of the smaller grid begins
                halved = self.smaller(halved, links, run)
            maps = run(self.enlarge, halved)
        for i, block in enumerate(self.back, start=len(self.there)):
            maps = block(maps, outputs.pop(), links, (self.level, i), run)
        return maps

    def convolutions(self) -> Iterator[tuple[nn.Module, tuple[int, int]]]:
        """All convolutions, each with the size of its grid."""
        for block in (*self.there, *self.back):
            for conv in block.children():
                if isinstance(conv, ShiftedConv2d):
                    yield conv, self.size
        if self.smaller is not None:
            yield self.halve, self.size
            yield self.enlarge, self.size
            yield from self.smaller.convolutions()


class Block(nn.Module):
    """A gated residual block, as in the authors' code. With f(x) = (elu(x), elu(-x)),

        a = spread(f(input)) + short_cut(f(the mirrored block's output)) + the vertical stream's link
        b, g = the halves of open(dropout(f(a)))
        output = input + b sigmoid(g)

    Args:
        channels: number of channels of input and output.
        dropout: probability that a unit is dropped in training (section 2.5).
        short_cut: whether the block mirrors one of the way there.
    """

    RIGHT: int

    def __init__(self, channels: int, dropout: float, *, short_cut: bool = False):
        super().__init__()
        reach = dict(above=1, left=1, right=self.RIGHT)
        self.spread = ShiftedConv2d(2 * channels, channels, **reach)
        self.short_cut = ShiftedConv2d(2 * channels, channels) if short_cut else None
        self.dropout = nn.Dropout(dropout)
        self.open = ShiftedConv2d(2 * channels, 2 * channels, **reach)

    def output(
        self, maps: torch.Tensor, mirrored: torch.Tensor | None, link: torch.Tensor | float, run: Run
    ) -> torch.Tensor:
        a = run(self.spread, concat_elu(maps)) + link
        if mirrored is not None:
            a = a + run(self.short_cut, concat_elu(mirrored))
        value, gate = run(self.open, self.dropout(concat_elu(a))).chunk(2, 1)
        return maps + value * torch.sigmoid(gate)


class VerticalBlock(Block):
    """A block that reads three columns of its own row and the one above, and sets a link for the horizontal stream."""

    RIGHT = 1

    def __init__(self, channels: int, dropout: float, *, short_cut: bool = False):
        super().__init__(channels, dropout, short_cut=short_cut)
        self.link = ShiftedConv2d(2 * channels, channels)

    def forward(
        self, maps: torch.Tensor, mirrored: torch.Tensor | None, links: Links, place: tuple[int, int], run: Run
    ) -> torch.Tensor:
        maps = self.output(maps, mirrored, 0.0, run)
        links[place] = run(self.link, concat_elu(maps))
        return maps


class HorizontalBlock(Block):
    """A block that reads two columns, its own and the left one, of its own row and the one above."""

    RIGHT = 0

    def forward(
        self, maps: torch.Tensor, mirrored: torch.Tensor | None, links: Links, place: tuple[int, int], run: Run
    ) -> torch.Tensor:
        return self.output(maps, mirrored, links[place], run)


def whole(convolution: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """Apply a convolution to whole images."""
    return convolution(maps)


def concat_elu(x: torch.Tensor) -> torch.Tensor:
    """elu of the channels and of their negatives: (n, p, *) -> (n, 2p, *)."""
    return F.elu(torch.cat([x, -x], 1))


def one_column_right(a: torch.Tensor) -> torch.Tensor:
    """Each column moved to the right by one, with zeros in the first column: (n, channels, H, W)."""
    return F.pad(a, (1, -1))
