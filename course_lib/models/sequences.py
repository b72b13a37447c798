"""The base class of autoregressive models of time series, such as sound."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from course_lib.models.base import AutoregressiveModel


class SequenceModel(AutoregressiveModel):
    """An autoregressive model of x_1, ..., x_T for any T: its network makes the same steps, however many there are.

    Every method takes x of any length, (n, T), and `sample` a length. The model's own length is only the default, and
    is not saved with the weights. A context has one vector per step, (n, context_channels, T).

    Args:
        length: the default T.
        levels, classes, context_channels: as in `AutoregressiveModel`.

    Attributes:
        period: number of steps after which the steps of `sample` read and write the same memory again, so that a
            record of two periods can be repeated without end, see `course_lib.capture`; None where they never do.

    Raises:
        ValueError: length is not a positive integer, or see `AutoregressiveModel`.

    >>> SequenceModel(16000, levels=256).with_length(3).order
    tensor([0, 1, 2])
    """

    period: int | None = None

    def __init__(
        self,
        length: int,
        levels: int | None,
        *,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__((length,), levels, classes=classes, context_channels=context_channels)
        self.register_buffer("order", self.order, persistent=False)

    def with_length(self, length: int) -> "SequenceModel":
        """The same model for x of another length. The two share their weights.

        Raises:
            ValueError: length is not a positive integer.
        """
        other = AutoregressiveModel((length,), self.levels)
        model = copy.copy(self)
        model.event_shape, model._buffers = other.event_shape, {**self._buffers, "order": other.order}
        return model.to(self.order.device)

    def log_prob(self, x: torch.Tensor, **given: torch.Tensor) -> torch.Tensor:
        return super(SequenceModel, self._as_long_as(x)).log_prob(x, **given)

    def sample(self, n: int, *, length: int | None = None, **settings: Any) -> torch.Tensor:
        """n samples, (n, length); otherwise as in the base class.

        Args:
            n: number of samples.
            length: T; the model's own by default.
            settings: as in `AutoregressiveModel.sample`.

        Raises:
            ValueError: length is not a positive integer, or as in `AutoregressiveModel.sample`.
        """
        model = self if length is None else self.with_length(length)
        return super(SequenceModel, model).sample(n, **settings)

    def complete(self, x: torch.Tensor, known: torch.Tensor, **settings: Any) -> torch.Tensor:
        return super(SequenceModel, self._as_long_as(x)).complete(x, known, **settings)

    def conditionals(self, x: torch.Tensor, **settings: Any) -> Iterator[torch.Tensor]:
        return super(SequenceModel, self._as_long_as(x)).conditionals(x, **settings)

    def _context_sizes(self) -> tuple[int, ...]:
        return self.event_shape

    def _as_long_as(self, x: torch.Tensor) -> "SequenceModel":
        fits = isinstance(x, torch.Tensor) and x.ndim == 2 and x.shape[1] > 0
        return self if not fits or x.shape[1:] == self.event_shape else self.with_length(x.shape[1])
