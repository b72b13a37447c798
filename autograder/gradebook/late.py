"""The late penalty, as a plugin for nbgrader: a share of the score per started day."""

import math
from fractions import Fraction

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float

__all__ = ["PerDay"]

DAY = 24 * 60 * 60


class PerDay(LateSubmissionPlugin):
    """The penalty of `late` in a class's `course.toml`."""

    per_day = Float(0.0, help="share of the score lost per started day").tag(config=True)
    at_most = Float(1.0, help="largest share of the score lost").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The points to deduct; None if there are none."""
        days = math.ceil(total_seconds_late / DAY)
        if days <= 0 or not score:
            return None
        # Decimal fractions are exact: three times 0.1 is 0.3.
        share = min(days * Fraction(str(self.per_day)), Fraction(str(self.at_most)))
        return float(share * Fraction(score))
