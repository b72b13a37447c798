"""One submission in a class run: the job for a worker, and the outcome."""

from dataclasses import dataclass
from typing import Any

from autograder.grading.handed_in import HandedIn

__all__ = ["Job", "Status"]


@dataclass(frozen=True)
class Status:
    """The outcome of one student's work on one lesson.

    Attributes:
        status: "graded": by this run; "unchanged": by an earlier run; "outdated": by an earlier run, with checks or
            points that have changed since; "failed": not graded, `error` says why; "missing": nothing was handed in.
        ledger: the judge's reports (`autograder.grading.submission.grade`), if there is a grade.
        notes: for the instructor, not for the student.
    """

    student: str
    lesson: str
    status: str
    ledger: dict[str, Any] | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain JSON data, without the reports."""
        points = {key: self.ledger[key] if self.ledger else None for key in ("points", "max_points")}
        about = {key: getattr(self, key) for key in ("student", "lesson", "status", "error")}
        return about | points | {"notes": [*(self.ledger["notes"] if self.ledger else []), *self.notes]}


@dataclass(frozen=True)
class Job:
    """A submission to be judged by a worker."""

    student: str
    lesson: str
    handed_in: HandedIn
    notes: tuple[str, ...]
    deaths: int = 0

    def failed(self, error: str) -> Status:
        return Status(self.student, self.lesson, "failed", error=error, notes=self.notes)
