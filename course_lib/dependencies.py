"""What a model's outputs depend on, by gradients: the facts behind dependency maps and receptive fields."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.models import orderings

__all__ = ["dependencies", "influence", "leaks_and_blind"]


def influence(model: nn.Module, *, outputs: Tensor | None = None, batch: int = 8, seed: int = 0) -> Tensor:
    """How strongly the parameters of p(x_i | ...) react to each input x_j.

    Entry (i, j) is the mean of |d r . f_i / d x_j| over `batch` random inputs, where f_i are all parameters
    that `model(x)` gives for dimension i, and r is a random direction among them (a fixed one, such as
    their sum, might cancel). A copy of the model computes it in float64, in the mode (train or eval) that
    the model is in. Where the architecture lets nothing through, the entry is exactly 0.

    Args:
        model: has `event_shape` and `levels`; `model(x)` accepts real x and returns (batch, *P, *event_shape),
            where P are the axes of the parameters, none or more.
        outputs: the rows wanted, as dimensions in raster order; all D of them by default.
        batch: number of random inputs. One is not enough where units may be off (ReLU).
        seed: of the inputs and directions. torch's global generator is left alone.

    Returns:
        (len(outputs), D) float64, both axes in raster order.

    >>> class Differences(nn.Module):
    ...     event_shape, levels = (3,), 2
    ...     def forward(self, x):
    ...         return x - x.roll(1, dims=1)
    >>> (influence(Differences()) > 0).int()
    tensor([[1, 0, 1],
            [1, 1, 0],
            [0, 1, 1]], dtype=torch.int32)
    """
    model = copy.deepcopy(model).cpu().double()
    event, D = tuple(model.event_shape), math.prod(model.event_shape)
    generator = torch.Generator().manual_seed(seed)
    if model.levels is None:
        x = torch.randn(batch, *event, generator=generator, dtype=torch.float64)
    else:
        x = torch.randint(model.levels, (batch, *event), generator=generator).double()
    x.requires_grad_()
    parameters = model(x)
    shape = tuple(parameters.shape)
    if len(shape) <= len(event) or shape[0] != batch or shape[-len(event) :] != event:
        raise ValueError(
            f"the model's output has shape {shape}; expected (batch, *P, *event_shape) with batch {batch} and "
            f"event_shape {event}"
        )
    by_dimension = parameters.reshape(batch, -1, D)
    directions = torch.randn(by_dimension.shape, generator=generator, dtype=torch.float64)
    reactions = (directions * by_dimension).sum((0, 1))

    rows = []
    for i in range(D) if outputs is None else outputs.tolist():
        (gradient,) = torch.autograd.grad(reactions[i], x, retain_graph=True, materialize_grads=True)
        rows.append(gradient.abs().mean(0).flatten())
    return torch.stack(rows)


def dependencies(model: nn.Module, **settings: Any) -> Tensor:
    """Which inputs the parameters of each conditional depend on: (D, D) bool, `influence(model) > 0`.

    In raster order. In a correct autoregressive model entry (i, j) is False unless x_j comes before x_i in
    the model's ordering, so that `dependencies(model)[model.order][:, model.order]` is strictly lower
    triangular.
    """
    return influence(model, **settings) > 0


def leaks_and_blind(
    depends: Tensor, order: Sequence[int], outputs: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Where outputs read what an ordering forbids, and where they never read what it allows.

    Args:
        depends: (n, D) bool, such as `dependencies` gives: row i says which inputs one output reads.
        order: (D,) permutation; order[k] is the dimension that comes k-th.
        outputs: the dimension of each row; by default n = D, and row i is that of dimension i.

    Returns:
        leaks: the output reads this input, which does not come before it: it is the output's own, or a later one.
        blind: the input comes before the output, which does not read it.

        Both (n, D) bool.

    Raises:
        ValueError: order is not a permutation of the D dimensions.

    >>> depends = torch.tensor([[0, 0, 0], [1, 0, 1], [0, 0, 0]]).bool()
    >>> leaks, blind = leaks_and_blind(depends, order=range(3))
    >>> leaks.nonzero().tolist(), blind.nonzero().tolist()
    ([[1, 2]], [[2, 0], [2, 1]])
    """
    D = depends.shape[1]
    place = orderings.checked(order, D).argsort()
    before = place[torch.arange(D) if outputs is None else torch.as_tensor(outputs), None] > place
    return depends & ~before, before & ~depends
