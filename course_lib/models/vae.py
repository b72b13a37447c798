"""Variational autoencoders: a network gives the parameters of p(x | z), another one those of q(z | x).

    z = mean(x) + exp(log_variance(x) / 2) * e,   e standard normal
    ELBO = log p(x | z) - KL(N(mean(x), diag(exp(log_variance(x)))) || N(0, I))

The draw is a function of the encoder's outputs, so the gradient of the expectation passes through it.

D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014: section 2.4 (the draw), appendix B (the KL
divergence) and C (the networks). K. Sohn, H. Lee and X. Yan, "Learning Structured Output Representation using Deep
Conditional Generative Models", NIPS 28, 2015, section 4.1: the conditional VAE. I. Higgins et al., "beta-VAE", ICLR
2017: beta. D. P. Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", NIPS 29, 2016,
appendix C.8: free bits. C. K. Sønderby et al., "Ladder Variational Autoencoders", NIPS 29, 2016: the warm-up.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from course_lib import distributions
from course_lib.models.base import checked_classes
from course_lib.models.latent import DiagonalGaussian, Draws, LatentVariableModel, Posterior
from course_lib.models.likelihoods import Likelihood, likelihood_named
from course_lib.models.posteriors import InverseAutoregressiveFlow, MixturePosterior
from course_lib.nn import Condition, Decoder, Encoder


class VAE(LatentVariableModel):
    """A variational autoencoder with the prior N(0, I), and a diagonal Gaussian posterior unless told otherwise.

    The encoder reads x / (K - 1), or real x as they are. The decoder has the same layers in reverse.

    Args:
        event_shape: (D,), or (C, H, W) with convolutions.
        levels: K, or None for real x.
        latents: number L of latent variables.
        hidden: widths of the encoder's hidden layers.
        channels: channels of the convolutions before them, each of which halves the grid; none by default.
        likelihood: `bernoulli` for K = 2, `categorical` (the default) or `discretized logistic` for more levels,
            `gaussian` for real x; or a `Likelihood`.
        variance: of a Gaussian likelihood, see `likelihoods.Gaussian`; `shared` by default.
        posterior: `diagonal`, `iaf` or `mixture`, see `course_lib.models.posteriors`. The KL divergence of the last two
            is estimated from the draws.
        flows: number of steps of an inverse autoregressive flow, each with as many hidden units as the encoder's last
            hidden layer, and one for each latent variable at least.
        components: number of components of a mixture.
        beta: factor of the KL divergence in the loss. It does not change `elbo`.
        free_bits: nats that the KL divergence of each latent variable, averaged over a batch, may have without adding
            to the loss. It does not change `elbo`. A diagonal posterior alone has them.
        warmup: number of training steps in which the factor of the KL divergence grows from 0 to beta. In eval mode,
            and so in the validation loss of `fit`, it is beta. 0 for none.

    Attributes:
        encoder, decoder: the networks, see `course_lib.nn.Encoder` and `Decoder`. The encoder's outputs begin with the
            means and the log-variances, of all components.
        flow: the networks of an inverse autoregressive flow, or None.
        likelihood: p(x | z), see `course_lib.models.likelihoods`.

    Raises:
        ValueError: a size, beta, free_bits or warmup is out of range, the likelihood does not fit the levels, the
            posterior is none of the three, or is an `iaf` of one latent variable.

    >>> model = VAE((64,), levels=2, latents=8, hidden=[100])
    >>> x = model.sample(5, generator=torch.Generator().manual_seed(0))
    >>> mean, log_variance = model.encode(x)
    >>> mean.shape, model.elbo(x).shape, model.iwae_bound(x, k=10).shape, model.reconstruct(x).shape
    (torch.Size([5, 8]), torch.Size([5]), torch.Size([5]), torch.Size([5, 64]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        latents: int,
        hidden: Sequence[int] = (200, 200),
        *,
        channels: Sequence[int] = (),
        likelihood: str | Likelihood | None = None,
        variance: float | str | None = None,
        posterior: Literal["diagonal", "iaf", "mixture"] = "diagonal",
        flows: int = 2,
        components: int = 4,
        beta: float = 1.0,
        free_bits: float = 0.0,
        warmup: int = 0,
    ):
        super().__init__(event_shape, levels, latents)
        for name, number in {"beta": beta, "free_bits": free_bits, "warmup": warmup}.items():
            if not 0 <= number < math.inf:
                raise ValueError(f"{name} is {number}; expected a number, 0 or more")
        if posterior not in ("diagonal", "iaf", "mixture"):
            raise ValueError(f"posterior is {posterior!r}; expected 'diagonal', 'iaf' or 'mixture'")
        if free_bits and posterior != "diagonal":
            raise ValueError(f"free_bits is {free_bits}, but the posterior is {posterior!r}; only 'diagonal' has them")
        if components < 1:
            raise ValueError(f"components is {components}; expected at least 1")
        self.beta, self.free_bits, self.warmup, self.flow = beta, free_bits, warmup, None
        if warmup:
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        others = 0
        if posterior == "iaf":
            self.flow = InverseAutoregressiveFlow(latents, max([latents, *hidden[-1:]]), flows)
            others = self.flow.context
        elif posterior == "mixture":
            self.strata = others = components
        self.likelihood = likelihood_named(likelihood, self.levels, variance)
        self.encoder = Encoder(self.event_shape, 2 * self.strata * latents + others, hidden, channels)
        self.decoder = Decoder(latents, self.event_shape, self.likelihood.outputs, hidden[::-1], channels)

    def loss(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """What `fit` minimises: beta KL - log p(x | z), in nats per image; the negative ELBO for beta 1.

        With free bits the KL divergence is the sum over the latent variables of max(free bits, mean over the batch).
        """
        self._check(x)
        given = self._given(len(x), labels, None)
        posterior, draws, outputs = self(x, self._uniforms(None, None, (1, len(x), self.latents)), **given)
        terms, by_latent = self._terms(x, posterior, draws, outputs), self._kl_by_latent(posterior, draws)
        kl = terms.kl.mean() if by_latent is None else by_latent.mean(0).clamp_min(self.free_bits).sum()
        return self._kl_factor() * kl - terms.reconstruction.mean()

    def _kl_by_latent(self, posterior: Posterior, draws: Draws) -> torch.Tensor | None:
        """The KL divergence of each latent variable, (n, L), or None if it has no closed form."""
        return posterior.kl_by_latent(self.prior()) if isinstance(posterior, DiagonalGaussian) else None

    def _kl_factor(self) -> torch.Tensor | float:
        """The factor of the KL divergence in the loss: beta, once warm. Each call in training mode is a step."""
        if not (self.warmup and self.training):
            return self.beta
        self.steps += 1
        return self.beta * (self.steps / self.warmup).clamp_max(1)

    def _encode(self, x: torch.Tensor, added: torch.Tensor | None = None) -> Posterior:
        if self.levels is not None:
            x = x.to(self.encoder.layers[0].weight.dtype) / (self.levels - 1)
        outputs = distributions.at_least_float32(self.encoder(x, added))
        K, L = self.strata, self.latents
        mean, log_variance, others = outputs.split([K * L, K * L, outputs.shape[1] - 2 * K * L], dim=1)
        if self.flow is not None:
            return self.flow.posterior(DiagonalGaussian(mean, log_variance), others)
        if others.shape[1]:
            return MixturePosterior(others.log_softmax(1), mean.unflatten(1, (K, L)), log_variance.unflatten(1, (K, L)))
        return DiagonalGaussian(mean, log_variance)

    def _decode(self, z: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        outputs = self.decoder(z, added)
        return outputs if self.likelihood.outputs > 1 else outputs.squeeze(1)


class ConditionalVAE(VAE):
    """A VAE of p(x | y): encoder and decoder read the labels y as well, and z is independent of y, N(0, I).

    So z has what y does not say, such as a digit's style, and one z with another y gives another digit in this style.
    Labels change the biases of the first fully connected layer of either network, as if they were further inputs, one
    for each class.

    Args:
        event_shape, levels, latents, hidden, settings: as in `VAE`.
        classes: number of classes, or of each kind of label.

    Attributes:
        encoder_condition, decoder_condition: what labels add, see `course_lib.nn.Condition`.

    >>> model = ConditionalVAE((64,), 2, latents=4, hidden=[100], classes=10)
    >>> model.sample(3, labels=torch.tensor([7, 7, 8])).shape
    torch.Size([3, 64])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        latents: int,
        hidden: Sequence[int] = (200, 200),
        *,
        classes: int | Sequence[int],
        **settings: Any,
    ):
        super().__init__(event_shape, levels, latents, hidden, **settings)
        self.classes = checked_classes(classes)
        to_encoder, to_decoder = (network.layers[0].out_features for network in (self.encoder, self.decoder))
        self.encoder_condition = Condition(to_encoder, self.classes, 0, space=0)
        self.decoder_condition = Condition(to_decoder, self.classes, 0, space=0)

    def _encode(self, x: torch.Tensor, labels: torch.Tensor) -> Posterior:
        return super()._encode(x, self.encoder_condition(labels))

    def _decode(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super()._decode(z, self.decoder_condition(labels))
