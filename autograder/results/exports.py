"""Exports of the grades, for spreadsheets, programs and learning platforms.

In CLASS/exports:

    grades.csv      nbgrader's own export: one row per student and lesson
    exercises.csv   one row per submission and exercise: points, what was lost, why
    grades.json     everything: each exercise's properties, comments, lateness
    canvas.csv      for Canvas: Grades, Import
    moodle.csv      for Moodle: Grades, Import, CSV file

An ungraded submission has no points in the last four: in the tables its cell is empty, and both platforms then keep
the grade that they have.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook

from autograder.classroom import directory
from autograder.classroom.files import write
from autograder.classroom.settings import Settings
from autograder.gradebook import read
from autograder.gradebook.read import Mark, Marks
from autograder.results.table import harmless, table

__all__ = ["FORMAT", "Exported", "export", "reasons"]

FORMAT = 1  # version of the format of grades.json
NOBODY = {"first_name": "", "last_name": "", "email": "", "lms_user_id": ""}
EXERCISES = ("student", "lesson", "exercise", "points", "max_points", "judged", "lost", "why", "comment")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
MOODLE = ("First name", "Last name", "ID number", "Email address")


@dataclass(frozen=True)
class Exported:
    """The files that `export` wrote.

    Attributes:
        paths: the files.
        waiting: (student, lesson) of submissions that a person must finish grading.
        ungraded: (student, lesson) of submissions in the gradebook without a grade.
    """

    paths: tuple[Path, ...]
    waiting: tuple[tuple[str, str], ...]
    ungraded: tuple[tuple[str, str], ...]


def export(settings: Settings) -> Exported:
    """Write every export of a class."""
    from nbgrader.plugins import CsvExportPlugin

    folder = settings.folder / "exports"
    folder.mkdir(exist_ok=True)
    with Gradebook(settings.db_url) as gradebook:
        book, most = read.read(gradebook), read.maxima(gradebook)
        CsvExportPlugin(to=str(folder / "grades.csv")).export(gradebook)
    ledgers = directory.ledgers(settings.folder)
    graded = {key: marks for key, marks in book.items() if key in ledgers}
    texts = {
        "exercises.csv": table(EXERCISES, _exercises(graded, ledgers)),
        "grades.json": json.dumps(_everything(settings, graded, ledgers, most), indent=1, ensure_ascii=False) + "\n",
        "canvas.csv": _canvas(settings, graded, most),
        "moodle.csv": _moodle(settings, graded, most),
    }
    for name, text in texts.items():
        write(folder / name, text)
    return Exported(
        tuple(folder / name for name in ("grades.csv", *texts)),
        tuple(key for key, marks in graded.items() if marks.waits),
        tuple(sorted(book.keys() - ledgers.keys())),
    )


def reasons(report: Mapping[str, Any]) -> str:
    """Why an exercise lost points, in one line, from its report in a ledger."""
    counter_examples = [verdict["because"] for verdict in report["verdicts"] if verdict["because"]]
    return " ".join(" | ".join([*counter_examples, *([report["error"]] if report["error"] else [])]).split())


def _exercises(book: Mapping[Any, Marks], ledgers: Mapping[Any, Mapping[str, Any]]) -> Iterable[Sequence[Any]]:
    for (student, lesson), marks in book.items():
        reports = {report["exercise"]: report for report in ledgers[student, lesson]["exercises"]}
        for name, mark in marks.marks.items():
            report = reports.get(name)
            lost = "; ".join(verdict["name"] for verdict in report["verdicts"] if not verdict["held"]) if report else ""
            judged = report["points"] if report else ""
            why = harmless(reasons(report)) if report else ""
            comment = harmless(marks.comments.get(name, ""))
            points = "" if mark.waits and not mark.manual else mark.points
            yield harmless(student), lesson, name, points, mark.max_points, judged, lost, why, comment


def _everything(
    settings: Settings, book: Mapping[Any, Marks], ledgers: Mapping[Any, Any], most: Mapping[str, float]
) -> Any:
    submissions = []
    for (student, lesson), marks in book.items():
        ledger = ledgers[student, lesson]
        reports = {report["exercise"]: report for report in ledger["exercises"]}
        submissions.append(
            {
                "student": student,
                **settings.roster.get(student, NOBODY),
                "lesson": lesson,
                "points": marks.points,
                "max_points": marks.max_points,
                "late_penalty": marks.penalty,
                "days_late": marks.days_late,
                "handed_in": marks.timestamp and f"{marks.timestamp.isoformat()}Z",
                "final": not marks.waits,
                "sandbox": ledger["sandbox"],
                "notes": ledger["notes"],
                "exercises": [
                    _entry(marks, name, mark, reports.get(name))
                    for name, mark in marks.marks.items()
                    if name in reports
                ],
                "questions": [
                    _entry(marks, name, mark, None) for name, mark in marks.marks.items() if name not in reports
                ],
            }
        )
    return {"format": FORMAT, "lessons": dict(most), "submissions": submissions}


def _entry(marks: Marks, name: str, mark: Mark, report: Mapping[str, Any] | None) -> dict[str, Any]:
    counts = {"points": mark.points, "max_points": mark.max_points, "by_hand": mark.manual, "final": not mark.waits}
    counts["comment"] = marks.comments.get(name, "")
    if report is None:
        return {"name": name, **counts}
    return {**report, "judged": report["points"], **counts}


def _canvas(settings: Settings, book: Mapping[Any, Marks], most: Mapping[str, float]) -> str:
    """Canvas identifies a student by its own ID, else by the login; it requires `Section`, which may be empty."""
    lessons = _handed_in(book)
    rows = [["    Points Possible", "", "", "", "", *(_number(most[lesson]) for lesson in lessons)]]
    for student, details in _students(settings, book):
        names = [part for part in (details["last_name"], details["first_name"]) if part]
        name = ", ".join(names) or _id(settings, student)
        # lms_user_id may hold an LTI user id, which is not a number and not a Canvas ID.
        number = details["lms_user_id"] if details["lms_user_id"].isdecimal() else ""
        rows.append(
            [name, number, "", _id(settings, student), "", *(_points(book, student, lesson) for lesson in lessons)]
        )
    return table((*CANVAS, *lessons), rows)


def _moodle(settings: Settings, book: Mapping[Any, Marks], most: Mapping[str, float]) -> str:
    """Moodle lets the instructor choose the column that identifies a student: ID number or email address."""
    lessons = _handed_in(book)
    rows = []
    for student, details in _students(settings, book):
        about = details["first_name"], details["last_name"], _id(settings, student), details["email"]
        rows.append([*about, *(_points(book, student, lesson) for lesson in lessons)])
    return table((*MOODLE, *(f"{lesson} (Real)" for lesson in lessons)), rows)


def _handed_in(book: Mapping[Any, Marks]) -> list[str]:
    return sorted({lesson for _, lesson in book})


def _students(settings: Settings, book: Mapping[Any, Marks]) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Everyone on the roster or with a grade."""
    for student in sorted(settings.roster.keys() | {student for student, _ in book}):
        yield student, settings.roster.get(student, NOBODY)


def _id(settings: Settings, student: str) -> str:
    """A student's id for a table; ids on the roster are the instructor's own and must stay unchanged."""
    return student if student in settings.roster else harmless(student)


def _points(book: Mapping[Any, Marks], student: str, lesson: str) -> str:
    marks = book.get((student, lesson))
    return _number(marks.points) if marks else ""


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
