"""Orderless NADE: one deep network for the conditionals of all D! orderings, and ensembles of them.

The network reads the observed dimensions and their mask, [x * m, m], and gives p(x_d = 1 | observed) for all other
dimensions at once. A loss with a random ordering and a random step for every image trains all orderings:

    J(x) = E over orderings o and steps d of   D / (D - d + 1) * sum over i >= d of -log p(x_{o_i} | x_{o_1..o_{d-1}})

Each of the D - d + 1 terms estimates the d-th step's cost, since any of these dimensions could come next. Their mean
times the number of steps, D, is an unbiased estimate of -log p(x), averaged over the orderings.

B. Uria, I. Murray and H. Larochelle, "A Deep and Tractable Density Estimator", ICML 2014.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.base import AutoregressiveModel, on_host
from course_lib.models.mixture import Mixture


class Orderless(AutoregressiveModel):
    """The base class of orderless models over binary dimensions. A subclass defines `network`.

    `forward` gives the logits of p(x_d = 1 | before) in the model's own ordering, (batch, *event_shape), with one pass
    through the network per dimension. `loss`, which `fit` minimises, needs a single pass.
    """

    def network(self, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """Logits of p(x_d = 1 | observed dimensions) for all d at once.

        Args:
            x: (batch, *event_shape); its values at unobserved dimensions do not matter.
            observed: (*event_shape) or (batch, *event_shape) bool.

        Returns:
            (batch, *event_shape); the values at observed dimensions have no meaning.
        """
        raise NotImplementedError(f"{type(self).__name__} must define network")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._in_raster_order(Orderless._conditionals(self, x))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """An unbiased estimate of the mean of -log p(x), in nats, over images and over all orderings.

        It draws a random ordering and a random step for every image from torch's global generator. The steps of a
        batch are spread evenly over 1..D, which makes the estimate less noisy.

        Raises:
            ValueError: x has another shape, dtype or range.
        """
        self._check(x)
        n, D = len(x), len(self.order)
        place = torch.rand(n, D, device=x.device).argsort(1).view(x.shape)  # in the image's ordering, from 0
        spread = (torch.randperm(n, device=x.device) + torch.rand(1, device=x.device)) / n
        number = (D * spread).long().clamp_max(D - 1).view(-1, *[1] * (x.ndim - 1))  # observed dimensions, d - 1
        observed = place < number
        log_p = distributions.bernoulli_log_prob(self.network(x, observed), x)
        return -(D / (D - number) * log_p.masked_fill(observed, 0)).flatten(1).sum(1).mean()

    def log_prob(self, x: torch.Tensor, order: Sequence[int] | None = None, **given: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (batch,), in an ordering, the model's own by default.

        Args:
            x: (batch, *event_shape), 0 or 1.
            order: (D,) permutation.
            given: as in the base class; these models take neither labels nor a context.

        Raises:
            ValueError: x has another shape, dtype or range, or order is not a permutation.
        """
        if order is not None:
            return self.with_order(order).log_prob(x, **given)
        self._check(x)
        self._check_given(len(x), **given)
        logits = self._in_raster_order(self._conditionals(x))  # `forward`'s, with less work where there is a cache
        return self._log_likelihood(logits, x).flatten(1).sum(1)

    def with_order(self, order: Sequence[int]) -> "Orderless":
        """The same network with another ordering. The two models share their parameters.

        Raises:
            ValueError: order is not a permutation.
        """
        model, order = copy.copy(self), AutoregressiveModel(self.event_shape, 2, order).order
        model._buffers = {**self._buffers, "order": order.to(self.order.device)}
        return model

    def complete(self, x: torch.Tensor, known: torch.Tensor, **settings: Any) -> torch.Tensor:
        """Exact samples of p(unknown | known) for *any* known dimensions; otherwise as in the base class.

        It uses an ordering that starts with the known dimensions. The orderings of a trained network do not agree
        perfectly, so this is the conditional of *that* ordering's distribution.

        Raises:
            ValueError: x or known has another shape, dtype or range.
        """
        x, known = self._check_evidence(x, known)
        in_order = known.flatten().to(self.order.device)[self.order]
        known_first = torch.cat([self.order[in_order], self.order[~in_order]])
        return super(Orderless, self.with_order(known_first)).complete(x, known, **settings)

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        steps = self.order.argsort().view(self.event_shape)
        for k, d in enumerate(on_host(self.order)):
            yield self.network(x, steps < k).flatten(1)[:, d]

    def _in_raster_order(self, conditionals: Iterator[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(conditionals), 1)[:, self.order.argsort()].unflatten(1, self.event_shape)


class OrderlessNADE(Orderless):
    """An orderless NADE with fully connected hidden layers of rectified linear units, over D binary dimensions.

    Args:
        D: number of dimensions.
        widths: units of each hidden layer, one layer or more.
        order: (D,) permutation of `forward`, `log_prob` and `sample`; 0, 1, ..., D-1 by default.

    Attributes:
        layers: the linear layers. The first one reads D values, then D mask bits; the last one gives D logits.

    Raises:
        ValueError: there is no hidden layer, or order is not a permutation.

    >>> model = OrderlessNADE(64, widths=[100, 100])
    >>> x = model.sample(10, generator=torch.Generator().manual_seed(0))
    >>> model.log_prob(x, order=range(63, -1, -1)).shape
    torch.Size([10])
    """

    def __init__(self, D: int, widths: Sequence[int], order: Sequence[int] | None = None):
        super().__init__((D,), levels=2, order=order)
        if isinstance(widths, int):
            raise ValueError(f"widths is {widths}; expected a list, such as [{widths}]")
        if not widths or min(widths) < 1:
            raise ValueError(f"widths is {list(widths)}; expected one or more positive widths of hidden layers")
        sizes = [2 * D, *widths, D]
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))

    def network(self, x: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        observed = observed.expand(x.shape)
        h = torch.cat([x * observed, observed], 1).to(self.layers[0].weight.dtype)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return self.layers[-1](h)

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Each value, once known, updates the first layer's activations, as in NADE. Then one output is computed."""
        first, *between, last = self.layers
        for_values, for_mask = first.weight.t().contiguous().chunk(2)
        a = first.bias.expand(len(x), -1).clone()
        for d in on_host(self.order):
            h = torch.relu(a)
            for layer in between:
                h = torch.relu(layer(h))
            yield last.bias[d] + h @ last.weight[d]
            a += torch.addcmul(for_mask[d], x[:, d, None].to(a.dtype), for_values[d])


class EoNADE(Mixture):
    """An ensemble of orderings of one orderless model: p(x) is the mean of their probabilities.

    Args:
        model: the orderless model; training the ensemble trains it.
        orders: (M, D) permutations, at least one.

    Raises:
        ValueError: there are no orders, or they are not permutations.

    >>> model = EoNADE(OrderlessNADE(4, [10]), orders=[[0, 1, 2, 3], [3, 1, 0, 2]])
    >>> states = torch.cartesian_prod(*[torch.arange(2)] * 4)
    >>> round(model.log_prob(states).exp().sum().item(), 4)
    1.0
    """

    def __init__(self, model: Orderless, orders: Sequence[Sequence[int]]):
        super().__init__(model.event_shape, model.levels)
        if not len(orders):
            raise ValueError("orders is empty; expected at least one permutation")
        self.model = model
        self.register_buffer("orders", torch.stack([model.with_order(order).order for order in orders]))

    def member(self, m: int) -> Orderless:
        """The orderless model in the m-th ordering. The members share their weights."""
        return self.member_in_order(m, self.orders[m])

    def member_in_order(self, m: int, order: torch.Tensor) -> Orderless:
        return self.model.with_order(order)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """The orderless model's loss: in expectation an upper bound on the ensemble's cost in nats per image."""
        return self.model.loss(x)
