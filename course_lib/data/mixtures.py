"""Mixtures of Gaussians in the plane: a density that is known exactly, and modes that can be counted."""

import math
from typing import NamedTuple

import torch

from course_lib.data.dataset import Dataset, Split
from course_lib.models.base import GenerativeModel


class Coverage(NamedTuple):
    """How well samples cover the modes of a mixture.

    Attributes:
        covered: number of the centres that are the nearest centre of a sample close to them.
        share: fraction of the samples that are close to their nearest centre.
    """

    covered: int
    share: float


class GaussianMixture(GenerativeModel):
    """Equally likely Gaussians in the plane with one standard deviation: p(x) = mean over k of N(x; c_k, std^2 I).

    Args:
        centres: (K, 2) the c_k.
        std: standard deviation in each direction.
        name: for figures.

    Attributes:
        centres: a buffer, float32.
        std, name: as given.

    Raises:
        ValueError: centres has another shape, or std is not positive.

    >>> mixture = GaussianMixture(torch.tensor([[0.0, 0.0]]), std=1.0)
    >>> mixture.log_prob(torch.zeros(1, 2))      # -log(2 pi)
    tensor([-1.8379])
    """

    def __init__(self, centres: torch.Tensor, std: float, name: str = "mixture of Gaussians"):
        super().__init__((2,), None)
        if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres):
            raise ValueError(f"centres must have shape (K, 2), with K at least 1; got {tuple(centres.shape)}")
        if not 0 < std < math.inf:
            raise ValueError(f"std is {std}; expected a positive number")
        self.register_buffer("centres", centres.float())
        self.std, self.name = float(std), name

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (n,), for x (n, 2). Raises ValueError if x has another shape or is not real-valued."""
        self._check(x)
        exponents = self._distances(x).square() / (-2 * self.std**2)
        return exponents.logsumexp(1) - math.log(2 * math.pi * self.std**2 * len(self.centres))

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """n independent samples, (n, 2), float32."""
        return self._draw(n, generator)[0].to(self.centres.device)

    def modes_covered(self, x: torch.Tensor, deviations: float = 3.0) -> Coverage:
        """How many modes samples x (n, 2) cover. A sample is close to a centre within so many standard deviations.

        Of the mixture's own samples 98.9 % are within 3 of them.

        >>> ring().modes_covered(ring().centres[:3])
        Coverage(covered=3, share=1.0)
        """
        self._check(x)
        distances, nearest = self._distances(x).min(1)
        close = distances <= deviations * self.std
        return Coverage(len(nearest[close].unique()), close.double().mean().item())

    def dataset(self, n: int = 4000, seed: int = 0) -> Dataset:
        """n points for training, n // 4 for validation, n // 4 for testing; y is the number of the Gaussian.

        The same seed gives the same points.

        Raises:
            ValueError: n is below 4.

        >>> ring().dataset(n=100).train.x.shape
        torch.Size([100, 2])
        """
        if n < 4:
            raise ValueError(f"n is {n}; expected at least 4, so that no part of the data set is empty")
        generator = torch.Generator().manual_seed(seed)
        parts = {
            part: Split(*self._draw(count, generator))
            for part, count in {"train": n, "valid": n // 4, "test": n // 4}.items()
        }
        return Dataset(self.name, (2,), None, **parts)

    def _draw(self, n: int, generator: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        """n points and the numbers of their Gaussians, drawn on the generator's device."""
        device = torch.device("cpu") if generator is None else generator.device
        which = torch.randint(len(self.centres), (n,), generator=generator, device=device)
        noise = torch.randn(n, 2, generator=generator, device=device)
        return self.centres.to(device)[which] + self.std * noise, which

    def _distances(self, x: torch.Tensor) -> torch.Tensor:
        """(n, K). The differences are squared one by one: a product of matrices would round them."""
        return (x[:, None] - self.centres.to(x.dtype)).square().sum(2).sqrt()


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """Gaussians at equal distances on a circle, the first one at angle 0.

    >>> ring(modes=4).centres.round(decimals=3).abs()
    tensor([[2., 0.],
            [0., 2.],
            [2., 0.],
            [0., 2.]])
    """
    if modes < 1:
        raise ValueError(f"modes is {modes}; expected at least 1")
    angles = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    centres = radius * torch.stack([angles.cos(), angles.sin()], 1)
    return GaussianMixture(centres, std, f"ring of {modes} Gaussians")


def grid(side: int = 5, spacing: float = 1.0, std: float = 0.05) -> GaussianMixture:
    """Gaussians on a square grid around the origin, side * side of them, row by row.

    >>> grid(side=3).centres.shape, float(grid(side=3).centres.sum())
    (torch.Size([9, 2]), 0.0)
    """
    if side < 1:
        raise ValueError(f"side is {side}; expected at least 1")
    places = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    return GaussianMixture(torch.cartesian_prod(places, places).view(-1, 2), std, f"grid of {side * side} Gaussians")
