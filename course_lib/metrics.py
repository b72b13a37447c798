"""Numbers that compare likelihood models: negative log-likelihood with its error, bits per dimension."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Estimate", "HasLogProb", "bits_per_dim", "log_probs", "nll", "nll_difference"]


class HasLogProb(Protocol):
    """A model or a distribution with log_prob(x) -> (batch,), in nats. A class-conditional one also takes `labels`."""

    @property
    def log_prob(self) -> Callable[..., Tensor]: ...


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` images and its standard error, the sample standard deviation divided by sqrt(n).

    It prints with two digits of the error, and can be divided by a number (to change its unit).

    >>> print(Estimate(23.40879, 0.11843, 360))
    23.41 ± 0.12
    >>> print(Estimate(23.40879, 0.11843, 360) / 10)
    2.341 ± 0.012
    """

    mean: float
    stderr: float
    n: int

    @classmethod
    def of(cls, values: Tensor) -> "Estimate":
        """The estimate from one value per image, shape (n,), n >= 2.

        >>> Estimate.of(torch.tensor([1.0, 2.0, 3.0]))
        Estimate(mean=2.0, stderr=0.5773502691896258, n=3)
        """
        if values.ndim != 1 or len(values) < 2:
            got = "one image" if values.numel() == 1 else f"shape {tuple(values.shape)}"
            raise ValueError(f"a standard error needs one value each of n >= 2 images, shape (n,); got {got}")
        values = values.double()
        return cls(values.mean().item(), values.std().item() / math.sqrt(len(values)), len(values))

    def __truediv__(self, divisor: float) -> "Estimate":
        return Estimate(self.mean / divisor, self.stderr / abs(divisor), self.n)

    def __str__(self) -> str:
        if not (math.isfinite(self.stderr) and self.stderr > 0):
            return f"{self.mean:.4g} ± {self.stderr:.2g}"
        decimals = max(0, 1 - math.floor(math.log10(self.stderr)))
        return f"{self.mean:.{decimals}f} ± {self.stderr:.{decimals}f}"


def log_probs(
    model: HasLogProb,
    x: Tensor,
    *,
    batch_size: int = 1000,
    labels: Tensor | None = None,
    context: Tensor | None = None,
) -> Tensor:
    """log p of every image, in nats: float64, shape (n,), on the CPU.

    Of a conditional model it is log p(x | labels, context), with labels (n,) or (n, kinds) and a context (n, ...).

    The model is asked in eval mode and without gradients, `batch_size` images at a time, on its own device;
    its mode is put back afterwards. Anything with a `log_prob` will do.
    """
    if len(x) == 0:
        raise ValueError("there are no images: x has length 0")
    conditions = {"labels": labels, "context": context}
    conditions = {name: tensor for name, tensor in conditions.items() if tensor is not None}
    for name, tensor in conditions.items():
        if len(tensor) != len(x):
            raise ValueError(f"{name} must be as many as there are images, {len(x)}; got {len(tensor)}")
    module = model if isinstance(model, nn.Module) else nn.Module()
    device = next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), x.device)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.inference_mode():
            parts = []
            for start in range(0, len(x), batch_size):
                batch = slice(start, start + batch_size)
                given = {name: tensor[batch].to(device) for name, tensor in conditions.items()}
                parts.append(model.log_prob(x[batch].to(device), **given).cpu().double())
    finally:
        for part, mode in modes.items():
            part.training = mode
    return torch.cat(parts)


def nll(
    model: HasLogProb,
    x: Tensor,
    *,
    batch_size: int = 1000,
    labels: Tensor | None = None,
    context: Tensor | None = None,
) -> Estimate:
    """Negative log-likelihood of the images `x`, in nats per image: the mean and its standard error.

    The first axis of `x` counts the images. Each counts once, also those of a last batch that is smaller. For labels
    and context see `log_probs`.

    >>> from torch.distributions import Bernoulli, Independent
    >>> uniform = Independent(Bernoulli(probs=torch.full((16,), 0.5)), 1)
    >>> x = torch.randint(0, 2, (100, 16)).float()
    >>> round(nll(uniform, x, batch_size=30).mean, 4)      # 16 log 2
    11.0904
    """
    return Estimate.of(-log_probs(model, x, batch_size=batch_size, labels=labels, context=context))


def nll_difference(
    model: HasLogProb,
    other: HasLogProb,
    x: Tensor,
    *,
    batch_size: int = 1000,
    labels: Tensor | None = None,
    context: Tensor | None = None,
) -> Estimate:
    """NLL of `model` minus NLL of `other` on the same images, in nats per image; both get labels and context, if any.

    Some images are hard for every model. That spread cancels in a difference taken image by image, so its
    standard error is mostly far smaller than those of the two NLLs.
    """
    given = dict(batch_size=batch_size, labels=labels, context=context)
    ours, theirs = (log_probs(each, x, **given) for each in (model, other))
    return Estimate.of(theirs - ours)


Nats = TypeVar("Nats", float, Tensor, Estimate)


def bits_per_dim(nats: Nats, D: int) -> Nats:
    """Nats an image -> bits per dimension: nats / (D log 2), for a number, a tensor or an `Estimate`.

    A uniform model over K levels costs exactly log2 K:

    >>> bits_per_dim(64 * math.log(16), 64)
    4.0
    """
    if D < 1:
        raise ValueError(f"D, the number of dimensions of an image, must be at least 1; got {D}")
    return nats / (D * math.log(2))
