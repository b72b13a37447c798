"""The check of lesson 00, start here: a toy, for practice."""

import numpy as np

from autograder.checking.answers import asking, real
from autograder.checking.check import check
from autograder.checking.comparing import differs, say

__all__ = ["normalise"]


@check(
    gates=["shapes", "rows sum to one"],
    points={"proportions": 1, "exact": 1},
    hints=[
        "By what number must a row be divided, so that it adds up to 1? Is that number the same for all rows?",
        "Every row has its own sum. Over which axis do you sum to get one number for each row?",
        "The sums must line up with the rows when you divide: keep the summed axis, with length 1, so that the "
        "sums have shape (B, 1).",
    ],
)
def normalise(student, rng):
    """Weights to distributions.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    rows add up to 1                            a gate: without it there is no distribution
    in the proportions of their weights         "proportions": weights of 0 to 8, in rows of different sums
    any B and K                                 B = K, one row, one column, 20 rows of 100
    float64                                     "exact": right to twelve digits
    weights of any size                         "exact": rows of 1e-300, 1e-30, 1e30 and 1e300 side by side
    ==========================================  =================================================================
    """

    def words(weights):
        return f"weights = {say(weights)}" if weights.size <= 12 else f"weights of shape {weights.shape}"

    def sums(got, weights):
        return differs(got.sum(1), np.ones(len(got)), lambda row: f"the sum of row {row} of your result")

    def wrong(got, weights):
        want = weights / weights.sum(1, keepdims=True)
        if weights.shape[1] > 4:
            return differs(got, want, lambda *entry: f"entry {list(entry)}", size=1)
        return differs(got, want, lambda row: f"the distribution of row {row}", size=1, axes=1)

    def inexact(got, weights):
        error = float(np.abs(got - weights / weights.sum(1, keepdims=True)).max())
        if not error < 1e-12:
            return f"your result is off by {error:.1g}; float64 numbers would be off by 1e-16"

    def draw(B, K):
        weights = rng.integers(1, 5, (B, K)) * 10.0 ** (np.arange(B)[:, None] % 4)  # neighbours differ in their sums
        weights[:, 0] += weights[:, -1]  # never a row of equal weights
        return weights

    ask = asking(student.call, read=lambda value, weights: real(value, weights.shape), say=words)
    for B, K in ((1, 2), (2, 2), (3, 2), (2, 4)):
        weights = draw(B, K)
        if B > 1:
            weights[-1, 1] = 0.0
        answer = ask(weights)
        yield answer.gate("shapes")
        yield answer.gate("rows sum to one", sums)
        yield answer.holds("proportions", wrong)
        yield answer.holds("exact", inexact)
    for B, K in ((1, 2), (1, 4), (4, 4), (3, 1), (20, 100)):
        yield ask(draw(B, K)).holds("proportions", sums, wrong)
    for sizes in ([1e-30], [1e30], [1e-300], [1e-300, 1e300, 1.0]):
        yield ask(draw(len(sizes), 3) * np.array(sizes)[:, None]).holds("exact", sums, inexact)
