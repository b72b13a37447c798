"""BiGAN: a GAN with an encoder, in which the discriminator sees x and z together.

    min over G and E, max over D:   E_data[log D(x, E(x))] + E_z[log(1 - D(G(z), z))]

J. Donahue, P. Krähenbühl and T. Darrell, "Adversarial Feature Learning", ICLR 2017. V. Dumoulin et al., "Adversarially
Learned Inference", ICLR 2017, is the same game with an encoder that draws z. Where it is at its equilibrium, both pairs
have one distribution, and E inverts G.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.implicit import ImplicitModel
from course_lib.nn.adversarial import ADVERSARIAL_LOSSES

LOSS = ADVERSARIAL_LOSSES["non-saturating"]


class BiGAN(ImplicitModel):
    """A BiGAN with fully connected networks: ReLU in generator and encoder, leaky ReLU of slope 0.2 in D.

    `course_lib.training.fit_game` trains it: one optimizer has the parameters of the generator and of the encoder.

    Args:
        event_shape, levels, noise: as in `ImplicitModel`.
        hidden: widths of the hidden layers of the discriminator and of the encoder; the generator has them in reverse.

    Attributes:
        generator, encoder, discriminator: the networks. The discriminator reads x and z as one vector.

    Raises:
        ValueError: a width is below 1, or see `ImplicitModel`.

    >>> model = BiGAN((1, 8, 8), levels=16, noise=10, hidden=[50])
    >>> x = model.sample(3)
    >>> model.encode(x).shape, model.reconstruct(x).shape, model.logits(x, model.encode(x)).shape
    (torch.Size([3, 10]), torch.Size([3, 1, 8, 8]), torch.Size([3]))
    """

    def __init__(self, event_shape: Sequence[int], levels: int | None, noise: int, hidden: Sequence[int] = (256, 256)):
        super().__init__(event_shape, levels, noise)
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be at least 1; got {', '.join(map(str, hidden))}")
        D = math.prod(self.event_shape)
        to_x = [_layers([noise, *hidden[::-1], D], nn.ReLU()), nn.Unflatten(1, self.event_shape)]
        self.generator = nn.Sequential(*to_x, *([nn.Tanh()] if self.levels is not None else []))
        self.encoder = nn.Sequential(nn.Flatten(), _layers([D, *hidden, noise], nn.ReLU()))
        self.discriminator = _layers([D + noise, *hidden, 1], nn.LeakyReLU(0.2))

    def _generate(self, z: torch.Tensor, labels: None = None) -> torch.Tensor:
        return self.generator(z)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """E(x), (n, L). Raises ValueError if x has another shape, dtype or range."""
        self._check(x)
        return self.encoder(self._scaled(x))

    @torch.no_grad()
    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """G(E(x)), real numbers on x's own scale: no loss asks for it to be near x. Raises ValueError as `encode`."""
        return self.generate(self.encode(x))

    def logits(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The discriminator's l(x, z), (n,): positive where it takes the pair for (x, E(x)) of the data.

        Args:
            x: (n, *event_shape), levels or real numbers, or what `generate` gives.
            z: (n, L).
        """
        return self._logits(self._scaled(x), z)

    def discriminator_loss(self, x: torch.Tensor) -> torch.Tensor:
        """-mean log D(x, E(x)) - mean log(1 - D(G(z), z)), with as many z as x. Its gradient reaches D alone.

        Raises:
            ValueError: x has another shape, dtype or range.
        """
        with torch.no_grad():
            of_data, of_noise = self._pairs(x)
        return LOSS.discriminator(self._logits(*of_data), self._logits(*of_noise))

    def generator_loss(self, x: torch.Tensor) -> torch.Tensor:
        """The same with flipped labels, which G and E lower together: -mean log D(G(z), z) - mean log(1 - D(x, E(x))).

        The minimax loss itself, minus that of the discriminator, would saturate; both have the same equilibrium.

        Raises:
            ValueError: x has another shape, dtype or range.
        """
        of_data, of_noise = self._pairs(x)
        return LOSS.discriminator(self._logits(*of_noise), self._logits(*of_data))

    def _pairs(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """(x, E(x)) and (G(z), z), on the networks' scale."""
        self._check(x)
        x, z = self._scaled(x), self._draw(len(x))
        return (x, self.encoder(x)), (self.generator(z), z)

    def _logits(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        pair = torch.cat([x.flatten(1), z.to(x.dtype)], 1)
        return distributions.at_least_float32(self.discriminator(pair)).squeeze(1)


def _layers(sizes: Sequence[int], unit: nn.Module) -> nn.Sequential:
    """Linear layers with units between them."""
    first, *others = (nn.Linear(a, b) for a, b in pairwise(sizes))
    return nn.Sequential(first, *(layer for linear in others for layer in (unit, linear)))
