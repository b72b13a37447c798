"""PixelCNN: an autoregressive model of images whose conditionals share one masked convolutional network.

A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3 and
Table 1: a convolution with mask A, residual blocks 1x1 - kxk - 1x1 with mask B, and two 1x1 convolutions with mask B.

The kernel of a masked convolution does not cover the right part of its own row. However many layers there are, this
leaves a *blind spot*: earlier pixels, above and to the right, on which the output does not depend. `GatedPixelCNN` has
no blind spot.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib.models.images import ImageModel
from course_lib.nn import MaskedConv2d, PixelSteps, colour_groups


class PixelCNN(ImageModel):
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
        given = dict(classes=classes, context_channels=context_channels)
        super().__init__(event_shape, levels, kernels=[kernel, first_kernel], **given)
        if layers < 0:
            raise ValueError(f"layers must be at least 0; got {layers}")
        colours, height, width = self.event_shape
        pixel, inner, outer = range(colours), colour_groups(channels, colours), colour_groups(2 * channels, colours)
        last = colour_groups(head, colours)
        self.first = MaskedConv2d("A", pixel, outer, **_reach(first_kernel))
        self.position = nn.Parameter(torch.zeros(2 * channels, height, width)) if position_bias else None
        self.condition = self._condition(2 * channels)
        self.blocks = nn.ModuleList(ResidualBlock(outer, inner, kernel) for _ in range(layers))
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
        blocks = [[PixelSteps(conv, shape) for conv in block.convolutions()] for block in self.blocks]
        inside = [steps for block in blocks for steps in block]
        start = self._start(labels, context).detach().expand(-1, -1, height, -1)
        for r in range(height):
            first.begin_row(r, start[:, :, r])
            for steps in (*inside, head, output):
                steps.begin_row(r)
            for c in range(width):
                for colour in range(colours):
                    h = first.read(c, colour)
                    for block in blocks:
                        branch = h
                        for steps in block:
                            branch = steps(c, colour, torch.relu(branch))
                        h = h + branch
                    logits = output(c, colour, torch.relu(head(c, colour, torch.relu(h))))
                    yield self._logits_of_one_colour(logits)
                    first.write(c, colour, self._scaled(x[:, colour, r, c, None]))


class ResidualBlock(nn.Module):
    """The branch of a residual block, without its input: relu, 1x1, relu, kxk, relu, 1x1 (Figure 5, left)."""

    def __init__(self, outer: Sequence[int], inner: Sequence[int], kernel: int):
        super().__init__()
        self.reduce = MaskedConv2d("B", outer, inner)
        self.spread = MaskedConv2d("B", inner, inner, **_reach(kernel))
        self.enlarge = MaskedConv2d("B", inner, outer)

    def convolutions(self) -> tuple[MaskedConv2d, ...]:
        return self.reduce, self.spread, self.enlarge

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions():
            h = convolution(torch.relu(h))
        return h


def _reach(kernel: int) -> dict[str, int]:
    return dict(above=kernel // 2, left=kernel // 2, right=kernel // 2)
