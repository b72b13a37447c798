"""The convolutional NADE, ConvNADE: an orderless NADE whose network knows which pixels are neighbours.

The mask of the observed pixels is a second channel of the image. The loss is that of orderless NADE.

B. Uria, M.-A. Côté, K. Gregor, I. Murray and H. Larochelle, "Neural Autoregressive Distribution Estimation", JMLR 17,
2016. The authors' networks shrink the maps by convolutions without padding and enlarge them again. Here, for small
images and short training, the maps are padded and keep their size, and each layer adds to the one below (K. He,
X. Zhang, S. Ren and J. Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016).
"""

from collections.abc import Sequence

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
        first, hidden, last: the convolutions; the first one reads the channels (value, mask).
        position: (channels, height, width), added to the first layer's maps: what no convolution knows is where it is.

    Raises:
        ValueError: event_shape is not (colours, height, width), a size is too small, kernel is even, or order is not a
            permutation.

    >>> model = ConvNADE((1, 8, 8), channels=16, layers=3, kernel=3)
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
        self.first = nn.Conv2d(2, channels, kernel, padding="same")
        self.position = nn.Parameter(torch.zeros(channels, *self.event_shape[1:]))
        self.hidden = nn.ModuleList(nn.Conv2d(channels, channels, kernel, padding="same") for _ in range(layers - 1))
        self.last = nn.Conv2d(channels, 1, kernel, padding="same")

    def network(self, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        observed = observed.expand(x.shape)
        h = self.first(torch.cat([x * observed, observed], 1).to(self.position.dtype)) + self.position
        for layer in self.hidden:
            h = h + layer(torch.relu(h))
        return self.last(torch.relu(h))
