"""Comparing numbers, and putting numbers into words.

A test says what is wrong, in words, or returns nothing. `differs` and `not_one` are the tests that most checks need.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

__all__ = [
    "ORDINALS",
    "TOLERANCE",
    "close",
    "count",
    "differs",
    "differs_from_sum",
    "first_wrong",
    "mass",
    "not_one",
    "say",
    "should_be",
]

TOLERANCE = 1e-5  # relative: an answer computed in float32 passes
ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
)


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


def differs(
    got: Any,
    want: Any,
    name: Callable[..., str],
    size: Any = None,
    tolerance: float = TOLERANCE,
    axes: int | None = None,
) -> str:
    """What is wrong with the first entry that does not agree; "" where all agree.

    Args:
        name: says which entry it is, from the coordinates of its index.
        size, tolerance: as in `first_wrong`.
        axes: how many coordinates to keep: 1 names and shows the whole row of the entry, 0 the whole result.

    >>> differs(np.array([1.0, 3.0]), np.array([1.0, 2.0]), lambda row: f"log p of image {row}")
    'log p of image 1 is 2; got 3'
    >>> differs([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.2, 0.8]], lambda row: f"row {row}", axes=1)
    'row 1 is [0.2, 0.8]; got [0.5, 0.5]'
    """
    index = first_wrong(got, want, size, tolerance)
    if index is None:
        return ""
    index = index[:axes]
    return f"{name(*index)} {should_be(np.asarray(want)[index], np.asarray(got)[index])}"


def differs_from_sum(
    got: Any, formula: Callable[..., Any], arrays: Sequence[np.ndarray], name: Callable[..., str]
) -> str:
    """What is wrong with the first entry that is not `formula(*arrays)`, which adds up products; "" if all are.

    An error is measured against the size of what is added up, which is the formula of the absolute values.

    >>> a, b, row = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([1.0, 1.0]), "row {}".format
    >>> differs_from_sum([1e-9, 2.0], np.matmul, [a, b], row), differs_from_sum([1e-4, 2.0], np.matmul, [a, b], row)
    ('', 'row 0 is 0; got 0.0001')
    """
    return differs(got, formula(*arrays), name, size=formula(*map(np.abs, arrays)))


def mass(log_probabilities: Any) -> float:
    """The sum of the probabilities, inf where a wrong answer makes it too large."""
    with np.errstate(over="ignore"):
        return float(np.exp(log_probabilities).sum())


def not_one(total: float, what: str) -> str:
    """What is wrong with a sum of probabilities that should be 1; "" where it is.

    >>> not_one(0.75, "exp(log q) of all 4 images")
    'exp(log q) of all 4 images adds up to 0.75, not to 1'
    """
    return "" if close(total, 1) else f"{what} adds up to {total:.8g}, not to 1"


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "unit"), count(2, "unit")
    ('1 unit', '2 units')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


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
