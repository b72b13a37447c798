"""Gated PixelCNN: two stacks of convolutions without a blind spot, gated units, and class labels.

A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu, "Conditional Image Generation
with PixelCNN Decoders", NIPS 29, 2016, section 2 and Figure 2.

The *vertical* stack v reads whole rows: at (r, c) it depends on rows up to r, and needs no mask. The *horizontal* stack
h reads its own row up to (r, c), and the vertical stack one row further up, which depends on rows up to r - 1 only.
The vertical stack never reads h, so a row of v can be computed as soon as the image's row is known, before h goes on.

    a = vertical(v) + V y,    b = horizontal(h) + link(a, one row further up) + U y
    v <- gate(a),             h <- h + mix(gate(b)),        gate(a) = tanh(first half of a) * sigmoid(second half)

where y is the class label as a one-hot vector. The first layer reads the image in place of v and h, with mask A in h.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.images import ImageModel
from course_lib.nn import MaskedConv2d, PixelSteps, RowSteps, ShiftedConv2d, colour_groups


class GatedPixelCNN(ImageModel):
    """A gated PixelCNN over images of K levels, with one or more colours. `ImageModel` has the layout of its logits.

    With R = layers * (kernel // 2), an output depends on all earlier pixels up to R + 1 rows above its own and up to R
    columns to each side.

    With `classes` it models p(x | label): `forward`, `log_prob`, `sample`, `complete` and `conditionals` then need
    `labels`, (batch,) integers 0..classes-1 of any integer dtype.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number p of channels (feature maps) of each stack (a gate turns 2p into p); at least C.
        layers: number of layers, at least 1.
        kernel: side of the square that a layer's convolutions cover, odd.
        classes: number of classes; None for a model without labels.
        head: number of channels before the logits.
        position_bias: as in `PixelCNN`, added to the horizontal outputs of the first layer.

    Attributes:
        layers: the layers, see `GatedLayer`.
        head, output: the last two convolutions, 1x1.
        position: (p, H, W), or None.

    Raises:
        ValueError: event_shape is not the shape of an image, a size is too small, or kernel is even; labels are given
            to a model without classes, or are missing, or have another shape, dtype or range.

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
        classes: int | None = None,
        head: int = 64,
        position_bias: bool = False,
    ):
        super().__init__(event_shape, levels, kernels=[kernel])
        if layers < 1:
            raise ValueError(f"layers must be at least 1; got {layers}")
        if classes is not None and classes < 1:
            raise ValueError(f"classes must be at least 1, or None for a model without labels; got {classes}")
        self.classes = classes
        colours, height, width = self.event_shape
        pixel, inner, last = range(colours), colour_groups(channels, colours), colour_groups(head, colours)
        self.layers = nn.ModuleList(
            GatedLayer(inner if i else pixel, inner, kernel, "B" if i else "A", classes) for i in range(layers)
        )
        self.position = nn.Parameter(torch.zeros(channels, height, width)) if position_bias else None
        self.head = MaskedConv2d("B", inner, last)
        self.output = MaskedConv2d("B", last, self._logit_colours())

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        labels = self._class_numbers(labels, len(x))
        start = 0.0 if self.position is None else self.position
        v = h = self._scaled(x)
        for i, layer in enumerate(self.layers):
            of_vertical, of_horizontal = layer.label_biases(labels)
            a = layer.vertical(v) + of_vertical
            b = layer.horizontal(h) + layer.link(one_row_down(a)) + of_horizontal
            v, h = gate(a), layer.mix(gate(b)) + (h if i else start)
        return self._logits(self.output(torch.relu(self.head(torch.relu(h)))))

    def _conditionals(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """The vertical stack row by row, the horizontal one pixel by pixel: each channel of each pixel once."""
        colours, height, width = self.event_shape
        labels = self._class_numbers(labels, len(x))
        shape = len(x), height, width
        verticals = [RowSteps(layer.vertical, len(x), width) for layer in self.layers]
        horizontals = [PixelSteps(layer.horizontal, shape) for layer in self.layers]
        mixes = [PixelSteps(layer.mix, shape) for layer in self.layers]
        first, (head, output) = horizontals[0], (PixelSteps(conv, shape) for conv in (self.head, self.output))
        pairs = list(zip(horizontals, mixes, strict=True))
        for r in range(height):
            row_above = self._scaled(x[:, :, r - 1]) if r else None
            for steps, offset in zip(horizontals, self._row_offsets(verticals, row_above, labels), strict=True):
                steps.begin_row(r, offset)
            mixes[0].begin_row(r, 0.0 if self.position is None else self.position[:, r].detach())
            for steps in (*mixes[1:], head, output):
                steps.begin_row(r)
            for c in range(width):
                for colour in range(colours):
                    h = mixes[0](c, colour, gate(first.read(c, colour)))
                    for horizontal, mix in pairs[1:]:
                        h = h + mix(c, colour, gate(horizontal(c, colour, h)))
                    logits = output(c, colour, torch.relu(head(c, colour, torch.relu(h))))
                    yield self._logits_of_one_colour(logits)
                    first.write(c, colour, self._scaled(x[:, colour, r, c, None]))

    @torch.no_grad()
    def _row_offsets(self, verticals: list[RowSteps], row_above: torch.Tensor | None, labels) -> list[torch.Tensor]:
        """Each layer's link and label, to be added to the next row of its horizontal stack: (n or 1, 2p, W) each."""
        offsets, v = [], row_above
        for layer, vertical in zip(self.layers, verticals, strict=True):
            of_vertical, offset = (bias.squeeze(2) for bias in layer.label_biases(labels))
            if row_above is not None:
                a = vertical(v) + of_vertical
                v, offset = gate(a), layer.link(a.unsqueeze(2)).squeeze(2) + offset
            offsets.append(offset)
        return offsets

    def _class_numbers(self, labels: torch.Tensor | None, n: int) -> torch.Tensor | None:
        """The labels of n images as int64. (An index of uint8 or bool would be taken for a mask.)"""
        if self.classes is None:
            if labels is not None:
                raise ValueError("this model takes no labels. Build it with classes=...")
            return None
        expected = f"labels must be {n} integers 0..{self.classes - 1}, one per image"
        if labels is None:
            raise ValueError(f"{expected}; got none")
        if not isinstance(labels, torch.Tensor):
            raise ValueError(f"{expected}, in a tensor; got {type(labels).__name__}")
        whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
        if not whole or tuple(labels.shape) != (n,):
            raise ValueError(f"{expected}; got {labels.dtype}, {tuple(labels.shape)}")
        labels = labels.long()
        if n and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise ValueError(f"{expected}; got {int(labels.min())} to {int(labels.max())}")
        return labels


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Args:
        inputs, channels: the colours of the horizontal channels below and here.
        kernel: side of the square.
        kind: mask of the horizontal convolution.
        classes: number of classes, or None.

    Attributes:
        vertical: reads row r and the kernel // 2 rows above it; 2p channels, before the gate.
        horizontal: reads kernel // 2 pixels to the left, and the pixel itself as the mask allows; 2p channels.
        link: from the vertical 2p channels to the horizontal ones, 1x1.
        mix: acts on the gated horizontal channels, 1x1.
        of_class: (classes, 4p) biases of each class, for the vertical and the horizontal stack; or None.
    """

    def __init__(self, inputs: Sequence[int], channels: Sequence[int], kernel: int, kind: str, classes: int | None):
        super().__init__()
        reach, gates = kernel // 2, [*channels, *channels]
        self.vertical = ShiftedConv2d(len(inputs), len(gates), above=reach, left=reach, right=reach)
        self.horizontal = MaskedConv2d(kind, inputs, gates, left=reach)
        self.link = nn.Conv2d(len(gates), len(gates), 1, bias=False)
        self.mix = MaskedConv2d("B", channels, channels)
        self.of_class = None if classes is None else nn.Parameter(torch.zeros(classes, 2 * len(gates)))

    def label_biases(self, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The biases of int64 labels, for the vertical and the horizontal stack: (n or 1, 2p or 1, 1, 1) each."""
        if self.of_class is None:
            nothing = self.link.weight.new_zeros(1, 1, 1, 1)
            return nothing, nothing
        return self.of_class[labels, :, None, None].chunk(2, 1)


def gate(a: torch.Tensor) -> torch.Tensor:
    """tanh of the first half of the channels, times sigmoid of the second: (n, 2p, ...) -> (n, p, ...)."""
    value, opening = a.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(opening)


def one_row_down(a: torch.Tensor) -> torch.Tensor:
    """Each row moved down by one, with zeros in the first row: (n, channels, H, W)."""
    return F.pad(a, (0, 0, 1, -1))
