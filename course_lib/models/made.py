"""MADE, a masked autoencoder: an autoregressive model whose conditionals share one feed-forward network.

    h^0 = x,   h^l = relu(b^l + (W^l * M^l) h^(l-1)),   logits = c + (V * M^V) h^L + (A * M^A) x

M. Germain, K. Gregor, I. Murray and H. Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015.
Every unit has a degree: the input that comes k-th in the ordering has degree k, a hidden unit one of 1..D-1. A unit
reads those of its own degree or less in the layer below (M^l), so that a unit of degree k sees at most the first k
inputs. The output for the k-th dimension, of degree k as well, reads those of *smaller* degree (M^V, M^A).

The paper calls the hidden biases b and the output biases c. The papers on NADE do it the other way round: there b is of
the outputs and c of the hidden units. Here they are `hidden[l].bias` and `output.bias`.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.base import AutoregressiveModel


def hidden_degrees(D: int, widths: Sequence[int], generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """Degrees of the hidden units, for each layer (width,) long, all in 1..D-1.

    A layer takes its degrees from those of the layer below (the first one from 1..D-1), the highest always among
    them. So each unit has a path from an input and one to an output, and every input but the last reaches the last
    output. Where no width is below D-1, each layer has all degrees, and every output depends on *all* that comes
    before it: without a unit of degree k in each layer the k-th dimension could not reach the (k+1)-th. (The paper
    draws a degree uniformly from the lowest one below up to D-1, which leaves this to chance.)

    Args:
        D: number of dimensions, at least 2.
        widths: units of each hidden layer, from the input upwards.
        generator: draws degrees at random, those that a layer must have apart. None spreads them evenly, in
            increasing order.

    Raises:
        ValueError: D < 2, or a width < 1.

    >>> hidden_degrees(5, [4, 9, 2])
    [tensor([1, 2, 3, 4]), tensor([1, 1, 2, 2, 3, 3, 4, 4, 4]), tensor([2, 4])]
    """
    if D < 2 or min(widths, default=1) < 1:
        raise ValueError(f"expected at least 2 dimensions and 1 unit a layer; got D = {D}, widths {list(widths)}")
    degrees, below = [], torch.arange(1, D)
    for width in widths:
        n = len(below)
        if generator is None:
            picked = n - 1 - torch.arange(width).flip(0) * n // width
        else:
            if width >= n:
                picked = torch.cat([torch.arange(n), torch.randint(n, (width - n,), generator=generator)])
            else:
                picked = torch.cat([torch.tensor([n - 1]), torch.randperm(n - 1, generator=generator)[: width - 1]])
            picked = picked[torch.randperm(width, generator=generator)]
        degrees.append(below[picked])
        below = degrees[-1].unique()
    return degrees


class MADE(AutoregressiveModel):
    """A masked autoencoder over D dimensions of K levels.

    `forward` gives (batch, D) logits for K = 2 and (batch, K, D) for more levels. The network reads x / (K - 1).

    Args:
        D: number of dimensions, at least 2.
        widths: units of each hidden layer. Where one is below D-1 some outputs cannot depend on all that comes before
            (see `hidden_degrees`), unless `direct`.
        levels: K.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.
        connectivity: how hidden units get their degrees: `sequential` spreads them evenly, `random` draws them.
        seed: of the random degrees. The weights come from torch's global generator.
        dropout: share of the hidden units that training leaves out.
        direct: connect the inputs to the outputs as well, as the paper's experiments do.

    Attributes:
        hidden: the layers W^l, b^l.
        output: V, c; for K > 2 the K*D logits stand class by class: all D of level 0, then those of level 1, ...
        direct: A, or None.

    Raises:
        ValueError: see `hidden_degrees` and the base class, or dropout outside [0, 1).

    >>> model = MADE(64, widths=[500])
    >>> model(torch.zeros(10, 64, dtype=torch.long)).shape
    torch.Size([10, 64])
    >>> [tuple(mask.shape) for mask in model.masks()]
    [(500, 64), (64, 500)]
    """

    unit_degrees: torch.Tensor

    def __init__(
        self,
        D: int,
        widths: Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        *,
        connectivity: Literal["sequential", "random"] = "sequential",
        seed: int = 0,
        dropout: float = 0.0,
        direct: bool = False,
    ):
        super().__init__((D,), levels, order)
        if connectivity not in ("sequential", "random"):
            raise ValueError(f"connectivity must be 'sequential' or 'random'; got {connectivity!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {dropout}")
        generator = torch.Generator().manual_seed(seed) if connectivity == "random" else None
        self.register_buffer("unit_degrees", _concatenated(hidden_degrees(D, widths, generator)))
        self.widths = tuple(widths)
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise([D, *widths]))
        outputs = D if levels == 2 else levels * D
        self.output = nn.Linear([D, *widths][-1], outputs)
        self.direct = nn.Linear(D, outputs, bias=False) if direct else None
        self.dropout = nn.Dropout(dropout)
        self._make_masks()
        # Ordering and degrees are saved with the weights; the masks follow from them.
        self.register_load_state_dict_post_hook(MADE._make_masks)

    def degrees(self) -> list[torch.Tensor]:
        """Degrees of the inputs, (D,), and of each hidden layer, (width,)."""
        return [self.order.argsort() + 1, *self.unit_degrees.split(self.widths)]

    def masks(self) -> list[torch.Tensor]:
        """The masks M^1, ..., M^L, M^V and, with direct connections, M^A: 1 where a unit reads another, else 0.

        Each has the shape of its weight, (units above, units below).
        """
        return [mask for name, mask in self.named_buffers(recurse=False) if name.startswith("mask")]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        masks = iter(self.masks())
        h = inputs = self._inputs(x)
        for layer in self.hidden:
            h = self._activate(F.linear(h, next(masks) * layer.weight, layer.bias))
        logits = F.linear(h, next(masks) * self.output.weight, self.output.bias)
        if self.direct is not None:
            logits = logits + F.linear(inputs, next(masks) * self.direct.weight)
        return logits if self.levels == 2 else logits.unflatten(1, (self.levels, -1))

    def with_order(self, order: Sequence[int]) -> "MADE":
        """The same network, its weights shared, under the masks of another ordering.

        That is another distribution, and a good one only where the network was trained with many orderings (see
        `MADEEnsemble`). An ordering that starts with the known dimensions lets `complete` take any of them.

        Raises:
            ValueError: order is no permutation.
        """
        order = AutoregressiveModel(self.event_shape, self.levels, order).order
        return self._with_masks(order.to(self.order.device), self.unit_degrees)

    def _with_masks(self, order: torch.Tensor, unit_degrees: torch.Tensor) -> "MADE":
        model = copy.copy(self)
        model._buffers = {"order": order, "unit_degrees": unit_degrees}
        model._make_masks()
        return model

    def _make_masks(self, _loaded: object = None) -> None:
        inputs, *hidden = degrees = self.degrees()
        outputs = inputs.repeat(self.output.out_features // len(inputs))
        masks = [above[:, None] >= below for below, above in pairwise(degrees)]
        masks.append(outputs[:, None] > degrees[-1])
        if self.direct is not None:
            masks.append(outputs[:, None] > inputs)
        for i, mask in enumerate(masks):
            self.register_buffer(f"mask_{i}", mask.to(self.output.weight.dtype), persistent=False)

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.output.weight.dtype) / (self.levels - 1)

    def _activate(self, a: torch.Tensor) -> torch.Tensor:
        return self.dropout(F.relu(a))

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Each unit once, without gradients: the units of degree k as soon as the k-th dimension is known.

        No mask is needed. Inputs and units are 0 until they are known, so a unit whose turn has come may read the whole
        layer below: what its mask would hide is still 0.
        """
        D, of_hidden = len(self.order), self.degrees()[1:]
        # A hidden layer's units are sorted by degree, and a unit's values for all n images are a row: so those of one
        # degree are a block of memory.
        sorting = [torch.arange(D, device=x.device), *(degrees.argsort() for degrees in of_hidden)]
        values = [self.output.weight.new_zeros(len(units), len(x)) for units in sorting]
        layers = []  # of each: weights, biases and values of the units of degree 0, 1, ..., D
        for i, (layer, degrees) in enumerate(zip(self.hidden, of_hidden, strict=True)):
            # Two calls of index_select take a tenth of the time of weight[rows][:, columns].
            W = layer.weight.detach().index_select(0, sorting[i + 1]).index_select(1, sorting[i])
            b = layer.bias.detach()[sorting[i + 1], None]
            counts = degrees.bincount(minlength=D + 1).tolist()
            layers.append([rows.split(counts) for rows in (W, b, values[i + 1])])
        # The last layer, by dimensions: of each a matrix with a row a logit.
        V = self.output.weight.detach().index_select(1, sorting[-1]).unflatten(0, (-1, D)).unbind(1)
        c = self.output.bias.detach().view(-1, D, 1).unbind(1)
        A = None if self.direct is None else self.direct.weight.detach().unflatten(0, (-1, D)).unbind(1)
        activate = self._activate if self.dropout.training else torch.relu  # a module's call takes its time
        columns, inputs = x.unbind(1), values[0].unbind(0)
        for k, d in enumerate(self.order.tolist(), start=1):
            logits = torch.addmm(c[d], V[d], values[-1])
            if A is not None:
                logits.addmm_(A[d], values[0])
            yield logits[0] if self.levels == 2 else logits.t()
            inputs[d].copy_(columns[d]).div_(self.levels - 1)
            for below, (W, b, units) in zip(values, layers, strict=False):
                if len(units[k]):
                    units[k].copy_(activate(torch.addmm(b[k], W[k], below)))


def _concatenated(degrees: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([torch.empty(0, dtype=torch.long), *degrees])


class MADEEnsemble(nn.Module):
    """One network under several masks: the mixture, in equal parts, of the MADEs that they make of it.

        p(x) = 1/M sum over m of p_m(x)

    The masks differ in their hidden units' degrees and, unless `order` is given, in their orderings. Training
    with them is the paper's connectivity-agnostic and order-agnostic training: `loss` draws one of
    the masks for each batch. It is probabilities that are averaged, never logits: those of different orderings belong
    to different conditionals, and their means to no distribution.

    Args:
        D, widths, levels, dropout, direct: as in `MADE`.
        masks: their number M, at least 1.
        order: (D,), the ordering of all masks; None gives each mask a random one.
        seed: of orderings and degrees.

    Attributes:
        network: the MADE whose weights all members share.
        orders: (M, D) long.

    >>> model = MADEEnsemble(64, widths=[500], masks=8)
    >>> x = torch.zeros(10, 64, dtype=torch.long)
    >>> each = torch.stack([model.member(m).log_prob(x) for m in range(8)])
    >>> torch.allclose(model.log_prob(x).exp(), each.exp().mean(0))
    True
    """

    orders: torch.Tensor
    unit_degrees: torch.Tensor

    def __init__(
        self,
        D: int,
        widths: Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        *,
        masks: int,
        seed: int = 0,
        dropout: float = 0.0,
        direct: bool = False,
    ):
        super().__init__()
        if masks < 1:
            raise ValueError(f"masks must be at least 1; got {masks}")
        self.network = MADE(D, widths, levels, order, dropout=dropout, direct=direct)
        self.event_shape, self.levels = self.network.event_shape, levels
        generator = torch.Generator().manual_seed(seed)
        orders = [
            torch.randperm(D, generator=generator) if order is None else self.network.order for _ in range(masks)
        ]
        degrees = [_concatenated(hidden_degrees(D, widths, generator)) for _ in range(masks)]
        self.register_buffer("orders", torch.stack(orders))
        self.register_buffer("unit_degrees", torch.stack(degrees))

    def member(self, m: int) -> MADE:
        """The network under its m-th mask. The weights are shared, not copied."""
        return self.network._with_masks(self.orders[m], self.unit_degrees[m])

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) of the mixture in nats, (batch,): one forward pass a mask. Raises ValueError as `MADE` does."""
        each = torch.stack([self.member(m).log_prob(x) for m in range(len(self.orders))])
        return each.logsumexp(0) - math.log(len(each))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Mean negative log-likelihood in nats: in training that of one mask, drawn anew, else that of the mixture.

        The mean over masks of log p_m(x) is a lower bound on the mixture's log p(x). The draw comes from torch's global
        generator, which `course_lib.training.fit` seeds for each epoch.
        """
        if not self.training:
            return -self.log_prob(x).mean()
        m = int(torch.randint(len(self.orders), ()))
        return -self.member(m).log_prob(x).mean()

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """n exact, independent samples of the mixture, (n, D): each from a mask drawn for it."""
        device = None if generator is None else generator.device
        masks = torch.randint(len(self.orders), (n,), generator=generator, device=device).to(self.orders.device)
        x = torch.empty(n, *self.event_shape, dtype=torch.long, device=self.orders.device)
        for m in masks.unique().tolist():
            drawn = masks == m
            x[drawn] = self.member(m).sample(int(drawn.sum()), generator=generator)
        return x
