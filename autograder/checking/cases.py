"""Cases for checks: parameters, images and orderings, drawn or all of them, and how a case is handed over."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from autograder.checking.comparing import say

__all__ = ["all_images", "orders", "say_case", "say_image", "say_order", "say_values", "tensors", "tenths"]


def tenths(rng: np.random.Generator, *shape: int, most: float = 2.0) -> np.ndarray:
    """Parameters with one digit after the point, from -most to most, none of them 0: easy to read in a message."""
    numbers = rng.integers(-round(10 * most), round(10 * most), shape)
    return (numbers + (numbers >= 0)) / 10


def all_images(D: int, levels: int = 2) -> np.ndarray:
    """All states of D dimensions, (levels ** D, D) int64, in lexicographic order."""
    return np.array(list(itertools.product(range(levels), repeat=D)), dtype=np.int64).reshape(levels**D, D)


def orders(rng: np.random.Generator, larger: int) -> list[np.ndarray]:
    """The other order of two dimensions, all orders of three, and as many random ones of five as `larger` says."""
    random = [rng.permutation(5) for _ in range(larger)]
    return [np.array(order) for order in ([1, 0], *itertools.permutations(range(3)), *random)]


def say_case(**arrays: np.ndarray) -> str:
    """The arrays of a case in words: their numbers where there are few in all, else their shapes.

    >>> say_case(W=np.ones((1, 2)), x=np.arange(2))
    'W = [[1, 1]], x = [0, 1]'
    >>> say_case(m=np.zeros((5, 6)))
    'm of shape (5, 6)'
    """
    few = sum(array.size for array in arrays.values()) <= 24
    return ", ".join(f"{name} = {say(a)}" if few else f"{name} of shape {a.shape}" for name, a in arrays.items())


def say_image(x: np.ndarray, row: int) -> str:
    """One image of a batch (B, D) in words: its pixels where there are few, else its row.

    >>> say_image(np.array([[0, 1]]), 0)
    'x = [0, 1]'
    """
    return f"x = {say(x[row])}" if x.shape[1] <= 9 else f"row {row} of x"


def say_order(order: np.ndarray) -> str:
    """An order in words.

    >>> say_order(np.array([1, 0]))
    'order = [1, 0] (dimension 1, then 0)'
    """
    if len(order) > 8:
        return f"order = {say(order[:6])[:-1]}, ...]"
    natural = (order == np.arange(len(order))).all()
    return f"order = {say(order)}" + ("" if natural else f" (dimension {', then '.join(map(str, order.tolist()))})")


def say_values(dimensions: Iterable[int], values: Iterable[int]) -> str:
    """Some dimensions of x and their values in words.

    >>> say_values([2, 0], [1, 0])
    'x_2 = 1, x_0 = 0'
    """
    return ", ".join(f"x_{d} = {value}" for d, value in zip(dimensions, values, strict=True))


def tensors(value: Any) -> Any:
    """Arrays as tensors, also those in lists and tuples; anything else stays what it is."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, list | tuple):
        return type(value)(map(tensors, value))
    return value
