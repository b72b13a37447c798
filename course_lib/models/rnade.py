"""The real-valued NADE, RNADE: NADE's recursion with a mixture of Gaussians as each conditional.

    a_1 = c,   a_{d+1} = a_d + W[:, o_d] x_{o_d}                    as in NADE
    h_d = relu(rho_{o_d} a_d)
    p(x_{o_d} | x_{o_1}, ..., x_{o_{d-1}}) = sum over k of w_k N(x_{o_d}; mean_k, std_k^2)

with the logits of w, the means and log std as three linear functions of h_d, each dimension with its own. The sum that
makes up a_d grows with d, so each dimension rescales it by its own rho, which is learnt.

B. Uria, I. Murray and H. Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NIPS 26, 2013.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.base import AutoregressiveModel, on_host


class RNADE(AutoregressiveModel):
    """An RNADE over D real dimensions. `log_prob` is the logarithm of a density: it may be positive.

    `forward` gives (batch, 3, K, D): logits of the weights, means and logarithms of the standard deviations, for
    `distributions.mixture_of_gaussians_log_prob`.

    Args:
        D: number of dimensions.
        hidden: number H of hidden units. With none the dimensions are independent mixtures.
        components: number K of Gaussians a dimension.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.
        span: where the data lie. At first the means divide this interval evenly, and the standard deviations are
            the distance between two of them.

    Attributes:
        W (H, D), c (H,): weights and biases of the hidden units.
        rho (D,): factors of the activations, one per dimension.
        V (D, 3, K, H), b (D, 3, K): weights and biases of the outputs.

    Raises:
        ValueError: a size is too small, span is empty or infinite, or order is not a permutation.

    >>> model = RNADE(2, hidden=20, components=3)
    >>> x = model.sample(10, generator=torch.Generator().manual_seed(0))
    >>> x.dtype, model.log_prob(x).shape
    (torch.float32, torch.Size([10]))
    """

    def __init__(
        self,
        D: int,
        hidden: int,
        components: int,
        order: Sequence[int] | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ):
        super().__init__((D,), levels=None, order=order)
        if hidden < 0 or components < 1:
            raise ValueError(f"expected hidden >= 0 and components >= 1; got {hidden} and {components}")
        if not -math.inf < span[0] < span[1] < math.inf:
            raise ValueError(f"span is {span}; expected two finite numbers, the lower one first")
        means = torch.linspace(*span, components + 2)
        self.W = nn.Parameter(0.01 * torch.randn(hidden, D))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.rho = nn.Parameter(torch.ones(D))
        self.V = nn.Parameter(0.01 * torch.randn(D, 3, components, hidden))
        self.b = nn.Parameter(torch.zeros(D, 3, components))
        with torch.no_grad():
            self.b[:, 1] = means[1:-1]
            self.b[:, 2] = (means[1] - means[0]).log()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        terms = x[:, self.order, None].to(self.W.dtype) * self.W.t()[self.order]
        a = torch.cat([self.c.expand(x.shape[0], 1, -1), terms[:, :-1]], 1).cumsum(1)[:, self.order.argsort()]
        h = torch.relu(self.rho[:, None] * a)
        return torch.einsum("ndh,dpkh->npkd", h, self.V) + self.b.permute(1, 2, 0)

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The recursion itself: each value, once known, adds its column of W to the activations."""
        columns = self.W.t().contiguous()
        a = self.c.expand(len(x), -1)
        for d in on_host(self.order):
            h = torch.relu(self.rho[d] * a)
            yield torch.einsum("nh,pkh->npk", h, self.V[d]) + self.b[d]
            a = torch.addcmul(a, x[:, d, None].to(a.dtype), columns[d])

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parameters = distributions.at_least_float32(parameters)
        return distributions.mixture_of_gaussians_log_prob(parameters, x.to(parameters.dtype))

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return distributions.mixture_of_gaussians_invert(parameters, u)
