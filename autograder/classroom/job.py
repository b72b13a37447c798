"""One submission in a class run: on its way through a worker, and what became of it."""

from dataclasses import dataclass
from typing import Any

from autograder.grading.handed_in import HandedIn

__all__ = ["Job", "Status"]


@dataclass(frozen=True)
class Status:
    """What became of one student's work on one lesson.

    Attributes:
        status: "graded" now; "unchanged": graded by an earlier run; "outdated": graded by an earlier run with checks
            or points that were others then; "failed": not graded, `error` says why; "missing": nothing was handed in.
        ledger: what was judged (`autograder.grading.submission.grade`), where there is a grade.
        notes: what the instructor should know, and the student need not.
    """

    student: str
    lesson: str
    status: str
    ledger: dict[str, Any] | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, without the reports."""
        points = {key: self.ledger[key] if self.ledger else None for key in ("points", "max_points")}
        about = {key: getattr(self, key) for key in ("student", "lesson", "status", "error")}
        return about | points | {"notes": [*(self.ledger["notes"] if self.ledger else []), *self.notes]}


@dataclass(frozen=True)
class Job:
    """A submission on its way through a worker."""

    student: str
    lesson: str
    handed_in: HandedIn
    notes: tuple[str, ...]
    deaths: int = 0

    def failed(self, error: str) -> Status:
        return Status(self.student, self.lesson, "failed", error=error, notes=self.notes)
