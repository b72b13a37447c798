"""Lesson 00's test of what the course builds on: answers are judged at once, and wrong ones told where to read."""

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

__all__ = ["self_test"]

# By question: the answer, and what to read if it is not the reader's.
ANSWERS: dict[str, tuple[Any, str]] = {
    "log_sum_exp": (
        math.log(2) - 1000,
        "Take the largest term out: log(exp(a) + exp(a)) = a + log 2. Read `help(torch.logsumexp)`, and I. Goodfellow, "
        "Y. Bengio and A. Courville, Deep Learning (2016), section 4.1.",
    ),
    "bayes": (
        0.18 / 0.26,
        "Divide what is spam and flagged, 0.2 * 0.9, by all that is flagged. Read D. MacKay, Information Theory, "
        "Inference, and Learning Algorithms (2003), chapter 2.",
    ),
    "broadcasting": (
        (5, 4, 3),
        "Shapes are aligned at the right, and an axis of length 1 is repeated. Read 'Broadcasting semantics' in "
        "PyTorch's documentation.",
    ),
    "gather": (
        [1, 0, 1],
        "Row i of the result is log_p[i, y[i]]: the log-probability of the label that came. Read `help(torch.gather)`.",
    ),
}


def self_test(
    *,
    log_sum_exp: float | EllipsisType,
    bayes: float | EllipsisType,
    broadcasting: Sequence[int | EllipsisType],
    gather: Sequence[int | EllipsisType],
) -> None:
    """Say of each answer whether it is right, and of wrong ones what to read. Numbers count within 0.01.

    Args:
        log_sum_exp, bayes: a number; dots for no answer yet.
        broadcasting: the shape.
        gather: the column for each row.

    >>> self_test(log_sum_exp=-999.31, bayes=..., broadcasting=(5, 4, 3), gather=[...])
    log_sum_exp   right
    bayes         no answer yet
    broadcasting  right
    gather        no answer yet
    """
    given = {"log_sum_exp": log_sum_exp, "bayes": bayes, "broadcasting": broadcasting, "gather": gather}
    for name, answer in given.items():
        right, reading = ANSWERS[name]
        if answer is ... or not isinstance(answer, int | float | str) and ... in answer:
            verdict = "no answer yet"
        else:
            verdict = "right" if _agree(answer, right) else f"not yet. {reading}"
        print(f"{name:13} {verdict}")


def _agree(answer: Any, right: Any) -> bool:
    try:
        if isinstance(right, float):
            return abs(float(answer) - right) <= 0.01
        return list(answer) == list(right)
    except (TypeError, ValueError):
        return False
