"""Posteriors of a VAE that are richer than a diagonal Gaussian: an inverse autoregressive flow, and a mixture.

The flow makes z from a diagonal Gaussian draw by T steps, each of which sees the context h that the encoder gives:

    z^0 = mean(x) + exp(log_variance(x) / 2) * e,   z^t = m_t(z^(t-1), h) + exp(s_t(z^(t-1), h)) * z^(t-1)

Entry i of m_t and s_t depends on the entries of z^(t-1) before i alone. So the Jacobian is triangular, and

    log q(z^T | x) = log N(z^0; mean(x), exp(log_variance(x))) - sum over t and i of s_t,i

A draw and its density take T evaluations of a network. The density of any other z takes L times as many, as the noise
must be found one dimension after the other. D. P. Kingma et al., "Improving Variational Inference with Inverse
Autoregressive Flow", NIPS 29, 2016, section 3 and equations 10 and 11; its Algorithm 1 has another form of the step,
which keeps the scale below 1.

The mixture is q(z | x) = sum over k of pi_k(x) N(mean_k(x), exp(log_variance_k(x))). Draws from every component,
weighted by pi_k, estimate an expectation with a gradient for pi. W. Morningstar et al., "Automatic Differentiation
Variational Inference with Mixtures", AISTATS 2021: the stratified bounds.
"""

from typing import NamedTuple

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.latent import DiagonalGaussian, Draws
from course_lib.models.made import hidden_degrees
from course_lib.nn import MaskedLinear


class FlowStep(NamedTuple):
    """The weights of one step, masked, float32 at least.

    m and s are the two halves of V tanh(W z + h) + c.

    Attributes:
        W, V, c: (H, L), (2 L, H) and (2 L,).
        order: the dimensions of z in the order of their dependence.
    """

    W: torch.Tensor
    V: torch.Tensor
    c: torch.Tensor
    order: tuple[int, ...]

    def mean_and_log_scale(self, z: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """m and s, (*draws, n, L) each, from z (*draws, n, L) and h (n, H)."""
        outputs = torch.tanh(z @ self.W.mT + h) @ self.V.mT + self.c
        return outputs.chunk(2, dim=-1)


class IAFPosterior(NamedTuple):
    """The distributions of z for n images that an inverse autoregressive flow makes of diagonal Gaussians.

    Attributes:
        base: the distributions of z^0.
        context: what the images add to the hidden units of each step, (n, T, H).
        steps: the weights, the same for all images.

    >>> flow = InverseAutoregressiveFlow(latents=2, width=3, steps=2)
    >>> q = flow.posterior(DiagonalGaussian(torch.zeros(5, 2), torch.zeros(5, 2)), torch.zeros(5, 6))
    >>> draws = q.weighted_draws(torch.rand(4, 5, 2))
    >>> torch.allclose(draws.log_q, q.log_prob(draws.z), atol=1e-4)
    True
    """

    base: DiagonalGaussian
    context: torch.Tensor
    steps: tuple[FlowStep, ...]

    @property
    def mean(self) -> torch.Tensor:
        """The z of the noise 0, (n, L): E[z] has no closed form."""
        return self._flow(self.base.mean)[0]

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """The flow of base draws, with the arguments of `DiagonalGaussian.draw`."""
        return self._flow(self.base.draw(uniforms))[0]

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z for each of k draws, from uniforms (k, n, L)."""
        start = self.base.draw(uniforms)
        z, log_scale = self._flow(start)
        return Draws.of(z, self.base.log_prob(start) - log_scale)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density in nats: (*draws, n) for z (*draws, n, L). It takes T L evaluations of a network."""
        total = torch.zeros_like(z[..., 0])
        with torch.autocast(z.device.type, enabled=False):
            for step, h in zip(reversed(self.steps), reversed(self.context.unbind(1)), strict=True):
                columns = z.unbind(-1)
                before = [torch.zeros_like(column) for column in columns]
                for i in step.order:
                    mean, log_scale = step.mean_and_log_scale(torch.stack(before, -1), h)
                    before[i] = (columns[i] - mean[..., i]) * torch.exp(-log_scale[..., i])
                    total = total + log_scale[..., i]
                z = torch.stack(before, -1)
        return self.base.log_prob(z) - total

    def kl(self, prior: DiagonalGaussian) -> None:
        """None: the KL divergence has no closed form."""

    def _flow(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z^T (*draws, n, L) and the sum of the log-scales, (*draws, n), from z^0."""
        total = torch.zeros_like(z[..., 0])
        with torch.autocast(z.device.type, enabled=False):
            for step, h in zip(self.steps, self.context.unbind(1), strict=True):
                mean, log_scale = step.mean_and_log_scale(z, h)
                z, total = mean + torch.exp(log_scale) * z, total + log_scale.sum(-1)
        return z, total


class InverseAutoregressiveFlow(nn.Module):
    """The networks of an inverse autoregressive flow: masked layers as in MADE, with one hidden layer for each step.

    The units are tanh. Every other step has the dimensions in reversed order.

    Args:
        latents: number L of latent variables, at least 2.
        width: number H of hidden units.
        steps: T.

    Attributes:
        context: length of the context that an image gives, T H.

    Raises:
        ValueError: a number is below 1, or there is only one latent variable, which has nothing to depend on.
    """

    def __init__(self, latents: int, width: int, steps: int):
        super().__init__()
        if latents < 2:
            raise ValueError(f"latents is {latents}; an autoregressive flow needs at least 2 latent variables")
        if steps < 1:
            raise ValueError(f"flows is {steps}; expected at least 1 step")
        self.context = steps * width
        first, (units,) = torch.arange(latents), hidden_degrees(latents, [width])
        self.orders = [first if t % 2 == 0 else first.flip(0) for t in range(steps)]
        degrees = [order.argsort() + 1 for order in self.orders]
        # The masks follow from the arguments, so `state_dict` need not hold them.
        self.hidden = nn.ModuleList(MaskedLinear(units[:, None] >= d, bias=False, save_mask=False) for d in degrees)
        self.output = nn.ModuleList(MaskedLinear(d.repeat(2)[:, None] > units, save_mask=False) for d in degrees)

    def posterior(self, base: DiagonalGaussian, context: torch.Tensor) -> IAFPosterior:
        """The posteriors of n images from those of z^0 and the contexts (n, T H)."""
        steps = []
        for hidden, output, order in zip(self.hidden, self.output, self.orders, strict=True):
            weights = (hidden.masked_weight(), output.masked_weight(), output.bias)
            steps.append(FlowStep(*map(distributions.at_least_float32, weights), tuple(order.tolist())))
        return IAFPosterior(base, context.unflatten(1, (len(steps), -1)), tuple(steps))


class MixturePosterior(NamedTuple):
    """n mixtures of K normal distributions of z with independent dimensions, float32 at least.

    Attributes:
        log_pi: the logarithms of the weights, (n, K).
        means, log_variances: (n, K, L).

    >>> q = MixturePosterior(torch.full((1, 2), 0.5).log(), torch.tensor([[[-3.0], [3.0]]]), torch.zeros(1, 2, 1))
    >>> q.draw(torch.tensor([[[0.25]], [[0.75]]])).flatten()      # the median of either component
    tensor([-3.,  3.])
    """

    log_pi: torch.Tensor
    means: torch.Tensor
    log_variances: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """E[z], (n, L)."""
        return (self.log_pi.exp().unsqueeze(-1) * self.means).sum(1)

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Draws of z, whose gradient does not pass through the choice of a component.

        The first uniform of a row chooses the component. What remains of it, the place inside the component's share of
        [0, 1), decides dimension 0.

        Args:
            uniforms: (*draws, n, L) in [0, 1).

        Returns:
            (*draws, n, L), in the parameters' dtype.
        """
        share = self.log_pi.detach().to(uniforms.dtype).exp()
        ends, first = share.cumsum(-1), uniforms[..., :1]
        chosen = (ends[..., :-1] <= first).sum(-1, keepdim=True)
        share, end = (each.expand(*first.shape[:-1], -1).gather(-1, chosen) for each in (share, ends))
        rest = (first - (end - share)) / share.clamp_min(torch.finfo(share.dtype).tiny)
        rest = distributions.below_one(rest.clamp_min(0), rest.dtype)
        index = chosen.unsqueeze(-1).expand(*chosen.shape, self.means.shape[-1])
        mean, log_variance = (
            each.expand(*chosen.shape[:-1], -1, -1).gather(-2, index).squeeze(-2)
            for each in (self.means, self.log_variances)
        )
        return DiagonalGaussian(mean, log_variance).draw(torch.cat([rest, uniforms[..., 1:]], -1))

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z from every component for each of k draws, from uniforms (k, n, L), which the components share."""
        components = DiagonalGaussian(self.means.transpose(0, 1), self.log_variances.transpose(0, 1))
        z = components.draw(uniforms.unsqueeze(1))
        return Draws(z, self.log_prob(z), self.log_pi.mT)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density in nats: (*draws, n) for z (*draws, n, L)."""
        each = DiagonalGaussian(self.means, self.log_variances).log_prob(z.unsqueeze(-2))
        return (self.log_pi + each).logsumexp(-1)

    def kl(self, prior: DiagonalGaussian) -> None:
        """None: the KL divergence has no closed form."""

    def kl_bounds(self, prior: DiagonalGaussian) -> tuple[torch.Tensor, torch.Tensor]:
        """A lower and an upper bound on KL(this || prior) in nats, (n,) each; at most log K apart.

        The KL divergence is that of the components, averaged with the weights, less the mutual information of z and the
        component, which lies between 0 and the entropy of the weights.
        """
        pi = self.log_pi.exp()
        components = DiagonalGaussian(self.means, self.log_variances)
        upper = (pi * components.kl(DiagonalGaussian(prior.mean.unsqueeze(1), prior.log_variance.unsqueeze(1)))).sum(-1)
        return upper - torch.special.entr(pi).sum(-1), upper
