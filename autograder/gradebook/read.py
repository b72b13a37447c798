"""What was graded, read at once from the gradebook: feedback and exports are made of it.

nbgrader's own ways to read the gradebook ask the database again for every cell; here it takes three queries.
"""

import datetime
from dataclasses import dataclass, field

from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    SolutionCell,
    SubmittedAssignment,
    SubmittedNotebook,
)

__all__ = ["Mark", "Marks", "maxima", "read"]


@dataclass(frozen=True)
class Mark:
    """The points of one exercise or question.

    Attributes:
        points: what counts: a grader's points where there are any, else the judge's; extra credit included.
        manual: whether a grader gave them.
        waits: whether they still have to be given or looked at by hand.
    """

    points: float
    max_points: float
    manual: bool
    waits: bool


@dataclass(frozen=True)
class Marks:
    """One submission in the gradebook.

    Attributes:
        timestamp, due: when it was handed in, and when it had to be, an extension included; in UTC, without a zone.
        penalty: points taken off because it was late.
        marks: by exercise or question.
        comments: a grader's words, by exercise or question.
    """

    student: str
    lesson: str
    timestamp: datetime.datetime | None
    due: datetime.datetime | None
    penalty: float
    marks: dict[str, Mark] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """All points, the penalty taken off; never below 0."""
        return max(0.0, sum(mark.points for mark in self.marks.values()) - self.penalty)

    @property
    def max_points(self) -> float:
        return sum(mark.max_points for mark in self.marks.values())

    @property
    def waits(self) -> bool:
        return any(mark.waits for mark in self.marks.values())

    @property
    def days_late(self) -> float:
        if self.timestamp is None or self.due is None:
            return 0.0
        return max(0.0, (self.timestamp - self.due) / datetime.timedelta(days=1))


def read(gradebook: Gradebook, student: str | None = None, lesson: str | None = None) -> dict[tuple[str, str], Marks]:
    """Every submission in the gradebook by (student, lesson), in order; of one student or lesson where one is named."""
    wanted = []
    if student is not None:
        wanted.append(SubmittedAssignment.student_id == student)
    if lesson is not None:
        wanted.append(Assignment.name == lesson)

    def rows(*columns, cell=None):
        query = gradebook.db.query(SubmittedAssignment.student_id, Assignment.name, *columns)
        query = query.select_from(SubmittedNotebook).join(SubmittedNotebook.assignment)
        query = query.join(SubmittedAssignment.assignment)
        if cell is not None:
            rows_of, kind = cell
            query = query.join(rows_of, rows_of.notebook_id == SubmittedNotebook.id).join(
                kind, kind.id == rows_of.cell_id
            )
        return query.filter(*wanted)

    found = {}
    about = SubmittedAssignment.timestamp, SubmittedAssignment.extension, Assignment.duedate
    for who, what, timestamp, extension, due, penalty in rows(*about, SubmittedNotebook.late_submission_penalty):
        due = due + extension if due and extension else due
        found[who, what] = Marks(who, what, timestamp, due, penalty or 0.0)
    about = GradeCell.name, Grade.score, GradeCell.max_score, Grade.manual_score, Grade.needs_manual_grade
    for who, what, name, points, most, manual, waits in rows(*about, cell=(Grade, GradeCell)):
        mark = Mark(points or 0.0, most, manual is not None, waits)
        found[who, what].marks[name.removesuffix("-check")] = mark
    for who, what, name, comment in rows(SolutionCell.name, Comment.manual_comment, cell=(Comment, SolutionCell)):
        if comment:
            found[who, what].comments[name] = comment
    return dict(sorted(found.items()))


def maxima(gradebook: Gradebook) -> dict[str, float]:
    """The most points of each lesson, in order, those that nobody has handed in included."""
    query = gradebook.db.query(Assignment.name, GradeCell.max_score).select_from(GradeCell)
    query = query.join(Notebook, Notebook.id == GradeCell.notebook_id).join(Notebook.assignment)
    total: dict[str, float] = {}
    for lesson, points in query:
        total[lesson] = total.get(lesson, 0.0) + points
    return dict(sorted(total.items()))
