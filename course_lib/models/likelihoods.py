"""Decoders' likelihoods: p(x | z) as a product over the dimensions of x, from the numbers that a network gives.

Each has the number of the network's `outputs` for a dimension, P, and turns (n, P, *event_shape) of them, or
(n, *event_shape) for P = 1, into the log-likelihood, the mean and samples.
"""

import math

import torch
from torch import nn

from course_lib import distributions


class Likelihood(nn.Module):
    """The distribution of x given a decoder's outputs, independent over the dimensions of x.

    Attributes:
        outputs: number P of the outputs that each dimension has.
        rows: number of images whose outputs and likelihoods fit into memory at once, without gradients.
    """

    outputs, rows = 1, 2**15

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | z) in nats, the sum over the dimensions: (n,)."""
        raise NotImplementedError(f"{type(self).__name__} must define log_prob")

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """E[x | z], (n, *event_shape) real numbers on x's own scale."""
        raise NotImplementedError(f"{type(self).__name__} must define mean")

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """The x that uniform numbers (n, *event_shape) stand for, by inverting each distribution function."""
        raise NotImplementedError(f"{type(self).__name__} must define invert")


class Bernoulli(Likelihood):
    """p(x_d = 1 | z) = sigmoid(output).

    >>> Bernoulli().mean(torch.zeros(1, 3))
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return distributions.bernoulli_log_prob(outputs, x).flatten(1).sum(1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        return distributions.at_least_float32(outputs).sigmoid()

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return distributions.invert(outputs, u, 2)


class Categorical(Likelihood):
    """p(x_d = k | z) = softmax of K outputs.

    >>> Categorical(4).mean(torch.zeros(1, 4, 2))
    tensor([[1.5000, 1.5000]])
    """

    def __init__(self, levels: int):
        super().__init__()
        self.outputs = levels

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return distributions.categorical_log_prob(outputs, x).flatten(1).sum(1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        p = distributions.at_least_float32(outputs).softmax(1)
        return torch.einsum("nk...,k->n...", p, torch.arange(self.outputs, dtype=p.dtype, device=p.device))

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return distributions.invert(outputs.movedim(1, -1), u, self.outputs)


class DiscretizedLogistic(Likelihood):
    """A logistic variable, rounded to the nearest of K levels: `distributions.discretized_logistic_mixture_log_prob`.

    Outputs (a, b) give the mean (K - 1) (1 + a) / 2 and the scale K / 4 e^b: an untrained network's values, near 0,
    mean a broad distribution in the middle of the levels.

    >>> DiscretizedLogistic(16).mean(torch.zeros(1, 2, 2))
    tensor([[7.5000, 7.5000]])
    """

    outputs = 2

    def __init__(self, levels: int):
        super().__init__()
        self.levels = levels

    def _one_component(self, outputs: torch.Tensor) -> torch.Tensor:
        """The layout of a mixture with one component, (n, 3, 1, *event_shape)."""
        mean, log_scale = distributions.at_least_float32(outputs).unbind(1)
        mean, log_scale = (self.levels - 1) * (1 + mean) / 2, log_scale + math.log(self.levels / 4)
        return torch.stack([torch.zeros_like(mean), mean, log_scale], 1).unsqueeze(2)

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parameters = self._one_component(outputs)
        return distributions.discretized_logistic_mixture_log_prob(parameters, x, self.levels).flatten(1).sum(1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """The sum of P(x > k) over k = 0..K-2."""
        parameters = self._one_component(outputs).movedim((1, 2), (-2, -1))
        below = distributions.discretized_logistic_mixture_cumulative(parameters, self.levels)
        return (1 - below).sum(-1)

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        parameters = self._one_component(outputs.to(u.dtype)).movedim((1, 2), (-2, -1))
        return distributions.discretized_logistic_mixture_invert(parameters, u, self.levels)


class Gaussian(Likelihood):
    """x_d is normal with the output as its mean.

    A variance that is learned for each dimension of each image has no lower bound: where the data repeat a value
    exactly, the density grows without limit.

    Args:
        variance: a positive number; `shared`, one parameter for all dimensions; or `learned`, a second output, its
            logarithm.

    Attributes:
        log_variance: of the first two kinds: a buffer or a parameter without axes. None for `learned`.

    Raises:
        ValueError: variance is none of these.

    >>> Gaussian(1.0).log_prob(torch.zeros(1, 2), torch.zeros(1, 2))      # -log(2 pi)
    tensor([-1.8379])
    """

    def __init__(self, variance: float | str = "shared"):
        super().__init__()
        if variance == "learned":
            self.outputs, self.log_variance = 2, None
        elif variance == "shared":
            self.log_variance = nn.Parameter(torch.zeros(()))
        elif not isinstance(variance, str) and 0 < variance < math.inf:
            self.register_buffer("log_variance", torch.tensor(math.log(variance)))
        else:
            raise ValueError(f"variance is {variance!r}; expected a positive number, 'shared' or 'learned'")

    def _mean_and_log_variance(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = distributions.at_least_float32(outputs)
        return outputs.unbind(1) if self.outputs == 2 else (outputs, self.log_variance.to(outputs.dtype))

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return distributions.gaussian_log_prob(*self._mean_and_log_variance(outputs), x).flatten(1).sum(1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        return self._mean_and_log_variance(outputs)[0]

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        mean, log_variance = self._mean_and_log_variance(outputs.to(u.dtype))
        return mean + torch.exp(log_variance / 2) * distributions.normal_quantile(u)


def likelihood_named(
    name: str | Likelihood | None, levels: int | None, variance: float | str | None = None
) -> Likelihood:
    """The likelihood of that name for K levels or real x, or the first that fits for None.

    Args:
        name: `bernoulli` for K = 2, `categorical` or `discretized logistic` for more levels, `gaussian` for real x. A
            likelihood stands for itself.
        levels: K, or None.
        variance: of a Gaussian, `shared` by default.

    Raises:
        ValueError: the likelihood does not fit the levels, or has no variance.
    """
    if isinstance(name, Likelihood):
        return name
    of_levels = ["bernoulli"] if levels == 2 else ["categorical", "discretized logistic"]
    fitting = ["gaussian"] if levels is None else of_levels
    name = fitting[0] if name is None else name
    if name not in fitting:
        of = "real x" if levels is None else f"{levels} levels"
        raise ValueError(f"likelihood is {name!r}; for {of} expected {' or '.join(map(repr, fitting))}")
    if variance is not None and name != "gaussian":
        raise ValueError(f"variance is {variance!r}, but the likelihood is {name!r}; only 'gaussian' has a variance")
    if name == "bernoulli":
        return Bernoulli()
    if name == "gaussian":
        return Gaussian("shared" if variance is None else variance)
    return Categorical(levels) if name == "categorical" else DiscretizedLogistic(levels)
