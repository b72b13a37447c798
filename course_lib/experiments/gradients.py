"""Estimates of a gradient through categorical draws, compared with the exact one: bias and noise.

The gradient is that of E_q[log p(x | z)] with respect to the logits of q(z | x), for a trained `CategoricalVAE` whose
states can be enumerated. `train`, then `gumbel` and `reinforce` take seconds, so a lesson can call them live.
"""

from typing import NamedTuple

import torch

from course_lib import data
from course_lib.models import CategoricalVAE
from course_lib.models.categorical_vae import IndependentCategoricals
from course_lib.training import fit

__all__ = ["GradientError", "exact", "gumbel", "reinforce", "train"]


class GradientError(NamedTuple):
    """How far an estimate of the gradient is from the exact one, relative to the exact one's norm.

    Attributes:
        bias: norm of the mean estimate minus the exact gradient. What the noise of the mean adds is subtracted.
        noise: root of the estimate's total variance.
    """

    bias: float
    noise: float


def train(seed: int = 0, epochs: int = 15) -> CategoricalVAE:
    """A model of the binary digits with 3 variables of 4 categories, trained by enumeration."""
    torch.manual_seed(seed)
    model = CategoricalVAE((64,), 2, 3, 4, [100])
    fit(model, data.digits("binary").flatten(), epochs=epochs, batch_size=64, lr=5e-3, seed=seed)
    return model


def exact(model: CategoricalVAE, x: torch.Tensor) -> torch.Tensor:
    """The gradient of E_q[log p(x | z)] with respect to the logits, (n, N, K), by enumeration."""
    logits = _logits(model, x)
    value = model._by_enumeration(x, _posterior(logits)).sum()
    return torch.autograd.grad(value, logits)[0]


def gumbel(
    model: CategoricalVAE, x: torch.Tensor, temperature: float, draws: int = 2000, seed: int = 0
) -> GradientError:
    """The error of the Gumbel-softmax estimate from one draw per image, measured from several independent ones.

    Args:
        x: (n, *event_shape).
        temperature: above 0.
        draws: number of estimates for each image.
    """
    logits = _repeated(_logits(model, x), draws)
    u = torch.rand(logits.shape, dtype=torch.float64, generator=_generator(seed))
    y = _posterior(logits.flatten(0, 1)).relaxed_draw(u.flatten(0, 1), temperature)
    value = model.likelihood.log_prob(model.decode(y), x.repeat(draws, *[1] * (x.ndim - 1)))
    return _error(torch.autograd.grad(value.sum(), logits)[0], exact(model, x))


def reinforce(
    model: CategoricalVAE, x: torch.Tensor, baseline: bool, draws: int = 2000, group: int = 4, seed: int = 0
) -> GradientError:
    """The error of the REINFORCE estimate from a group of z per image, measured from several independent groups.

    Args:
        x: (n, *event_shape).
        baseline: whether the mean of log p(x | z) over the other draws of its group is subtracted from each.
        draws: number of estimates for each image.
        group: number of z in each, 2 at least with the baseline.
    """
    logits = _repeated(_logits(model, x), draws)
    u = torch.rand(group, draws * len(x), model.latents, dtype=torch.float64, generator=_generator(seed))
    each = _posterior(logits.flatten(0, 1)).weighted_draws(u)
    repeated = x.repeat(group * draws, *[1] * (x.ndim - 1))
    value = model.likelihood.log_prob(model.decode(each.z.flatten(0, 2)), repeated).view(group, -1).detach()
    if baseline:
        value = value - (value.sum(0) - value) / (group - 1)
    surrogate = (value * each.log_q[:, 0]).mean(0).sum()
    return _error(torch.autograd.grad(surrogate, logits)[0], exact(model, x))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _logits(model: CategoricalVAE, x: torch.Tensor) -> torch.Tensor:
    return model.encode(x).log_p.detach().requires_grad_()


def _repeated(logits: torch.Tensor, draws: int) -> torch.Tensor:
    """(draws, n, N, K), each with a gradient of its own."""
    return logits.detach().expand(draws, -1, -1, -1).clone().requires_grad_()


def _posterior(logits: torch.Tensor) -> IndependentCategoricals:
    return IndependentCategoricals(logits.log_softmax(-1))


def _error(estimates: torch.Tensor, gradient: torch.Tensor) -> GradientError:
    """From estimates (draws, n, N, K): sums over images and logits."""
    variance = estimates.var(0).sum()
    squared = (estimates.mean(0) - gradient).square().sum() - variance / len(estimates)
    norm = gradient.norm()
    return GradientError(float(squared.clamp_min(0).sqrt() / norm), float(variance.sqrt() / norm))
