"""Lossless compression with any model that gives exact conditionals: an arithmetic coder.

A model that gives an image probability p can be turned into a code that spends -log2 p bits on it, so a
negative log-likelihood is the length of a file. This coder proves it: `compress` writes such a file and
`decompress` reads it.

The coder is that of I. H. Witten, R. M. Neal and J. G. Cleary, "Arithmetic coding for data compression",
Communications of the ACM 30(6), 1987: an interval, narrowed by each symbol in proportion to its probability,
is kept in two 32-bit integers, from which bits move to the output as soon as they are certain.

A message costs the sum of -log2 p over its symbols, and at most, on top of it: 2 bits and the rest of a
byte to end it; 4 bytes of checksum; for each symbol what `cumulative_counts` says, and what is lost by
rounding the interval to integers: less than log2(64/63) = 0.023 bits for a symbol of probability 2^-24,
less than 1e-6 bits for one of probability 0.01.
"""

import copy
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, repeat

import numpy as np
import torch
from torch import Tensor

from course_lib.models.base import AutoregressiveModel

__all__ = ["Decoder", "Encoder", "compress", "cumulative_counts", "decode", "decompress", "encode"]

TOTAL = 1 << 24
_TOP = 1 << 32
_HALF, _QUARTER = _TOP // 2, _TOP // 4
_CHECKSUM = 4  # bytes


def cumulative_counts(p: np.ndarray) -> np.ndarray:
    """Probabilities -> whole numbers that sum to TOTAL = 2^24, cumulated, for the coder.

    Every symbol gets at least 1, however improbable, so that every message can be coded. A symbol of
    probability p gets at least p (TOTAL - K): it costs at most log2(TOTAL / (TOTAL - K)) bits more than
    -log2 p, which is 1.8e-7 bits for K = 2 levels and 2.3e-5 for K = 256.

    Args:
        p: (*, K), not negative, each row with sum 1 (to within 1e-6).

    Returns:
        (*, K + 1) int64, from 0 to TOTAL: symbol k has the counts from entry k up to entry k + 1.

    Raises:
        ValueError: no such probabilities.

    >>> cumulative_counts(np.array([0.5, 0.5, 0.0])).tolist()
    [0, 8388608, 16777215, 16777216]
    """
    p = np.asarray(p, dtype=np.float64)
    K = p.shape[-1]
    if not (K >= 1 and np.all(p >= 0) and np.all(np.abs(p.sum(-1) - 1) < 1e-6)):
        raise ValueError("expected probabilities: not negative, each row with sum 1")
    counts = 1 + np.floor(p * (TOTAL - K)).astype(np.int64)
    likeliest = counts.argmax(-1)[..., None]
    rest = TOTAL - counts.sum(-1, keepdims=True)
    np.put_along_axis(counts, likeliest, np.take_along_axis(counts, likeliest, -1) + rest, -1)
    return np.concatenate([np.zeros_like(rest), counts.cumsum(-1)], -1)


class Encoder:
    """Turns symbols into bytes, one `push` a symbol."""

    def __init__(self):
        self._low, self._high = 0, _TOP - 1  # the interval, both ends included
        self._pending = 0  # bits that will be the opposite of the next certain one
        self._bits: list[int] = []

    def push(self, symbol: int, counts: Sequence[int]) -> None:
        """Narrow the interval to a symbol's part of it. `counts` is a row of `cumulative_counts`."""
        self._low, self._high = _narrow(self._low, self._high, symbol, counts)
        while True:
            if self._high < _HALF:
                self._emit(0)
                shift = 0
            elif self._low >= _HALF:
                self._emit(1)
                shift = _HALF
            elif self._low >= _QUARTER and self._high < _HALF + _QUARTER:
                self._pending += 1
                shift = _QUARTER
            else:
                break
            self._low, self._high = 2 * (self._low - shift), 2 * (self._high - shift) + 1

    def finish(self) -> bytes:
        """The message. The decoder reads zeros after its end."""
        self._pending += 1
        self._emit(0 if self._low < _QUARTER else 1)
        return np.packbits(np.array(self._bits, dtype=np.uint8)).tobytes()

    def _emit(self, bit: int) -> None:
        self._bits += [bit] + [1 - bit] * self._pending
        self._pending = 0


class Decoder:
    """Turns an `Encoder`'s bytes back into its symbols, one `pop` a symbol, given the same counts.

    Any bytes decode to *some* symbols: a checksum must tell whether they are right.
    """

    def __init__(self, message: bytes):
        self._low, self._high = 0, _TOP - 1
        self._bits = chain(np.unpackbits(np.frombuffer(message, dtype=np.uint8)).tolist(), repeat(0))
        self._value = int("".join(str(bit) for bit in islice(self._bits, 32)), base=2)

    def pop(self, counts: Sequence[int]) -> int:
        """The next symbol."""
        width = self._high - self._low + 1
        symbol = bisect_right(counts, ((self._value - self._low + 1) * TOTAL - 1) // width) - 1
        self._low, self._high = _narrow(self._low, self._high, symbol, counts)
        while True:
            if self._high < _HALF:
                shift = 0
            elif self._low >= _HALF:
                shift = _HALF
            elif self._low >= _QUARTER and self._high < _HALF + _QUARTER:
                shift = _QUARTER
            else:
                return symbol
            self._low, self._high = 2 * (self._low - shift), 2 * (self._high - shift) + 1
            self._value = 2 * (self._value - shift) + next(self._bits)


def _narrow(low: int, high: int, symbol: int, counts: Sequence[int]) -> tuple[int, int]:
    width = high - low + 1
    return low + width * counts[symbol] // TOTAL, low + width * counts[symbol + 1] // TOTAL - 1


def encode(symbols: Sequence[int], conditional: Callable[[list[int]], np.ndarray]) -> bytes:
    """A message that holds the symbols: about the sum of -log2 p of them in bits, and 4 bytes of checksum.

    Args:
        symbols: whole numbers in 0..K-1.
        conditional: the list of symbols so far -> (K,) probabilities of the next one.

    Raises:
        ValueError: a symbol out of range, or `conditional` gives no probabilities.

    >>> biased = lambda prefix: np.array([0.99, 0.01])
    >>> message = encode([0] * 700 + [1], biased)          # 700 * 0.0145 + 6.64 = 16.8 bits
    >>> len(message), decode(message, biased, 701) == [0] * 700 + [1]
    (7, True)
    """
    encoder, coded = Encoder(), []
    for symbol in symbols:
        counts = cumulative_counts(conditional(coded)).tolist()
        if not 0 <= symbol < len(counts) - 1:
            raise ValueError(f"symbol {len(coded)} is {symbol}; expected 0..{len(counts) - 2}")
        encoder.push(symbol, counts)
        coded.append(int(symbol))
    return _seal(encoder.finish(), coded)


def decode(data: bytes, conditional: Callable[[list[int]], np.ndarray], n: int) -> list[int]:
    """The n symbols of a message of `encode`, given the same conditional.

    Raises:
        ValueError: the message is damaged, or comes from another conditional or another n.
    """
    message, checksum = _open(data)
    decoder, symbols = Decoder(message), []
    for _ in range(n):
        symbols.append(decoder.pop(cumulative_counts(conditional(symbols)).tolist()))
    _verify(checksum, message, symbols)
    return symbols


@torch.no_grad()
def compress(
    model: AutoregressiveModel, x: Tensor, *, labels: Tensor | None = None, context: Tensor | None = None
) -> bytes:
    """Images -> a file of about as many bits as their negative log-likelihood in bits, and 4 bytes of checksum.

    The images are coded side by side: dimension order[0] of all of them, then order[1] of all, and so on,
    so that one step of the model serves them all. The decoder must repeat the model's floating-point
    arithmetic to the last bit, so both sides use a copy of the model in float64 on the CPU, in eval mode,
    and take exactly the same steps; the number of images is part of it, and so are the machine, the library
    versions and the number of threads.

    Args:
        model: an `AutoregressiveModel` with K levels.
        x: (n, *event_shape) integers 0..K-1.
        labels, context: of a conditional model, as in its `log_prob`. They are not part of the file.

    Raises:
        ValueError: x, labels or context are not of the model's shape, type or range; the model is not discrete, or no
            product of conditionals.
    """
    model, x, given = _coding_copy(model), x.cpu(), _coding_conditions(labels, context)
    if tuple(x.shape[1:]) != model.event_shape:
        expected = ", ".join(map(str, ("n", *model.event_shape)))
        raise ValueError(f"x must have shape ({expected}), the model's; got {tuple(x.shape)}")
    model.log_prob(x, **given)  # raises where x is not of the model's kind
    encoder, symbols = Encoder(), []
    seen = torch.zeros(x.shape, dtype=torch.int64)  # what the decoder knows at each step
    for d, rows in _steps(model, seen, given):
        column = x.flatten(1)[:, d].tolist()
        for symbol, counts in zip(column, rows, strict=True):
            encoder.push(symbol, counts)
        seen.flatten(1)[:, d] = torch.tensor(column)
        symbols += column
    return _seal(encoder.finish(), symbols)


@torch.no_grad()
def decompress(
    model: AutoregressiveModel, data: bytes, n: int, *, labels: Tensor | None = None, context: Tensor | None = None
) -> Tensor:
    """The n images, (n, *event_shape) int64, of a file that `compress` made with the same model, labels and context.

    Raises:
        ValueError: the file is damaged, or the model, n, labels or context are not those that made it.
    """
    model, given = _coding_copy(model), _coding_conditions(labels, context)
    message, checksum = _open(data)
    decoder, symbols = Decoder(message), []
    x = torch.zeros(n, *model.event_shape, dtype=torch.int64)
    for d, rows in _steps(model, x, given):
        column = [decoder.pop(counts) for counts in rows]
        x.flatten(1)[:, d] = torch.tensor(column)
        symbols += column
    _verify(checksum, message, symbols)
    return x


def _coding_copy(model: AutoregressiveModel) -> AutoregressiveModel:
    if model.levels is None:
        raise ValueError("a real-valued model gives densities, not probabilities: it codes no symbols")
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(
            f"expected a model that is a product of conditionals, which are coded one by one; got "
            f"{type(model).__name__}. Of a mixture, take one member"
        )
    return copy.deepcopy(model).cpu().double().eval()


def _coding_conditions(labels: Tensor | None, context: Tensor | None) -> dict[str, Tensor]:
    given = {"labels": labels, "context": context}
    return {name: tensor.cpu() for name, tensor in given.items() if tensor is not None}


def _steps(model: AutoregressiveModel, x: Tensor, given: dict[str, Tensor]) -> Iterator[tuple[int, list[list[int]]]]:
    """Each dimension, in the model's order, with the counts of its conditional given x so far, one row per image."""
    for d, parameters in zip(model.order.tolist(), model.conditionals(x, **given), strict=True):
        cumulative = model.cumulative(parameters).numpy()
        p = np.diff(cumulative, prepend=0.0, append=1.0).clip(min=0)  # a sum may round to just above 1
        yield d, cumulative_counts(p).tolist()


def _seal(message: bytes, symbols: list[int]) -> bytes:
    return message + _checksum(message, symbols)


def _open(data: bytes) -> tuple[bytes, bytes]:
    if len(data) < _CHECKSUM:
        raise ValueError(f"expected a message with a checksum of {_CHECKSUM} bytes; got {len(data)} bytes in all")
    return data[:-_CHECKSUM], data[-_CHECKSUM:]


def _verify(checksum: bytes, message: bytes, symbols: list[int]) -> None:
    if checksum != _checksum(message, symbols):
        raise ValueError(
            "the checksum does not agree: the data are damaged, or were not made with these probabilities and "
            "this number of symbols"
        )


def _checksum(message: bytes, symbols: list[int]) -> bytes:
    return zlib.crc32(message, zlib.crc32(np.array(symbols, dtype="<u4").tobytes())).to_bytes(_CHECKSUM)
