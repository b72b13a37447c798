"""Fully visible belief networks: one logistic regression per pixel.

    p(x_i = 1 | x before i) = sigmoid(b_i + sum over j before i of W_ij x_j)

This is a sigmoid belief network (R. M. Neal, "Connectionist learning of belief networks", Artificial Intelligence 56,
1992) in which every unit is visible, so that the likelihood and its gradient are exact. As a density estimator it was
compared with others by B. J. Frey, G. E. Hinton and P. Dayan ("Does the wake-sleep algorithm produce good density
estimators?", NIPS 8, 1996); B. J. Frey ("Graphical Models for Machine Learning and Digital Communication", MIT Press,
1998) calls it a logistic autoregressive network. Y. Bengio and S. Bengio ("Modeling high-dimensional discrete data
with multi-layer neural networks", NIPS 12, 2000) put a hidden layer into the conditionals, which is another model.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.base import AutoregressiveModel, on_host
from course_lib.nn import MaskedLinear


class FVBN(AutoregressiveModel):
    """A fully visible belief network over D binary dimensions.

    All D logistic regressions are one masked linear layer. All weights start at 0, where the model is uniform and
    costs exactly D log 2 nats per image; the negative log-likelihood is convex in them.

    `forward` gives the logits of p(x_d = 1 | before), (batch, D).

    Args:
        D: number of dimensions.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.

    Attributes:
        linear: `weight` (D, D), whose entry (i, j) has an effect only if j comes before i, and `bias` (D,).

    >>> model = FVBN(64)
    >>> log_p = model.log_prob(torch.zeros(1, 64, dtype=torch.long))      # 64 log 2
    >>> round(log_p.item(), 4)
    -44.3614
    """

    def __init__(self, D: int, order: Sequence[int] | None = None):
        super().__init__((D,), levels=2, order=order)
        step = self.order.argsort()
        self.linear = MaskedLinear(step[:, None] > step[None, :])
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.to(self.linear.weight.dtype))

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Each value, once known, adds its column of W to all logits: D updates of O(D) instead of D of O(D^2)."""
        columns = distributions.at_least_float32(self.linear.masked_weight().t().contiguous())
        logits = distributions.at_least_float32(self.linear.bias).expand(len(x), -1).clone()
        for d in on_host(self.order):
            yield logits[:, d]
            logits.addr_(x[:, d].to(logits.dtype), columns[d])


class IndependentPixels(AutoregressiveModel):
    """The baseline without dependence between dimensions: p(x) is the product of the p(x_d).

    `forward` gives the same logits for every x: (batch, D) for K = 2, (batch, K, D) for more levels. They start at
    0, where the model is uniform and costs exactly log2 K bits/dim.

    Args:
        D: number of dimensions.
        levels: K.

    >>> log_p = IndependentPixels(64, levels=16).log_prob(torch.zeros(1, 64, dtype=torch.long))
    >>> round(log_p.item() / 64, 4)      # log 16
    -2.7726
    """

    def __init__(self, D: int, levels: int = 2):
        super().__init__((D,), levels)
        self.logits = nn.Parameter(torch.zeros(D) if levels == 2 else torch.zeros(levels, D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(x.shape[0], *self.logits.shape)
