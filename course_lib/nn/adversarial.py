"""The losses of two players: a discriminator, which tells data from samples, and a generator, which makes the samples.

The discriminator gives a logit l(x) for each x, and D(x) = sigma(l(x)) is its probability that x is data. A critic
gives a number for each x that is not the logit of a probability. Every loss is something to minimise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AdversarialLoss",
    "clip_weights",
    "gradient_penalty",
    "log_density_ratio",
    "r1_penalty",
]


class AdversarialLoss(NamedTuple):
    """The losses of both players, as functions of logits (n,). The batches of data and of samples may differ in size.

    Attributes:
        discriminator: (logits of the data, logits of the samples) -> scalar.
        generator: (logits of the samples) -> scalar.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log D(x) - mean log(1 - D(G(z))), in nats."""
    return -(F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean())


def _saturating(fake: Tensor) -> Tensor:
    """mean log(1 - D(G(z))), whose gradient vanishes where D is near 0."""
    return F.logsigmoid(-fake).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    """-mean log D(G(z))."""
    return -F.logsigmoid(fake).mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _difference(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _negative_mean(fake: Tensor) -> Tensor:
    return -fake.mean()


ADVERSARIAL_LOSSES = {
    "minimax": AdversarialLoss(_cross_entropy, _saturating),
    "non-saturating": AdversarialLoss(_cross_entropy, _non_saturating),
    "hinge": AdversarialLoss(_hinge, _negative_mean),
    "wasserstein": AdversarialLoss(_difference, _negative_mean),
}
"""The losses by name.

* `minimax` and `non-saturating`: I. Goodfellow et al., "Generative Adversarial Nets", NIPS 27, 2014, equation 1 and the
  end of section 3. The discriminator has one loss; only the generator's differ. In nats.
* `hinge`: J. H. Lim and J. C. Ye, "Geometric GAN", arXiv:1705.02894.
* `wasserstein`: M. Arjovsky, S. Chintala and L. Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017. It
  means something only if the critic's slope is bounded, by `clip_weights` or `gradient_penalty`, say.

>>> loss = ADVERSARIAL_LOSSES["non-saturating"]
>>> loss.discriminator(torch.zeros(3), torch.zeros(5)), loss.generator(torch.zeros(5))      # log 4 and log 2
(tensor(1.3863), tensor(0.6931))
"""


def log_density_ratio(logits: Tensor, n_data: int, n_model: int) -> Tensor:
    """log p_data(x) - log p_model(x) in nats, estimated by a classifier of data against samples.

    By Bayes' theorem the best classifier has l(x) = log p_data(x) - log p_model(x) + log(n_data / n_model), where the
    last term is the prior log-odds of its training set.

    Args:
        logits: (n,) l(x), positive where the classifier takes x for data.
        n_data, n_model: numbers of data points and of samples that the classifier was trained on.

    Raises:
        ValueError: a number is below 1.

    >>> log_density_ratio(torch.tensor([0.0, 2.0]), n_data=100, n_model=100)
    tensor([0., 2.])
    """
    for name, number in {"n_data": n_data, "n_model": n_model}.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; expected a positive number of examples")
    return logits + (math.log(n_model) - math.log(n_data))


Critic = Callable[[Tensor], Tensor]


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, *, weight: float = 10.0, uniforms: Tensor | None = None
) -> Tensor:
    """How far the critic's slope is from 1 between data and samples: weight * mean of (||gradient||_2 - 1)^2.

    The gradient is that of critic(x) with respect to x, at x_i = u_i real_i + (1 - u_i) fake_i, and its norm is that of
    a whole image. I. Gulrajani et al., "Improved Training of Wasserstein GANs", NIPS 30, 2017, equation 3.

    The penalty's own gradient reaches the critic's weights, and neither `real` nor `fake`. Batch normalization in the
    critic makes it meaningless: one image's value would depend on the others.

    Args:
        critic: (n, *shape) -> (n,).
        real, fake: (n, *shape).
        weight: lambda.
        uniforms: (n,) the u_i in [0, 1]; drawn from torch's global generator by default.

    Returns:
        A scalar.

    Raises:
        ValueError: real and fake differ in shape, or uniforms is not (n,).

    >>> slope = torch.tensor([3.0, 4.0])        # of norm 5: (5 - 1)^2 = 16
    >>> gradient_penalty(lambda x: x @ slope, torch.zeros(6, 2), torch.ones(6, 2), weight=1.0)
    tensor(16.)
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape; got {tuple(real.shape)} and {tuple(fake.shape)}")
    if uniforms is None:
        uniforms = torch.rand(len(real), dtype=real.dtype, device=real.device)
    elif uniforms.shape != (len(real),):
        raise ValueError(f"uniforms must have shape ({len(real)},), one per image; got {tuple(uniforms.shape)}")
    share = uniforms.to(real).reshape(-1, *[1] * (real.ndim - 1))
    between = torch.lerp(fake.detach(), real.detach(), share)
    return weight * (_slopes(critic, between).norm(dim=1) - 1).square().mean()


def r1_penalty(critic: Critic, real: Tensor, *, weight: float = 10.0) -> Tensor:
    """The critic's slope at the data: weight / 2 * mean of ||gradient||_2^2.

    L. Mescheder, A. Geiger and S. Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018.

    Args:
        critic: (n, *shape) -> (n,), logits.
        real: (n, *shape).
        weight: gamma.

    Returns:
        A scalar, whose gradient reaches the critic's weights.

    >>> r1_penalty(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(6, 2), weight=1.0)     # 5^2 / 2
    tensor(12.5000)
    """
    return weight / 2 * _slopes(critic, real.detach()).square().sum(1).mean()


def _slopes(critic: Critic, x: Tensor) -> Tensor:
    """The gradients of critic(x) with respect to each x, (n, D), as functions of the critic's weights."""
    x = x.clone().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradients.flatten(1)


@torch.no_grad()
def clip_weights(module: nn.Module, limit: float) -> None:
    """Move every parameter into [-limit, limit], in place.

    Arjovsky, Chintala and Bottou, ICML 2017, algorithm 1, after each step of the critic.

    >>> layer = nn.Linear(2, 2)
    >>> clip_weights(layer, 0.01)
    >>> bool(layer.weight.abs().max() <= 0.01)
    True
    """
    for parameter in module.parameters():
        parameter.clamp_(-limit, limit)
