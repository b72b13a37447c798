"""Judging samplers: each decision by the uniform number that it was given, or many of them by their frequencies."""

import numpy as np
from scipy import special

from autograder.checking.cases import say_values
from autograder.checking.comparing import say

__all__ = ["ALMOST_ONE", "p_value", "say_uniforms", "wrong_decision", "wrong_level"]

ALMOST_ONE = 1 - 2.0**-53  # the largest number below 1


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


def say_uniforms(u: np.ndarray | float) -> str:
    """Uniform numbers in words, where none below 1 reads as 1.

    >>> say_uniforms(np.array([0.25, 1 / 3])), say_uniforms(ALMOST_ONE)
    ('[0.25, 0.3333]', '0.9999999999999999')
    """
    return say(u) if np.all(np.asarray(u) < 0.9999) else str(np.asarray(u).tolist())


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
    d, given = order[place], say_values(order[:place], x[row, order[:place]])
    name = f"P(x_{d} = 1 | {given})" if given else f"P(x_{d} = 1)"
    should = int(u[row, d] < p[row, d])
    uniform = say_uniforms(u[row, d])
    return row, f"{name} is {p[row, d]:.4g} and u_{d} = {uniform}, so x_{d} is {should}; got {x[row, d]}"


def wrong_level(x: np.ndarray, u: np.ndarray, cumulative: np.ndarray, order: np.ndarray) -> tuple[int, str] | None:
    """The first level that a sampler chose against the uniform number it was given; as `wrong_decision`.

    Args:
        x: (n, D) what the sampler drew, levels 0..K-1.
        u: (n, D) its uniform numbers: x_d should be the number of k in 0..K-2 with P(x_d <= k) <= u_d.
        cumulative: (n, D, K - 1) P(x_d <= k | those that come before d in x).
        order: the dimensions in the order in which they are drawn.

    >>> cumulative = np.array([[[0.5, 0.5], [0.2, 0.7]]])
    >>> wrong_level(np.array([[2, 2]]), np.array([[0.8, 0.6]]), cumulative, np.array([0, 1]))
    (0, 'P(x_1 <= 1 | x_0 = 2) is 0.7 and u_1 = 0.6, so x_1 is 1; got 2')
    """
    should = (cumulative <= u[:, :, None]).sum(2)
    wrong = (x != should) & (np.abs(cumulative - u[:, :, None]) > 1e-4).all(2)
    found = np.argwhere(wrong[:, order])
    if not len(found):
        return None
    row, place = found[0].tolist()
    d, given = order[place], say_values(order[:place], x[row, order[:place]])
    want, got = should[row, d], x[row, d]
    k = want if got > want else want - 1  # the sum that tells the two apart
    name = f"P(x_{d} <= {k} | {given})" if given else f"P(x_{d} <= {k})"
    uniform = say_uniforms(u[row, d])
    return row, f"{name} is {cumulative[row, d, k]:.4g} and u_{d} = {uniform}, so x_{d} is {want}; got {got}"
