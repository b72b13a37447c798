"""Calling a student's function and reading what it returned.

Nothing here raises, whatever an answer returns: an unreadable result becomes a reason in plain words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.checking.cases import tensors
from autograder.checking.check import Outcome
from autograder.checking.comparing import say
from autograder.checking.student import StudentError

__all__ = [
    "Answer",
    "asking",
    "binary",
    "codes",
    "entries",
    "flags",
    "integers",
    "one_per_row",
    "part",
    "parts",
    "pixel_lists",
    "real",
    "real_list",
    "real_parts",
]


def real(
    value: Any, shape: tuple[int, ...], name: str = "the result", kind: str = "real numbers"
) -> tuple[np.ndarray | None, str]:
    """Read an array of real numbers of this shape.

    Args:
        value: what a student's function returned: an array, a number, or lists of numbers.
        shape: the shape expected; () for a single number.
        name: its name in the reason.
        kind: what it should hold, in the reason.

    Returns:
        (array, ""), float64; or (None, reason) with what was expected and what came.

    >>> real([1, 2.5], (2,))
    (array([1. , 2.5]), '')
    >>> real(None, ())
    (None, 'the result should be a number; got None (is a return missing?)')
    >>> real(np.zeros((2, 1)), (2,), "nats")[1]
    'nats should be real numbers of shape (2,); got shape (2, 1)'
    """
    wanted = f"{name} should be {'a number' if shape == () else f'{kind} of shape {shape}'}"
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


def one_per_row(name: str) -> Callable[..., tuple[np.ndarray | None, str]]:
    """A `read` for `asking`: one real number for each row of the case's first array."""
    return lambda value, rows, *_: real(value, (len(rows),), name)


def integers(value: Any, shape: tuple[int, ...], name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read an int64 array of this shape: (array, "") or (None, reason).

    >>> integers(np.array([0.0, 2.0]), (2,), "x")[1]
    'x should be int64; got float64'
    >>> integers(np.zeros((2, 1), dtype=np.int64), (2,), "x")[1]
    'x should be integers of shape (2,); got shape (2, 1)'
    """
    array, why = real(value, shape, name, kind="integers")
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


def codes(value: Any, shape: tuple[int, ...], levels: int, name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read an int64 array of this shape, each entry one of 0..levels-1: (array, "") or (None, reason).

    >>> codes(np.array([0, 4]), (2,), 4, "x")[1]
    'x should be integers from 0 to 3; got 4'
    """
    array, why = integers(value, shape, name)
    if array is None:
        return None, why
    outside = array[(array < 0) | (array >= levels)]
    if len(outside):
        return None, f"{name} should be integers from 0 to {levels - 1}; got {outside[0]}"
    return array, ""


def flags(value: Any, shape: tuple[int, ...], name: str = "the result") -> tuple[np.ndarray | None, str]:
    """Read booleans, or zeros and ones of any kind, of this shape: (bool array, "") or (None, reason).

    >>> flags([1.0, 0], (2,))
    (array([ True, False]), '')
    >>> flags([2, 0], (2,), "the map")[1]
    'the map should be True and False, or 1 and 0; got 2'
    """
    array, why = real(value, shape, name)
    if array is None:
        return None, why
    if not np.isin(array, (0, 1)).all():
        return None, f"{name} should be True and False, or 1 and 0; got {say(array[~np.isin(array, (0, 1))][0])}"
    return array.astype(bool), ""


def parts(value: Any, names: Sequence[str]) -> tuple[Sequence[Any] | None, str]:
    """Read a tuple with one entry for each name: (entries, "") or (None, reason)."""
    if isinstance(value, tuple | list) and len(value) == len(names):
        return value, ""
    return None, f"the result should be a tuple ({', '.join(names)}); got {_what(value)}"


def part(value: Any, names: Sequence[str], name: str, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """Read one entry of a tuple, an array of this shape: (array, "") or (None, reason).

    >>> part((1.0, 2.0), ["mean", "deviation"], "deviation", ())
    (array(2.), '')
    """
    items, why = parts(value, names)
    return real(items[names.index(name)], shape, name) if items else (None, why)


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


def pixel_lists(value: Any, name: str) -> tuple[list[np.ndarray] | None, str]:
    """Read a list of lists of pixels (r, c); `name` is what one of these lists is called.

    Returns:
        (an int64 array (pixels, 2) for each list, ""), or (None, reason).

    >>> [step.tolist() for step in pixel_lists([[(0, 0)], []], "step")[0]]
    [[[0, 0]], []]
    >>> pixel_lists([[(0, 0)], [3]], "step")[1]
    'step 1, a list of pairs (r, c), should be integers of shape (1, 2); got shape (1,)'
    """
    if not isinstance(value, list | tuple):
        return None, f"the result should be a list of {name}s, each a list of pairs (r, c); got {_what(value)}"
    arrays = []
    for index, pixels in enumerate(value):
        array, why = np.zeros((0, 2), dtype=np.int64), ""
        many = len(pixels) if isinstance(pixels, list | tuple) or np.ndim(pixels) else 1
        if many:
            array, why = integers(pixels, (many, 2), f"{name} {index}, a list of pairs (r, c),")
        if why:
            return None, why
        arrays.append(array)
    return arrays, ""


def real_parts(value: Any, shapes: dict[str, tuple[int, ...]]) -> tuple[list[np.ndarray] | None, str]:
    """Read a tuple of arrays of real numbers, from their names and shapes: (arrays, "") or (None, reason).

    >>> real_parts((2, None), {"nats": (), "bpd": ()})
    (None, 'bpd should be a number; got None (is a return missing?)')
    """
    items, why = parts(value, list(shapes))
    arrays = []
    for item, (name, shape) in zip(items or (), shapes.items(), strict=items is not None):
        array, why = real(item, shape, name)
        if array is None:
            break
        arrays.append(array)
    return None if why else arrays, why


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


@dataclass(frozen=True)
class Answer:
    """A student's answer in one case, or why it cannot be read.

    Attributes:
        case: the parts of the case; every test receives them after `got`.
        words: describes the case, for messages.
        got: the answer as arrays, where it could be read.
        why: why it could not be read, else "".
        error: the exception that the student's code raised, if any.
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

        Each test receives the answer and the parts of the case, and returns what is wrong in words, or nothing. The
        first test that finds something is the last one called.
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
    """Make a check's `ask(*case)`, which calls the student's function and reads the result.

    Args:
        call: `student.call`, or the `call` of a handle.
        read: `read(value, *case)` returns (what was read, "") or (None, what is wrong with it).
        say: `say(*case)` describes the case: its sizes, and its numbers where they are few.
        give: `give(*case)` returns the arguments of the call; by default the case itself, with arrays as tensors.
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
