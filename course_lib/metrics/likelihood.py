"""Numbers that compare likelihood models: negative log-likelihood with its error, bits per dimension.

A latent-variable model's bound takes the likelihood's place where `draws` is given. Its exact likelihood can be had by
integration over one or two latent variables, and estimated by annealed importance sampling for more (`ais`).
`active_units` tells which latent variables it uses at all.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "AIS",
    "ActiveUnits",
    "Estimate",
    "HasLogProb",
    "active_units",
    "ais",
    "bits_per_dim",
    "log_probs",
    "log_probs_by_integration",
    "nll",
    "nll_difference",
    "principal_angles",
]


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
    draws: int | None = None,
) -> Tensor:
    """log p of every image, in nats: float64, shape (n,), on the CPU.

    Of a conditional model it is log p(x | labels, context), with labels (n,) or (n, kinds) and a context (n, ...).

    The model is asked in eval mode and without gradients, `batch_size` images at a time, on its own device;
    its mode is put back afterwards. Anything with a `log_prob` will do.

    Args:
        draws: k, for a latent-variable model: its `iwae_bound` with k draws, always the same ones, in place of log p.

    Raises:
        ValueError: there are no images, labels or contexts are too few, or the model has no `log_prob` and draws is
            None.
    """
    if len(x) == 0:
        raise ValueError("there are no images: x has length 0")
    if draws is None and not hasattr(model, "log_prob"):
        name = type(model).__name__
        raise ValueError(f"a {name} has no exact log_prob; pass draws=k for its importance-weighted bound")
    conditions = {"labels": labels, "context": context}
    conditions = {name: tensor for name, tensor in conditions.items() if tensor is not None}
    for name, tensor in conditions.items():
        if len(tensor) != len(x):
            raise ValueError(f"{name} must be as many as there are images, {len(x)}; got {len(tensor)}")
    generator, parts = torch.Generator().manual_seed(0), []
    with evaluated(model, x) as device:
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            given = {name: tensor[batch].to(device) for name, tensor in conditions.items()}
            images = x[batch].to(device)
            if draws is None:
                values = model.log_prob(images, **given)
            else:
                values = model.iwae_bound(images, draws, generator=generator, **given)
            parts.append(values.cpu().double())
    return torch.cat(parts)


@contextmanager
def evaluated(model: object, x: Tensor, gradients: bool = False) -> Iterator[torch.device]:
    """A model in eval mode, mostly without gradients. Gives its device, or that of x for what is not a module."""
    module = model if isinstance(model, nn.Module) else nn.Module()
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.enable_grad() if gradients else torch.inference_mode():
            yield next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), x.device)
    finally:
        for part, mode in modes.items():
            part.training = mode


def nll(
    model: HasLogProb,
    x: Tensor,
    *,
    batch_size: int = 1000,
    labels: Tensor | None = None,
    context: Tensor | None = None,
    draws: int | None = None,
) -> Estimate:
    """Negative log-likelihood of the images `x`, in nats per image: the mean and its standard error.

    The first axis of `x` counts the images. Each counts once, also those of a last batch that is smaller. For labels,
    context and draws see `log_probs`; with draws it is an upper bound.

    >>> from torch.distributions import Bernoulli, Independent
    >>> uniform = Independent(Bernoulli(probs=torch.full((16,), 0.5)), 1)
    >>> x = torch.randint(0, 2, (100, 16)).float()
    >>> round(nll(uniform, x, batch_size=30).mean, 4)      # 16 log 2
    11.0904
    """
    return Estimate.of(-log_probs(model, x, batch_size=batch_size, labels=labels, context=context, draws=draws))


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


class HasLatents(Protocol):
    """What the functions below read of a latent-variable model, see `course_lib.models.LatentVariableModel`."""

    latents: int
    prior: Callable[[], object]
    encode: Callable[..., object]
    decode: Callable[..., Tensor]
    likelihood: object


def log_probs_by_integration(
    model: HasLatents, x: Tensor, *, labels: Tensor | None = None, reach: float = 8.0, points: int = 321
) -> Tensor:
    """log p(x) of a model with one or two latent variables, in nats: float64, (n,), on the CPU.

    The integral of p(x | z) p(z) over z becomes a sum over a grid (trapezoidal rule). For smooth integrands that vanish
    at the ends, its error falls exponentially with 1 / step: it is some 1e-8 of a Gaussian integrand whose standard
    deviation is one step, and 1e-34 at two steps. (L. N. Trefethen and J. A. C. Weideman, "The Exponentially Convergent
    Trapezoidal Rule", SIAM Review 56, 2014.)

    Args:
        x: (n, *event_shape).
        labels: for a conditional model.
        reach: the grid spans -reach..reach in each dimension of z, and should hold prior and posteriors.
        points: number of points along each dimension.

    Raises:
        ValueError: the model has more than two latent variables, or a number is out of range.

    >>> from course_lib.models import ProbabilisticPCA
    >>> model, x = ProbabilisticPCA(3, latents=1).double(), torch.randn(5, 3).double()
    >>> torch.allclose(log_probs_by_integration(model, x), model.log_prob(x))
    True
    """
    if model.latents > 2:
        raise ValueError(f"the model has {model.latents} latent variables; a grid can be summed over for 1 or 2")
    if not reach > 0 or points < 2:
        raise ValueError(f"expected a positive reach and at least 2 points; got {reach} and {points}")
    step = 2 * reach / (points - 1)
    with evaluated(model, x) as device:
        prior = model.prior()
        line = torch.linspace(-reach, reach, points, dtype=prior.mean.dtype, device=device)
        z = torch.cartesian_prod(*[line] * model.latents).view(-1, model.latents)
        log_p_z = prior.log_prob(z) + model.latents * math.log(step)
        outputs = None if labels is not None else model.decode(z)
        totals = []
        for i, image in enumerate(x.to(device)):
            if labels is not None:
                given = labels[i : i + 1].to(device)
                outputs = model.decode(z, labels=given.expand(len(z), *given.shape[1:]))
            log_p = model.likelihood.log_prob(outputs, image.expand(len(z), *image.shape))
            totals.append((log_p + log_p_z).double().cpu().logsumexp(0))
    return torch.stack(totals)


@dataclass(frozen=True)
class AIS:
    """Estimates of log p(x) by annealed importance sampling, see `ais`.

    Attributes:
        log_weights: the logarithms of the weights, in nats, one for each chain and image, (chains, n) float64.
        acceptance: share of the proposed moves that were accepted, 0 where there were none.

    >>> AIS(torch.tensor([[-3.0, -5.0], [-3.0, -5.0]]), 0.65).nll
    Estimate(mean=4.0, stderr=1.0, n=2)
    """

    log_weights: Tensor
    acceptance: float

    @property
    def log_probs(self) -> Tensor:
        """The log of the mean weight of each image, (n,). Its mean over the noise is at most log p(x)."""
        return self.log_weights.logsumexp(0) - math.log(len(self.log_weights))

    @property
    def nll(self) -> Estimate:
        """The mean of the negative `log_probs`, in nats per image, with the standard error over the images."""
        return Estimate.of(-self.log_probs)


LEAPFROG_STEPS = 10
ACCEPTANCE = 0.65  # that step sizes are adapted to


def ais(
    model: HasLatents,
    x: Tensor,
    *,
    labels: Tensor | None = None,
    steps: int = 200,
    chains: int = 8,
    generator: torch.Generator | None = None,
) -> AIS:
    """log p(x) of a model with normal p(z), by annealed importance sampling from p(z) to p(z | x).

    Each chain begins with a draw of p(z), and passes f_t(z) = p(z) p(x | z)^beta_t for 0 = beta_0 < ... < beta_T = 1.
    Its weight, the product over t of f_t(z_(t-1)) / f_(t-1)(z_(t-1)), has the mean p(x), if the move from z_(t-1) to
    z_t leaves f_t invariant. R. M. Neal, "Annealed Importance Sampling", Statistics and Computing 11, 2001.

    The moves are Hamiltonian Monte Carlo with 10 leapfrog steps, as in Y. Wu, Y. Burda, R. Salakhutdinov and R. Grosse,
    "On the Quantitative Analysis of Decoder-Based Generative Models", ICLR 2017. A run before the run, of its own
    chains, finds the step size for each beta_t: one that changed with its own chain's past would make the weights
    biased. The betas are equally spaced on a logistic curve, close together near 0 and 1.

    Args:
        x: (n, *event_shape). All chains of all images move at once.
        labels: for a conditional model.
        steps: T.
        chains: number of weights for each image.
        generator: draws all noise.

    Raises:
        ValueError: p(z) is not normal, a number is below 1, or there are no images.

    >>> from course_lib.models import ProbabilisticPCA
    >>> model, x = ProbabilisticPCA(3, latents=2).double(), torch.randn(5, 3).double()
    >>> estimates = ais(model, x, steps=50, chains=20)
    >>> bool((estimates.log_probs - model.log_prob(x)).abs().max() < 0.5)
    True
    """
    if min(steps, chains, len(x)) < 1:
        raise ValueError(f"expected at least 1 step, chain and image; got {steps}, {chains} and {len(x)}")
    curve = torch.special.expit(torch.linspace(-4, 4, steps + 1, dtype=torch.float64))
    betas = ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()
    with evaluated(model, x, gradients=True) as device:
        prior = model.prior()
        if not hasattr(prior, "log_variance"):
            raise ValueError(f"p(z) of a {type(model).__name__} is not normal, and z moves along gradients")
        target = _Annealed(model, prior, x.to(device), None if labels is None else labels.to(device), generator)
        _, sizes, _ = target.run(betas, max(1, 32 // len(x)), None)
        log_weights, _, acceptance = target.run(betas, chains, sizes)
    return AIS(log_weights, acceptance)


class _Annealed:
    """The chains of `ais`. z is (chains, n, L); a state is z with log p(x | z) and its gradient."""

    def __init__(self, model: HasLatents, prior: Any, x: Tensor, labels: Tensor | None, generator: Any):
        self.model, self.prior, self.x, self.labels, self.generator = model, prior, x, labels, generator

    def run(self, betas: list[float], chains: int, sizes: list[float] | None) -> tuple[Tensor, list[float], float]:
        """The log-weights (chains, n), the step sizes, which are found here if none are given, and the acceptance."""
        shape = chains, len(self.x), self.prior.mean.shape[1]
        state = self.state(self.prior.draw(self.noise(torch.rand, shape)))
        log_w = torch.zeros(shape[:2], dtype=torch.float64)
        size, used, accepted = 0.5, [], []
        for t, (before, beta) in enumerate(pairwise(betas)):
            log_w += (beta - before) * state[1].cpu().double()
            if beta == 1:
                break  # a move after the last weight would change nothing
            state, rate = self.move(state, beta, size if sizes is None else sizes[t])
            size *= math.exp(rate - ACCEPTANCE)
            used.append(size)
            accepted.append(rate)
        return log_w, used, sum(accepted) / max(1, len(accepted))

    def move(self, state: tuple[Tensor, ...], beta: float, size: float) -> tuple[tuple[Tensor, ...], float]:
        """One Hamiltonian move that leaves p(z) p(x | z)^beta invariant, and the share of accepted ones."""
        momentum = self.noise(torch.randn, state[0].shape).to(state[0].dtype)
        energy = self.energy(state, momentum, beta)
        new, p = state, momentum + size / 2 * self.force(state, beta)
        for step in range(LEAPFROG_STEPS):
            new = self.state(new[0] + size * p)
            p = p + (size if step < LEAPFROG_STEPS - 1 else size / 2) * self.force(new, beta)
        change = (energy - self.energy(new, p, beta)).nan_to_num(nan=-math.inf)
        accept = self.noise(torch.rand, change.shape).log() < change
        kept = [
            torch.where(accept.view(*accept.shape, *[1] * (old.ndim - 2)), proposed, old)
            for proposed, old in zip(new, state, strict=True)
        ]
        return tuple(kept), accept.float().mean().item()

    def state(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z, log p(x | z) and its gradient."""
        z = z.detach().requires_grad_()
        chains, n = z.shape[:2]
        given = {}
        if self.labels is not None:
            given["labels"] = self.labels.repeat(chains, *[1] * (self.labels.ndim - 1))
        outputs = self.model.decode(z.flatten(0, 1), **given)
        repeated = self.x.repeat(chains, *[1] * (self.x.ndim - 1))
        log_p = self.model.likelihood.log_prob(outputs, repeated).view(chains, n)
        (slope,) = torch.autograd.grad(log_p.sum(), z)
        return z.detach(), log_p.detach(), slope

    def force(self, state: tuple[Tensor, ...], beta: float) -> Tensor:
        z, _, slope = state
        return beta * slope - (z - self.prior.mean) * torch.exp(-self.prior.log_variance)

    def energy(self, state: tuple[Tensor, ...], momentum: Tensor, beta: float) -> Tensor:
        z, log_p, _ = state
        return momentum.square().sum(-1) / 2 - self.prior.log_prob(z) - beta * log_p

    def noise(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        """Random numbers from the generator, on the device of x."""
        dtype = torch.float32 if self.x.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        device = None if self.generator is None else self.generator.device
        return draw(shape, dtype=dtype, generator=self.generator, device=device).to(self.x.device)


@dataclass(frozen=True)
class ActiveUnits:
    """Which latent variables a model uses: those whose posterior mean differs from image to image.

    A variable whose posterior is the prior for every image has *collapsed*: it says nothing about x, and its KL
    divergence is 0.

    Attributes:
        variances: of the posterior mean over the images, (L,).
        threshold: an active variable's variance is larger.

    >>> print(ActiveUnits(torch.tensor([0.9, 0.001, 0.6]), 0.01))
    2 of 3 latent variables are active; collapsed: 1
    """

    variances: Tensor
    threshold: float

    @property
    def active(self) -> Tensor:
        """(L,) bool."""
        return self.variances > self.threshold

    def __str__(self) -> str:
        collapsed = (~self.active).nonzero().flatten().tolist()
        text = f"{int(self.active.sum())} of {len(self.variances)} latent variables are active"
        return text + (f"; collapsed: {', '.join(map(str, collapsed))}" if collapsed else "")


def active_units(model: HasLatents, x: Tensor, *, labels: Tensor | None = None, threshold: float = 0.01) -> ActiveUnits:
    """The variance over the images of each latent variable's posterior mean, and which exceed the threshold.

    The default threshold is that of Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR
    2016, section 5.2.

    Args:
        x: (n, *event_shape), n at least 2.
        labels: for a conditional model.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"a variance needs at least 2 images; got {len(x)}")
    with evaluated(model, x) as device:
        given = {} if labels is None else {"labels": labels.to(device)}
        means = model.encode(x.to(device), **given).mean
    return ActiveUnits(means.double().cpu().var(0), threshold)


def principal_angles(A: Tensor, B: Tensor) -> Tensor:
    """The angles between the subspaces that the columns of two matrices span, in degrees, the smallest first.

    All are 0 if the subspaces are the same, and 90 if they are orthogonal.

    Args:
        A, B: (D, L) with independent columns.

    Returns:
        (L,) float64.

    Raises:
        ValueError: the shapes differ.

    >>> line, plane = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [0.0]])
    >>> principal_angles(line, plane)
    tensor([45.0000], dtype=torch.float64)
    """
    if A.ndim != 2 or A.shape != B.shape:
        raise ValueError(f"expected two matrices of one shape (D, L); got {tuple(A.shape)} and {tuple(B.shape)}")
    (P, _), (Q, _) = (torch.linalg.qr(each.detach().double()) for each in (A, B))
    # The cosine tells small angles only to the root of a rounding error, the sine tells them exactly.
    sines = torch.linalg.svdvals(Q - P @ (P.T @ Q)).flip(0).clamp_max(1)
    return torch.rad2deg(torch.asin(sines))
