"""The check of lesson 00, start here: a toy, for practice."""

import numpy as np
import torch

from autograder.check import check, holds
from autograder.checks.common import close, first_wrong, real, say

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

    "rows sum to one" is a gate: without it there is no distribution. "proportions": the entries of a row keep their
    ratios. "exact": the same to twelve digits, as float64 gives them.
    """
    for B, K in ((1, 2), (2, 2), (3, 2), (2, 4)):
        weights = rng.integers(1, 5, (B, K)) * 10.0 ** np.arange(B)[:, None]  # no two rows with one sum
        weights[:, 0] += weights[:, 1]  # never a row of equal weights
        weights[-1, 1] = 0.0 if B > 1 else weights[-1, 1]
        value = student.call(torch.tensor(weights))
        got, why = real(value, (B, K))
        yield holds("shapes", not why, because=f"for weights of shape ({B}, {K}), {why}")
        sums = got.sum(1)
        because = f"weights = {say(weights)}: the rows of your result add up to {say(sums)}, not to 1 each"
        yield holds("rows sum to one", close(sums, 1), because=because)
        want = weights / weights.sum(1, keepdims=True)
        wrong = first_wrong(got, want)
        because = wrong and (
            f"weights = {say(weights)}: the distribution of row {wrong[0]} is {say(want[wrong[0]])}; "
            f"got {say(got[wrong[0]])}"
        )
        yield holds("proportions", wrong is None, because=because or "")
        error = float(np.abs(got - want).max())
        because = f"weights = {say(weights)}: your result is off by {error:.1g}; float64 numbers would be off by 1e-16"
        yield holds("exact", error < 1e-12, because=because)
