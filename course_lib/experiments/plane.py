"""The best q of a family for one posterior of two latent variables, found by search, beside the truth on a grid.

This takes the encoder out of the question: what is left of the gap between the ELBO and log p(x) is the family's. The
search maximises the ELBO of one image by gradients, from draws e of N(0, I) that a family turns into z.
"""

import math
from collections.abc import Callable, Sequence

import torch

from course_lib.models import VAE
from course_lib.models.latent import DiagonalGaussian

__all__ = ["Flow", "GaussianMixture", "Plane", "search"]

# One step of a flow: (v, A, a, B, b, inverse) -> (w, log density), as in exercise `iaf` of lesson 07.
Step = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class Plane:
    """The true posterior of one image under a VAE of two latent variables, on a grid.

    Args:
        model: the VAE, in float64.
        x: the image, (1, *event_shape).
        reach, points: the grid has `points` values from -reach to reach in both directions.

    Attributes:
        z: (points**2, 2), the grid.
        log_posterior: (points, points), log p(z | x), first axis z_0.
        log_evidence: log p(x) in nats, the integral over the grid.

    >>> plane = Plane(VAE((4,), 2, 2, [5]).double(), torch.tensor([[0, 1, 1, 0]]), points=61)
    >>> cell = (2 * plane.reach / 60) ** 2
    >>> round(float(plane.log_posterior.exp().sum() * cell), 3)
    1.0
    """

    def __init__(self, model: VAE, x: torch.Tensor, reach: float = 4.0, points: int = 201):
        self.model, self.x, self.reach = model, x, reach
        axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
        self.z = torch.cartesian_prod(axis, axis)
        with torch.no_grad():
            log_joint = self.log_joint(self.z)
        self.log_evidence = float(log_joint.logsumexp(0)) + 2 * math.log(2 * reach / (points - 1))
        self.log_posterior = (log_joint - self.log_evidence).view(points, points)

    def log_joint(self, z: torch.Tensor) -> torch.Tensor:
        """log p(x, z) in nats, (n,), for z (n, 2)."""
        x = self.x.expand(len(z), *self.x.shape[1:])
        return self.model.likelihood.log_prob(self.model.decode(z), x) + self.model.prior().log_prob(z)

    def mode(self) -> torch.Tensor:
        """(1, 2): the z of the highest density."""
        return self.z[self.log_posterior.flatten().argmax()][None]

    def centres(self) -> torch.Tensor:
        """(2, 2): the two centres of k-means of the posterior, which lie in its two modes where it has two."""
        mass = self.log_posterior.flatten().softmax(0)[:, None]
        mean = (mass * self.z).sum(0)
        spread, axes = torch.linalg.eigh((mass * (self.z - mean)).T @ (self.z - mean))
        centres = mean + spread[1].sqrt() * torch.stack([-axes[:, 1], axes[:, 1]])
        for _ in range(20):
            belongs = torch.nn.functional.one_hot(torch.cdist(self.z, centres).argmin(1), 2) * mass
            centres = belongs.T @ self.z / belongs.sum(0)[:, None]
        return centres

    def gap(self, family: "GaussianMixture | Flow", draws: int = 10_000) -> float:
        """log p(x) minus the ELBO with this q, in nats, from so many draws, always the same."""
        e = torch.randn(draws, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return self.log_evidence - float(_elbo(self, family, e))


class GaussianMixture:
    """A mixture of diagonal Gaussians in the plane. Its draws are one z from each component, weighted.

    Args:
        mean: (K, 2), where the search starts.
        deviation: all standard deviations at the start.

    >>> q = GaussianMixture(torch.zeros(2, 2, dtype=torch.float64))
    >>> z, log_q, weights = q.draws(torch.randn(5, 2, dtype=torch.float64))
    >>> z.shape, torch.allclose(log_q, q.log_prob(z)), round(float(weights.sum()), 3)
    (torch.Size([10, 2]), True, 1.0)
    """

    def __init__(self, mean: torch.Tensor, deviation: float = 0.3):
        log_variance = torch.full_like(mean, 2 * math.log(deviation))
        self.parameters = [mean.clone(), log_variance, mean.new_zeros(len(mean))]

    def draws(self, e: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """z (K n, 2), the log density and the weight of each, for noise e (n, 2)."""
        mean, log_variance, logits = self.parameters
        z = (mean[:, None] + torch.exp(log_variance / 2)[:, None] * e).flatten(0, 1)
        return z, self.log_prob(z), logits.softmax(0).repeat_interleave(len(e)) / len(e)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density, (n,), for z (n, 2)."""
        mean, log_variance, logits = self.parameters
        each = DiagonalGaussian(mean, log_variance).log_prob(z[:, None])
        return (each + logits.log_softmax(0)).logsumexp(1)


class Flow:
    """Inverse autoregressive steps in the plane, with linear networks; after each one the dimensions are swapped.

    Args:
        step: one step or its inverse.
        steps: their number.
        mean: (2,), where the search starts.
        deviation: both standard deviations at the start.
    """

    def __init__(self, step: Step, steps: int, mean: torch.Tensor, deviation: float = 0.3):
        self.step = step
        self.parameters = [mean.new_zeros(shape) for _ in range(steps) for shape in ((2, 2), (2,), (2, 2), (2,))]
        self.parameters[-3].add_(mean.flip(0))
        self.parameters[-1].add_(math.log(deviation))

    def draws(self, e: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """z (n, 2), its log density and weights 1 / n, for noise e (n, 2)."""
        v, log_q = e, _log_normal(e)
        for parameters in self._steps():
            z, log_density = (torch.as_tensor(each) for each in self.step(v, *parameters, False))
            v, log_q = z.flip(1), log_q + log_density - _log_normal(v)
        return v, log_q, torch.full_like(log_q, 1 / len(e))

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the density, (n,), for z (n, 2): back through the steps."""
        v, scales = z, 0.0
        for parameters in reversed(self._steps()):
            v, log_density = (torch.as_tensor(each) for each in self.step(v.flip(1), *parameters, True))
            scales = scales + log_density - _log_normal(v)
        return scales + _log_normal(v)

    def _steps(self) -> list[Sequence[torch.Tensor]]:
        return [self.parameters[i : i + 4] for i in range(0, len(self.parameters), 4)]


def search(plane: Plane, family: GaussianMixture | Flow, steps: int, draws: int = 40) -> None:
    """Raise the ELBO of the plane's image over the family's parameters, in place, by so many steps of Adam."""
    for parameter in family.parameters:
        parameter.requires_grad_()
    adam = torch.optim.Adam(family.parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        e = torch.randn(draws, 2, dtype=torch.float64, generator=generator)
        adam.zero_grad()
        (-_elbo(plane, family, e)).backward()
        adam.step()
        schedule.step()
    for parameter in family.parameters:
        parameter.requires_grad_(False)


def _elbo(plane: Plane, family: GaussianMixture | Flow, e: torch.Tensor) -> torch.Tensor:
    z, log_q, weights = family.draws(e)
    return (weights * (plane.log_joint(z) - log_q)).sum()


def _log_normal(e: torch.Tensor) -> torch.Tensor:
    return -0.5 * (e.square() + math.log(2 * math.pi)).sum(1)
