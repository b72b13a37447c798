"""Likelihoods of pixels, from logits and other real parameters. Logarithms are natural (nats) unless a name says bits.

Discrete pixels have two layouts, by the number K of levels:

* K = 2: one logit a dimension, log p(1) - log p(0); the logits have x's shape.
* K > 2: K logits a dimension, log p(k) up to a constant; the class axis is named in each function.

A real pixel's mixture of K Gaussians has 3 K parameters: on the first of two axes, of lengths 3 and K, stand the logits
of the weights, the means, and the logarithms of the standard deviations.
"""

import math

import torch
import torch.nn.functional as F


def bernoulli_log_prob(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x) in nats of binary x under p(1) = sigmoid(logits), elementwise, exact for logits of any size.

    Args:
        logits: (*shape), infinite ones allowed.
        x: (*shape), 0 or 1.

    >>> bernoulli_log_prob(torch.tensor([0.0, 1000.0, 1000.0]), torch.tensor([1, 1, 0])).tolist()
    [-0.6931471824645996, 0.0, -1000.0]
    """
    return F.logsigmoid((2 * x.to(logits.dtype) - 1) * logits)


def categorical_log_prob(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x) in nats of x in 0..K-1 under p = softmax of the logits over axis 1.

    Args:
        logits: (batch, K, *shape).
        x: (batch, *shape), integers 0..K-1.

    Returns:
        (batch, *shape).

    >>> categorical_log_prob(torch.zeros(1, 4, 2), torch.tensor([[3, 0]]))      # log 4
    tensor([[-1.3863, -1.3863]])
    """
    return -F.cross_entropy(logits, x.long(), reduction="none")


def cumulative(logits: torch.Tensor, levels: int) -> torch.Tensor:
    """P(x <= k) for k = 0..K-2. (P(x <= K-1) is 1, so it is left out.)

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.

    Returns:
        (*shape, K-1).

    >>> cumulative(torch.zeros(4), levels=4)
    tensor([0.2500, 0.5000, 0.7500])
    """
    if levels == 2:
        return torch.sigmoid(-logits).unsqueeze(-1)
    return logits.softmax(-1).cumsum(-1)[..., :-1]


def invert(logits: torch.Tensor, u: torch.Tensor, levels: int) -> torch.Tensor:
    """The level that a uniform number stands for: the number of k in 0..K-2 with P(x <= k) <= u.

    With u uniform on [0, 1) this is an exact sample. For K = 2 it says x = 1 where u >= 1 - p(1).

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.
        u: (*shape), in [0, 1).

    Returns:
        (*shape), int64.

    >>> invert(torch.zeros(4).expand(3, 4), torch.tensor([0.0, 0.25, 0.99]), levels=4)
    tensor([0, 1, 3])
    """
    if levels == 2:  # the same rule, in fewer steps
        return (torch.sigmoid(-logits) <= u).long()
    return (cumulative(logits, levels) <= u.unsqueeze(-1)).sum(-1)


def mixture_of_gaussians_log_prob(parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log of the density, in nats, of real x under a mixture of K Gaussians, elementwise.

        p(x) = sum over k of w_k N(x; mean_k, std_k^2),   w = softmax of the logits

    The sum is taken over logarithms (logsumexp), so a density too small or too large for floating point is no
    obstacle. Value and gradients are finite as long as ((x - mean_k) / std_k)^2 is.

    Args:
        parameters: (batch, 3, K, *shape): logits of the weights, means, logarithms of the standard deviations.
        x: (batch, *shape).

    Returns:
        (batch, *shape).

    >>> standard_normal = torch.zeros(1, 3, 5, 1)      # five times the same one
    >>> mixture_of_gaussians_log_prob(standard_normal, torch.zeros(1, 1))      # -log(2 pi) / 2
    tensor([[-0.9189]])
    """
    logits, mean, log_std = parameters.unbind(1)
    z = (x.unsqueeze(1) - mean) * torch.exp(-log_std)
    return torch.logsumexp(logits.log_softmax(1) - z**2 / 2 - log_std, 1) - math.log(2 * math.pi) / 2


def mixture_of_gaussians_cumulative(parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """P(value <= x) under a mixture of K Gaussians.

    Args:
        parameters: (*shape, 3, K), in the order of `mixture_of_gaussians_log_prob`.
        x: (*shape).

    Returns:
        (*shape).

    >>> mixture_of_gaussians_cumulative(torch.zeros(3, 5), torch.tensor(0.0))
    tensor(0.5000)
    """
    logits, mean, log_std = parameters.unbind(-2)
    return (logits.softmax(-1) * torch.special.ndtr((x.unsqueeze(-1) - mean) * torch.exp(-log_std))).sum(-1)


def mixture_of_gaussians_invert(parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The x with P(value <= x) = u: an exact sample of a mixture of K Gaussians where u is uniform on [0, 1).

    The mixture's quantile lies between the smallest and the largest of its components'. From there on the interval
    is halved until it is no longer than floating point's resolution. u = 0, whose quantile is minus infinity, stands
    for all numbers below 2^-53 and is taken as their middle.

    Args:
        parameters: (*shape, 3, K), in the order of `mixture_of_gaussians_log_prob`.
        u: (*shape), in [0, 1); its dtype is the one computed in.

    Returns:
        (*shape).

    >>> mixture_of_gaussians_invert(torch.zeros(3, 5), torch.tensor([0.5, 0.975]))
    tensor([0.0000, 1.9600])
    """
    parameters, u = parameters.to(u.dtype), u.clamp_min(2.0**-54)
    _, mean, log_std = parameters.unbind(-2)
    quantiles = mean + log_std.exp() * torch.special.ndtri(u).unsqueeze(-1)
    low, high = quantiles.amin(-1), quantiles.amax(-1)
    for _ in range(64):
        middle = (low + high) / 2
        too_high = mixture_of_gaussians_cumulative(parameters, middle) > u
        low, high = torch.where(too_high, low, middle), torch.where(too_high, middle, high)
    return (low + high) / 2
