"""What all autoregressive models share: likelihood, sampling and completion from the chain rule.

p(x) = product over k of p(x_{order[k]} | x_{order[0]}, ..., x_{order[k-1]})
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib import distributions
from course_lib.models import orderings


class AutoregressiveModel(nn.Module):
    """A distribution over x of shape `event_shape` as a product of one conditional a dimension.

    What a conditional model is given besides x, such as class labels, is a keyword argument of its `forward`. The
    other methods hand it on: `log_prob(x, labels=y)` is log p(x | y), `sample(n, labels=y)` draws from it.

    A model must define `forward`, and should define `_conditionals`, without which sampling costs one full forward
    pass a dimension. One whose conditionals are neither Bernoulli nor categorical also defines `_log_likelihood` and
    `_invert`, and `cumulative` where its dimensions are integers.

    Args:
        event_shape: shape of one x, such as (D,) or (channels, height, width). Its D dimensions are numbered in
            raster order, the last axis fastest.
        levels: K; x holds integers 0..K-1. None for real-valued x.
        order: (D,) permutation; order[k] is the dimension that comes k-th. Raster order by default.

    Attributes:
        event_shape, levels: as given.
        order: (D,) long buffer, saved with the weights.

    Raises:
        ValueError: event_shape, levels or order is not of this kind.
    """

    order: torch.Tensor

    def __init__(self, event_shape: Sequence[int], levels: int | None, order: Sequence[int] | None = None):
        super().__init__()
        self.event_shape = tuple(event_shape)
        D = math.prod(self.event_shape)
        if not self.event_shape or D < 1:
            raise ValueError(f"event_shape is {self.event_shape}; expected one or more positive sizes")
        if levels is not None and levels < 2:
            raise ValueError(f"levels is {levels}; expected at least 2, or None for real-valued dimensions")
        self.levels = levels
        order = orderings.checked(range(D) if order is None else order, D)
        self.register_buffer("order", order.long().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Parameters of all conditionals at once, those of dimension d computed from the dimensions before d.

        Args:
            x: (batch, *event_shape), of any dtype: a model turns it into its own.

        Returns:
            (batch, *P, *event_shape), where P is () for Bernoulli logits (levels = 2), (K,) for categorical logits
            (levels = K > 2), and what the model's docstring says otherwise.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def log_prob(self, x: torch.Tensor, **given: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (batch,), of x with shape (batch, *event_shape).

        Raises:
            ValueError: x has another shape, dtype or range.
        """
        self._check(x)
        return self._log_likelihood(self(x, **given), x).flatten(1).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
        **given: torch.Tensor,
    ) -> torch.Tensor:
        """n exact, independent samples, (n, *event_shape), by inverting each conditional's distribution function.

        Dimension d of sample i is decided by uniforms[i, d]: for K levels it is the number of k in 0..K-2 with
        P(x_d <= k | what came before) <= uniforms[i, d]; for K = 2 that is x_d = 1 where the uniform is >= 1 - p(1).
        The same uniforms give the same samples, cached or not, on any device, up to rounding.

        A model with dropout or the like samples in the mode that it is in: call `eval()` first.

        Args:
            n: number of samples.
            generator: draws the uniforms.
            uniforms: (n, D) in [0, 1), instead of drawn ones.
            cached: reuse what earlier dimensions computed, where the model knows how; False asks for one full
                forward pass a dimension.
            given: what `forward` takes besides x.

        Raises:
            ValueError: uniforms have another shape or range.
        """
        x = torch.zeros(n, *self.event_shape, dtype=self._dtype(), device=self.order.device)
        return self._fill(x, torch.zeros(self.event_shape, dtype=torch.bool), generator, uniforms, cached, **given)

    @torch.no_grad()
    def complete(
        self,
        x: torch.Tensor,
        known: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
        **given: torch.Tensor,
    ) -> torch.Tensor:
        """Exact samples of p(unknown dimensions | known dimensions), one for each x.

        To keep known dimensions fixed while the others are drawn in order is exact only where everything known
        comes before everything unknown: a draw cannot take account of what the model has yet to read.

        Args:
            x: (n, *event_shape); what stands at unknown dimensions does not matter.
            known: (*event_shape) bool, the same for all x.
            generator, uniforms, cached, given: as in `sample`.

        Returns:
            A new tensor like x with the unknown dimensions drawn.

        Raises:
            ValueError: the known dimensions are not the first ones of the ordering, or x, known or uniforms are
                not of the stated kind.
        """
        x, known = self._check_evidence(x, known)
        in_order = known.flatten()[self.order.cpu()]
        first_unknown = int(in_order.long().argmin())
        too_early = in_order[first_unknown:].nonzero()
        if not in_order.all() and len(too_early):
            later = first_unknown + int(too_early[0])
            raise ValueError(
                f"the known dimensions must come first in the model's ordering: dimension {int(self.order[later])} "
                f"is known, but dimension {int(self.order[first_unknown])}, which comes before it, is not. "
                "Build the model with an order that starts with the known dimensions"
            )
        return self._fill(x, known, generator, uniforms, cached, **given)

    def conditionals(self, x: torch.Tensor, *, cached: bool = True, **given: torch.Tensor) -> Iterator[torch.Tensor]:
        """The parameters of p(x_d | what came before), for d = order[0], order[1], ..., one dimension at a time.

        Each step reads only the dimensions before d, and only when it is asked for. So x may be filled in place as
        the steps go, which is how to sample from a model, or to decode a message:

            for d, parameters in zip(model.order.tolist(), model.conditionals(x)):
                x.view(n, -1)[:, d] = ...

        Args:
            x: (n, *event_shape), contiguous.
            cached, given: as in `sample`.

        Yields:
            (n, *P): `forward`'s output at dimension d. For K levels, `cumulative` makes cumulative probabilities of it.
        """
        return self._conditionals(x, **given) if cached else AutoregressiveModel._conditionals(self, x, **given)

    def cumulative(self, parameters: torch.Tensor) -> torch.Tensor:
        """P(x_d <= k | what came before) for k = 0..K-2, (n, K-1), from (n, *P) as `conditionals` yields them."""
        return distributions.cumulative(parameters, self.levels)

    # What a model may override

    def _conditionals(self, x: torch.Tensor, **given: torch.Tensor) -> Iterator[torch.Tensor]:
        """What `conditionals` yields. Here: one full forward pass a dimension."""
        for d in self.order.tolist():
            yield self(x, **given).flatten(-len(self.event_shape))[..., d]

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Each dimension's log p(x_d | before) in nats, (batch, *event_shape)."""
        if self.levels == 2:
            return distributions.bernoulli_log_prob(parameters, x)
        return distributions.categorical_log_prob(parameters, x)

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """One dimension's values (n,) from its parameters (n, *P) and uniforms (n,)."""
        return distributions.invert(parameters, u, self.levels)

    # Shared steps

    def _fill(self, x, known, generator, uniforms, cached, **given) -> torch.Tensor:
        """Draw the dimensions of x that are not known, in place."""
        n, D = len(x), len(self.order)
        if uniforms is None:
            device = None if generator is None else generator.device
            uniforms = torch.rand(n, D, dtype=torch.float64, generator=generator, device=device)
        elif uniforms.shape != (n, D) or (n and not 0 <= uniforms.min() <= uniforms.max() < 1):
            raise ValueError(f"uniforms must be {(n, D)} numbers in [0, 1); got {tuple(uniforms.shape)}")
        # Apple's GPUs have no float64.
        uniforms = uniforms.to(x.device, torch.float32 if x.device.type == "mps" else torch.float64)
        columns, uniforms, known = x.view(n, D).unbind(1), uniforms.unbind(1), known.flatten().tolist()
        steps = zip(self.order.tolist(), self.conditionals(x, cached=cached, **given), strict=False)
        for d, parameters in steps:
            if not known[d]:
                columns[d].copy_(self._invert(parameters, uniforms[d]))
        return x

    def _dtype(self) -> torch.dtype:
        if self.levels is not None:
            return torch.int64
        return next((p.dtype for p in self.parameters()), torch.get_default_dtype())

    def _check(self, x: torch.Tensor) -> None:
        if tuple(x.shape[1:]) != self.event_shape:
            sizes = ", ".join(map(str, self.event_shape))
            hint = f". Reshape it with x.reshape(-1, {sizes})" if x.shape[1:].numel() == len(self.order) else ""
            raise ValueError(f"x must have shape (batch, {sizes}); got {tuple(x.shape)}{hint}")
        if self.levels is None:
            if not x.is_floating_point():
                raise ValueError(f"x must be real-valued; got {x.dtype}")
        elif x.is_floating_point() or x.is_complex():
            raise ValueError(f"x must hold integers 0..{self.levels - 1}; got {x.dtype}. Convert it with x.long()")
        elif x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.levels:
            found = f"{int(x.min())} to {int(x.max())}"
            raise ValueError(f"x must lie in 0..{self.levels - 1}, as this model has {self.levels} levels; got {found}")

    def _check_evidence(self, x: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A copy of x with zeros at the unknown dimensions, and the mask on the CPU."""
        if known.dtype != torch.bool or tuple(known.shape) != self.event_shape:
            raise ValueError(
                f"known must be a bool mask of shape {self.event_shape}; got {known.dtype}, {tuple(known.shape)}"
            )
        if tuple(x.shape[1:]) == self.event_shape:
            x = torch.where(known.to(x.device), x, torch.zeros_like(x)).contiguous()
        self._check(x)
        return x, known.cpu()
