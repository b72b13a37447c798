"""Latent-variable models: the base class, and the posteriors and priors that they are made of.

    p(x) = integral of p(x | z) p(z) over z

has no closed form in general, but every distribution q(z | x) gives a lower bound, the ELBO:

    log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)) = log p(x) - KL(q(z | x) || p(z | x))

D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014; D. J. Rezende, S. Mohamed and D. Wierstra,
"Stochastic Backpropagation and Approximate Inference in Deep Generative Models", ICML 2014. With k draws

    log p(x) >= E[log 1/k sum over j of w_j],   w_j = p(x, z_j) / q(z_j | x),   z_j drawn from q(z | x),

which grows with k to log p(x): Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch

from course_lib import distributions
from course_lib.models.base import GenerativeModel, uniforms_on
from course_lib.models.likelihoods import Likelihood


class Draws(NamedTuple):
    """Draws of z from the posteriors of n images, as functions of the posteriors' parameters, with their densities.

    The expectation of f(z) over q(z | x) is that of the sum over s of exp(log_share[s]) f(z[:, s]). Most posteriors are
    drawn from once, S = 1. A mixture is drawn from once in each component: a gradient passes through its weights and
    through draws from a component, but not through the choice of one.

    Attributes:
        z: (k, S, n, L).
        log_q: log q(z | x) in nats, the density of the whole posterior, (k, S, n).
        log_share: (S, n).
    """

    z: torch.Tensor
    log_q: torch.Tensor
    log_share: torch.Tensor

    @classmethod
    def of(cls, z: torch.Tensor, log_q: torch.Tensor) -> "Draws":
        """From one z (k, n, L) for each of the k draws, and log q(z | x) (k, n)."""
        return cls(z.unsqueeze(1), log_q.unsqueeze(1), torch.zeros_like(log_q[:1]))


class DiagonalGaussian(NamedTuple):
    """n normal distributions of z with independent dimensions, float32 at least.

    A named tuple: `mean, log_variance = posterior`.

    Attributes:
        mean, log_variance: (n, L).

    >>> q = DiagonalGaussian(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    >>> q.kl(DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2)))
    tensor([0.5000])
    """

    mean: torch.Tensor
    log_variance: torch.Tensor

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Draws as functions of the parameters, which get gradients: mean + exp(log_variance / 2) * quantile of u.

        Args:
            uniforms: (*draws, n, L) in [0, 1); float64, as rounding them to float32 would shorten the tails.

        Returns:
            (*draws, n, L), in the parameters' dtype.
        """
        noise = distributions.normal_quantile(uniforms).to(self.mean.dtype)
        return self.mean + torch.exp(self.log_variance / 2) * noise

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density in nats: (*draws, n) for z (*draws, n, L)."""
        return distributions.gaussian_log_prob(self.mean, self.log_variance, z).sum(-1)

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z for each of k draws, from uniforms (k, n, L)."""
        z = self.draw(uniforms)
        return Draws.of(z, self.log_prob(z))

    def kl_by_latent(self, prior: "DiagonalGaussian") -> torch.Tensor:
        """The terms of `kl`, one for each dimension of z: (n, L)."""
        log_ratio = self.log_variance - prior.log_variance
        distance = (self.mean - prior.mean).square() * torch.exp(-prior.log_variance)
        return 0.5 * (torch.exp(log_ratio) + distance - 1 - log_ratio)

    def kl(self, prior: "DiagonalGaussian") -> torch.Tensor:
        """KL(this || prior) in nats, in closed form: (n,)."""
        return self.kl_by_latent(prior).sum(-1)


class FullGaussian(NamedTuple):
    """n normal distributions of z that share one covariance, float32 at least.

    Products are summed without `@`, which autocast would round to bfloat16.

    Attributes:
        mean: (n, L).
        scale: (L, L), lower triangular with a positive diagonal: the covariance is scale @ scale.T.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    @property
    def covariance(self) -> torch.Tensor:
        """(L, L)."""
        return (self.scale[:, None] * self.scale).sum(-1)

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """mean + scale @ (quantile of u), with the arguments of `DiagonalGaussian.draw`."""
        noise = distributions.normal_quantile(uniforms).to(self.mean.dtype)
        return self.mean + (self.scale * noise.unsqueeze(-2)).sum(-1)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density in nats: (*draws, n) for z (*draws, n, L)."""
        whitened = torch.linalg.solve_triangular(self.scale, (z - self.mean).mT, upper=False)
        constant = self.scale.diagonal().log().sum() + len(self.scale) / 2 * math.log(2 * math.pi)
        return -0.5 * whitened.square().sum(-2) - constant

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z for each of k draws, from uniforms (k, n, L)."""
        z = self.draw(uniforms)
        return Draws.of(z, self.log_prob(z))

    def kl(self, prior: DiagonalGaussian) -> torch.Tensor:
        """KL(this || prior) in nats, in closed form: (n,)."""
        precision = torch.exp(-prior.log_variance)
        spread = (self.covariance.diagonal() + (self.mean - prior.mean).square()) * precision
        log_ratio = 2 * self.scale.diagonal().log() - prior.log_variance
        return 0.5 * (spread - 1 - log_ratio).sum(-1)


class Posterior(Protocol):
    """q(z | x) for n images, such as `DiagonalGaussian`: draws as functions of uniform noise, and their density.

    `draw` gives z itself, whose distribution is q(z | x). `weighted_draws` gives what an expectation is estimated from.
    It knows the density of its own draws, which can be much cheaper than that of any other z.
    """

    @property
    def mean(self) -> torch.Tensor: ...

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor: ...

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws: ...

    def log_prob(self, z: torch.Tensor) -> torch.Tensor: ...

    def kl(self, prior: DiagonalGaussian) -> torch.Tensor | None:
        """KL(this || prior) in nats, (n,), or None if it has no closed form."""
        ...


class ELBOTerms(NamedTuple):
    """The terms of the ELBO of each image, in nats, from one draw of z: (n,) each.

    Attributes:
        reconstruction: log p(x | z).
        kl: KL(q(z | x) || p(z)), in closed form; `sampled_kl` where it has none.
        sampled_kl: its estimate log q(z | x) - log p(z) from the draw.
    """

    reconstruction: torch.Tensor
    kl: torch.Tensor
    sampled_kl: torch.Tensor


class LatentVariableModel(GenerativeModel):
    """A distribution p(x) = integral of p(x | z) p(z) over z in R^L, with an approximate posterior q(z | x).

    Where z is discrete, the integral is a sum.

    Where `log_prob` is not defined, `elbo` and `iwae_bound` bound it from below: their mean over the noise is at most
    log p(x). All noise is uniform, from `generator` or given as `uniforms`; normal variables are its quantiles.

    A model defines `likelihood`, `_encode` and `_decode`, and `strata` if its posterior is drawn from S times at once,
    see `Draws`. p(z) is standard normal unless it overrides `prior`.

    Under autocast the networks of the bounds run in autocast's precision, and densities are computed in float32.
    `sample` ignores autocast. `model.compile()` compiles `forward`, which both bounds call.

    Args:
        event_shape, levels: as in `GenerativeModel`.
        latents: number L of latent variables.

    Attributes:
        latents: as given.
        likelihood: p(x | z) from the decoder's outputs.

    Raises:
        ValueError: latents is below 1, or see `GenerativeModel`.
    """

    likelihood: Likelihood
    strata = 1  # S

    def __init__(self, event_shape: Sequence[int], levels: int | None, latents: int):
        super().__init__(event_shape, levels)
        if latents < 1:
            raise ValueError(f"latents is {latents}; expected at least 1 latent variable")
        self.latents = latents

    # A model defines these

    def _encode(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Posterior:
        """q(z | x), from x (n, *event_shape) that has been checked."""
        raise NotImplementedError(f"{type(self).__name__} must define _encode")

    def _decode(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """What `likelihood` reads, (n, P, *event_shape), or (n, *event_shape) for P = 1, from z (n, L) of any dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define _decode")

    def prior(self) -> DiagonalGaussian:
        """p(z) as a batch of one: N(0, I)."""
        zeros = torch.zeros(1, self.latents, dtype=self._real(), device=self._device())
        return DiagonalGaussian(zeros, zeros)

    # The networks

    def forward(
        self, x: torch.Tensor, uniforms: torch.Tensor, labels: torch.Tensor | None = None
    ) -> tuple[Posterior, Draws, torch.Tensor]:
        """q(z | x), draws of z from it, and the decoder's outputs for them.

        Args:
            x: (n, *event_shape).
            uniforms: (k, n, L) in [0, 1), for k draws of each image.
            labels: (n,) or (n, kinds), for a conditional model.

        Returns:
            A tuple: the posterior; the draws; the outputs, (k S n, ...), draw by draw.
        """
        posterior = self._encode(x, **_given(labels))
        draws = posterior.weighted_draws(uniforms)
        if labels is not None:
            labels = labels.repeat(len(draws.z) * draws.z.shape[1], *[1] * (labels.ndim - 1))
        return posterior, draws, self._decode(draws.z.flatten(0, 2), **_given(labels))

    def encode(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> Posterior:
        """q(z | x), for x (n, *event_shape).

        Raises:
            ValueError: x or labels has another shape, dtype or range, is missing or not taken.
        """
        self._check(x)
        return self._encode(x, **self._given(len(x), labels, None))

    def decode(self, z: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """The parameters of p(x | z) for z, as `likelihood` reads them: logits, or means.

        z is (n, L), or one-hot vectors (n, N K) where the latent variables are categorical.

        (n, *event_shape), or (n, P, *event_shape) for a likelihood with P outputs per dimension.

        Raises:
            ValueError: z or labels has another shape or dtype, is missing or not taken.
        """
        width = self.prior().mean.shape[1]
        if not isinstance(z, torch.Tensor) or not z.is_floating_point() or z.shape[1:] != (width,):
            got = f"{z.dtype}, {tuple(z.shape)}" if isinstance(z, torch.Tensor) else type(z).__name__
            raise ValueError(f"z must be real numbers of shape (n, {width}), in a tensor; got {got}")
        return self._decode(z, **self._given(len(z), labels, None))

    def mean(self, z: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """E[x | z] for z (n, L): (n, *event_shape) real numbers on x's own scale. Raises what `decode` raises."""
        return self.likelihood.mean(self.decode(z, labels=labels))

    @torch.no_grad()
    def reconstruct(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """E[x | z] at `mean` of q(z | x): (n, *event_shape) real numbers on x's own scale, without noise.

        Raises:
            ValueError: as in `encode`.
        """
        return self.mean(self.encode(x, labels=labels).mean, labels=labels)

    # The bounds

    def elbo_terms(
        self,
        x: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> ELBOTerms:
        """The reconstruction and the KL divergence of each image, from one draw of z: see `ELBOTerms`.

        Args:
            x: (n, *event_shape).
            labels: (n,) or (n, kinds), for a conditional model.
            generator: draws the uniforms.
            uniforms: (n, L) in [0, 1), instead of drawn ones.

        Raises:
            ValueError: x, labels or uniforms have another shape, dtype or range, are missing or not taken.
        """
        self._check(x)
        given = self._given(len(x), labels, None)
        u = self._uniforms(uniforms, generator, (len(x), self.latents))
        return self._terms(x, *self(x, u[None], **given))

    def elbo(
        self,
        x: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """An estimate of the ELBO of each image in nats, (n,): log p(x | z) for one draw of z minus the KL divergence,
        or its estimate from the same draw where it has no closed form.

        Its mean over the noise is at most log p(x). Arguments and errors are those of `elbo_terms`.
        """
        terms = self.elbo_terms(x, labels=labels, generator=generator, uniforms=uniforms)
        return terms.reconstruction - terms.kl

    def log_weights(
        self,
        x: torch.Tensor,
        k: int,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """log p(x, z) - log q(z | x) in nats for k draws of z from q(z | x): (k, n).

        The mean of their exponentials is an unbiased estimate of p(x). From a mixture, a draw is one z from each
        component, and has the weight sum over s of exp(log_share[s]) p(x, z_s) / q(z_s | x).

        Args:
            x, labels, generator: as in `elbo_terms`.
            k: number of draws. They are decoded in groups of about `likelihood.rows` images.
            uniforms: (k, n, L) in [0, 1), instead of drawn ones.

        Raises:
            ValueError: k is below 1, or as in `elbo_terms`.
        """
        self._check(x)
        given = self._given(len(x), labels, None)
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1 draw")
        if uniforms is not None:
            uniforms = self._uniforms(uniforms, generator, (k, len(x), self.latents))
        step, weights = max(1, self.likelihood.rows // max(1, len(x) * self.strata)), []
        for start in range(0, k, step):
            draws = min(step, k - start)
            u = uniforms[start : start + draws] if uniforms is not None else None
            u = self._uniforms(None, generator, (draws, len(x), self.latents)) if u is None else u
            _, each, outputs = self(x, u, **given)
            log_w = self._log_likelihood(outputs, x, each) + self.prior().log_prob(each.z) - each.log_q
            weights.append((each.log_share + log_w).logsumexp(1))
        return torch.cat(weights)

    def iwae_bound(
        self,
        x: torch.Tensor,
        k: int,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The importance-weighted bound of each image in nats, (n,): the log of the mean of k weights.

        Its mean over the noise grows with k, from the ELBO's to log p(x). Arguments and errors are those of
        `log_weights`. Y. Burda, R. Grosse and R. Salakhutdinov, ICLR 2016, section 3 and Theorem 1.
        """
        log_w = self.log_weights(x, k, labels=labels, generator=generator, uniforms=uniforms)
        return log_w.logsumexp(0) - math.log(k)

    def loss(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """What `fit` minimises: the mean of the negative ELBOs, in nats per image."""
        return -self.elbo(x, labels=labels).mean()

    def loss_terms(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> Mapping[str, torch.Tensor]:
        """What `fit` records after each epoch: the two terms of each image's ELBO by name, in nats, (n,) each."""
        terms = self.elbo_terms(x, labels=labels)
        return {"reconstruction": terms.reconstruction, "KL": terms.kl}

    # Samples

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """n independent samples, (n, *event_shape): z from p(z), then x from p(x | z).

        Row i of the uniforms makes sample i: the first L give z, by `prior().draw`, the other D the dimensions of x, as
        in `AutoregressiveModel.sample`. The same uniforms give the same samples on any device, up to rounding.

        Args:
            n: number of samples.
            labels: one for each sample, for a conditional model.
            generator: draws the uniforms.
            uniforms: (n, L + D) in [0, 1), instead of drawn ones.

        Raises:
            ValueError: uniforms or labels have another shape, dtype or range, are missing or not taken.
        """
        given = self._given(n, labels, None)
        u = self._uniforms(uniforms, generator, (n, self.latents + math.prod(self.event_shape)))
        with torch.autocast(u.device.type, enabled=False):
            outputs = self._decode(self.prior().draw(u[:, : self.latents]), **given)
            return self.likelihood.invert(outputs, u[:, self.latents :].view(n, *self.event_shape)).to(self._dtype())

    # Shared steps

    def _terms(self, x: torch.Tensor, posterior: Posterior, draws: Draws, outputs: torch.Tensor) -> ELBOTerms:
        """The terms of `elbo_terms` from one draw, k = 1, as `forward` gives it."""
        prior, share = self.prior(), draws.log_share.exp()
        reconstruction = (share * self._log_likelihood(outputs, x, draws)[0]).sum(0)
        sampled = (share * (draws.log_q - prior.log_prob(draws.z))[0]).sum(0)
        kl = posterior.kl(prior)
        return ELBOTerms(reconstruction, sampled if kl is None else kl, sampled)

    def _log_likelihood(self, outputs: torch.Tensor, x: torch.Tensor, draws: Draws) -> torch.Tensor:
        """log p(x | z) of each draw, (k, S, n)."""
        shape = draws.z.shape[:3]
        repeated = x.repeat(shape[0] * shape[1], *[1] * (x.ndim - 1))
        return self.likelihood.log_prob(outputs, repeated).view(shape)

    def _uniforms(
        self, uniforms: torch.Tensor | None, generator: torch.Generator | None, shape: tuple[int, ...]
    ) -> torch.Tensor:
        """Given or drawn uniforms, on the model's device, in float64 where there is one."""
        return uniforms_on(self._device(), uniforms, generator, shape)

    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _real(self) -> torch.dtype:
        """The dtype of z and of densities: that of the parameters, but float32 at least."""
        return torch.promote_types(next(self.parameters()).dtype, torch.float32)


def _given(labels: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return {} if labels is None else {"labels": labels}
