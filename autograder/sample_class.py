"""A sample class: submissions, intact and broken, and the points that each deserves.

Answers come from a lesson's bank (`banks/`): a few mistakes per exercise, dealt so that each student has one in every
exercise. The first lesson also gets everything else that a class hands in: broken files, odd names, late work, code
that hangs, attempts to cheat, and a second round in which some hand in again.
"""

import copy
import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.utils import is_grade

from autograder.checking.check import Check
from autograder.classroom.job import Status
from autograder.classroom.settings import SETTINGS, load
from autograder.release.for_class import create as create_class

__all__ = ["Submission", "create", "differences", "hand_in", "rounds"]

MISTAKES = 3  # per exercise
PER_DAY = 0.1
LATE_CLASS = f"""late = {{per_day = {PER_DAY}}}
[lesson.%s]
due = 2026-01-12T23:59:00+00:00
[limits]
cell_seconds = 10
check_seconds = 20
"""
IN_TIME, TWO_DAYS_LATE = "2026-01-12 20:00:00 UTC", "2026-01-14 20:00:00 UTC"


@dataclass(frozen=True)
class Submission:
    """One student's submission, and the points that each exercise deserves.

    Attributes:
        name: the file's name, possibly with folders.
        days_late: started days of lateness.
    """

    student: str
    lesson: str
    file: bytes
    points: Mapping[str, float]
    name: str
    days_late: int = 0

    @property
    def total(self) -> float:
        return sum(self.points.values()) * (1 - PER_DAY * self.days_late)


def create(folder: Path) -> dict[str, Any]:
    """Create the class directory afresh.

    Returns:
        Each lesson's bank.
    """
    from banks import all_banks

    shutil.rmtree(folder, ignore_errors=True)
    create_class(folder)
    by_name = {bank.lesson: bank for bank in all_banks()}
    by_lesson = {name: by_name[lesson.short] for name, lesson in load(folder).lessons.items()}
    (folder / SETTINGS).write_text(LATE_CLASS % next(iter(by_lesson)))
    create_class(folder)
    return by_lesson


def rounds(folder: Path, banks: Mapping[str, Any]) -> tuple[list[Submission], list[Submission]]:
    """The first submissions, and those of a second round after grading; the same on every call.

    Args:
        folder: the class directory.
        banks: by lesson, right and wrong answers, `banks.Bank`.
    """
    first, again = [], []
    for number, (lesson, bank) in enumerate(banks.items()):
        solution, release = (
            nbformat.read(folder / step / lesson / f"{lesson}.ipynb", as_version=4) for step in ("source", "release")
        )
        made = Material(lesson, solution, release, bank)
        first += made.ordinary()
        if number == 0:
            first += made.odd()
            again += made.again()
    return first, again


class Material:
    """The submissions for one lesson."""

    def __init__(self, name: str, solution: NotebookNode, release: NotebookNode, bank: Any):
        self.name, self.solution, self.release = name, solution, release
        self.checks: Mapping[str, Check] = bank.checks
        self.names = list(self.checks)
        self.rights = {name: bank.of(name, right=True) for name in self.names}
        self.wrongs = {name: bank.of(name, right=False) for name in self.names}
        self.right = {name: entries[0].source for name, entries in self.rights.items()}
        self.everything = {name: check.max_points for name, check in self.checks.items()}

    def ordinary(self) -> Iterator[Submission]:
        """Submissions such as most students make."""
        yield self._submission("solution", self.solution)
        styles = {name: entries[1 % len(entries)].source for name, entries in self.rights.items()}
        yield self._submission("another-style", self._answered(styles))
        for number in range(MISTAKES):
            dealt = [entries[number * len(entries) // MISTAKES] for entries in self.wrongs.values()]
            points = {entry.exercise: _points(self.checks[entry.exercise], entry.loses) for entry in dealt}
            answers = {entry.exercise: entry.source for entry in dealt}
            yield self._submission(f"mistakes-{number + 1}", self._answered(answers), points)
        yield self._submission("untouched", self.release, self._nothing())
        half = self.names[: len(self.names) // 2]
        unfinished = self._answered({name: self.right[name] for name in half})
        yield self._submission("unfinished", unfinished, self._without(*set(self.names) - set(half)))

    def odd(self) -> Iterator[Submission]:
        """Broken files, odd names, odd code, attempts to cheat."""
        right, first, last = self.right, self.names[0], self.names[-1]
        text = json.dumps(self._answered(right))

        yield self._submission("late", text, time_late=2)
        yield self._submission("renamed", text, name=f"{self.name} (1).ipynb")
        yield self._submission("nested", text, name=f"my work/{self.name}.ipynb")
        yield self._submission("with-a-mark", b"\xef\xbb\xbf" + text.encode())
        accents = right | {first: f"# résumé\n{right[first]}"}
        yield self._submission("latin-1", _latin_1(self._answered(accents)))
        pasted = new_notebook(cells=[new_code_cell(source, id=f"pasted-{name}") for name, source in right.items()])
        yield self._submission("pasted", pasted)
        yield self._submission("old-format", json.dumps(_format_3(self._answered(right))))
        yield self._submission("not-json", text[:-2000], self._nothing())
        yield self._submission("empty-file", b"", self._nothing())
        yield self._submission("conflict", f"<<<<<<< HEAD\n{text}", self._nothing())

        hangs = f"def {first}(*args, **kwargs):\n    while True:\n        pass\n"
        yield self._submission("hangs", self._answered(right | {first: hangs}), self._without(first))
        ends = f"import os\n\n\ndef {last}(*args, **kwargs):\n    os._exit(0)\n"
        yield self._submission("ends-process", self._answered(right | {last: ends}), self._without(last))
        noisy = {name: source + _NOISE.format(name=name) for name, source in right.items()}
        yield self._submission("noisy", self._answered(noisy))
        helper = re.sub(rf"\b{first}\b", "my_helper", right[first])
        outside = f"def {first}(*args, **kwargs):\n    return my_helper(*args, **kwargs)\n"
        notebook = self._answered(right | {first: outside})
        notebook.cells.insert(1, new_code_cell(helper, id="mine"))
        yield self._submission("own-helper-cell", notebook, self._without(first))

        notebook = self._answered(right)
        place = next(place for place, cell in enumerate(notebook.cells) if is_grade(cell))
        notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))
        notebook.cells[place].source = "1e9"
        yield self._submission("copied-check", notebook)
        notebook = self._answered(right)
        notebook.cells = [cell for cell in notebook.cells if not is_grade(cell) and cell.id != last]
        yield self._submission("deleted-cells", notebook, self._without(last))
        notebook = copy.deepcopy(self.release)
        for cell in filter(is_grade, notebook.cells):
            cell.metadata["tags"] = ["skip-execution"]
            cell.outputs = [new_output("execute_result", {"text/plain": str(cell.metadata.nbgrader.points)})]
        yield self._submission("forged-outputs", notebook, self._nothing())
        tricks = {name: _TRICKS[place % len(_TRICKS)].format(name=name) for place, name in enumerate(self.names)}
        yield self._submission("tricks", self._answered(tricks), self._nothing())

        yield self._submission("improves", self.release, self._nothing())
        yield self._submission("spoils", text)

    def again(self) -> Iterator[Submission]:
        """Second submissions: the last one counts, for better or worse."""
        yield self._submission("improves", self._answered(self.right))
        yield self._submission("spoils", "{", self._nothing())

    def _submission(
        self,
        student: str,
        file: NotebookNode | str | bytes,
        points: Mapping[str, float] | None = None,
        *,
        name: str = "",
        time_late: int = 0,
    ) -> Submission:
        # Plain JSON, since nbformat would repair deliberate damage.
        text = json.dumps(file) if isinstance(file, NotebookNode) else file
        data = text.encode() if isinstance(text, str) else text
        deserved = self.everything | dict(points or {})
        return Submission(student, self.name, data, deserved, name or f"{self.name}.ipynb", time_late)

    def _without(self, *lost: str) -> dict[str, float]:
        return self.everything | dict.fromkeys(lost, 0.0)

    def _nothing(self) -> dict[str, float]:
        return self._without(*self.names)

    def _answered(self, sources: Mapping[str, str]) -> NotebookNode:
        notebook = copy.deepcopy(self.release)
        for cell in notebook.cells:
            cell.source = sources.get(cell.id, cell.source)
        return notebook


def hand_in(source: Path, submissions: Iterable[Submission]) -> None:
    """Write submissions in nbgrader's layout, for `collect`."""
    for submission in submissions:
        folder = source / "submitted" / submission.student / submission.lesson
        path = folder / submission.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(submission.file)
        (folder / "timestamp.txt").write_text(TWO_DAYS_LATE if submission.days_late else IN_TIME)


def differences(
    folder: Path, first: Sequence[Submission], again: Sequence[Submission], statuses: Iterable[Status]
) -> Iterator[str]:
    """Describe every difference between the points that a class got and those that it deserves.

    Args:
        folder: the class directory, graded and exported, with feedback.
        statuses: the outcomes of grading the second round.
    """
    last = {(submission.student, submission.lesson): submission for submission in (*first, *again)}
    exported = json.loads((folder / "exports" / "grades.json").read_text())["submissions"]
    graded = {(entry["student"], entry["lesson"]): entry for entry in exported}
    for student, lesson in sorted(last.keys() | graded.keys()):
        where = f"{student}, {lesson}"
        deserved, got = last.get((student, lesson)), graded.get((student, lesson))
        if deserved is None or got is None:
            yield f"{where}: {'graded, but not handed in' if deserved is None else 'not graded'}"
            continue
        points = {report["exercise"]: report["points"] for report in got["exercises"]}
        for name in {**deserved.points, **points}:
            if points.get(name) != deserved.points.get(name):
                yield f"{where}, {name}: deserves {deserved.points.get(name)} points, got {points.get(name)}"
        if not math.isclose(got["points"], deserved.total, abs_tol=1e-9):
            yield f"{where}: deserves {deserved.total:g} points in all, got {got['points']:g}"
        page = folder / "feedback" / student / lesson / f"{lesson}.html"
        total = f"{deserved.total:g} of {got['max_points']:g} points"
        if not page.exists() or total not in page.read_text():
            yield f"{where}: the feedback does not say {total}"
    second = {(status.student, status.lesson) for status in statuses if status.status == "graded"}
    for student, lesson in sorted(second ^ {(submission.student, submission.lesson) for submission in again}):
        yield f"{student}, {lesson}: expected the second round to grade exactly what was handed in again"


def _points(check: Check, loses: Iterable[str]) -> float:
    if set(loses) & set(check.gates):
        return 0.0
    return math.fsum(points for name, points in check.points.items() if name not in loses)


def _latin_1(notebook: NotebookNode) -> bytes:
    text = json.dumps(notebook, ensure_ascii=False)
    return "".join(sign if ord(sign) < 256 else json.dumps(sign)[1:-1] for sign in text).encode("latin-1")


def _format_3(notebook: NotebookNode) -> dict[str, Any]:
    """Convert to the format from before 2015, without cell ids."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            about = {"cell_type": "code", "input": cell.source, "language": "python", "outputs": []}
        else:
            about = {"cell_type": cell.cell_type, "source": cell.source}
        cells.append(about | {"metadata": {}})
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}


# Noise: it prints and warns at every call, and must cost no points.
_NOISE = """

def {name}(*args, plain={name}, **kwargs):
    import sys
    import warnings

    warnings.warn("something is deprecated")
    print("a progress bar", file=sys.stderr)
    return plain(*args, **kwargs)
"""

# Attempts to cheat, all of which must fail.
_TRICKS = (
    # An object that is equal to everything.
    '''class Equal:
    """Equal to everything."""

    def __eq__(self, other):
        return True

    def __float__(self):
        return 1.0


def {name}(*args, **kwargs):
    return Equal()
''',
    # Comparisons that always hold.
    """import numpy as np
import torch

np.allclose = np.isclose = torch.allclose = torch.isclose = lambda *args, **kwargs: True


def {name}(*args, **kwargs):
    return 0.0
""",
    # A replaced check.
    """import autograder.checking.check

autograder.checking.check.Report.points = property(lambda self: self.max_points)
autograder.checking.check.Report.lost = property(lambda self: set())


def {name}(*args, **kwargs):
    return None
""",
    # Bytes written to every open file descriptor.
    """import os


def {name}(*args, **kwargs):
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"A" * 64)
        except OSError:
            pass
    return None
""",
)
