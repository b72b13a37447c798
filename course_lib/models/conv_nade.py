"""The convolutional NADE, ConvNADE: an orderless NADE whose network knows which pixels are neighbours.

The mask of the observed pixels is a second channel of the image. The loss is that of orderless NADE.

B. Uria, M.-A. Côté, K. Gregor, I. Murray and H. Larochelle, "Neural Autoregressive Distribution Estimation", JMLR 17,
2016. The authors' networks shrink the maps by convolutions without padding and enlarge them again; here the maps are
padded and keep their size, which suits small images.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from course_lib.models.orderless_nade import Orderless


class ConvNADE(Orderless):
    """A convolutional orderless NADE over binary images with one channel.

    `forward` gives the logits of p(x_d = 1 | before), (batch, 1, height, width).

    Args:
        event_shape: (1, height, width).
        channels: number of channels of the hidden layers.
        layers: number of hidden layers.
        kernel: side of the convolutions, odd. A pixel's logit depends on pixels up to
            (layers + 1) (kernel - 1) / 2 rows and columns away.
        order: (D,) permutation of `forward`, `log_prob` and `sample`; raster order by default.

    Attributes:
        convolutions: maps (value, mask) to one logit a pixel, the same everywhere.
        bias: (1, height, width), each pixel's own.

    Raises:
        ValueError: event_shape is no such shape, a size is too small, kernel is even, or order is no permutation.

    >>> model = ConvNADE((1, 8, 8), channels=16, layers=3, kernel=5)
    >>> model.sample(2, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self, event_shape: Sequence[int], channels: int, layers: int, kernel: int, order: Sequence[int] | None = None
    ):
        super().__init__(event_shape, levels=2, order=order)
        if len(self.event_shape) != 3 or self.event_shape[0] != 1:
            raise ValueError(f"event_shape is {self.event_shape}; expected (1, height, width)")
        if channels < 1 or layers < 1 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(
                f"expected positive channels and layers and an odd kernel; got {channels}, {layers} and {kernel}"
            )
        sizes = [2, *[channels] * layers, 1]
        steps = []
        for n_in, n_out in pairwise(sizes):
            steps += [nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2), nn.ReLU()]
        self.convolutions = nn.Sequential(*steps[:-1])
        self.bias = nn.Parameter(torch.zeros(self.event_shape))

    def network(self, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        observed = observed.expand(x.shape)
        return self.convolutions(torch.cat([x * observed, observed], 1).to(self.bias.dtype)) + self.bias
