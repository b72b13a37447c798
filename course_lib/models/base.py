"""Base classes: what all models share, what all generative models share, and what all autoregressive models share.

An autoregressive model has its likelihood, its sampler and its completions from the chain rule:

    p(x) = product over k of p(x_{order[k]} | x_{order[0]}, ..., x_{order[k-1]})
"""

import inspect
import math
import operator
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from course_lib import distributions
from course_lib.models import orderings


class _Abbreviate(reprlib.Repr):
    """Short representations of arguments. `reprlib` finds a method by the name of the type."""

    def repr_Tensor(self, tensor: torch.Tensor, level: int) -> str:
        return f"tensor of shape {tuple(tensor.shape)}"


_ABBREVIATE = _Abbreviate()


_VALUES_ARE_CHECKED: ContextVar[bool] = ContextVar("_VALUES_ARE_CHECKED", default=False)


@contextmanager
def checked_values() -> Iterator[None]:
    """Within it models look at the shapes and dtypes of x and of labels, but not at their values.

    To read a value, the program waits until the device has computed all that it was sent. `course_lib.training.fit`
    checks the values of a data set once, before it trains on it.
    """
    token = _VALUES_ARE_CHECKED.set(True)
    try:
        yield
    finally:
        _VALUES_ARE_CHECKED.reset(token)


def _checks_values() -> bool:
    # torch.compile cannot trace a decision that depends on a value.
    return not (torch.compiler.is_compiling() or _VALUES_ARE_CHECKED.get())


def _is_integral(x: torch.Tensor) -> bool:
    """True for bool and for the integer dtypes that torch computes with."""
    return not (x.is_floating_point() or x.is_complex() or x.dtype in (torch.uint16, torch.uint32, torch.uint64))


class Model(nn.Module):
    """A network for x of shape `event_shape` that knows how it was built: it can be printed, saved and loaded.

    Methods that take x call `_check(x)` first.

    Args:
        event_shape: shape of one x, such as (D,) or (colours, height, width). Its D dimensions are numbered in
            raster order, the last axis fastest.
        levels: K; x holds integers 0..K-1. None for real-valued x.

    Attributes:
        event_shape, levels: as given.
        arguments: the arguments of the constructor by name, without those left at their defaults. Printing a model
            shows them, and `course_lib.saving` writes them. A copy with another ordering keeps those of the original.

    Raises:
        ValueError: event_shape is empty or holds anything but positive integers, or levels is anything but an integer
            of at least 2 or None.

    >>> class Nothing(Model):
    ...     pass
    >>> Nothing((3,), levels=2)
    Nothing(event_shape=(3,), levels=2)
    """

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        model = super().__new__(cls)
        model._call = args, keywords
        return model

    def __init_subclass__(cls, **keywords: Any):
        super().__init_subclass__(**keywords)
        # Otherwise help would show the signature of __new__.
        constructor = inspect.signature(cls.__init__)
        cls.__signature__ = constructor.replace(parameters=list(constructor.parameters.values())[1:])

    def __init__(self, event_shape: Sequence[int], levels: int | None):
        super().__init__()
        sizes = tuple(map(_integer, event_shape))
        if not sizes or None in sizes or min(sizes) < 1:
            raise ValueError(f"event_shape is {tuple(event_shape)}; expected one or more positive integers")
        self.event_shape, self.levels = sizes, None if levels is None else _integer(levels)
        if levels is not None and (self.levels is None or self.levels < 2):
            raise ValueError(
                f"levels is {levels!r}; expected an integer of at least 2, or None for real-valued dimensions"
            )

    @property
    def arguments(self) -> dict[str, Any]:
        args, keywords = self._call
        signature = inspect.signature(type(self))
        arguments = dict(signature.bind(*args, **keywords).arguments)
        for parameter in signature.parameters.values():
            if parameter.kind == inspect.Parameter.VAR_KEYWORD:  # whose names are arguments of a base class
                arguments |= arguments.pop(parameter.name, {})
        return arguments

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={_ABBREVIATE.repr(value)}"
            for name, value in self.arguments.items()
            if not isinstance(value, nn.Module)  # which is printed as a submodule
        )

    def _check(self, x: torch.Tensor) -> None:
        """Refuse what is not a batch of this model's x.

        Args:
            x: expected (batch, *event_shape), integers 0..K-1 of any integer dtype but uint16, uint32 and uint64, for
                which torch lacks most functions, or real numbers of any floating-point dtype where `levels` is None.

        Raises:
            ValueError: x has another type, shape, dtype or range.
        """
        if not isinstance(x, torch.Tensor):
            raise ValueError(f"x must be a tensor; got {type(x).__name__}")
        if tuple(x.shape[1:]) != self.event_shape:
            sizes = ", ".join(map(str, self.event_shape))
            fits = x.shape[1:].numel() == math.prod(self.event_shape)
            hint = f". Reshape it with x.reshape(-1, {sizes})" if fits else ""
            raise ValueError(f"x must have shape (batch, {sizes}); got {tuple(x.shape)}{hint}")
        if self.levels is None:
            if not x.is_floating_point():
                raise ValueError(f"x must be real-valued; got {x.dtype}")
        elif not _is_integral(x):
            raise ValueError(f"x must hold integers 0..{self.levels - 1}; got {x.dtype}. Convert it with x.long()")
        elif _checks_values():
            self._check_values(x)

    def _check_values(self, x: torch.Tensor) -> None:
        """Refuse levels out of range. What `_check` says of dtypes is left to it."""
        if self.levels is None or not _is_integral(x):
            return
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.levels:
            extremes = f"{int(x.min())} to {int(x.max())}"
            raise ValueError(
                f"x must lie in 0..{self.levels - 1}, as this model has {self.levels} levels; got {extremes}"
            )


class GenerativeModel(Model):
    """A distribution over x of shape `event_shape` that can be sampled.

    Every model defines `sample`. A model with an exact likelihood also defines `log_prob(x)`, (batch,), in nats.

    A *conditional* model is a distribution for each value of what it is given, by keyword, in every method:

    * class labels: (n,) integers 0..classes-1 or, with several kinds, (n, kinds), column j in 0..classes[j]-1;
    * a context: (n, context_channels, *event_shape[1:]) real numbers, such as the output of a decoder or of another
      model for each place of an image. For x of shape (D,) it is a vector.

    Other models refuse them.

    Args:
        event_shape, levels: as in `Model`.
        classes: number of classes, or of each kind of label; None for a model without labels.
        context_channels: number of channels of the context, 0 for a model without one.

    Attributes:
        classes: the number of classes of each kind of label, a tuple.
        context_channels: as given.

    Raises:
        ValueError: a number of classes or channels is out of range, or see `Model`.

    >>> class FairCoins(GenerativeModel):
    ...     def sample(self, n, *, generator=None):
    ...         return torch.randint(2, (n, *self.event_shape), generator=generator)
    >>> FairCoins((3,), levels=2).sample(5).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(event_shape, levels)
        self.classes = checked_classes(classes)
        if _integer(context_channels) is None or context_channels < 0:
            raise ValueError(f"context_channels must be an integer of at least 0; got {context_channels!r}")
        self.context_channels = context_channels

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """n independent samples, (n, *event_shape): int64 levels, or real numbers where `levels` is None.

        Real numbers have the dtype of the parameters, but float32 at least.

        Args:
            n: number of samples.
            generator: the only source of randomness; torch's global generator by default.
        """
        raise NotImplementedError(f"{type(self).__name__} must define sample")

    def _dtype(self) -> torch.dtype:
        if self.levels is not None:
            return torch.int64
        # A real sample is not rounded to fewer bits: a density over bfloat16's few numbers is another distribution.
        dtype = next((p.dtype for p in self.parameters()), torch.get_default_dtype())
        return torch.promote_types(dtype, torch.float32)

    def _check_evidence(self, x: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A copy of x with zeros at the unknown dimensions, and the mask on the CPU."""
        expected = f"known must be a bool mask of shape {self.event_shape}"
        if not isinstance(known, torch.Tensor):
            raise ValueError(f"{expected}, in a tensor; got {type(known).__name__}")
        if known.dtype != torch.bool or tuple(known.shape) != self.event_shape:
            raise ValueError(f"{expected}; got {known.dtype}, {tuple(known.shape)}")
        if isinstance(x, torch.Tensor) and tuple(x.shape[1:]) == self.event_shape:
            x = torch.where(known.to(x.device), x, torch.zeros_like(x)).contiguous()
        self._check(x)
        return x, known.cpu()

    def _given(self, n: int, labels: torch.Tensor | None, context: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """The further arguments of `forward` for n images: labels in int64 and the context, where the model has any."""
        self._check_given(n, labels, context)
        given = {}
        if self.classes:
            given["labels"] = labels = labels.long()
            if _checks_values():
                self._check_label_values(labels)
        if self.context_channels:
            given["context"] = context
        return given

    def _check_label_values(self, labels: torch.Tensor) -> None:
        """Refuse labels out of range. What `_check_given` says of shapes is left to it."""
        kinds = labels.unbind(1) if labels.ndim == 2 else [labels]
        for number, kind in zip(self.classes, kinds, strict=False):
            if len(kind) and not 0 <= int(kind.min()) <= int(kind.max()) < number:
                raise ValueError(f"{self._labels_wanted(len(kind))}; got {int(kind.min())} to {int(kind.max())}")

    def _check_given(self, n: int, labels: torch.Tensor | None = None, context: torch.Tensor | None = None) -> None:
        """Refuse labels and contexts that are missing, not taken, or of another type, shape or dtype."""
        name = type(self).__name__
        if not self.classes:
            if labels is not None:
                raise ValueError(f"this {name} takes no labels: it was built without classes")
        else:
            shape, expected = (n,) if len(self.classes) == 1 else (n, len(self.classes)), self._labels_wanted(n)
            if labels is None:
                raise ValueError(f"{expected}; got none")
            if not isinstance(labels, torch.Tensor):
                raise ValueError(f"{expected}, in a tensor; got {type(labels).__name__}")
            whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
            if not whole or tuple(labels.shape) != shape:
                raise ValueError(f"{expected}; got {labels.dtype}, {tuple(labels.shape)}")
        if not self.context_channels:
            if context is not None:
                raise ValueError(f"this {name} takes no context: it was built without context_channels")
        else:
            shape = n, self.context_channels, *self._context_sizes()
            expected = f"context must be real numbers of shape {shape}"
            if not isinstance(context, torch.Tensor):
                got = "none" if context is None else type(context).__name__
                raise ValueError(f"{expected}, in a tensor; got {got}")
            if not context.is_floating_point() or tuple(context.shape) != shape:
                raise ValueError(f"{expected}; got {context.dtype}, {tuple(context.shape)}")

    def _context_sizes(self) -> tuple[int, ...]:
        return self.event_shape[1:]

    def _labels_wanted(self, n: int) -> str:
        if len(self.classes) == 1:
            return f"labels must be {n} integers 0..{self.classes[0] - 1}, one per image"
        columns = ", ".join(f"0..{number - 1}" for number in self.classes)
        return f"labels must be integers of shape ({n}, {len(self.classes)}), column by column {columns}"


class AutoregressiveModel(GenerativeModel):
    """A distribution over x of shape `event_shape` as a product of conditionals, one per dimension.

    Of a conditional model (see `GenerativeModel`) `log_prob(x, labels=y, context=s)` is log p(x | y, s), and
    `sample(n, labels=y, context=s)` draws from it. Its `forward` and `_conditionals` take both.

    Under autocast the network of `log_prob` runs in autocast's precision, and its likelihood is summed in float32.
    `sample`, `complete` and `conditionals` ignore autocast: they compute in the parameters' own dtype.

    `model.compile()` compiles `forward`, which `log_prob` calls. torch.compile(model) returns a wrapper whose
    `log_prob` is the model's own and runs uncompiled.

    A model must define `forward`. It should define `_conditionals`, because sampling otherwise costs one full forward
    pass per dimension. If its conditionals are neither Bernoulli nor categorical, it also defines `_log_likelihood` and
    `_invert`, and `cumulative` if its dimensions are integers.

    Args:
        event_shape, levels, classes, context_channels: as in `GenerativeModel`.
        order: (D,) permutation; order[k] is the dimension that comes k-th. Raster order by default.

    Attributes:
        order: (D,) long buffer, saved with the weights.

    Raises:
        ValueError: order is not a permutation, or see `GenerativeModel`.
    """

    order: torch.Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        order: Sequence[int] | None = None,
        *,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(event_shape, levels, classes=classes, context_channels=context_channels)
        D = math.prod(self.event_shape)
        order = orderings.checked(range(D) if order is None else order, D)
        self.register_buffer("order", order.long().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Parameters of all conditionals at once. Those of dimension d depend only on the dimensions before d.

        Args:
            x: (batch, *event_shape), of any dtype: the model converts it to its own.

        Returns:
            (batch, *P, *event_shape), where P is () for Bernoulli logits (levels = 2) and (K,) for categorical logits
            (levels = K > 2). Other models document their P.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def log_prob(
        self, x: torch.Tensor, *, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """log p(x) in nats, (batch,), of x with shape (batch, *event_shape); given labels and context, if any.

        Raises:
            ValueError: x, labels or context has another shape, dtype or range, is missing or not taken.
        """
        self._check(x)
        return self._log_likelihood(self(x, **self._given(len(x), labels, context)), x).flatten(1).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """n exact, independent samples, (n, *event_shape), by inverting each conditional's distribution function.

        uniforms[i, d] decides dimension d of sample i: for K levels it is the number of k in 0..K-2 with
        P(x_d <= k | the dimensions before d) <= uniforms[i, d]; for K = 2 this is x_d = 1 where the uniform is
        >= 1 - p(1). The same uniforms give the same samples, cached or not, on any device, up to rounding.

        A model with dropout samples in its current mode: call `eval()` first.

        On a GPU a call takes as long for 256 samples as for one. `course_lib.capture.CapturedSampler` is much faster
        there.

        Args:
            n: number of samples.
            labels, context: as in `log_prob`, one for each sample.
            generator: draws the uniforms.
            uniforms: (n, D) in [0, 1), instead of drawn ones.
            cached: reuse what earlier steps computed, if the model defines `_conditionals`; False asks for one full
                forward pass per dimension.

        Raises:
            ValueError: uniforms, labels or context have another shape, dtype or range.
        """
        x = torch.zeros(n, *self.event_shape, dtype=self._dtype(), device=self.order.device)
        nothing = torch.zeros(self.event_shape, dtype=torch.bool)
        return self._fill(x, nothing, generator, uniforms, cached=cached, labels=labels, context=context)

    @torch.no_grad()
    def complete(
        self,
        x: torch.Tensor,
        known: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """Exact samples of p(unknown dimensions | known dimensions), one for each x.

        Drawing the unknown dimensions in order is exact only if every known dimension comes before every unknown one:
        a draw cannot depend on a dimension that comes later.

        Args:
            x: (n, *event_shape); its values at unknown dimensions do not matter.
            known: (*event_shape) bool, the same for all x.
            labels, context, generator, uniforms, cached: as in `sample`.

        Returns:
            A new tensor like x with the unknown dimensions drawn.

        Raises:
            ValueError: the known dimensions are not the first ones of the ordering, or an argument has another shape,
                dtype or range.
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
        return self._fill(x, known, generator, uniforms, cached=cached, labels=labels, context=context)

    def conditionals(
        self,
        x: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        cached: bool = True,
    ) -> Iterator[torch.Tensor]:
        """The parameters of p(x_d | the dimensions before d), for d = order[0], order[1], ..., one at a time.

        Each step reads only the dimensions before d, and only when the iterator reaches it. So you can fill x in place
        between the steps, to sample from a model or to decode a message:

            for d, parameters in zip(model.order.tolist(), model.conditionals(x)):
                x.view(n, -1)[:, d] = ...

        Args:
            x: (n, *event_shape), contiguous.
            labels, context, cached: as in `sample`.

        Yields:
            (n, *P): `forward`'s output at dimension d. For K levels, `cumulative` turns it into probabilities.
        """
        given = self._given(len(x), labels, context)
        steps = self._conditionals(x, **given) if cached else AutoregressiveModel._conditionals(self, x, **given)
        device = self.order.device.type
        return _without_autocast(steps, device) if torch.is_autocast_enabled(device) else steps

    def cumulative(self, parameters: torch.Tensor) -> torch.Tensor:
        """P(x_d <= k | the dimensions before d) for k = 0..K-2, (n, K-1), from an (n, *P) of `conditionals`."""
        return distributions.cumulative(parameters, self.levels)

    # A model may override these

    def _conditionals(self, x: torch.Tensor, **given: torch.Tensor) -> Iterator[torch.Tensor]:
        """The steps of `conditionals`. Here: one full forward pass per dimension."""
        for d in on_host(self.order):
            yield self(x, **given).flatten(-len(self.event_shape))[..., d]

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x_d | the dimensions before d) in nats for all d, (batch, *event_shape)."""
        if self.levels == 2:
            return distributions.bernoulli_log_prob(parameters, x)
        return distributions.categorical_log_prob(parameters, x)

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """One dimension's values (n,) from its parameters (n, *P) and uniforms (n,)."""
        return distributions.invert(parameters, u, self.levels)

    # Shared steps

    def _fill(self, x, known, generator, uniforms, **settings) -> torch.Tensor:
        """Draw the unknown dimensions of x, in place."""
        uniforms = uniforms_on(x.device, uniforms, generator, (len(x), len(self.order)))
        return self._draw(x, known.flatten().tolist(), uniforms, self.conditionals(x, **settings))

    def _draw(
        self, x: torch.Tensor, known: Sequence[bool], uniforms: torch.Tensor, steps: Iterator[torch.Tensor]
    ) -> torch.Tensor:
        """`_fill` after its checks, with the steps of `conditionals`. Nothing here or in the steps waits for a GPU.

        The one exception is `_invert` of real dimensions, which may search until it is precise enough.

        Args:
            x: (n, *event_shape).
            known: whether each of the D dimensions is known.
            uniforms: (n, D), on the device of x.
            steps: of x.
        """
        columns, uniforms = x.view(uniforms.shape).unbind(1), uniforms.unbind(1)
        with torch.inference_mode():  # x was made outside: it may take part in training
            for d, parameters in zip(on_host(self.order), steps, strict=False):
                if not known[d]:
                    columns[d].copy_(self._invert(parameters, uniforms[d]))
        return x


_READ = WeakTensorKeyDictionary()


def on_host(tensor: torch.Tensor) -> list:
    """The entries of an integer tensor, such as an ordering, as `tolist` gives them.

    They are read from the tensor's device only after a change of the tensor. To read from a GPU is to wait for all the
    work that it has still to do, and a CUDA graph cannot.

    >>> on_host(torch.tensor([2, 0, 1]))
    [2, 0, 1]
    """
    if tensor.is_inference():  # which has no count of its changes
        return tensor.tolist()
    changes, entries = _READ.get(tensor, (None, None))
    if changes != tensor._version:
        changes, entries = _READ[tensor] = tensor._version, tensor.tolist()
    return entries


def _integer(number: object) -> int | None:
    """An integer of any type as an int, and None for anything else."""
    try:
        return operator.index(number)
    except TypeError:
        return None


def checked_classes(classes: int | Sequence[int] | None) -> tuple[int, ...]:
    """The number of classes of each kind of label.

    >>> checked_classes(None), checked_classes(10), checked_classes([10, 6])
    ((), (10,), (10, 6))
    """
    kinds = () if classes is None else (classes,) if isinstance(classes, int) else tuple(classes)
    if any(_integer(number) is None or number < 1 for number in kinds):
        raise ValueError(f"classes must be at least 1, or None for a model without labels; got {classes}")
    return kinds


def checked_uniforms(
    uniforms: torch.Tensor | None, generator: torch.Generator | None, shape: tuple[int, ...]
) -> torch.Tensor:
    """The uniforms of a sampler, such as (n, D), or drawn ones for None."""
    if uniforms is None:
        device = None if generator is None else generator.device
        return torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
    if not isinstance(uniforms, torch.Tensor):
        raise ValueError(f"uniforms must be {shape} numbers in [0, 1), in a tensor; got {type(uniforms).__name__}")
    if uniforms.shape != shape:
        raise ValueError(f"uniforms must be {shape} numbers in [0, 1); got {tuple(uniforms.shape)}")
    if len(uniforms) and not 0 <= uniforms.min() <= uniforms.max() < 1:
        extremes = f"{uniforms.min():.4g} to {uniforms.max():.4g}"
        raise ValueError(f"uniforms must be {shape} numbers in [0, 1); got {extremes}")
    return uniforms


def uniforms_on(
    device: torch.device, uniforms: torch.Tensor | None, generator: torch.Generator | None, shape: tuple[int, ...]
) -> torch.Tensor:
    """`checked_uniforms` on a device, in float64 where it has it: Apple's GPUs have none."""
    dtype = torch.float32 if device.type == "mps" else torch.float64
    uniforms = distributions.below_one(checked_uniforms(uniforms, generator, shape), dtype)
    if device.type == "cuda" and uniforms.device.type == "cpu":
        # Else the copy would wait for all that the GPU has still to do.
        return uniforms.pin_memory().to(device, non_blocking=True)
    return uniforms.to(device)


def _without_autocast(steps: Iterator[torch.Tensor], device: str) -> Iterator[torch.Tensor]:
    """The same steps, each computed without autocast, which stays as it is for the reader of the steps."""
    while True:
        with torch.autocast(device, enabled=False):
            step = next(steps, None)
        if step is None:
            return
        yield step
