"""What the checks share: reading what an answer returned, comparing numbers, and putting values into words.

Nothing here raises, whatever an answer returns: an unreadable result becomes a reason in plain words.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import special

from autograder.check import Outcome
from autograder.student import StudentError

__all__ = [
    "TOLERANCE",
    "Answer",
    "all_images",
    "asking",
    "binary",
    "close",
    "entries",
    "first_wrong",
    "integers",
    "p_value",
    "parts",
    "real",
    "real_list",
    "say",
    "should_be",
    "tensors",
    "tenths",
    "wrong_decision",
]

TOLERANCE = 1e-5  # relative: an answer computed in float32 passes


def real(value: Any, shape: tuple[int, ...], name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read an array of real numbers of this shape.

    Args:
        value: what a student's function returned; arrays, numbers, and lists of numbers are taken.
        shape: the shape expected; () for a single number.
        name: what to call it in the reason.

    Returns:
        (array, ""), float64; or (None, reason) with what was expected and what came.

    >>> real([1, 2.5], (2,))
    (array([1. , 2.5]), '')
    >>> real(None, ())
    (None, 'the result should be a number; got None (is a return missing?)')
    >>> real(np.zeros((2, 1)), (2,), "nats")[1]
    'nats should be real numbers of shape (2,); got shape (2, 1)'
    """
    wanted = f"{name} should be {'a number' if shape == () else f'real numbers of shape {shape}'}"
    if not isinstance(value, np.ndarray | bool | int | float | list | tuple):
        return None, f"{wanted}; got {_what(value)}"
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        return None, f"{wanted}; got {_what(value)}, of unequal lengths"
    if array.dtype.kind not in "biuf":
        return None, f"{wanted}; got {'complex numbers' if array.dtype.kind == 'c' else _what(value)}"
    if array.shape != shape:
        return None, f"{wanted}; got {f'shape {array.shape}' if array.shape else 'a single number'}"
    return array.astype(np.float64), ""


def integers(value: Any, shape: tuple[int, ...], name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read an int64 array of this shape: (array, "") or (None, reason).

    >>> integers(np.array([0.0, 2.0]), (2,), "x")[1]
    'x should be int64; got float64'
    """
    array, why = real(value, shape, name)
    if array is None:
        return None, why
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        return None, f"{name} should be int64; got {array.dtype}"
    return array.astype(np.int64), ""


def binary(value: Any, shape: tuple[int, ...], name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read an int64 array of zeros and ones of this shape: (array, "") or (None, reason).

    >>> binary(np.array([0, 2]), (2,), "x")[1]
    'x should be zeros and ones; got 2'
    """
    array, why = integers(value, shape, name)
    if array is None:
        return None, why
    if not np.isin(array, (0, 1)).all():
        return None, f"{name} should be zeros and ones; got {say(array[~np.isin(array, (0, 1))][0])}"
    return array, ""


def parts(value: Any, names: Sequence[str]) -> tuple[Sequence[Any] | None, str]:
    """Read a tuple with one entry for each name: (entries, "") or (None, reason)."""
    if isinstance(value, tuple | list) and len(value) == len(names):
        return value, ""
    return None, f"the result should be a tuple ({', '.join(names)}); got {_what(value)}"


def entries(value: Any, names: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Read a dict with at least these keys: (dict, "") or (None, reason).

    >>> entries({"W": 0.5}, ["W", "b"])[1]
    "the result should be a dict with the 2 keys 'W', 'b'; got one with 'W'"
    """
    if isinstance(value, dict) and set(names) <= set(value):
        return value, ""
    came = f"one with {', '.join(map(repr, value)) or 'none'}"[:100] if isinstance(value, dict) else _what(value)
    return None, f"the result should be a dict with the {len(names)} keys {', '.join(map(repr, names))}; got {came}"


def real_list(
    value: Any, shapes: Sequence[tuple[int, ...]], name: str, read: Callable = real
) -> tuple[list[np.ndarray] | None, str]:
    """Read a list of arrays of these shapes, each with `read`; `name` holds a {} for the index."""
    if not isinstance(value, list | tuple) or len(value) != len(shapes):
        return None, f"the result should be a list of {len(shapes)} tensors; got {_what(value)}"
    arrays = []
    for index, (item, shape) in enumerate(zip(value, shapes, strict=True)):
        array, why = read(item, shape, name.format(index))
        if array is None:
            return None, why
        arrays.append(array)
    return arrays, ""


def _what(value: Any) -> str:
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int | float):
        return f"the number {say(value)[:40]}"
    return f"the string {value[:40]!r}" if isinstance(value, str) else "something else"


def close(got: Any, want: Any, size: Any = None, tolerance: float = TOLERANCE) -> bool:
    """Whether all entries agree; see `first_wrong`."""
    return first_wrong(got, want, size, tolerance) is None


def first_wrong(got: Any, want: Any, size: Any = None, tolerance: float = TOLERANCE) -> tuple[int, ...] | None:
    """The index of the first entry that does not agree, None where all do; () for a single number.

    Infinities agree with themselves, NaN with nothing.

    Args:
        size: the magnitude of the numbers that were added up to `want`: an error is measured against it, or against
            the entry itself where that is larger. By default the largest finite entry of `want`. Broadcasts.

    >>> first_wrong(np.array([1e-9, 1.0]), np.array([0.0, 1.0]))
    >>> first_wrong(np.array([1e-9]), np.array([2e-9]))
    (0,)
    """
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    finite = np.abs(want[np.isfinite(want)])
    least = (finite.max() if len(finite) else 0.0) if size is None else np.abs(size)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(got - want) <= tolerance * np.maximum(np.abs(want), least)
    wrong = np.argwhere(~np.where(np.isfinite(want) & np.isfinite(got), near, got == want))
    return tuple(int(i) for i in wrong[0]) if len(wrong) else None


def should_be(want: Any, got: Any) -> str:
    """What should be and what came, with as many digits as it takes to tell them apart.

    >>> should_be(0.5, 0.25)
    'is 0.5; got 0.25'
    >>> should_be(np.array([1.0, 0.3333333]), [1.0, 0.3333111])
    'is [1, 0.333333]; got [1, 0.333311]'
    """
    for digits in (4, 6, 8, 10, 13, 17):
        left, right = say(want, digits), say(got, digits)
        if left != right:
            break
    return f"is {left}; got {right}"


@dataclass(frozen=True)
class Answer:
    """What a student's function answered in one case: read, or why it cannot be read.

    Attributes:
        case: what the case is made of; every test gets it after `got`.
        words: says the case, for messages.
        got: the answer as arrays, where it could be read.
        why: why it could not be read, else "".
        error: the exception of the student's code, if one came.
    """

    case: tuple
    words: Callable[[], str]
    got: Any = None
    why: str = ""
    error: StudentError | None = None

    def gate(self, name: str, *tests: Callable[..., str | None]) -> Outcome:
        """Like `holds`, for a gate: an error of the student's code ends the check, with the case in words."""
        if self.error:
            self.error.case = self.words()
            raise self.error
        return self.holds(name, *tests)

    def holds(self, name: str, *tests: Callable[..., str | None]) -> Outcome:
        """A property: it holds if the answer can be read and no test finds a counter-example in it.

        Each test is called with the answer and what the case is made of, and returns what is wrong in words, or
        nothing. It is not called where one before it found something.
        """
        why = self.why or next(filter(None, (test(self.got, *self.case) for test in tests)), "")
        return Outcome(name, not why, why and f"{self.words()}: {why}")


def asking(
    call: Callable[..., Any],
    *,
    read: Callable[..., tuple[Any, str]],
    say: Callable[..., str],
    give: Callable[..., Sequence[Any]] | None = None,
) -> Callable[..., Answer]:
    """How one check asks: `ask(*case)` calls the student's function and reads what comes back.

    Args:
        call: `student.call`, or that of a handle.
        read: `read(value, *case)` gives (what was read, "") or (None, what is wrong with it).
        say: `say(*case)` says the case in words: sizes, and the numbers themselves where they are few.
        give: `give(*case)` gives the arguments of the call; by default the case itself, arrays as tensors.
    """

    def ask(*case: Any) -> Answer:
        def words() -> str:
            return say(*case)

        try:
            got, why = read(call(*(give(*case) if give else tensors(case))), *case)
        except StudentError as error:
            return Answer(case, words, why=str(error), error=error)
        return Answer(case, words, got, why)

    return ask


def tensors(value: Any) -> Any:
    """Arrays as tensors, also those in lists and tuples; anything else stays what it is."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, list | tuple):
        return type(value)(map(tensors, value))
    return value


def say(value: Any, digits: int = 4) -> str:
    """Numbers as a person would write them, with four digits or a little more.

    >>> say(torch.tensor([[0.25, 1 / 3]]))
    '[[0.25, 0.3333]]'
    >>> say({1: 0})
    '{1: 0}'
    """
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {say(item, digits)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(say(item, digits) for item in value) + "]"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.{max(6, digits)}g}"
    return str(value)


def tenths(rng: np.random.Generator, *shape: int, most: float = 2.0) -> np.ndarray:
    """Parameters with one digit after the point, from -most to most, none of them 0: easy to read in a message."""
    numbers = rng.integers(-round(10 * most), round(10 * most), shape)
    return (numbers + (numbers >= 0)) / 10


def all_images(D: int, levels: int = 2) -> np.ndarray:
    """All states of D dimensions, (levels ** D, D) int64, in lexicographic order."""
    return np.array(list(itertools.product(range(levels), repeat=D)), dtype=np.int64).reshape(levels**D, D)


def p_value(counts: np.ndarray, probabilities: np.ndarray, least: float = 50.0) -> float:
    """Pearson's chi-square test of counts against an exact table: how often counts from the table deviate so far.

    Cells with an expected count below `least` are pooled, the rarest first. A count in a cell of probability zero
    gives 0.
    """
    counts, expected = np.ravel(counts).astype(float), np.ravel(probabilities) * np.sum(counts)
    if np.any(counts[expected == 0] > 0):
        return 0.0
    order = np.argsort(expected)
    pools = np.zeros(len(expected), dtype=int)
    pool, inside = 0, 0.0
    for cell in order:
        if inside >= least:
            pool, inside = pool + 1, 0.0
        pools[cell] = pool
        inside += expected[cell]
    counts, expected = np.bincount(pools, counts), np.bincount(pools, expected)
    if len(expected) == 1:
        return 1.0
    return float(special.chdtrc(len(expected) - 1, np.sum((counts - expected) ** 2 / expected)))


def wrong_decision(
    x: np.ndarray, u: np.ndarray, p: np.ndarray, order: np.ndarray, first: int = 0
) -> tuple[int, str] | None:
    """The first decision of a sampler that does not follow from the uniform number it was given.

    Each decision is judged given the sampler's own earlier ones. Those whose u is within 1e-4 of p are not
    judged, so that no rounding, not even that of float32, makes a right sampler wrong.

    Args:
        x: (n, D) what the sampler drew.
        u: (n, D) its uniform numbers: x_d should be 1 where u_d < p_d.
        p: (n, D) P(x_d = 1 | those that come before d in x).
        order: the dimensions in the order in which they are drawn.
        first: the place in `order` of the first one that is judged; those before it were given.

    Returns:
        (row, what is wrong in words), or None.

    >>> u, p = np.array([[0.3, 0.6]]), np.array([[0.5, 0.2]])
    >>> wrong_decision(np.array([[1, 1]]), u, p, np.array([0, 1]))
    (0, 'P(x_1 = 1 | x_0 = 1) is 0.2 and u_1 = 0.6, so x_1 is 0; got 1')
    """
    wrong = ((u < p) != (x == 1)) & (np.abs(u - p) > 1e-4)
    found = np.argwhere(wrong[:, order[first:]])
    if not len(found):
        return None
    row, place = int(found[0, 0]), first + int(found[0, 1])
    d, given = order[place], ", ".join(f"x_{j} = {x[row, j]}" for j in order[:place])
    name = f"P(x_{d} = 1 | {given})" if given else f"P(x_{d} = 1)"
    should = int(u[row, d] < p[row, d])
    return row, f"{name} is {p[row, d]:.4g} and u_{d} = {u[row, d]:.4g}, so x_{d} is {should}; got {x[row, d]}"
