"""MADE, a masked autoencoder: an autoregressive model whose conditionals share one feed-forward network.

    h^0 = x,   h^l = relu(b^l + (W^l * M^l) h^(l-1)),   logits = c + (V * M^V) h^L + (A * M^A) x

M. Germain, K. Gregor, I. Murray and H. Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015.
Every unit has a degree: the input that comes k-th in the ordering has degree k, a hidden unit a degree in 1..D-1. A
hidden unit reads the units of its own degree or less in the layer below (M^l), so a unit of degree k depends on at most
the first k inputs. The output for the k-th dimension also has degree k, but reads only units of *smaller* degree
(M^V, M^A).

The paper calls the hidden biases b and the output biases c. The papers on NADE use the letters the other way round.
Here they are `hidden[l].bias` and `output.bias`.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Literal

import torch
from torch import nn

from course_lib.models.base import AutoregressiveModel, on_host
from course_lib.models.mixture import Mixture
from course_lib.nn import Condition, MaskedLinear


def hidden_degrees(D: int, widths: Sequence[int], generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """Degrees of the hidden units, in 1..D-1: for each layer (width,) long.

    A layer takes its degrees from those of the layer below (the first layer from 1..D-1), always including the highest.
    So each unit has a path from an input and a path to an output, and every input but the last reaches the last output.
    If no width is below D-1, each layer has all degrees, and every output depends on *all* earlier dimensions: without
    a unit of degree k in each layer, the k-th dimension could not reach the (k+1)-th. (The paper draws degrees
    uniformly between the lowest one in the layer below and D-1, which leaves this to chance.)

    Args:
        D: number of dimensions, at least 2.
        widths: units of each hidden layer, from the input upwards.
        generator: draws the degrees at random, except those that a layer must have. None spreads them evenly, in
            increasing order.

    Raises:
        ValueError: D < 2, a width < 1, or widths is one number.

    >>> hidden_degrees(5, [4, 9, 2])
    [tensor([1, 2, 3, 4]), tensor([1, 1, 2, 2, 3, 3, 4, 4, 4]), tensor([2, 4])]
    """
    if isinstance(widths, int):
        raise ValueError(f"widths is {widths}; expected a list, such as [{widths}]")
    if D < 2 or min(widths, default=1) < 1:
        raise ValueError(f"expected at least 2 dimensions and 1 unit per layer; got D = {D}, widths {list(widths)}")
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
        widths: units of each hidden layer. If a width is below D-1, some outputs cannot depend on all earlier
            dimensions (see `hidden_degrees`), unless `direct`.
        levels: K.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.
        connectivity: how hidden units get their degrees: `sequential` spreads them evenly, `random` draws them.
        seed: for the random degrees. The weights come from torch's global generator.
        dropout: share of the hidden units that training leaves out.
        direct: connect the inputs to the outputs as well, as the paper's experiments do.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. Labels and context change the
            biases of all layers. (The paper's model has neither.)

    Attributes:
        hidden: the masked layers W^l, b^l.
        output: the masked layer V, c; for K > 2 the K*D logits are in blocks: all D of level 0, then of level 1, ...
        direct: the masked layer A, or None.
        condition: what labels and context add to the biases b^1, ..., b^L, c; see `course_lib.nn.Condition`.

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
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__((D,), levels, order, classes=classes, context_channels=context_channels)
        if connectivity not in ("sequential", "random"):
            raise ValueError(f"connectivity must be 'sequential' or 'random'; got {connectivity!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {dropout}")
        generator = torch.Generator().manual_seed(seed) if connectivity == "random" else None
        self.register_buffer("unit_degrees", _concatenated(hidden_degrees(D, widths, generator)))
        self.widths = tuple(widths)
        # `state_dict` holds the ordering and the degrees, from which the masks follow.
        masks, L = self._masks_from_degrees(direct), len(self.widths)
        self.hidden = nn.ModuleList(MaskedLinear(mask, save_mask=False) for mask in masks[:L])
        self.output = MaskedLinear(masks[L], save_mask=False)
        self.direct = MaskedLinear(masks[-1], bias=False, save_mask=False) if direct else None
        self.condition = Condition(sum(self.widths) + len(masks[L]), self.classes, context_channels, space=0)
        self.dropout = nn.Dropout(dropout)
        self.register_load_state_dict_post_hook(MADE._renew_masks)

    def degrees(self) -> list[torch.Tensor]:
        """Degrees of the inputs, (D,), and of each hidden layer, (width,)."""
        return [self.order.argsort() + 1, *self.unit_degrees.split(self.widths)]

    def masks(self) -> list[torch.Tensor]:
        """The masks M^1, ..., M^L, M^V and, with direct connections, M^A: 1 where a unit reads another, else 0.

        Each has the shape and the dtype of its weight, (units above, units below).
        """
        return [layer.mask.clone() for layer in self._layers()]

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        h = inputs = self._inputs(x)
        *added, added_to_output = self._added_biases(labels, context)
        for layer, bias in zip(self.hidden, added, strict=True):
            h = self._activate(layer(h) + bias)
        logits = self.output(h) + added_to_output
        if self.direct is not None:
            logits = logits + self.direct(inputs)
        return logits if self.levels == 2 else logits.unflatten(1, (self.levels, -1))

    def with_order(self, order: Sequence[int]) -> "MADE":
        """The same network under the masks of another ordering. The two share their weights.

        It is another distribution, and fits the data only if the network was trained with many orderings (see
        `MADEEnsemble`). To complete any set of known dimensions, choose an ordering that starts with them.

        Raises:
            ValueError: order is not a permutation.
        """
        order = AutoregressiveModel(self.event_shape, self.levels, order).order
        return self._with_masks(order.to(self.order.device), self.unit_degrees)

    def _with_masks(self, order: torch.Tensor, unit_degrees: torch.Tensor) -> "MADE":
        model = copy.copy(self)
        model._buffers, model._modules = {"order": order, "unit_degrees": unit_degrees}, dict(self._modules)
        masks, L = model._masks_from_degrees(self.direct is not None), len(self.widths)
        layers = [layer.with_mask(mask) for layer, mask in zip(self._layers(), masks, strict=True)]
        model.hidden, model.output = nn.ModuleList(layers[:L]), layers[L]
        model.direct = None if self.direct is None else layers[-1]
        return model

    def _masks_from_degrees(self, direct: bool) -> list[torch.Tensor]:
        """M^1, ..., M^L, M^V and, with direct connections, M^A: bool."""
        inputs, *_ = degrees = self.degrees()
        outputs = inputs if self.levels == 2 else inputs.repeat(self.levels)
        masks = [above[:, None] >= below for below, above in pairwise(degrees)]
        masks.append(outputs[:, None] > degrees[-1])
        if direct:
            masks.append(outputs[:, None] > inputs)
        return masks

    def _renew_masks(self, _incompatible_keys: object) -> None:
        masks = self._masks_from_degrees(self.direct is not None)
        for layer, mask in zip(self._layers(), masks, strict=True):
            layer.mask = mask.to(layer.mask)

    def _layers(self) -> list[MaskedLinear]:
        return [*self.hidden, self.output, *([] if self.direct is None else [self.direct])]

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.output.weight.dtype) / (self.levels - 1)

    def _added_biases(self, labels: torch.Tensor | None, context: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """What labels and context add to the biases of each hidden layer and of the output: (n or 1, units) each."""
        return self.condition(labels, context).split([*self.widths, len(self.output.bias)], 1)

    def _activate(self, a: torch.Tensor) -> torch.Tensor:
        return self.dropout(torch.relu(a))

    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Each unit once, without gradients: the units of degree k as soon as the k-th dimension is known.

        Here no mask is needed. Inputs and units are 0 until they are known, so a unit may read the whole layer below
        when its turn comes: everything that its mask would hide is still 0.
        """
        D = len(self.order)
        inputs = values = self.output.weight.new_zeros(D, len(x))
        sorting, layers = torch.arange(D, device=x.device), []
        *added, added_to_output = (bias.detach() for bias in self._added_biases(labels, context))
        unit_degrees = iter(on_host(self.unit_degrees))
        for layer, bias, degrees in zip(self.hidden, added, self.degrees()[1:], strict=True):
            counts = Counter(islice(unit_degrees, len(degrees)))
            layers.append(_SortedLayer(layer, bias, values, sorting, degrees, [counts[k] for k in range(D + 1)]))
            values, sorting = layers[-1].values, layers[-1].sorting
        # The output layers: for each dimension a matrix with one row per logit.
        V = self.output.weight.detach().index_select(1, sorting).unflatten(0, (-1, D)).unbind(1)
        c = (self.output.bias.detach() + added_to_output).t().unflatten(0, (-1, D)).unbind(1)
        A = None if self.direct is None else self.direct.weight.detach().unflatten(0, (-1, D)).unbind(1)
        # In place, and without a module's overhead where nothing is dropped.
        activate = (lambda a: a.copy_(self._activate(a))) if self.dropout.training else torch.relu_
        columns, rows = x.unbind(1), inputs.unbind(0)
        for k, d in enumerate(on_host(self.order), start=1):
            logits = torch.addmm(c[d], V[d], values)
            if A is not None:
                logits.addmm_(A[d], inputs)
            yield logits[0] if self.levels == 2 else logits.t()
            rows[d].copy_(columns[d])
            if self.levels > 2:
                rows[d].div_(self.levels - 1)
            for layer in layers:
                layer.compute(k, activate)


class _SortedLayer:
    """A hidden layer of n images, computed degree by degree.

    Its units are sorted by degree, and a unit's values for all images are a row. So units of one degree are contiguous
    in memory.

    Args:
        layer: weights and biases.
        added: (n or 1, width), what the condition adds to the biases.
        below: (units below, n), the values that it reads: 0 until they are known.
        sorting_below: (units below,), the units that the rows of `below` stand for.
        degrees: (width,), the degrees of the layer's own units.
        counts: number of units of each degree, 0 to D.

    Attributes:
        values (width, n), sorting (width,): what the layer above reads.
    """

    def __init__(
        self,
        layer: MaskedLinear,
        added: torch.Tensor,
        below: torch.Tensor,
        sorting_below: torch.Tensor,
        degrees: torch.Tensor,
        counts: Sequence[int],
    ):
        self.below, self.sorting = below, degrees.argsort()
        # Two calls of index_select take a tenth of the time of weight[rows][:, columns].
        W = layer.weight.detach().index_select(0, self.sorting).index_select(1, sorting_below)
        b = (layer.bias.detach() + added).t()[self.sorting]
        self.values = W.new_zeros(len(W), below.shape[1])
        # The rows of each degree: 0, 1, ..., D.
        self.W, self.b, self.units = (rows.split(counts) for rows in (W, b, self.values))

    def compute(self, k: int, activate: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Set the values of the units of degree k, once the k-th dimension and the layer below are known up to k.

        Args:
            activate: works in place.
        """
        if len(self.units[k]):
            activate(torch.addmm(self.b[k], self.W[k], self.below, out=self.units[k]))


def _concatenated(degrees: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([torch.empty(0, dtype=torch.long), *degrees])


class MADEEnsemble(Mixture):
    """One network under several sets of masks: the mixture of the MADEs that result, with equal weights.

    The masks differ in their hidden units' degrees and, unless `order` is given, in their orderings. Training
    with them is the paper's connectivity-agnostic and order-agnostic training: `loss` draws one set of masks for each
    batch.

    Args:
        D, widths, levels, dropout, direct, classes, context_channels: as in `MADE`.
        masks: number M of sets of masks, at least 1.
        valid_masks: number of members, the first ones, whose mixture `loss` measures outside of training; None for all
            M. Few of them make the validation of a large ensemble affordable: it costs one evaluation per member.
        order: (D,), the ordering of all members; None gives each member a random one.
        seed: for orderings and degrees.

    Attributes:
        network: the MADE whose weights all members share.
        orders: (M, D) long, the members' orderings.

    >>> model = MADEEnsemble(64, widths=[500], masks=8)
    >>> x = torch.zeros(10, 64, dtype=torch.long)
    >>> each = torch.stack([model.member(m).log_prob(x) for m in range(8)])
    >>> torch.allclose(model.log_prob(x).exp(), each.exp().mean(0))
    True
    """

    unit_degrees: torch.Tensor

    def __init__(
        self,
        D: int,
        widths: Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        *,
        masks: int,
        valid_masks: int | None = None,
        seed: int = 0,
        dropout: float = 0.0,
        direct: bool = False,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        given = dict(classes=classes, context_channels=context_channels)
        super().__init__((D,), levels, **given)
        if masks < 1:
            raise ValueError(f"masks must be at least 1; got {masks}")
        self.valid_masks = masks if valid_masks is None else valid_masks
        if not 1 <= self.valid_masks <= masks:
            raise ValueError(f"valid_masks must be 1 to {masks}, the number of masks, or None; got {valid_masks}")
        self.network = MADE(D, widths, levels, order, dropout=dropout, direct=direct, **given)
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(D, generator=generator) if order is None else self.network.order for _ in range(masks)]
        degrees = [_concatenated(hidden_degrees(D, widths, generator)) for _ in range(masks)]
        self.register_buffer("orders", torch.stack(orders))
        self.register_buffer("unit_degrees", torch.stack(degrees))

    def member(self, m: int) -> MADE:
        """The network under its m-th set of masks. The weights are shared, not copied."""
        return self.network._with_masks(self.orders[m], self.unit_degrees[m])

    def member_in_order(self, m: int, order: torch.Tensor) -> MADE:
        if torch.equal(*self.orders.aminmax(dim=0)):
            raise ValueError(
                "the known dimensions must come first in the ordering of the members, who share one and are trained "
                "in no other. Build the ensemble with an order that starts with the known dimensions, or with none"
            )
        return self.network._with_masks(order, self.unit_degrees[m])

    def loss(
        self, x: torch.Tensor, *, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean negative log-likelihood in nats: in training of one member, drawn in each call, else of the mixture.

        The mean over members of log p_m(x) is a lower bound on the mixture's log p(x). The draw comes from torch's
        global generator, which `course_lib.training.fit` seeds for each epoch. With fewer `valid_masks` than masks, the
        mixture is that of the first members, and mostly costs a little more than the mixture of all.
        """
        if not self.training:
            return -self._mixture_log_prob(self.valid_masks, x, labels=labels, context=context).mean()
        m = int(torch.randint(len(self.orders), ()))
        return -self.member(m).log_prob(x, labels=labels, context=context).mean()
