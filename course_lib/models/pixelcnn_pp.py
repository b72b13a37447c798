"""PixelCNN++: gated residual blocks on grids of several sizes, and mixtures of discretized logistics.

T. Salimans, A. Karpathy, X. Chen and D. P. Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic
Mixture Likelihood and Other Modifications", ICLR 2017, section 2 and Figure 2; what the text leaves open is done as in
the authors' code, github.com/openai/pixel-cnn.

Nothing is masked: the image is shifted, and convolutions reach up and to the left only. There are two streams.

    vertical    at row r knows the image's rows up to r - 1. Its kernels cover two rows and three columns.
    horizontal  at (r, c) knows what the vertical stream knows there, and the pixels to the left. Its kernels cover two
                rows and two columns, of which (r, c) is the last.

Each stream goes through blocks on the full grid, on one of half the height and width, and so on, and all the way back
(section 2.3). What a block made on the way there is taken up by the one that mirrors it on the way back (the
*short-cuts*, section 2.4). Pixel (i, j) of a halved grid stands for the full grid's (2 i, 2 j), as the shifted
convolution saw it: so it knows nothing that (2 i, 2 j) may not. On the way back it speaks to (2 i, 2 j) and to
the three pixels right of it and below, which may know all that it knows. Sizes may be odd: a grid has half as many
rows and columns, rounded up, and what the way back makes beyond the edge is cut off.

The network is written once: its forward pass is given how to `run` a convolution. Training runs it on whole maps, the
sampler on the row or the pixel that has just become known.

Not here: the authors' weight normalization, and the initial weights that it draws from the data.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.models import orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.models.gated_pixelcnn import one_row_down
from course_lib.models.pixelcnn import check_image_shape, scaled
from course_lib.nn import (
    EnlargingConv2d,
    EnlargingRasterSteps,
    EnlargingRowSteps,
    RasterSteps,
    RowSteps,
    ShiftedConv2d,
)

# How a convolution is done: see above. Where the next grid's row or pixel does not begin yet, it gives None.
Run = Callable[[nn.Module, torch.Tensor | None], torch.Tensor | None]
# What the vertical stream tells the horizontal one, by (number of halvings, number of the block on that grid).
Links = dict[tuple[int, int], torch.Tensor]


class PixelCNNPlusPlus(AutoregressiveModel):
    """A PixelCNN++ over images of K levels, one or more colours.

    Pixels come in raster order, within a pixel colour by colour (`orderings.pixel_by_pixel`). All colours of a pixel
    come from one pass of the network, and share one mixture component: see `distributions.sub_pixel_chain`.

    `forward` gives (batch, 3, M, C, H, W), for `distributions.discretized_logistic_mixture_log_prob`: logits of the
    weights, means and logarithms of the scales of each conditional, the latter two in units of levels. The network
    itself reads and writes levels on a scale from -1 to 1, of which h = (K - 1) / 2 levels are one unit: from its
    outputs m, s and t,

        mean_c = h (1 + m_c) + sum over colours b < c of tanh(t_bc) (x_b - h),    scale_c = h exp(max(s_c, -7))

    so that outputs near 0 mean the same for any K, and no scale is so small that it breaks the likelihood.

    Args:
        event_shape: (C, H, W), of any height and width.
        levels: K.
        channels: number of feature maps of each stream.
        blocks: number of blocks on each grid on the way there; back there is one more on all but the smallest.
        halvings: how many times the grid is halved.
        mixtures: number M of logistics.
        dropout: probability that a unit inside a block is dropped in training.

    Attributes:
        rows_above: makes the vertical stream's first maps of the two rows above.
        row_above, left: make the horizontal stream's first maps of the row above and the column to the left.
        vertical, horizontal: the two streams, see `Stream`.
        head: the last convolution, 1x1.

    Raises:
        ValueError: event_shape is no image's, a number is out of range, or the grid cannot be halved so often.

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
    ):
        colours, height, width = check_image_shape(event_shape)
        super().__init__(event_shape, levels, orderings.pixel_by_pixel(colours, height, width))
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
        settings = dict(channels=channels, blocks=blocks, halvings=halvings, dropout=dropout)
        self.vertical = Stream(VerticalBlock, (height, width), **settings)
        self.horizontal = Stream(HorizontalBlock, (height, width), **settings)
        self.head = ShiftedConv2d(channels, mixtures * (1 + 2 * colours + colours * (colours - 1) // 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image, links = self._read(x), {}
        self.vertical(one_row_down(self.rows_above(image)), links, whole)
        h = one_row_down(self.row_above(image)) + one_column_right(self.left(image))
        h = self.horizontal(h, links, whole)
        # In bfloat16, in which `fit` trains on a GPU, 256 levels could not be told apart.
        with torch.autocast(h.device.type, enabled=False):
            outputs = self.head(F.elu(h.to(self.head.weight.dtype)))
        return distributions.sub_pixel_chain(*self._mixture(outputs), x, self.levels)

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        """Levels from -1 to 1, (n, C, *), and a channel of ones: (n, C + 1, *).

        Beyond the edge all channels are 0, which without the last one would look like a pixel of middle grey.
        """
        levels = 2 * scaled(self, x) - 1
        return torch.cat([levels, torch.ones_like(levels[:, :1])], 1)

    def _mixture(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's outputs, (n, maps, *), as parameters and coefficients of `distributions.sub_pixel_chain`."""
        colours, half = self.event_shape[0], (self.levels - 1) / 2
        counts = [1, colours, colours, colours * (colours - 1) // 2]
        logits, m, s, t = outputs.unflatten(1, (self.mixtures, sum(counts))).split(counts, 2)
        a = torch.tanh(t)
        # The chain adds a x_b, where a (x_b - h) is wanted.
        sums = [a[:, :, c * (c - 1) // 2 : c * (c + 1) // 2].sum(2) for c in range(colours)]
        means = half * (1 + m - torch.stack(sums, 2))
        log_scales = s.clamp_min(-7.0) + math.log(half)
        return torch.stack([logits.expand_as(means), means, log_scales], 1), a.transpose(1, 2)

    @torch.no_grad()
    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The vertical stream row by row, the horizontal one pixel by pixel: each feature map of each pixel once.

        On a halved grid a row, or a pixel, begins with every second one of the grid before.
        """
        n, (_, height, width) = len(x), self.event_shape
        by_row, by_pixel = self._row_steps(n), self._pixel_steps(n)
        links, nothing = {}, self.head.weight.new_zeros(n, self.head.in_channels, width)
        for r in range(height):
            v = above = nothing
            if r:
                row = self._read(x[:, :, r - 1])
                v, above = by_row(self.rows_above, row), by_row(self.row_above, row)
            self.vertical(v, links, by_row)
            above, left = above.unbind(2), nothing[..., 0]
            columns = {place: link.unbind(2) for place, link in links.items()}
            for c in range(width):
                here = {place: column[c >> place[0]] for place, column in columns.items()}
                h = self.horizontal(above[c] + left, here, by_pixel)
                mixture = self._mixture(by_pixel(self.head, F.elu(h)))
                yield from distributions.sub_pixel_steps(*mixture, x[:, :, r, c], self.levels)
                left = by_pixel(self.left, self._read(x[:, :, r, c]))

    def _row_steps(self, n: int) -> Run:
        """Convolutions of the vertical stream on the row that has just become known: (n, maps, W)."""
        width = self.event_shape[2]
        steps = {conv: RowSteps(conv, n, width) for conv in (self.rows_above, self.row_above)}
        for conv, (_, width) in self.vertical.convolutions():
            steps[conv] = EnlargingRowSteps(conv) if isinstance(conv, EnlargingConv2d) else RowSteps(conv, n, width)
        return lambda conv, row: steps[conv](row)

    def _pixel_steps(self, n: int) -> Run:
        """Convolutions of the horizontal stream on the pixel that has just become known: (n, maps)."""
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
    """One stream on one grid and on all that are smaller.

    Args:
        block: `VerticalBlock` or `HorizontalBlock`.
        size: height and width of the grid.
        channels, blocks, halvings, dropout: as in `PixelCNNPlusPlus`.
        level: how many times this grid has been halved.

    Attributes:
        there, back: the blocks on the way there and back.
        halve, smaller, enlarge: the way to the next grid, the stream on it, and the way back; None on the smallest.
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
        """The last block's maps, (n, channels, *), from the first ones. The vertical stream sets links."""
        made = [maps]
        for i, block in enumerate(self.there):
            made.append(block(made[-1], None, links, (self.level, i), run))
        if self.smaller is None:
            maps = made.pop()
        else:
            halved = run(self.halve, made[-1])
            if halved is not None:  # a row or a pixel of the smaller grid begins
                halved = self.smaller(halved, links, run)
            maps = run(self.enlarge, halved)
        for i, block in enumerate(self.back, start=len(self.there)):
            maps = block(maps, made.pop(), links, (self.level, i), run)
        return maps

    def convolutions(self) -> Iterator[tuple[nn.Module, tuple[int, int]]]:
        """All convolutions, each with the size of the grid that it is on."""
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

        a = spread(f(input)) + short_cut(f(what the mirrored block made)) + what the vertical stream tells
        b, g = the halves of open(dropout(f(a)))
        output = input + b sigmoid(g)

    Args:
        channels: number of feature maps of input and output.
        dropout: probability that a unit is dropped in training (section 2.5).
        short_cut: whether it mirrors a block of the way there.
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
        self, maps: torch.Tensor, mirrored: torch.Tensor | None, told: torch.Tensor | float, run: Run
    ) -> torch.Tensor:
        a = run(self.spread, concat_elu(maps)) + told
        if mirrored is not None:
            a = a + run(self.short_cut, concat_elu(mirrored))
        value, gate = run(self.open, self.dropout(concat_elu(a))).chunk(2, 1)
        return maps + value * torch.sigmoid(gate)


class VerticalBlock(Block):
    """A block that reads its own row and the one above, three columns, and tells the horizontal stream what it made."""

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
    """A block that reads its own row and the one above, its own column and the one to the left."""

    RIGHT = 0

    def forward(
        self, maps: torch.Tensor, mirrored: torch.Tensor | None, links: Links, place: tuple[int, int], run: Run
    ) -> torch.Tensor:
        return self.output(maps, mirrored, links[place], run)


def whole(convolution: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """A convolution of whole maps."""
    return convolution(maps)


def concat_elu(x: torch.Tensor) -> torch.Tensor:
    """elu of the maps and of their negatives: (n, p, *) -> (n, 2p, *)."""
    return F.elu(torch.cat([x, -x], 1))


def one_column_right(a: torch.Tensor) -> torch.Tensor:
    """What stands at column c - 1 moved to column c, zeros in the first column: (n, maps, H, W)."""
    return F.pad(a, (1, -1))
