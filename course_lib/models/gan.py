"""Generative adversarial networks: a generator learns from a discriminator, which learns to tell samples from data.

    min over G, max over D:   E_data[log D(x)] + E_z[log(1 - D(G(z)))]

I. Goodfellow et al., "Generative Adversarial Nets", NIPS 27, 2014, equation 1. `GAN` has fully connected networks, as
there. `DCGAN` has convolutions: A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", ICLR 2016.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrizations

from course_lib import distributions
from course_lib.models.implicit import ImplicitModel
from course_lib.nn.adversarial import ADVERSARIAL_LOSSES, clip_weights, gradient_penalty, r1_penalty
from course_lib.nn.condition import Condition

STRENGTHS = {"gradient": 10.0, "r1": 10.0, "clip": 0.01}


class Generator(nn.Module):
    """From z, and labels if there are classes, to x: a linear layer, to which the labels add, and the layers after it.

    Labels as further inputs of the first layer: M. Mirza and S. Osindero, "Conditional Generative Adversarial Nets",
    arXiv:1411.1784.
    """

    def __init__(self, first: nn.Linear, rest: nn.Module, classes: Sequence[int]):
        super().__init__()
        self.first, self.rest = first, rest
        self.condition = Condition(first.out_features, classes, 0, space=0) if classes else None

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """(n, *event_shape) on the networks' scale, from z (n, L)."""
        h = self.first(z)
        return self.rest(h if self.condition is None else h + self.condition(labels))


class Discriminator(nn.Module):
    """From x, and labels if there are classes, to a logit: w . h(x) + b + u_y . h(x).

    The vector u_y of a class is compared with the features h(x): T. Miyato and M. Koyama, "cGANs with Projection
    Discriminator", ICLR 2018.
    """

    def __init__(self, features: nn.Module, output: nn.Linear, classes: Sequence[int]):
        super().__init__()
        self.features, self.output = features, output
        self.condition = Condition(output.in_features, classes, 0, space=0) if classes else None

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (n,), from x (n, *event_shape) on the networks' scale."""
        h = self.features(x)
        logits = self.output(h).squeeze(1)
        return logits if self.condition is None else logits + (self.condition(labels) * h).sum(1)


class AdversarialModel(ImplicitModel):
    """A generator and a discriminator with their losses, which `course_lib.training.fit_game` lowers in turn.

    A model sets `generator` and `discriminator` and calls `_finish`.

    Args:
        event_shape, levels, noise, classes: as in `ImplicitModel`.
        loss: `non-saturating`, `minimax`, `hinge` or `wasserstein`, see `course_lib.nn.adversarial`.
        penalty: `gradient` adds `gradient_penalty` to the discriminator's loss, and `r1` adds `r1_penalty`; `clip`
            clips the discriminator's weights after each of its steps. None for none.
        strength: the penalty's weight, 10 by default, or the largest weight after clipping, 0.01 by default.
        spectral_norm: divide each weight matrix of the discriminator by its largest singular value: T. Miyato et al.,
            "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.

    Attributes:
        generator, discriminator: the networks, see `Generator` and `Discriminator`.

    Raises:
        ValueError: loss or penalty has another name, or strength is not positive, or see `ImplicitModel`.
    """

    generator: Generator
    discriminator: Discriminator

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        noise: int,
        *,
        loss: str = "non-saturating",
        penalty: Literal["gradient", "r1", "clip"] | None = None,
        strength: float | None = None,
        spectral_norm: bool = False,
        classes: int | Sequence[int] | None = None,
    ):
        super().__init__(event_shape, levels, noise, classes=classes)
        if loss not in ADVERSARIAL_LOSSES:
            raise ValueError(f"loss is {loss!r}; expected one of {', '.join(map(repr, ADVERSARIAL_LOSSES))}")
        if penalty not in (None, *STRENGTHS):
            raise ValueError(f"penalty is {penalty!r}; expected None or one of {', '.join(map(repr, STRENGTHS))}")
        if strength is not None and (penalty is None or not 0 < strength < math.inf):
            raise ValueError(f"strength is {strength} of the penalty {penalty!r}; expected a positive number of one")
        self.losses, self.penalty, self.spectral_norm = ADVERSARIAL_LOSSES[loss], penalty, spectral_norm
        self.strength = STRENGTHS.get(penalty, 0.0) if strength is None else strength

    def _finish(self, generator: Generator, discriminator: Discriminator) -> None:
        """Take the networks. Spectral normalization comes after the initial weights have been drawn."""
        self.generator, self.discriminator = generator, discriminator
        if self.spectral_norm:
            for layer in discriminator.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    parametrizations.spectral_norm(layer)

    def _generate(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.generator(z, labels)

    def logits(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """The discriminator's l(x), (n,): positive where it takes x for data. D(x) = sigma(l(x)).

        Args:
            x: (n, *event_shape), levels or real numbers, or what `generate` gives.
            labels: (n,) or (n, kinds), for a conditional model.

        Raises:
            ValueError: x or labels has another shape or range, is missing or not taken.
        """
        if not (isinstance(x, torch.Tensor) and x.is_floating_point() and tuple(x.shape[1:]) == self.event_shape):
            self._check(x)
        return self._logits(self._scaled(x), **self._given(len(x), labels, None))

    def discriminator_loss(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """What the discriminator lowers: its loss on x and on as many samples, with the penalty. A scalar.

        Its gradient does not reach the generator. Samples have the labels of x.

        Raises:
            ValueError: x or labels has another shape, dtype or range, is missing or not taken.
        """
        self._check(x)
        given, real = self._given(len(x), labels, None), self._scaled(x)
        with torch.no_grad():
            fake = self._generate(self._draw(len(x)), **given)
        loss = self.losses.discriminator(self._logits(real, **given), self._logits(fake, **given))
        if self.penalty == "gradient":
            loss = loss + gradient_penalty(lambda x: self._logits(x, **given), real, fake, weight=self.strength)
        elif self.penalty == "r1":
            loss = loss + r1_penalty(lambda x: self._logits(x, **given), real, weight=self.strength)
        return loss

    def generator_loss(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """What the generator lowers: its loss on as many samples as there are x, which it does not read. A scalar.

        Its gradient passes through the discriminator. Samples have the labels given.
        """
        given = self._given(len(x), labels, None)
        return self.losses.generator(self._logits(self._generate(self._draw(len(x)), **given), **given))

    def constrain(self) -> None:
        """What follows each step of the discriminator: clipping of its weights, where that is the penalty."""
        if self.penalty == "clip":
            clip_weights(self.discriminator, self.strength)

    def _logits(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return distributions.at_least_float32(self.discriminator(x, labels))


class GAN(AdversarialModel):
    """A GAN with fully connected networks: ReLU in the generator, leaky ReLU of slope 0.2 in the discriminator.

    The generator ends in tanh if x has levels, and in a linear layer if x is real.

    Args:
        event_shape, levels, noise: as in `ImplicitModel`.
        hidden: widths of the hidden layers of either network.
        settings: loss, penalty, strength, spectral_norm and classes, see `AdversarialModel`.

    Raises:
        ValueError: a width is below 1, or see `AdversarialModel`.

    >>> model = GAN((2,), levels=None, noise=2, hidden=[64, 64])
    >>> x = model.sample(5)
    >>> x.shape, model.logits(x).shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None = None,
        noise: int = 2,
        hidden: Sequence[int] = (128, 128),
        **settings: Any,
    ):
        super().__init__(event_shape, levels, noise, **settings)
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be at least 1; got {', '.join(map(str, hidden))}")
        D = math.prod(self.event_shape)
        first, *others = (nn.Linear(a, b) for a, b in pairwise([noise, *hidden, D]))
        rest = [layer for linear in others for layer in (nn.ReLU(), linear)]
        rest += [nn.Tanh()] if self.levels is not None else []
        generator = Generator(first, nn.Sequential(*rest, nn.Unflatten(1, self.event_shape)), self.classes)
        features = [layer for a, b in pairwise([D, *hidden]) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        output = nn.Linear([D, *hidden][-1], 1)
        self._finish(generator, Discriminator(nn.Sequential(nn.Flatten(), *features), output, self.classes))


class DCGAN(AdversarialModel):
    """A GAN of images by the rules of "DCGAN", section 3.

    * The generator doubles the grid by transposed convolutions of stride 2, and the discriminator halves it by
      convolutions of stride 2: neither pooling nor hidden layers that are fully connected.
    * Batch normalization in every layer, but not in the generator's output and the discriminator's input.
    * In the generator ReLU, and tanh at the end; in the discriminator leaky ReLU of slope 0.2.
    * Initial weights from N(0, 0.02^2).

    With a gradient penalty, R1 or spectral normalization, the discriminator has no batch normalization: each logit
    depends on one image. The kernels are 4x4 here, which makes every place of the larger grid depend on equally many
    places of the smaller one.

    Subclasses replace a rule by overriding the method that states it.

    Args:
        event_shape: (colours, height, width); both sizes are divisible by 2 as often as there are `channels`.
        levels, noise: as in `ImplicitModel`.
        channels: of the discriminator's convolutions; the generator has them in reverse.
        settings: loss, penalty, strength, spectral_norm and classes, see `AdversarialModel`.

    Raises:
        ValueError: a size cannot be halved so often, or see `AdversarialModel`.

    >>> model = DCGAN((1, 28, 28), levels=256, noise=64, channels=[16, 32]).eval()
    >>> x = model.sample(3)
    >>> x.shape, x.dtype, model.logits(x).shape
    (torch.Size([3, 1, 28, 28]), torch.int64, torch.Size([3]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        noise: int = 32,
        channels: Sequence[int] = (32, 64),
        **settings: Any,
    ):
        super().__init__(event_shape, levels, noise, **settings)
        if not channels or any(number < 1 for number in channels):
            raise ValueError(f"channels must be one or more positive numbers; got {list(channels)}")
        factor = 2 ** len(channels)
        if len(self.event_shape) != 3 or self.event_shape[1] % factor or self.event_shape[2] % factor:
            raise ValueError(
                f"event_shape is {self.event_shape}; {len(channels)} halvings need (colours, height, width) with "
                f"height and width divisible by {factor}"
            )
        colours, height, width = self.event_shape
        smallest = channels[-1], height // factor, width // factor
        each_alone = self.penalty in ("gradient", "r1") or self.spectral_norm

        rest: list[nn.Module] = [nn.Unflatten(1, smallest), self._normalization(channels[-1]), self._unit()]
        for a, b in pairwise(channels[::-1]):
            rest += [self._doubling(a, b), self._normalization(b), self._unit()]
        rest += [self._doubling(channels[0], colours), self._output_unit()]
        generator = Generator(nn.Linear(noise, math.prod(smallest)), nn.Sequential(*rest), self.classes)

        features: list[nn.Module] = [self._halving(colours, channels[0]), self._leaky_unit()]
        for a, b in pairwise(channels):
            normalization = nn.Identity() if each_alone else self._normalization(b)
            features += [self._halving(a, b), normalization, self._leaky_unit()]
        output = nn.Linear(math.prod(smallest), 1)
        discriminator = Discriminator(nn.Sequential(*features, nn.Flatten()), output, self.classes)

        for layer in (*generator.modules(), *discriminator.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                self._initialize(layer)
        self._finish(generator, discriminator)

    # The rules

    def _doubling(self, inputs: int, outputs: int) -> nn.Module:
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def _halving(self, inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)

    def _normalization(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def _unit(self) -> nn.Module:
        return nn.ReLU()

    def _leaky_unit(self) -> nn.Module:
        return nn.LeakyReLU(0.2)

    def _output_unit(self) -> nn.Module:
        return nn.Tanh()

    def _initialize(self, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> None:
        nn.init.normal_(layer.weight, 0.0, 0.02)
        nn.init.zeros_(layer.bias)
