"""Autoencoders: a code z = f(x) from which a second network makes x again, as nearly as it can.

Without hidden layers and convolutions both networks are linear. The best code then spans the subspace of the first L
principal components, though not by these components themselves: P. Baldi and K. Hornik, "Neural networks and principal
component analysis: learning from examples without local minima", Neural Networks 2, 1989. With hidden layers: G. E.
Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 2006.
"""

from collections.abc import Sequence

import torch

from course_lib.models.base import Model
from course_lib.nn import Decoder, Encoder


class Autoencoder(Model):
    """An autoencoder with squared error. It is not a distribution: it has neither `log_prob` nor `sample`.

    The networks read and write x / (K - 1), or real x as they are.

    Args:
        event_shape: (D,), or (C, H, W) with convolutions.
        levels: K, or None for real x.
        latents: length L of the code.
        hidden, channels: layers of the encoder, see `course_lib.nn.Encoder`; the decoder has them in reverse. With
            neither both networks are linear.

    Attributes:
        encoder, decoder: the networks.
        loss_unit: what `fit` calls the unit of its losses.

    Raises:
        ValueError: a size is below 1, or see `Model`.

    >>> model = Autoencoder((1, 8, 8), levels=2, latents=2, hidden=[50], channels=[16])
    >>> x = torch.zeros(3, 1, 8, 8, dtype=torch.long)
    >>> model.encode(x).shape, model.reconstruct(x).shape, model.squared_error(x).shape
    (torch.Size([3, 2]), torch.Size([3, 1, 8, 8]), torch.Size([3]))
    """

    loss_unit = "squared error"

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        latents: int,
        hidden: Sequence[int] = (),
        *,
        channels: Sequence[int] = (),
    ):
        super().__init__(event_shape, levels)
        if latents < 1:
            raise ValueError(f"latents is {latents}; expected at least 1")
        self.latents = latents
        self.encoder = Encoder(self.event_shape, latents, hidden, channels)
        self.decoder = Decoder(latents, self.event_shape, 1, hidden[::-1], channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The reconstruction of x, (n, *event_shape), on the scale that the networks read."""
        return self.decoder(self.encoder(self._scaled(x))).squeeze(1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The codes of x (n, *event_shape): (n, L). Raises ValueError if x has another shape, dtype or range."""
        self._check(x)
        return self.encoder(self._scaled(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """What codes z (n, L) stand for: (n, *event_shape) real numbers on x's own scale.

        Raises:
            ValueError: z has another shape.
        """
        if z.shape[1:] != (self.latents,):
            raise ValueError(f"z must have shape (n, {self.latents}); got {tuple(z.shape)}")
        return self.decoder(z).squeeze(1) * self._scale()

    @torch.no_grad()
    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """decode(encode(x)): (n, *event_shape) real numbers on x's own scale. Raises ValueError as `encode` does."""
        return self.decode(self.encode(x))

    def squared_error(self, x: torch.Tensor) -> torch.Tensor:
        """The squared distance of x from its reconstruction, as the networks read them: (n,).

        Raises:
            ValueError: as in `encode`.
        """
        self._check(x)
        difference = (self._scaled(x) - self(x)).float()
        return difference.square().flatten(1).sum(1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """What `fit` minimises: the mean of the squared errors."""
        return self.squared_error(x).mean()

    def _scale(self) -> int:
        return 1 if self.levels is None else self.levels - 1

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.encoder.layers[0].weight.dtype) / self._scale()
