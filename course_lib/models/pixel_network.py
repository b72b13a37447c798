"""What PixelCNN and PixelRNN share: everything but their layers.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3 and
Table 1: a convolution with mask A, residual blocks with mask B, and two 1x1 convolutions with mask B.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from course_lib.models.images import ImageModel
from course_lib.nn import MaskedConv2d, PixelSteps, colour_groups


class BlockSteps(Protocol):
    """The branch of a residual block, for images that become known pixel by pixel: see `PixelSteps`."""

    def begin_row(self, r: int) -> None: ...

    def __call__(self, c: int, colour: int, h: torch.Tensor) -> torch.Tensor: ...


class PixelNetwork(ImageModel):
    """A network of residual blocks over images of K levels. `ImageModel` has the layout of its logits.

    Args:
        event_shape: (C, H, W).
        levels: K.
        channels: number h of channels (feature maps) inside the residual blocks; between them there are 2h. Each
            channel belongs to one colour, so h must be at least C.
        layers: number of residual blocks.
        block: makes the branch of a residual block from the colours of the 2h and of the h channels: a module with a
            method `steps(shape)`, which gives `BlockSteps` for n images of H x W.
        kernels: sides of the blocks' square convolutions.
        first_kernel: side of the first convolution, odd.
        head: number of channels before the logits.
        position_bias: add a learned number to each of the first layer's channels at each pixel, since a convolution
            does not know its position. This is not in the paper; it helps with small images.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. What labels and context add, they
            add to the first layer's channels. (The paper's model has neither.)

    Attributes:
        first, head, output: the masked convolutions.
        blocks: the branches of the residual blocks.
        position: (2h, H, W), or None.
        condition: what labels and context add, see `course_lib.nn.Condition`.

    Raises:
        ValueError: event_shape is not the shape of an image, a size is too small, or a kernel is even.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        channels: int,
        layers: int,
        block: Callable[[Sequence[int], Sequence[int]], nn.Module],
        *,
        kernels: Sequence[int],
        first_kernel: int,
        head: int,
        position_bias: bool,
        classes: int | Sequence[int] | None,
        context_channels: int,
    ):
        given = dict(classes=classes, context_channels=context_channels)
        super().__init__(event_shape, levels, kernels=[*kernels, first_kernel], **given)
        if layers < 0:
            raise ValueError(f"layers must be at least 0; got {layers}")
        colours, height, width = self.event_shape
        inner, outer = colour_groups(channels, colours), colour_groups(2 * channels, colours)
        last, reach = colour_groups(head, colours), first_kernel // 2
        self.first = MaskedConv2d("A", range(colours), outer, above=reach, left=reach, right=reach)
        self.position = nn.Parameter(torch.zeros(2 * channels, height, width)) if position_bias else None
        self.condition = self._condition(2 * channels)
        self.blocks = nn.ModuleList(block(outer, inner) for _ in range(layers))
        self.head = MaskedConv2d("B", outer, last)
        self.output = MaskedConv2d("B", last, self._logit_colours())

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        h = self.first(self._scaled(x)) + self._start(labels, context)
        for block in self.blocks:
            h = h + block(h)
        return self._logits(self.output(torch.relu(self.head(torch.relu(h)))))

    def _start(self, labels: torch.Tensor | None, context: torch.Tensor | None) -> torch.Tensor:
        """What is added to the first layer's channels: (n or 1, 2h, H or 1, W or 1)."""
        start = self.condition(labels, context)
        return start if self.position is None else start + self.position

    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Each channel of each pixel once, as soon as the pixel's earlier colours are known."""
        colours, height, width = self.event_shape
        shape = len(x), height, width
        first, head, output = (PixelSteps(conv, shape) for conv in (self.first, self.head, self.output))
        blocks = [block.steps(shape) for block in self.blocks]
        start = self._start(labels, context).detach().expand(-1, -1, height, -1)
        for r in range(height):
            first.begin_row(r, start[:, :, r])
            for steps in (*blocks, head, output):
                steps.begin_row(r)
            for c in range(width):
                for colour in range(colours):
                    h = first.read(c, colour)
                    for block in blocks:
                        h = h + block(c, colour, h)
                    logits = output(c, colour, torch.relu(head(c, colour, torch.relu(h))))
                    yield self._logits_of_one_colour(logits)
                    first.write(c, colour, self._scaled(x[:, colour, r, c, None]))
