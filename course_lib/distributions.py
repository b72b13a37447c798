"""Likelihoods of pixels, from logits and other real parameters. Logarithms are natural (nats) unless a name says bits.

Discrete pixels have two layouts, by the number K of levels:

* K = 2: one logit per dimension, log p(1) - log p(0); the logits have x's shape.
* K > 2: K logits per dimension, log p(k) up to a constant; the class axis is named in each function.

A real pixel's mixture of K Gaussians has 3 K parameters: on the first of two axes, of lengths 3 and K, are the logits
of the weights, the means, and the logarithms of the standard deviations.

K levels that are steps of one scale can have a mixture of M discretized logistics: a third layout, with 3 M parameters
per dimension, whose axes of lengths 3 and M hold logits of the weights, means and logarithms of the scales. Means
and scales are in units of levels. See T. Salimans, A. Karpathy, X. Chen and D. P. Kingma, "PixelCNN++", ICLR 2017,
sections 2.1 and 2.2.

Parameters of less than 32 bits (float16, bfloat16) are converted to float32 first. bfloat16 has 8 bits: it cannot tell
256 levels apart, and a sum of 256 probabilities is off by 10 %.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """x itself if its dtype is float32 or float64, else x as float32.

    >>> at_least_float32(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def below_one(u: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Numbers of [0, 1) in another dtype, where those that would be rounded to 1 become the largest number below 1.

    >>> below_one(torch.tensor(1 - 2.0**-53, dtype=torch.float64), torch.float32) < 1
    tensor(True)
    """
    return u.to(dtype).clamp_max(1 - torch.finfo(dtype).eps / 2)


def normal_quantile(u: torch.Tensor) -> torch.Tensor:
    """The number below which a standard normal variable lies with probability u: a draw of N(0, 1) where u is uniform.

    u = 0, whose quantile is minus infinity, stands for all numbers below 2^-53 and is taken as their middle.

    Args:
        u: any shape, in [0, 1).

    >>> normal_quantile(torch.tensor([0.5, 0.975]))
    tensor([0.0000, 1.9600])
    """
    return torch.special.ndtri(u.clamp_min(2.0**-54))


def gaussian_log_prob(mean: torch.Tensor, log_variance: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log N(x; mean, exp(log_variance)) in nats, elementwise. The three arguments broadcast.

    >>> gaussian_log_prob(torch.zeros(1), torch.zeros(1), torch.zeros(1))      # -log(2 pi) / 2
    tensor([-0.9189])
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    squared = (x - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi))


def bernoulli_log_prob(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x) in nats of binary x under p(1) = sigmoid(logits), elementwise, exact for logits of any size.

    Args:
        logits: (*shape), infinite ones allowed.
        x: (*shape), 0 or 1.

    >>> bernoulli_log_prob(torch.tensor([0.0, 1000.0, 1000.0]), torch.tensor([1, 1, 0])).tolist()
    [-0.6931471824645996, 0.0, -1000.0]
    """
    logits = at_least_float32(logits)
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
    return -F.cross_entropy(at_least_float32(logits), x.long(), reduction="none")


def cumulative(logits: torch.Tensor, levels: int) -> torch.Tensor:
    """P(x <= k) for k = 0..K-2. (P(x <= K-1) is 1, so it is left out.)

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.

    Returns:
        (*shape, K-1).

    >>> cumulative(torch.zeros(4), levels=4)
    tensor([0.2500, 0.5000, 0.7500])
    """
    logits = at_least_float32(logits)
    if levels == 2:
        return torch.sigmoid(-logits).unsqueeze(-1)
    return logits.softmax(-1).cumsum(-1)[..., :-1]


def invert(logits: torch.Tensor, u: torch.Tensor, levels: int) -> torch.Tensor:
    """The level that a uniform number stands for: the number of k in 0..K-2 with P(x <= k) <= u.

    With u uniform on [0, 1) this is an exact sample, up to rounding, and no level of probability 0 is ever drawn. For
    K = 2 it says x = 1 where u >= 1 - p(1).

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.
        u: (*shape), in [0, 1); its dtype is the one computed in, float32 at least.

    Returns:
        (*shape), int64.

    >>> invert(torch.zeros(4).expand(3, 4), torch.tensor([0.0, 0.25, 0.99]), levels=4)
    tensor([0, 1, 3])
    """
    logits = logits.to(at_least_float32(u).dtype)
    if levels == 2:  # the same rule, in fewer steps
        return (torch.sigmoid(-logits) <= u).long()
    sums = logits.softmax(-1).cumsum(-1)
    # Rounding may leave the total below u. Levels after the one that reaches the total add nothing to it.
    return ((sums <= u.unsqueeze(-1)) & (sums < sums[..., -1:])).sum(-1)


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
    logits, mean, log_std = at_least_float32(parameters).unbind(1)
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
    logits, mean, log_std = at_least_float32(parameters).unbind(-2)
    t = math.sqrt(0.5) * (mean - x.unsqueeze(-1)) * torch.exp(-log_std)
    return (logits.softmax(-1) / 2 * torch.erfc(t)).sum(-1)  # torch's ndtr, 1 + erf, rounds small probabilities off


def mixture_of_gaussians_invert(parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The x with P(value <= x) = u: an exact sample of a mixture of K Gaussians where u is uniform on [0, 1).

    The mixture's quantile lies between the smallest and the largest of its components'. Within this interval Halley's
    method, Newton's with the second derivative, solves

        z(P(value <= x)) = z(u),   z = the standard normal quantile,

    which is linear in x for a single Gaussian and nearly so in a mixture's tails. Each evaluation shortens the
    interval, and where the steps leave it or stop shrinking, it is halved. The search ends where P(value <= x) and
    u differ by rounding alone, or where the interval has no number left inside. u = 0, whose quantile is minus
    infinity, stands for all numbers below 2^-53 and is taken as their middle. A float64 u just below 1 that became 1 as
    float32 is taken as the largest number below 1.

    Args:
        parameters: (*shape, 3, K), in the order of `mixture_of_gaussians_log_prob`.
        u: (*shape), in [0, 1); its dtype is the one computed in, float32 at least.

    Returns:
        (*shape).

    >>> mixture_of_gaussians_invert(torch.zeros(3, 5), torch.tensor([0.5, 0.975]))
    tensor([0.0000, 1.9600])
    """
    u = below_one(u, at_least_float32(u).dtype).clamp_min(2.0**-54)
    logits, mean, log_std = parameters.to(u.dtype).expand(*u.shape, *parameters.shape[-2:]).unbind(-2)
    weights, scale = logits.softmax(-1), math.sqrt(0.5) * torch.exp(-log_std)
    halves, log_heights = weights / 2, weights.log() - log_std
    z, eps = torch.special.ndtri(u), torch.finfo(u.dtype).eps

    def evaluate(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """P(value <= x), how far its normal quantile is below z, and Halley's step."""
        t = (mean - x.unsqueeze(-1)).mul_(scale)
        below = (halves * torch.erfc(t)).sum(-1)
        normal = torch.special.ndtri(below)
        error, densities = z - normal, torch.addcmul(log_heights, t, t, value=-1).exp_()
        density = densities.sum(-1)
        slope = density * (0.5 * normal * normal).exp_()
        newton = error / slope
        # Half of the second derivative of z(P(value <= x)) by its slope.
        bend = densities.mul_(t).mul_(scale).sum(-1) / density + 0.5 * normal * slope
        return below, error, newton / (1 + (newton * bend).clamp(-0.5, 0.5))

    quantiles = mean + log_std.exp() * z.unsqueeze(-1)
    low, high = quantiles.amin(-1), quantiles.amax(-1)
    x, last = _quantile_without_overlap(weights, mean, log_std, u).clamp(low, high), high - low
    for _ in range(4):  # steps without the interval's bookkeeping cost half as much
        x = (x + evaluate(x)[2]).fmin(high).fmax(low)  # which ignore a step that is not a number
    searching, rounding_of_u, rounding_of_z = low < high, 4 * eps * u, 4 * eps * (1 + z.abs())
    while True:
        below, error, step = evaluate(x)
        searching &= ((below - u).abs() > rounding_of_u) & (error.abs() > rounding_of_z)
        if not searching.any():
            return x
        too_high = below > u
        low, high = torch.where(too_high, low, x), torch.where(too_high, x, high)
        step += torch.copysign(eps * x, step)  # one number further, so that the interval shrinks from both sides
        nearer, length, width = x + step, step.abs(), high - low
        shrinks = (low < nearer) & (nearer < high) & (2 * length < last)
        x = torch.where(searching, torch.where(shrinks, nearer, low + width / 2), x)
        last = torch.where(shrinks, length, width)
        searching &= (low < x) & (x < high)


def _quantile_without_overlap(
    weights: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor, u: torch.Tensor
) -> torch.Tensor:
    """The x with P(value <= x) = u if the components, sorted by their means, did not overlap: (*shape).

    u then lies in one component's share, and its place within this share is the component's own probability.
    """
    mean, order = mean.sort(-1)
    weights = weights.gather(-1, order)
    sums = weights.cumsum(-1)
    k = ((sums <= u.unsqueeze(-1)) & (sums < sums[..., -1:])).sum(-1, keepdim=True)
    of_sorted = weights, sums, mean, log_std.gather(-1, order)
    share, upper, mean, log_std = (each.gather(-1, k).squeeze(-1) for each in of_sorted)
    eps = torch.finfo(u.dtype).eps
    return mean + log_std.exp() * torch.special.ndtri((1 - (upper - u) / share).clamp(eps, 1 - eps))


def logistic_log_prob(mean: torch.Tensor, log_scale: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log of the density, in nats, of real x under a logistic distribution, elementwise.

        p(x) = F(z) F(-z) / scale,   z = (x - mean) / scale,   F = sigmoid

    Value and gradients are finite as long as z is.

    Args:
        mean, log_scale, x: of shapes that broadcast.

    >>> logistic_log_prob(torch.tensor(0.0), torch.tensor(0.0), torch.tensor([0.0, 1000.0]))      # -log 4, -1000
    tensor([   -1.3863, -1000.0000])
    """
    log_scale = at_least_float32(log_scale)
    z = (x - mean) * torch.exp(-log_scale)
    return F.logsigmoid(z) + F.logsigmoid(-z) - log_scale


def logistic_mixture_log_prob(parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log of the density, in nats, of real x under a mixture of M logistics that are not rounded, elementwise.

    Args:
        parameters: (batch, 3, M, *shape), as in `discretized_logistic_mixture_log_prob`.
        x: (batch, *shape).

    Returns:
        (batch, *shape).

    >>> standard = torch.zeros(1, 3, 5, 1)      # five times the same one
    >>> logistic_mixture_log_prob(standard, torch.zeros(1, 1))      # -log 4
    tensor([[-1.3863]])
    """
    logits, mean, log_scale = at_least_float32(parameters).unbind(1)
    return torch.logsumexp(logits.log_softmax(1) + logistic_log_prob(mean, log_scale, x.unsqueeze(1)), 1)


def discretized_logistic_mixture_log_prob(parameters: torch.Tensor, x: torch.Tensor, levels: int) -> torch.Tensor:
    """log p(x) in nats of x in 0..K-1 under a mixture of M discretized logistics, elementwise.

    A logistic variable is rounded to the nearest level, and to the first or last one from beyond:

        p(x) = sum over m of w_m [F((x + 1/2 - mean_m) / scale_m) - F((x - 1/2 - mean_m) / scale_m)],   F = sigmoid

    with F(-infinity) = 0 at the first level and F(infinity) = 1 at the last, so that the levels' probabilities sum to
    1 for any means and scales. Far from the mean the difference of two sigmoids rounds to 0, so it is written as

        F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))

    whose logarithm is a sum of three terms without a difference. Value and gradients are finite as long as
    K / scale_m and mean_m / scale_m are.

    Args:
        parameters: (batch, 3, M, *shape): logits of the weights, means, logarithms of the scales.
        x: (batch, *shape), integers 0..K-1.
        levels: K, at least 2.

    Returns:
        (batch, *shape).

    >>> one = torch.tensor([0.0, 7.0, 0.0]).view(1, 3, 1, 1)      # mean 7, scale 1
    >>> x = torch.arange(16).view(16, 1)
    >>> discretized_logistic_mixture_log_prob(one.expand(16, 3, 1, 1), x, levels=16).exp().sum()
    tensor(1.0000)
    """
    return torch.logsumexp(_component_log_probs(parameters, x, levels), 1)


def discretized_logistic_mixture_cumulative(parameters: torch.Tensor, levels: int) -> torch.Tensor:
    """P(x <= k) for k = 0..K-2 under a mixture of M discretized logistics.

    Args:
        parameters: (*shape, 3, M), in the order of `discretized_logistic_mixture_log_prob`.

    Returns:
        (*shape, K-1).

    >>> discretized_logistic_mixture_cumulative(torch.tensor([[0.0], [1.0], [0.0]]), levels=3)
    tensor([0.3775, 0.6225])
    """
    logits, mean, log_scale = (each.unsqueeze(-2) for each in at_least_float32(parameters).unbind(-2))
    edges = torch.arange(levels - 1, dtype=mean.dtype, device=mean.device) + 0.5
    return _logistic_mixture_cumulative(logits.softmax(-1), mean, torch.exp(-log_scale), edges)


def discretized_logistic_mixture_invert(parameters: torch.Tensor, u: torch.Tensor, levels: int) -> torch.Tensor:
    """The level that a uniform number stands for: the number of k in 0..K-2 with P(x <= k) <= u, as in `invert`.

    The level is at least k where P(x <= k - 1) <= u. A binary search finds its bits, the highest one first, from
    log2 K of these probabilities.

    Args:
        parameters: (*shape, 3, M), in the order of `discretized_logistic_mixture_log_prob`.
        u: (*shape), in [0, 1).

    Returns:
        (*shape), int64.

    >>> discretized_logistic_mixture_invert(torch.tensor([[0.0], [1.0], [-9.0]]), torch.tensor(0.7), levels=3)
    tensor(1)
    """
    logits, mean, log_scale = at_least_float32(parameters).unbind(-2)
    weights, inverse_scale = logits.softmax(-1), torch.exp(-log_scale)
    level = torch.zeros_like(u, dtype=torch.int64)
    for bit in reversed(range((levels - 1).bit_length())):
        higher = level + 2**bit
        below = _logistic_mixture_cumulative(weights, mean, inverse_scale, higher.to(mean.dtype) - 0.5)
        level = torch.where((higher < levels) & (below <= u), higher, level)
    return level


def sub_pixel_chain(parameters: torch.Tensor, coefficients: torch.Tensor, x: torch.Tensor, levels: int) -> torch.Tensor:
    """The conditionals of a pixel's colours, one given those before it, where all share one mixture component.

        p(x_1, ..., x_C) = sum over m of w_m * product over c of P(x_c | mean'_cm, scale_cm)
        mean'_cm = mean_cm + sum over b < c of a_bcm x_b

    with P the discretized logistic. The c-th conditional of this joint is a mixture of discretized logistics again: the
    means are shifted by the colours before, and the weights are those of the components *given* these colours,

        w_m * product over b < c of P(x_b | ...) / normalizer.

    To mix each colour separately, with the weights w, is another model: it may take its red from one component and its
    green from the next.

    Args:
        parameters: (batch, 3, M, C, *shape): logits of the weights, of which only the first colour's are used, means,
            logarithms of the scales.
        coefficients: (batch, C (C - 1) / 2, M, *shape): a_bcm for (b, c) = (1, 2), (1, 3), (2, 3), ..., by c, then b.
        x: (batch, C, *shape), integers 0..K-1.
        levels: K.

    Returns:
        (batch, 3, M, C, *shape), for `discretized_logistic_mixture_log_prob`. Colour c depends on x_b for b < c only.
    """
    return torch.stack(list(sub_pixel_steps(parameters, coefficients, x, levels)), 3)


def sub_pixel_steps(
    parameters: torch.Tensor, coefficients: torch.Tensor, x: torch.Tensor, levels: int
) -> Iterator[torch.Tensor]:
    """The conditionals of `sub_pixel_chain` one by one, (batch, 3, M, *shape) each, for the same arguments.

    The colours of x before c are read when the c-th conditional is asked for: a sampler may fill them in as it goes.
    """
    parameters, coefficients = at_least_float32(parameters), at_least_float32(coefficients)
    conditional, used = parameters[:, :, :, 0], 0
    yield conditional
    for c in range(1, x.shape[1]):
        logits = _component_log_probs(conditional, x[:, c - 1], levels)
        _, mean, log_scale = parameters[:, :, :, c].unbind(1)
        for b in range(c):
            mean = mean + coefficients[:, used] * x[:, b].unsqueeze(1)
            used += 1
        conditional = torch.stack([logits, mean, log_scale], 1)
        yield conditional


def _logistic_mixture_cumulative(
    weights: torch.Tensor, mean: torch.Tensor, inverse_scale: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """P(value <= x) under a mixture of M logistics that are not rounded: (*shape) from (*shape, M) and x (*shape)."""
    return (weights * torch.sigmoid((x.unsqueeze(-1) - mean) * inverse_scale)).sum(-1)


def _component_log_probs(parameters: torch.Tensor, x: torch.Tensor, levels: int) -> torch.Tensor:
    """log of (weight times probability of x) of each component: (batch, M, *shape)."""
    logits, mean, log_scale = at_least_float32(parameters).unbind(1)
    x, inverse_scale = x.unsqueeze(1).to(mean.dtype), torch.exp(-log_scale)
    below = torch.where(x < levels - 1, F.logsigmoid((x + 0.5 - mean) * inverse_scale), 0.0)
    above = torch.where(x > 0, F.logsigmoid((mean - x + 0.5) * inverse_scale), 0.0)
    # From a scale of e^40 on, this difference is 1 / scale to all digits. Later the quotient underflows.
    log_difference = torch.log(-torch.expm1(-torch.exp(-log_scale.clamp_max(40.0))))
    log_difference = torch.where(log_scale > 40, -log_scale, log_difference)
    between = torch.where((x > 0) & (x < levels - 1), log_difference, 0.0)
    return logits.log_softmax(1) + below + above + between
