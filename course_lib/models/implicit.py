"""Implicit models: a distribution that is known by its samples alone.

    x = G(z),   z drawn from N(0, I)

S. Mohamed and B. Lakshminarayanan, "Learning in Implicit Generative Models", arXiv:1610.03483.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch

from course_lib.models.base import GenerativeModel, _integer


class ImplicitModel(GenerativeModel):
    """A distribution of x = G(z) with z from N(0, I) in R^L. It can be sampled, and that is all.

    A model defines `_generate`. Networks read and write x on the scale of `_scaled`: 2 x / (K - 1) - 1, which lies in
    [-1, 1], or real x as they are.

    Args:
        event_shape, levels, classes: as in `GenerativeModel`.
        noise: the size L of z.

    Attributes:
        noise: as given.

    Raises:
        ValueError: noise is below 1, or see `GenerativeModel`.

    >>> class Circle(ImplicitModel):
    ...     def _generate(self, z):
    ...         return z / z.norm(dim=1, keepdim=True)
    >>> circle = Circle((2,), levels=None, noise=2)
    >>> circle.generate(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    >>> circle.sample(5).shape
    torch.Size([5, 2])
    """

    def __init__(
        self, event_shape: Sequence[int], levels: int | None, noise: int, *, classes: int | Sequence[int] | None = None
    ):
        super().__init__(event_shape, levels, classes=classes)
        if _integer(noise) is None or noise < 1:
            raise ValueError(f"noise is {noise!r}; expected the size of z, an integer of at least 1")
        self.noise = int(noise)

    def _generate(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """G(z) on the networks' scale, (n, *event_shape), from z (n, L)."""
        raise NotImplementedError(f"{type(self).__name__} must define _generate")

    def generate(self, z: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """G(z) as real numbers on x's own scale, (n, *event_shape): a function of z with gradients, not rounded.

        Args:
            z: (n, L) real numbers.
            labels: (n,) or (n, kinds), for a conditional model.

        Raises:
            ValueError: z or labels has another shape or dtype, is missing or not taken.
        """
        if not isinstance(z, torch.Tensor) or z.ndim != 2 or z.shape[1] != self.noise:
            found = tuple(z.shape) if isinstance(z, torch.Tensor) else type(z).__name__
            raise ValueError(f"z must have shape (n, {self.noise}); got {found}")
        if not z.is_floating_point():
            raise ValueError(f"z must be real-valued; got {z.dtype}")
        x = self._generate(z.to(self._dtype_of_weights()), **self._given(len(z), labels, None))
        return x if self.levels is None else (x + 1) * ((self.levels - 1) / 2)

    @torch.no_grad()
    def sample(
        self, n: int, *, labels: torch.Tensor | None = None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """n independent samples, (n, *event_shape): real numbers, or the nearest of the K levels, int64.

        A network with batch normalization samples in its current mode: call `eval()` first.

        Args:
            n: number of samples.
            labels: (n,) or (n, kinds), for a conditional model.
            generator: draws z; torch's global generator by default.
        """
        device = None if generator is None else generator.device
        z = torch.randn(n, self.noise, generator=generator, device=device).to(self._device())
        x = self.generate(z, labels=labels)
        return x.to(self._dtype()) if self.levels is None else x.round().clamp(0, self.levels - 1).long()

    def log_prob(self, x: torch.Tensor, **given: Any) -> NoReturn:
        """There is none. Raises TypeError."""
        raise TypeError(
            f"{type(self).__name__} is an implicit model: it has no density to evaluate, only samples, so it has no "
            "likelihood and no test cost in nats. Compare its samples with the data instead"
        )

    def _draw(self, n: int) -> torch.Tensor:
        """z for n images while training, (n, L), drawn on the model's device."""
        return torch.randn(n, self.noise, device=self._device(), dtype=self._dtype_of_weights())

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        """x as the networks read it."""
        x = x.to(self._dtype_of_weights())
        return x if self.levels is None else x * (2 / (self.levels - 1)) - 1

    def _dtype_of_weights(self) -> torch.dtype:
        return next((p.dtype for p in self.parameters()), torch.get_default_dtype())

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))
