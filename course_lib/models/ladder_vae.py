"""The ladder VAE: levels of latent variables, each inferred from x and from the level above it.

    p(z) = p(z_T) p(z_{T-1} | z_T) ... p(z_1 | z_2),     T levels; z_1 is the lowest, nearest to x
    q(z | x) = q(z_T | x) q(z_{T-1} | z_T, x) ... q(z_1 | z_2, x)

Both go from the top to the bottom, and share their networks: with the prior N(m, v) of a level given the one above, and
what x says of this level, N(a, b) (an approximate likelihood from the encoder),

    q = N((m / v + a / b) s, s),     1 / s = 1 / v + 1 / b:

precisions add up, and means are weighted by them. C. K. Sønderby, T. Raiko, L. Maaløe, S. K. Sønderby and O. Winther,
"Ladder Variational Autoencoders", NIPS 29, 2016. There p(x | z) reads z_1 alone, each level has deterministic layers of
its own on the way up, and batch normalization; here p(x | z) reads all levels, and one encoder serves all of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.models.latent import DiagonalGaussian, Draws
from course_lib.models.likelihoods import Likelihood
from course_lib.models.pixel_vae import PixelLikelihood
from course_lib.models.vae import VAE


class LadderTerms(NamedTuple):
    """The terms of the ELBO of each image, in nats, from one draw of z.

    Attributes:
        reconstruction: log p(x | z), (n,).
        kl: the sum of `kl_by_level`, (n,).
        sampled_kl: its estimate log q(z | x) - log p(z) from the draw, (n,).
        kl_by_level: KL(q(z_i | z_{i+1}, x) || p(z_i | z_{i+1})) in closed form for the drawn z_{i+1}, (n, T), the top
            level first. Its mean over the draws is the level's part of KL(q(z | x) || p(z)).
    """

    reconstruction: torch.Tensor
    kl: torch.Tensor
    sampled_kl: torch.Tensor
    kl_by_level: torch.Tensor


class Downward(NamedTuple):
    """The network of p(z_i | z_{i+1}), a normal distribution with (mean, log_variance) = V tanh(W z_{i+1} + b) + c.

    Attributes:
        W, b, V, c: (H, size above), (H,), (2 size, H) and (2 size,).
    """

    W: torch.Tensor
    b: torch.Tensor
    V: torch.Tensor
    c: torch.Tensor

    def given(self, above: torch.Tensor) -> DiagonalGaussian:
        """p(z_i | above), for above (*draws, n, size above)."""
        h = torch.tanh(F.linear(above.to(self.W.dtype), self.W, self.b))
        return DiagonalGaussian(*distributions.at_least_float32(F.linear(h, self.V, self.c)).chunk(2, -1))


class TopDown(NamedTuple):
    """A distribution of z whose levels are drawn from the top to the bottom, each given the one above it.

    Attributes:
        downward: the networks of p(z_i | z_{i+1}), from the top down.
        likelihoods: what x says of each level, the top first, by which p(z_i | z_{i+1}) is corrected; none for p(z).
    """

    downward: tuple[Downward, ...]
    likelihoods: tuple[DiagonalGaussian, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of latent variables of each level, the top first: this is the order of z."""
        return self.downward[0].W.shape[1], *(len(network.c) // 2 for network in self.downward)

    def conditional(self, i: int, above: torch.Tensor | None) -> DiagonalGaussian:
        """The distribution of level i, 0 for the top, given the level above it, (*draws, n, size); None for the top."""
        if above is not None:
            prior = self.downward[i - 1].given(above)
            return merged(prior, self.likelihoods[i]) if self.likelihoods else prior
        if self.likelihoods:
            return self.likelihoods[0]
        weight = self.downward[0].W
        zeros = weight.new_zeros(1, self.sizes[0], dtype=torch.promote_types(weight.dtype, torch.float32))
        return DiagonalGaussian(zeros, zeros)

    def levels(self, z: torch.Tensor) -> list[DiagonalGaussian]:
        """The distribution of each level given the one above it, for z (*draws, n, L)."""
        parts = z.split(self.sizes, -1)
        return [self.conditional(i, above) for i, above in enumerate([None, *parts[:-1]])]

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """z as a function of the parameters, (*draws, n, L): see `DiagonalGaussian.draw`."""
        z = []
        for i, u in enumerate(uniforms.split(self.sizes, -1)):
            z.append(self.conditional(i, z[-1] if z else None).draw(u))
        return torch.cat(z, -1)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density in nats: (*draws, n) for z (*draws, n, L)."""
        parts = zip(self.levels(z), z.split(self.sizes, -1), strict=True)
        return sum(level.log_prob(part) for level, part in parts)

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z for each of k draws, from uniforms (k, n, L)."""
        z = self.draw(uniforms)
        return Draws.of(z, self.log_prob(z))

    def kl(self, prior: "TopDown") -> None:
        """None: the KL divergence has no closed form."""

    @property
    def mean(self) -> torch.Tensor:
        """Each level's mean given the *mean* of the one above, (n, L): not the mean of z, which has no closed form."""
        z = []
        for i in range(len(self.sizes)):
            z.append(self.conditional(i, z[-1] if z else None).mean)
        return torch.cat(z, -1)


class LadderVAE(VAE):
    """A VAE with two or more levels of latent variables. z has the top level first.

    Row i of the uniforms of `sample` has the noise of the top level, of those below it, and of the D dimensions of x.
    `encode` gives q(z | x) as a `TopDown`, whose KL divergence has no closed form: that of each level has one, given
    the draw of the level above, and `elbo_terms` has these as `kl_by_level`.

    Args:
        event_shape, levels, hidden, channels, likelihood, beta, free_bits, warmup: as in `VAE`. Free bits are those of
            each latent variable.
        latents: the number of latent variables of each level, the top first.
        width: of the hidden layer between two levels.

    Attributes:
        sizes: `latents` as given; the attribute `latents` is their sum.
        downward: the networks of p(z_i | z_{i+1}), from the top down.

    Raises:
        ValueError: there are fewer than two levels, or see `VAE`.

    >>> model = LadderVAE((64,), 2, latents=[2, 6], hidden=[50])
    >>> x = model.sample(5, generator=torch.Generator().manual_seed(0))
    >>> model.elbo(x).shape, model.elbo_terms(x).kl_by_level.shape
    (torch.Size([5]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        latents: Sequence[int],
        hidden: Sequence[int] = (200, 200),
        *,
        width: int = 50,
        channels: Sequence[int] = (),
        likelihood: str | Likelihood | None = None,
        beta: float = 1.0,
        free_bits: float = 0.0,
        warmup: int = 0,
    ):
        if len(latents) < 2 or min(latents) < 1:
            raise ValueError(f"latents is {list(latents)}; expected the sizes of two or more levels, each at least 1")
        if width < 1:
            raise ValueError(f"width is {width}; expected at least 1 unit")
        settings = dict(channels=channels, likelihood=likelihood, beta=beta, free_bits=free_bits, warmup=warmup)
        super().__init__(event_shape, levels, sum(latents), hidden, **settings)
        self.sizes = tuple(latents)
        self.downward = nn.ModuleList(
            nn.Sequential(nn.Linear(above, width), nn.Tanh(), nn.Linear(width, 2 * below))
            for above, below in zip(latents, latents[1:], strict=False)
        )

    def prior(self) -> TopDown:
        """p(z): the top level is N(0, I)."""
        return TopDown(tuple(Downward(a.weight, a.bias, b.weight, b.bias) for a, _, b in self.downward))

    def _encode(self, x: torch.Tensor) -> TopDown:
        parts = (part.split(self.sizes, -1) for part in super()._encode(x))
        return TopDown(self.prior().downward, tuple(map(DiagonalGaussian, *parts)))

    def _terms(self, x: torch.Tensor, posterior: TopDown, draws: Draws, outputs: torch.Tensor) -> LadderTerms:
        by_level = [kl.sum(-1) for kl in self._kl_by_latent(posterior, draws).split(self.sizes, -1)]
        sampled = (draws.log_q - self.prior().log_prob(draws.z))[0, 0]
        reconstruction = self._log_likelihood(outputs, x, draws)[0, 0]
        return LadderTerms(reconstruction, sum(by_level), sampled, torch.stack(by_level, -1))

    def _kl_by_latent(self, posterior: TopDown, draws: Draws) -> torch.Tensor:
        """The KL divergence of each latent variable given the level above, (n, L)."""
        levels = (distribution.levels(draws.z[0, 0]) for distribution in (posterior, self.prior()))
        return torch.cat([q.kl_by_latent(p) for q, p in zip(*levels, strict=True)], -1)

    def loss_terms(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> Mapping[str, torch.Tensor]:
        """What `fit` records after each epoch: the terms of each image's ELBO by name, in nats, (n,) each."""
        terms, top = self.elbo_terms(x, labels=labels), len(self.sizes)
        by_level = {f"KL of z_{top - i}": kl for i, kl in enumerate(terms.kl_by_level.unbind(-1))}
        return {"reconstruction": terms.reconstruction, **by_level}

    @torch.no_grad()
    def sample_varying(self, level: int, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """n samples that differ in the noise of one level alone, (n, *event_shape).

        What the level decides is what differs: see Figure 5 of "PixelVAE" (I. Gulrajani et al., ICLR 2017).

        Args:
            level: i for z_i, so 1 for the lowest level of latents, and 0 for x itself, the pixels given all of z.
            n: number of samples.
            generator: draws the common noise, then the differing one: of two levels and equal generators, the samples
                share the common noise.

        Raises:
            ValueError: there is no such level.

        >>> model = LadderVAE((64,), 2, latents=[2, 6], hidden=[50])
        >>> model.sample_varying(2, 3).shape
        torch.Size([3, 64])
        """
        top = len(self.sizes)
        if not 0 <= level <= top:
            raise ValueError(f"level is {level}; expected 0 (the pixels) to {top} (the top)")
        widths = [*self.sizes, math.prod(self.event_shape)]
        common = self._uniforms(None, generator, (1, sum(widths))).expand(n, -1)
        differing = self._uniforms(None, generator, (n, sum(widths)))
        parts = list(common.split(widths, 1))
        parts[top - level] = differing.split(widths, 1)[top - level]
        return self.sample(n, uniforms=torch.cat(parts, 1))


class PixelLadderVAE(LadderVAE):
    """A ladder VAE whose decoder is a gated PixelCNN, as in `PixelVAE`.

    Args:
        event_shape, levels, context, pixel_channels, pixel_layers, kernel, head: as in `PixelVAE`.
        latents, hidden, settings: as in `LadderVAE`.

    >>> model = PixelLadderVAE((1, 8, 8), 2, latents=[2, 6], hidden=[50], pixel_channels=8, pixel_layers=1)
    >>> model.elbo_terms(model.sample(5)).kl_by_level.shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        latents: Sequence[int],
        hidden: Sequence[int] = (200, 200),
        *,
        context: int = 8,
        pixel_channels: int = 24,
        pixel_layers: int = 2,
        kernel: int = 3,
        head: int = 48,
        **settings: Any,
    ):
        likelihood = PixelLikelihood(
            event_shape, levels, context, channels=pixel_channels, layers=pixel_layers, kernel=kernel, head=head
        )
        super().__init__(event_shape, levels, latents, hidden, likelihood=likelihood, **settings)


def merged(prior: DiagonalGaussian, likelihood: DiagonalGaussian) -> DiagonalGaussian:
    """The normal distribution proportional to the product of two densities: precisions add up.

    >>> zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    >>> merged(DiagonalGaussian(zero, zero), DiagonalGaussian(one, zero)).mean
    tensor([[0.5000]])
    """
    log_variance = -torch.logaddexp(-prior.log_variance, -likelihood.log_variance)
    shares = (torch.exp(log_variance - each.log_variance) for each in (prior, likelihood))
    mean = sum(share * each.mean for share, each in zip(shares, (prior, likelihood), strict=True))
    return DiagonalGaussian(mean, log_variance)
