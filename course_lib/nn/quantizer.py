"""Quantizers: a vector at each position becomes one of K codes, and gradients pass through as if it had not.

A vector quantizer takes the nearest row of a learned codebook E, (K, C). Its loss, per position, is

    ||sg[z] - e||^2 + beta ||z - sg[e]||^2,   e = the row nearest to z, sg = no gradient

whose first term moves the row to the vectors that chose it, and whose second one keeps the encoder near its row. As in
k-means, the mean of these vectors is the best row, so a moving average may replace the first term:

    counts <- decay counts + (1 - decay) n,   sums <- decay sums + (1 - decay) (sum of the vectors),   E = sums / counts

A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation Learning", NIPS 30, 2017, section 3 and
appendix A. A finite scalar quantizer rounds each coordinate instead: F. Mentzer, D. Minnen, E. Agustsson and M.
Tschannen, "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024, section 3.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.distributions import at_least_float32

USAGE = 0.99  # decay of the counts where the codebook itself learns by gradients


class Quantized(NamedTuple):
    """What a quantizer makes of z, (n, C, *space).

    Attributes:
        values: (n, C, *space), the code's vector at each position, with the gradient of z (straight-through).
        codes: (n, *space) int64, in 0..K-1.
        loss: (n,), what each image adds to the loss to be minimised: a mean over its positions.
    """

    values: torch.Tensor
    codes: torch.Tensor
    loss: torch.Tensor


class Quantizer(nn.Module):
    """A map from vectors to K codes, and from codes to vectors.

    Attributes:
        codes: number K.
        features: size C of the vectors.
    """

    def __init__(self, codes: int, features: int):
        super().__init__()
        if codes < 2 or features < 1:
            raise ValueError(f"expected at least 2 codes and 1 feature; got codes = {codes}, features = {features}")
        self.codes, self.features = codes, features

    def forward(self, z: torch.Tensor, *, update: bool = True) -> Quantized:
        """Quantize z, (n, C, *space), and learn from it in training mode.

        Args:
            z: real numbers of any precision; computed with in float32 at least. `space` is any number of axes.
            update: False learns nothing, even in training mode.

        Raises:
            ValueError: z has another number of channels or is not real.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """The codes' vectors: (n, C, *space) from integers (n, *space).

        Raises:
            ValueError: codes are not integers of 0..K-1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define embed")

    def _check(self, z: torch.Tensor) -> None:
        if not z.is_floating_point() or z.ndim < 2 or z.shape[1] != self.features:
            expected = f"z must be real numbers of shape (n, {self.features}, ...)"
            raise ValueError(f"{expected}; got {z.dtype}, {tuple(z.shape)}")

    def _check_codes(self, codes: torch.Tensor) -> None:
        if codes.is_floating_point() or codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.codes:
            extremes = f", {codes.min().item()} to {codes.max().item()}" if codes.numel() else ""
            raise ValueError(f"codes must be integers 0..{self.codes - 1}; got {codes.dtype}{extremes}")


class VectorQuantizer(Quantizer):
    """The nearest row of a codebook, by Euclidean distance; of rows at the same distance, the first.

    Distances are sums of squared differences. (The expanded form z^2 - 2 z e + e^2 loses the digits that tell two rows
    apart where both are far from zero.)

    A moving average keeps the rows and counts, not the sums: E + (1 - decay) (sum of the differences from E) / counts
    is the same update, and a row that nothing chose stays as it is to the last digit, however small its count.

    The first encoder outputs may all be near a few rows, and rows that nothing chooses never learn: the codebook
    collapses. `revive` puts such rows where vectors are.

    Args:
        codes: number K of rows.
        features: size C of a row.
        decay: of the moving averages. None learns the rows by gradients from the first term of the loss.
        commitment: beta.
        revive: in training, a code whose count is below this number is replaced by a vector drawn from the batch. The
            count is the moving average of the number of vectors per step that chose it. 0 replaces none.
        cosine: compare directions: vectors and rows are scaled to length 1.

    Attributes:
        codebook: (K, C), a parameter without decay, else a buffer.
        counts: (K,), the moving averages, a buffer. They start at 1, as do those of revived codes.

    Raises:
        ValueError: a number is out of range.

    >>> quantizer = VectorQuantizer(codes=2, features=1)
    >>> _ = quantizer.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    >>> values, codes, loss = quantizer.eval()(torch.tensor([[[0.5, -3.0, 0.0]]]))
    >>> values, codes, loss       # 1/4 of the mean of 0.25, 4 and 1
    (tensor([[[ 1., -1., -1.]]]), tensor([[1, 0, 0]]), tensor([0.4375]))
    """

    codebook: torch.Tensor
    counts: torch.Tensor

    def __init__(
        self,
        codes: int,
        features: int,
        *,
        decay: float | None = 0.99,
        commitment: float = 0.25,
        revive: float = 0.0,
        cosine: bool = False,
    ):
        super().__init__(codes, features)
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected a number of at least 0 and below 1, or None")
        if not 0 <= commitment < math.inf:
            raise ValueError(f"commitment is {commitment}; expected a number, 0 or more")
        if not 0 <= revive < 1:
            raise ValueError(f"revive is {revive}; expected a number of at least 0 and below 1")
        self.decay, self.commitment, self.revive, self.cosine = decay, commitment, revive, cosine
        rows = torch.randn(codes, features) / math.sqrt(features)
        if decay is None:
            self.codebook = nn.Parameter(rows)
        else:
            self.register_buffer("codebook", rows)
        self.register_buffer("counts", torch.ones(codes))

    def forward(self, z: torch.Tensor, *, update: bool = True) -> Quantized:
        self._check(z)
        dtype, z = z.dtype, self._scaled(z)
        codes = self.nearest(z)
        e = self._scaled(self._rows(codes))
        loss = self.commitment * _mean_distance(z, e.detach())
        if self.decay is None:
            loss = loss + _mean_distance(z.detach(), e)
        if update and self.training:
            self._learn(z.detach().movedim(1, -1).flatten(0, -2), codes.flatten())
        values = e.detach() + (z - z.detach())  # e to the last digit, unlike z + (e - z)
        return Quantized(values.to(dtype), codes, loss)

    @torch.no_grad()
    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """The code of each position: (n, *space) int64 from z (n, C, *space).

        Raises:
            ValueError: as in `forward`.
        """
        self._check(z)
        vectors = self._scaled(z).movedim(1, -1)
        rows = self._scaled(self.codebook).to(vectors.dtype)
        # A matrix product would expand the square.
        distances = torch.cdist(vectors.flatten(0, -2), rows, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(1).view(vectors.shape[:-1])

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        self._check_codes(codes)
        return self._scaled(self._rows(codes)).to(self.codebook.dtype)

    def extra_repr(self) -> str:
        settings = f"decay={self.decay}, commitment={self.commitment}, revive={self.revive}, cosine={self.cosine}"
        return f"codes={self.codes}, features={self.features}, {settings}"

    def _rows(self, codes: torch.Tensor) -> torch.Tensor:
        return F.embedding(codes.long(), self.codebook).movedim(-1, 1)

    def _scaled(self, z: torch.Tensor) -> torch.Tensor:
        """Vectors (n, C, ...) in float32 at least, of length 1 for cosine codes."""
        z = at_least_float32(z)
        return F.normalize(z, dim=1) if self.cosine else z

    @torch.no_grad()
    def _learn(self, z: torch.Tensor, codes: torch.Tensor) -> None:
        """Move counts, and rows if they are moving averages, by vectors z (N, C) and their codes (N,)."""
        decay = USAGE if self.decay is None else self.decay
        n = torch.bincount(codes, minlength=self.codes).to(z.dtype)
        counts = decay * self.counts.to(z.dtype) + (1 - decay) * n
        if self.decay is not None:
            rows = self.codebook.to(z.dtype)
            differences = torch.zeros_like(rows).index_add_(0, codes, z - rows[codes])
            smallest = torch.finfo(z.dtype).tiny  # a count of 0 comes with a difference of 0
            self.codebook.copy_(self._scaled(rows + (1 - decay) * differences / counts.clamp_min(smallest)[:, None]))
        self.counts.copy_(counts)
        dead = (counts < self.revive).nonzero().flatten()
        if len(dead) and len(z):
            chosen = torch.randint(len(z), (len(dead),), device=z.device)
            self.codebook[dead] = z[chosen].to(self.codebook.dtype)
            self.counts[dead] = 1


class FiniteScalarQuantizer(Quantizer):
    """Each of the d coordinates is rounded to one of L values, and all combinations are codes: K = the product of L.

        h = (L - 1) / 2 tanh(z),   value = h rounded to the nearest of -(L - 1)/2, ..., (L - 3)/2, (L - 1)/2

    with the gradient of h. There is no codebook to learn, so none can collapse, and no loss. The values are divided by
    (L - 1)/2, so that they span -1..1 whatever L. For even L the middle of two values is at z = 0; the paper shifts
    tanh to have a value there.

    Code k is a number of mixed radix: its first digit, k mod L_0, is the first coordinate's value, counted from the
    lowest.

    Args:
        levels: L of each coordinate, at least 2.

    Raises:
        ValueError: there is no coordinate, or an L is below 2.

    >>> quantizer = FiniteScalarQuantizer([3, 2])
    >>> values, codes, _ = quantizer(torch.tensor([[0.1, 2.0], [-5.0, -1.0]]))
    >>> values, codes
    (tensor([[ 0.,  1.],
            [-1., -1.]]), tensor([4, 0]))
    """

    levels: torch.Tensor
    places: torch.Tensor

    def __init__(self, levels: Sequence[int]):
        if not len(levels) or min(levels) < 2:
            raise ValueError(f"levels is {list(levels)}; expected one number of at least 2 for each coordinate")
        super().__init__(math.prod(levels), len(levels))
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        places = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, z: torch.Tensor, *, update: bool = True) -> Quantized:
        self._check(z)
        bounded = torch.tanh(at_least_float32(z))
        half = self._along(bounded, self.levels - 1) / 2
        digits = (half * bounded + half).detach().round().long()
        values = self._values(digits) + (bounded - bounded.detach())
        codes = (digits * self._along(digits, self.places)).sum(1)
        return Quantized(values.to(z.dtype), codes, bounded.new_zeros(len(z)))

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """The codes' vectors in float32: (n, d, *space), from -1 to 1."""
        self._check_codes(codes)
        codes = codes.long().unsqueeze(1)
        return self._values(codes // self._along(codes, self.places) % self._along(codes, self.levels))

    def extra_repr(self) -> str:
        return f"{self.levels.tolist()}"

    def _values(self, digits: torch.Tensor) -> torch.Tensor:
        """Digits (n, d, *space), 0..L-1, as numbers from -1 to 1 in float32, the same whatever the precision of z."""
        return 2 * digits.float() / self._along(digits, self.levels - 1) - 1

    @staticmethod
    def _along(z: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers (d,) along the second axis of what z is."""
        return numbers.view(-1, *[1] * (z.ndim - 2))


def _mean_distance(z: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """The squared distance, a mean over positions: (n,) from (n, C, *space)."""
    return (z - e).square().sum(1).unsqueeze(-1).flatten(1).mean(1)


def perplexity(codes: torch.Tensor, K: int) -> float:
    """How many codes are in use: exp of the entropy of their frequencies, 1 if all codes are one, K if all K are alike.

    Args:
        codes: integers 0..K-1, any shape.
        K: number of codes; those that do not occur do not matter.

    Raises:
        ValueError: there are no codes, or they are out of range.

    >>> round(perplexity(torch.tensor([[0, 7], [7, 0]]), 8), 6)
    2.0
    """
    if not codes.numel() or codes.is_floating_point() or not 0 <= int(codes.min()) <= int(codes.max()) < K:
        raise ValueError(f"expected one integer of 0..{K - 1} or more; got {codes.dtype}, {tuple(codes.shape)}")
    p = torch.bincount(codes.flatten().long(), minlength=K).double() / codes.numel()
    return math.exp(torch.special.entr(p).sum().item())
