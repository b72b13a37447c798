"""The only writer of the gradebook: nbgrader's own database, through one session, with one commit per submission.

It writes what nbgrader's own steps (SaveAutoGrades, AssignLatePenalties) write, so that formgrader,
`nbgrader generate_feedback` and `nbgrader export` find what they expect.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbgrader import api
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from traitlets.config import Config

from autograder.lesson import Lesson

__all__ = ["COURSE_ID", "Gradebook", "GradebookError"]

COURSE_ID = "deep-generative-models"
LOCK_SECONDS = 60  # for PostgreSQL; SQLite's address has a `?timeout=`


class GradebookError(RuntimeError):
    """The gradebook cannot be read or written, and is unchanged; the message says why and what to do."""


@dataclass(frozen=True)
class Rows:
    """The ids of a lesson's rows; those of graded cells and solution cells by name."""

    assignment: str
    notebook: str
    graded: Mapping[str, str]
    solutions: Mapping[str, str]


class Gradebook:
    """A class's gradebook; a context manager.

    Args:
        db_url: the gradebook's address.
        config: nbgrader's settings, which name the plugin for late penalties.

    Raises:
        GradebookError: the gradebook cannot be opened.
    """

    def __init__(self, db_url: str, config: Config | None = None):
        url = make_url(db_url)
        if url.get_backend_name() == "postgresql" and "options" not in url.query:
            url = url.update_query_dict({"options": f"-c lock_timeout={LOCK_SECONDS}s"})
        self.where = url.render_as_string(hide_password=True)
        self._lessons: dict[str, Rows] = {}
        self._late = AssignLatePenalties(config=config)
        self._late.init_plugin()
        with self._in_words():
            self._book = api.Gradebook(url.render_as_string(hide_password=False), COURSE_ID)
        self._session = self._book.db

    def __enter__(self) -> "Gradebook":
        return self

    def __exit__(self, *_: Any) -> None:
        self._book.close()

    def check(self, lesson: Lesson) -> None:
        """Check that the gradebook and the class's settings agree about a lesson.

        Raises:
            ValueError: they do not; the message says what to do.
        """
        with self._reading():
            rows = self._rows(lesson.name)
            cells = self._session.query(api.GradeCell).filter_by(notebook_id=rows.notebook)
            known = {cell.name: cell.max_score for cell in cells}
        for name, points in lesson_points(lesson).items():
            if known.get(name) != points:
                raise ValueError(
                    f"the gradebook gives {name} {known.get(name, 0):g} points, the class's settings {points:g}: "
                    "make the class again with `python -m autograder new-class`"
                )

    def enrol(self, roster: Mapping[str, Mapping[str, str]]) -> None:
        """Write the students on the roster, with their details."""
        with self._writing() as session:
            known = {student.id: student for student in session.query(api.Student)}
            for name, fields in roster.items():
                student = known.get(name) or api.Student(id=name)
                session.add(student)
                for field, value in fields.items():
                    setattr(student, field, value or None)

    def graded(self) -> dict[tuple[str, str], str | None]:
        """(student, lesson) of every graded submission in the gradebook, with its time as ISO text."""
        with self._reading() as session:
            graded = (
                session.query(api.Student.id, api.Assignment.name, api.SubmittedAssignment.timestamp)
                .join(api.SubmittedAssignment, api.SubmittedAssignment.student_id == api.Student.id)
                .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            )
            return {(student, lesson): _iso(timestamp) for student, lesson, timestamp in graded}

    def clear(self, student: str, lesson: str) -> None:
        """Remove the automatic points of an older submission; a person's points and comments stay."""
        with self._writing() as session:
            submission = self._submission(student, lesson)
            if submission is None:
                return
            submission.timestamp = None
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = None
                for grade in notebook.grades:
                    grade.auto_score, grade.needs_manual_grade = None, True
            session.flush()

    def write(
        self,
        student: str,
        lesson: str,
        timestamp: str | None,
        scores: Mapping[str, float | None],
        unanswered: frozenset[str],
    ) -> None:
        """Write all grades of one submission, or none.

        Args:
            timestamp: when it was handed in (ISO text).
            scores: the automatic points of each graded cell; None if a person must grade it.
            unanswered: the solution cells that are unchanged since the release.

        Raises:
            GradebookError: the grades cannot be written; the gradebook is unchanged.
        """
        rows = self._rows(lesson)
        with self._writing() as session:
            if session.get(api.Student, student) is None:
                session.add(api.Student(id=student))
            submission = self._submission(student, lesson) or _add(
                session, api.SubmittedAssignment(assignment_id=rows.assignment, student_id=student)
            )
            submission.timestamp = api.utils.parse_utc(timestamp)
            ids = {"assignment_id": submission.id, "notebook_id": rows.notebook}
            notebook = session.query(api.SubmittedNotebook).filter_by(**ids).one_or_none() or _add(
                session, api.SubmittedNotebook(**ids)
            )
            grades = {grade.cell_id: grade for grade in notebook.grades}
            for name, cell in rows.graded.items():
                grade = grades.get(cell) or _add(session, api.Grade(cell_id=cell, notebook_id=notebook.id))
                grade.auto_score = scores[name]
                grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
            comments = {comment.cell_id: comment for comment in notebook.comments}
            for name, cell in rows.solutions.items():
                comment = comments.get(cell) or _add(session, api.Comment(cell_id=cell, notebook_id=notebook.id))
                comment.auto_comment = "No response." if name in unanswered else None
            self._penalise(submission, notebook)

    def penalise(self, student: str, lesson: str) -> None:
        """Recompute the late penalty: an extension, a due date or a score may have changed."""
        with self._writing():
            submission = self._submission(student, lesson)
            for notebook in submission.notebooks if submission else []:
                self._penalise(submission, notebook)

    def _penalise(self, submission: api.SubmittedAssignment, notebook: api.SubmittedNotebook) -> None:
        self._session.flush()
        self._session.refresh(notebook, ["score"])
        # nbgrader crashes on an extension of a lesson without a due date.
        seconds = submission.total_seconds_late if submission.assignment.duedate else 0
        penalty = None
        if seconds > 0:
            penalty = self._late.plugin_inst.late_submission_penalty(submission.student_id, notebook.score, seconds)
        if penalty is not None:
            penalty = self._late._check_late_penalty(notebook, penalty)
        notebook.late_submission_penalty = penalty

    def _submission(self, student: str, lesson: str) -> api.SubmittedAssignment | None:
        ids = {"assignment_id": self._rows(lesson).assignment, "student_id": student}
        return self._session.query(api.SubmittedAssignment).filter_by(**ids).one_or_none()

    def _rows(self, lesson: str) -> Rows:
        if lesson not in self._lessons:
            try:
                notebook = self._book.find_notebook(lesson, lesson)
            except api.MissingEntry:
                raise ValueError(
                    f"the gradebook does not know the lesson {lesson}: make the class again with "
                    "`python -m autograder new-class`"
                ) from None
            graded = {cell.name: cell.id for cell in (*notebook.grade_cells, *notebook.task_cells)}
            solutions = {cell.name: cell.id for cell in (*notebook.solution_cells, *notebook.task_cells)}
            self._lessons[lesson] = Rows(notebook.assignment_id, notebook.id, graded, solutions)
        return self._lessons[lesson]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        """A transaction: everything is written, or nothing."""
        with self._in_words():
            try:
                yield self._session
                self._session.commit()
            except BaseException:
                self._session.rollback()
                raise
            finally:
                self._session.expunge_all()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._in_words():
            try:
                yield self._session
            finally:
                self._session.rollback()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, api.InvalidEntry) as error:
            raise GradebookError(f"{self.where}: {_advice(error)}") from error


def lesson_points(lesson: Lesson) -> dict[str, float]:
    """The points of each graded cell of a lesson."""
    checks = {f"{exercise}-check": lesson.points[exercise] for exercise in lesson.exercises}
    return checks | {question.name: question.points for question in lesson.questions}


def _advice(error: Exception) -> str:
    reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
    if "locked" in reason or "lock timeout" in reason:
        return (
            f"another process has held the gradebook's lock for too long ({reason}). Close what writes to it "
            "(formgrader, a backup), then run this again: what is graded stays graded"
        )
    if "full" in reason or "No space" in reason:
        return f"the disk is full ({reason}). Free some space, then run this again: what is graded stays graded"
    return f"the gradebook cannot be used: {reason}"


def _add(session: Any, row: Any) -> Any:
    session.add(row)
    session.flush()
    return row


def _iso(timestamp: datetime | None) -> str | None:
    return timestamp.replace(tzinfo=UTC).isoformat() if timestamp else None
