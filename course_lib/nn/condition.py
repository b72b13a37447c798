"""What a conditional model knows besides x: class labels, and a context."""

from collections.abc import Sequence

import torch
from torch import nn


class Condition(nn.Module):
    """What labels and a context add to the channels of a layer: U_1[y_1] + U_2[y_2] + ... + A s.

    Each label y_j chooses a row of U_j. The matrix A is applied to the context s at each place: a 1x1 convolution.
    All weights start at 0, so a new model ignores what it is given.

    A. van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", NIPS 29, 2016, section 2.3.

    Args:
        outputs: number of the layer's channels.
        classes: number of classes of each kind of label.
        context_channels: number of channels of the context, 0 for none.
        space: number of axes after the layer's channels.

    Attributes:
        of_class: U_1, U_2, ... below each other, (sum of classes, outputs); None without labels.
        of_context: A, (outputs, context_channels); None without a context.

    >>> condition = Condition(8, classes=(10,), context_channels=3, space=2)
    >>> condition(torch.tensor([4, 9]), torch.zeros(2, 3, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, outputs: int, classes: Sequence[int], context_channels: int, *, space: int):
        super().__init__()
        self.of_class = nn.Parameter(torch.zeros(sum(classes), outputs)) if classes else None
        self.of_context = nn.Parameter(torch.zeros(outputs, context_channels)) if context_channels else None
        # Zeros of an integer dtype take on the dtype of what they are added to.
        nothing = torch.zeros(1, outputs, *[1] * space, dtype=torch.int8)
        self.register_buffer("nothing", nothing, persistent=False)
        starts = [sum(classes[:j]) for j in range(len(classes))]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.long), persistent=False)

    def forward(self, labels: torch.Tensor | None = None, context: torch.Tensor | None = None) -> torch.Tensor:
        """(n or 1, outputs, *sizes), where the sizes are those of the context, or ones without a context.

        Args:
            labels: (n,) or, with several kinds, (n, kinds), of any integer dtype.
            context: (n, context_channels, *sizes).
        """
        added = self.nothing
        if self.of_class is not None:
            rows = labels.view(-1, len(self.starts)).long() + self.starts  # an index of uint8 would be taken for a mask
            added = added + self.of_class[rows].sum(1).view(len(rows), *added.shape[1:])
        if self.of_context is not None:
            context = context.to(self.of_context.dtype)
            added = added + torch.einsum("oc,nc...->no...", self.of_context, context)
        return added
