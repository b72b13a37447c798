"""What lateness costs, as nbgrader's plugin: a share of the score for each started day."""

import math
from fractions import Fraction

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float

__all__ = ["PerDay"]

DAY = 24 * 60 * 60


class PerDay(LateSubmissionPlugin):
    """The penalty of `late` in a class's `course.toml`."""

    per_day = Float(0.0, help="share of the score lost for each started day").tag(config=True)
    at_most = Float(1.0, help="share of the score lost at most").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The points to take off; None where there is nothing to take off."""
        days = math.ceil(total_seconds_late / DAY)
        if days <= 0 or not score:
            return None
        # As decimals: three times 0.1 is 0.3.
        share = min(days * Fraction(str(self.per_day)), Fraction(str(self.at_most)))
        return float(share * Fraction(score))
