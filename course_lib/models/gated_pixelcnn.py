"""Gated PixelCNN: two stacks of convolutions without a blind spot, gated units, and class labels.

A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu, "Conditional Image Generation
with PixelCNN Decoders", NIPS 29, 2016, section 2 and Figure 2.

The *vertical* stack v reads whole rows: at (r, c) it depends on rows up to r, and needs no mask. The *horizontal* stack
h reads its own row up to (r, c), and the vertical stack one row further up, which depends on rows up to r - 1 only.
The vertical stack never reads h, so a row of v can be computed as soon as the image's row is known, before h goes on.

    a = vertical(v) + V y,    b = horizontal(h) + link(a, one row further up) + U y
    v <- gate(a),             h <- h + mix(gate(b)),        gate(a) = tanh(first half of a) * sigmoid(second half)

where y is the class label as a one-hot vector, or a context, a vector for each pixel (section 2.3). The first layer
reads the image in place of v and h, with mask A in h.

Codes have no order, so a model of codes reads them as one-hot vectors. Self-attention after the layers reaches all
earlier pixels at once, whatever their distance. A. Razavi, A. van den Oord and O. Vinyals, "Generating Diverse
High-Fidelity Images with VQ-VAE-2", NeurIPS 2019, have it after every five layers of the prior over the top codes; here
it comes once.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.images import ImageModel
from course_lib.nn import (
    AttentionSteps,
    CausalSelfAttention,
    Condition,
    MaskedConv2d,
    PixelSteps,
    RowSteps,
    ShiftedConv2d,
    causal_masks,
    colour_groups,
)


class GatedPixelCNN(ImageModel):
    """A gated PixelCNN over images of K levels, with one or more colours. `ImageModel` has the layout of its logits.

    With R = layers * (kernel // 2), an output depends on all earlier pixels up to R + 1 rows above its own and up to R
    columns to each side. With self-attention it depends on all earlier pixels, but for the last one of the row above
    where this is more than R columns to the right.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number p of channels (feature maps) of each stack (a gate turns 2p into p); at least C.
        layers: number of layers, at least 1.
        kernel: side of the square that a layer's convolutions cover, odd.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`.
        head: number of channels before the logits.
        position_bias: as in `PixelCNN`, added to the horizontal outputs of the first layer.
        one_hot: read each value as a vector of K zeros but for a one, not as a number.
        attention: number of heads of the causal self-attention after the layers, a divisor of p; 0 for none. For one
            colour only.

    Attributes:
        layers: the layers, see `GatedLayer`.
        attention: the self-attention, or None.
        head, output: the last two convolutions, 1x1.
        position: (p, H, W), or None.

    Raises:
        ValueError: event_shape is not the shape of an image, a size is too small, kernel is even, or attention does not
            fit the channels or the colours.

    >>> model = GatedPixelCNN((1, 8, 8), levels=2, channels=8, layers=3, classes=10)
    >>> zeros_to_four = model.sample(5, labels=torch.arange(5), generator=torch.Generator().manual_seed(0))
    >>> model.log_prob(zeros_to_four, labels=torch.arange(5)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        channels: int = 32,
        layers: int = 10,
        *,
        kernel: int = 5,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
        head: int = 64,
        position_bias: bool = False,
        one_hot: bool = False,
        attention: int = 0,
    ):
        given = dict(classes=classes, context_channels=context_channels)
        super().__init__(event_shape, levels, kernels=[kernel], **given)
        if layers < 1:
            raise ValueError(f"layers must be at least 1; got {layers}")
        colours, height, width = self.event_shape
        if attention and colours > 1:
            raise ValueError(f"attention is {attention}, but for {colours} colours there is none; expected 0")
        self.one_hot = one_hot
        pixel = [k for k in range(colours) for _ in range(levels if one_hot else 1)]
        inner, last = colour_groups(channels, colours), colour_groups(head, colours)
        self.layers = nn.ModuleList(
            GatedLayer(inner if i else pixel, inner, kernel, "B" if i else "A", self._condition(4 * channels))
            for i in range(layers)
        )
        self.position = nn.Parameter(torch.zeros(channels, height, width)) if position_bias else None
        masks = causal_masks(height * width)[:1].repeat(attention, 1, 1)
        self.attention = CausalSelfAttention(channels, masks) if attention else None
        self.head = MaskedConv2d("B", inner, last)
        self.output = MaskedConv2d("B", last, self._logit_colours())

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        start = 0.0 if self.position is None else self.position
        v = h = self._scaled(x)
        for i, layer in enumerate(self.layers):
            of_vertical, of_horizontal = layer.condition(labels, context).chunk(2, 1)
            a = layer.vertical(v) + of_vertical
            b = layer.horizontal(h) + layer.link(one_row_down(a)) + of_horizontal
            v, h = gate(a), layer.mix(gate(b)) + (h if i else start)
        if self.attention is not None:
            h = h + self.attention(h.flatten(2).mT).mT.view_as(h)
        return self._logits(self.output(torch.relu(self.head(torch.relu(h)))))

    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """The vertical stack row by row, the horizontal one pixel by pixel: each channel of each pixel once."""
        colours, height, width = self.event_shape
        shape = len(x), height, width
        verticals = [RowSteps(layer.vertical, len(x), width) for layer in self.layers]
        horizontals = [PixelSteps(layer.horizontal, shape) for layer in self.layers]
        mixes = [PixelSteps(layer.mix, shape) for layer in self.layers]
        attention = None if self.attention is None else AttentionSteps(self.attention, len(x))
        first, (head, output) = horizontals[0], (PixelSteps(conv, shape) for conv in (self.head, self.output))
        pairs = list(zip(horizontals, mixes, strict=True))
        conditions = [layer.condition(labels, context).detach().expand(-1, -1, height, -1) for layer in self.layers]
        links = [0] * len(self.layers)
        for r in range(height):
            if r:
                links = self._links(verticals, self._scaled(x[:, :, r - 1]), [each[:, :, r - 1] for each in conditions])
            for steps, link, condition in zip(horizontals, links, conditions, strict=True):
                steps.begin_row(r, link + condition[:, :, r].chunk(2, 1)[1])
            mixes[0].begin_row(r, None if self.position is None else self.position[:, r].detach())
            for steps in (*mixes[1:], head, output):
                steps.begin_row(r)
            for c in range(width):
                for colour in range(colours):
                    h = mixes[0](c, colour, gate(first.read(c, colour)))
                    for horizontal, mix in pairs[1:]:
                        h = h + mix(c, colour, gate(horizontal(c, colour, h)))
                    if attention is not None:
                        h = h + attention(h)
                    logits = output(c, colour, torch.relu(head(c, colour, torch.relu(h))))
                    yield self._logits_of_one_colour(logits)
                    first.write(c, colour, self._scaled(x[:, colour, r, c, None]))

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        """The network's input, (n, C, ...), or (n, C K, ...) for one-hot vectors, from x (n, C, ...)."""
        if not self.one_hot:
            return super()._scaled(x)
        values = torch.arange(self.levels, device=x.device).view(-1, *[1] * (x.ndim - 2))
        return (x.unsqueeze(2) == values).flatten(1, 2).to(self.head.weight.dtype)

    @torch.no_grad()
    def _links(
        self, verticals: list[RowSteps], row: torch.Tensor, conditions: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """What each layer's link adds to the next row of its horizontal stack, (n, 2p, W), from the row just known.

        Args:
            verticals: each layer's vertical convolution.
            row: the network's input in this row, (n, C or C K, W).
            conditions: each layer's condition in this row, (n or 1, 4p, W or 1).
        """
        links, v = [], row
        for layer, vertical, condition in zip(self.layers, verticals, conditions, strict=True):
            a = vertical(v) + condition.chunk(2, 1)[0]
            v = gate(a)
            links.append(layer.link(a.unsqueeze(2)).squeeze(2))
        return links


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Args:
        inputs, channels: the colours of the horizontal channels below and here.
        kernel: side of the square.
        kind: mask of the horizontal convolution.
        condition: what labels and context add to the channels of both stacks, the vertical ones first.

    Attributes:
        vertical: reads row r and the kernel // 2 rows above it; 2p channels, before the gate.
        horizontal: reads kernel // 2 pixels to the left, and the pixel itself as the mask allows; 2p channels.
        link: from the vertical 2p channels to the horizontal ones, 1x1.
        mix: acts on the gated horizontal channels, 1x1.
        condition: as given.
    """

    def __init__(self, inputs: Sequence[int], channels: Sequence[int], kernel: int, kind: str, condition: Condition):
        super().__init__()
        reach, gates = kernel // 2, [*channels, *channels]
        self.vertical = ShiftedConv2d(len(inputs), len(gates), above=reach, left=reach, right=reach)
        self.horizontal = MaskedConv2d(kind, inputs, gates, left=reach)
        self.link = nn.Conv2d(len(gates), len(gates), 1, bias=False)
        self.mix = MaskedConv2d("B", channels, channels)
        self.condition = condition

    @property
    def of_class(self) -> nn.Parameter | None:
        """What each class adds to the channels of both stacks, (classes, 4p), or None."""
        return self.condition.of_class


def gate(a: torch.Tensor) -> torch.Tensor:
    """tanh of the first half of the channels, times sigmoid of the second: (n, 2p, ...) -> (n, p, ...)."""
    value, opening = a.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(opening)


def one_row_down(a: torch.Tensor) -> torch.Tensor:
    """Each row moved down by one, with zeros in the first row: (n, channels, H, W)."""
    return F.pad(a, (0, 0, 1, -1))
