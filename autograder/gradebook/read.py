"""Reads all grades from the gradebook at once, for feedback and exports.

nbgrader's own ways of reading query the database for every cell; this module makes three queries.
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
        points: the points that count: a person's if given, else the judge's; includes extra credit.
        manual: whether a person gave them.
        waits: whether a person must still give or review them.
    """

    points: float
    max_points: float
    manual: bool
    waits: bool


@dataclass(frozen=True)
class Marks:
    """One submission in the gradebook.

    Attributes:
        timestamp, due: when it was handed in, and when it was due, including any extension; in UTC, without a zone.
        penalty: points deducted for lateness.
        marks: by exercise or question.
        comments: a person's, by exercise or question.
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
        """All points less the penalty; never below 0."""
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
    """Every submission in the gradebook by (student, lesson), in order; only one student's or lesson's if named."""
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

    marks = {}
    about = SubmittedAssignment.timestamp, SubmittedAssignment.extension, Assignment.duedate
    for who, what, timestamp, extension, due, penalty in rows(*about, SubmittedNotebook.late_submission_penalty):
        due = due + extension if due and extension else due
        marks[who, what] = Marks(who, what, timestamp, due, penalty or 0.0)
    about = GradeCell.name, Grade.score, GradeCell.max_score, Grade.manual_score, Grade.needs_manual_grade
    for who, what, name, points, most, manual, waits in rows(*about, cell=(Grade, GradeCell)):
        mark = Mark(points or 0.0, most, manual is not None, waits)
        marks[who, what].marks[name.removesuffix("-check")] = mark
    for who, what, name, comment in rows(SolutionCell.name, Comment.manual_comment, cell=(Comment, SolutionCell)):
        if comment:
            marks[who, what].comments[name] = comment
    return dict(sorted(marks.items()))


def maxima(gradebook: Gradebook) -> dict[str, float]:
    """Each lesson's maximum points, in order, including lessons that nobody has handed in."""
    query = gradebook.db.query(Assignment.name, GradeCell.max_score).select_from(GradeCell)
    query = query.join(Notebook, Notebook.id == GradeCell.notebook_id).join(Notebook.assignment)
    total: dict[str, float] = {}
    for lesson, points in query:
        total[lesson] = total.get(lesson, 0.0) + points
    return dict(sorted(total.items()))
