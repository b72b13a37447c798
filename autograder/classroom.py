"""A class from submissions to grades: a class directory, its gradebook, nbgrader's autograde for every submission.

A class directory holds `submitted/STUDENT/LESSON/LESSON.ipynb`, and gets:

    nbgrader_config.py   two lines: plain nbgrader commands run there do the same as the functions here
    secret               seeds the random cases of the checks; readable by its owner alone
    gradebook.db         nbgrader's gradebook
    autograded/          the submissions with their points
    ledger/              the judge's reports, STUDENT/LESSON.json
    feedback/            STUDENT/LESSON/LESSON.html, to be returned to the students
    grades.csv           nbgrader's export: a row for each student and lesson
    exercises.csv        a row for each student, lesson and exercise: points, what was lost, why
"""

import contextlib
import csv
import json
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from traitlets.config import Config, PyFileConfigLoader

from autograder.nbgrader_steps import class_secret

__all__ = ["PRACTICE", "Grade", "create", "grade", "submissions", "write_csv"]

PRACTICE = "00_"  # how the names of lessons begin that are not collected
CONFIG = "from autograder.nbgrader_config import configure\nconfigure(get_config())  # noqa: F821\n"
COLUMNS = ("student", "lesson", "exercise", "points", "max_points", "lost", "why")


@dataclass(frozen=True)
class Grade:
    """One submission's way through nbgrader.

    Attributes:
        ledger: the judge's reports (see `autograder.nbgrader_steps.JudgeSubmission`), None where it was not graded.
        error: why it was not graded or has no feedback, else "".
    """

    student: str
    lesson: str
    ledger: dict[str, Any] | None
    error: str = ""


def create(folder: Path) -> None:
    """Make a class directory, or bring the gradebook of one up to date with the built lessons.

    Raises:
        ValueError: nbgrader's source folder holds no lesson that is collected.
        RuntimeError: nbgrader cannot make an assignment; with its words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "nbgrader_config.py").exists():
        (folder / "nbgrader_config.py").write_text(CONFIG)
    class_secret(folder)
    with _nbgrader(folder) as api:
        source = Path(api.coursedir.format_path(api.coursedir.source_directory, ".", "."))
        lessons = sorted(path.parent.name for path in source.glob("*/*.ipynb") if path.parent.name == path.stem)
        lessons = [lesson for lesson in lessons if not lesson.startswith(PRACTICE)]
        if not lessons:
            raise ValueError(f"expected built lessons in {source}, found none: run `make notebooks` first")
        for lesson in lessons:
            result = api.generate_assignment(lesson, force=True, create=True)
            if not result["success"]:
                raise RuntimeError(f"nbgrader generate_assignment {lesson}: {_reason(result)}")


def submissions(folder: Path) -> list[tuple[str, str]]:
    """(student, lesson) of everything that was handed in, in order."""
    return sorted(path.parts[-2:] for path in (folder / "submitted").glob("*/*") if path.is_dir())


def grade(folder: Path, workers: int | None = None) -> Iterator[Grade]:
    """Grade every submission of a class, in parallel; a submission's grade comes as soon as it is there.

    Each goes through nbgrader's autograde and generate_feedback by itself, so that one student's failure is theirs
    alone. SQLite lets one process write the gradebook at a time; the others wait.

    Args:
        folder: the class directory.
        workers: how many submissions at once; as many as there are cores where None.

    Raises:
        FileNotFoundError: there is no gradebook: `create` makes it.
    """
    if not (folder / "gradebook.db").exists():
        raise FileNotFoundError(f"{folder} holds no gradebook: make the class with `python -m autograder new-class`")
    # A new process each: what this one has loaded and started (threads, a display) stays out of the workers.
    with ProcessPoolExecutor(workers or os.cpu_count(), get_context("spawn")) as pool:
        waiting = {pool.submit(_grade_one, folder, *names): names for names in submissions(folder)}
        for done in as_completed(waiting):
            error = done.exception()
            yield Grade(*waiting[done], None, f"{type(error).__name__}: {error}") if error else done.result()


def _grade_one(folder: Path, student: str, lesson: str) -> Grade:
    with _nbgrader(folder) as api:
        handed_in = Path("submitted", student, lesson)
        if not (handed_in / f"{lesson}.ipynb").exists():
            found = ", ".join(sorted(path.name for path in handed_in.rglob("*"))[:3]) or "nothing"
            return Grade(student, lesson, None, f"expected the file {lesson}.ipynb, found {found}: rename it")
        result = api.autograde(lesson, student)
        if not result["success"]:
            return Grade(student, lesson, None, _reason(result))
        ledger = json.loads(Path("ledger", student, f"{lesson}.json").read_text())
        result = api.generate_feedback(lesson, student)
        return Grade(student, lesson, ledger, "" if result["success"] else f"no feedback: {_reason(result)}")


def write_csv(folder: Path, grades: list[Grade]) -> tuple[Path, Path]:
    """Write `grades.csv`, which is nbgrader's own export, and `exercises.csv`.

    Returns:
        Their paths.
    """
    from nbgrader.plugins import CsvExportPlugin

    with _nbgrader(folder) as api, api.gradebook as gradebook:
        CsvExportPlugin(parent=api).export(gradebook)
    with open(folder / "exercises.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for grade in grades:
            for report in grade.ledger["exercises"] if grade.ledger else []:
                lost = [verdict["name"] for verdict in report["verdicts"] if not verdict["held"]]
                points = report["points"], report["max_points"]
                table.writerow([grade.student, grade.lesson, report["exercise"], *points, "; ".join(lost), why(report)])
    return folder / "grades.csv", folder / "exercises.csv"


def why(report: dict[str, Any]) -> str:
    """The reasons of a report (as in a ledger) in one line."""
    reasons = [verdict["because"] for verdict in report["verdicts"] if verdict["because"]]
    return " | ".join([*reasons, *([report["error"]] if report["error"] else [])])


@contextlib.contextmanager
def _nbgrader(folder: Path) -> Iterator[Any]:
    """nbgrader in a class directory, configured by the file that lies there."""
    from nbgrader.apps import NbGraderAPI

    # The gradebook's address is relative to the class directory, as nbgrader wants it.
    with contextlib.chdir(folder), warnings.catch_warnings():
        # Of SQLAlchemy about nbgrader's gradebook, of nbformat about odd submissions: no use to whoever grades.
        warnings.simplefilter("ignore")
        config = Config(PyFileConfigLoader("nbgrader_config.py", str(folder.resolve())).load_config())
        yield NbGraderAPI(config=config)


def _reason(result: dict[str, Any]) -> str:
    """What nbgrader says went wrong: the exception that it logged last, else its last error."""
    lines = [line.strip() for said in ("error", "log") for line in result.get(said, "").splitlines()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    errors = [line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR]")]
    return (raised or errors or ["no reason given"])[-1]
