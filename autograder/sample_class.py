"""A sample class: submissions of every kind, and the points that each deserves.

Answers come from a lesson's bank (`tests/submissions`). Every wrong answer of the bank is in one submission; around
them stand what else a class hands in: the solution, the untouched notebook, broken files, code that hangs, and
attempts to get points in other ways.
"""

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from nbgrader.utils import is_grade

from autograder.check import Check
from autograder.classroom import Grade

__all__ = ["Submission", "differences", "make", "submit"]

STYLES = 3  # students who answer everything right, each in another style


@dataclass(frozen=True)
class Submission:
    """What a student hands in, and the points that each exercise deserves."""

    student: str
    lesson: str
    file: str
    points: Mapping[str, float]


def make(lesson: str, solution: NotebookNode, release: NotebookNode, bank) -> list[Submission]:
    """The sample class of one lesson; the same each time.

    Args:
        lesson: "01_likelihood".
        solution: the notebook with its solutions.
        release: the notebook as students get it.
        bank: right and wrong answers, a `tests.submissions.Bank`.
    """
    checks: Mapping[str, Check] = bank.checks
    everything = {name: check.max_points for name, check in checks.items()}
    names = list(checks)
    rights = {name: bank.of(name, right=True) for name in names}
    right = {name: rights[name][0].source for name in names}
    half = names[: len(names) // 2]

    def student(name: str, notebook: NotebookNode | str, points: Mapping[str, float]) -> Submission:
        # Written as plain JSON: nbformat would mend what is meant to be broken.
        file = notebook if isinstance(notebook, str) else json.dumps(notebook)
        return Submission(name, lesson, file, dict(points))

    def without(*lost: str) -> dict[str, float]:
        return everything | dict.fromkeys(lost, 0.0)

    made = [student("solution", solution, everything)]
    for style in range(STYLES):
        sources = {name: rights[name][style % len(rights[name])].source for name in names}
        made.append(student(f"right-{style + 1}", _answered(release, sources), everything))
    for number, mistakes in enumerate(_dealt([bank.of(name, right=False) for name in names]), start=1):
        answers = right | {entry.exercise: entry.source for entry in mistakes}
        points = everything | {entry.exercise: _points(checks[entry.exercise], entry.loses) for entry in mistakes}
        made.append(student(f"mistakes-{number}", _answered(release, answers), points))

    made.append(student("untouched", release, without(*names)))
    unfinished = {name: right[name] for name in half}
    made.append(student("unfinished", _answered(release, unfinished), without(*set(names) - set(half))))
    made.append(student("not-json", json.dumps(_answered(release, right))[:-2000], without(*names)))

    hangs = f"def {names[0]}(*args, **kwargs):\n    while True:\n        pass\n"
    made.append(student("hangs", _answered(release, right | {names[0]: hangs}), without(names[0])))
    ends = f"import os\n\n\ndef {names[-1]}(*args, **kwargs):\n    os._exit(0)\n"
    made.append(student("ends-process", _answered(release, right | {names[-1]: ends}), without(names[-1])))
    noisy = {name: source + _NOISE.format(name=name) for name, source in right.items()}
    made.append(student("noisy", _answered(release, noisy), everything))

    notebook = _answered(release, right)
    place = next(place for place, cell in enumerate(notebook.cells) if is_grade(cell))
    notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))
    notebook.cells[place].source = "1e9"
    made.append(student("copied-check", notebook, everything))

    notebook = _answered(release, right)
    notebook.cells = [cell for cell in notebook.cells if not is_grade(cell) and cell.id != names[-1]]
    made.append(student("deleted-cells", notebook, without(names[-1])))

    helper = re.sub(rf"\b{names[0]}\b", "my_helper", right[names[0]])
    outside = f"def {names[0]}(*args, **kwargs):\n    return my_helper(*args, **kwargs)\n"
    notebook = _answered(release, right | {names[0]: outside})
    notebook.cells.insert(1, new_code_cell(helper, id="mine"))
    made.append(student("own-helper-cell", notebook, without(names[0])))

    notebook = copy.deepcopy(release)
    for cell in filter(is_grade, notebook.cells):
        cell.metadata["tags"] = ["skip-execution"]
        cell.outputs = [new_output("execute_result", {"text/plain": str(cell.metadata.nbgrader.points)})]
    made.append(student("forged-outputs", notebook, without(*names)))
    tricks = {name: _TRICKS[place % len(_TRICKS)].format(name=name) for place, name in enumerate(names)}
    made.append(student("tricks", _answered(release, tricks), without(*names)))
    return made


def submit(folder: Path, submissions: Iterable[Submission]) -> None:
    """Hand all of them in, in a class directory."""
    for submission in submissions:
        path = folder / "submitted" / submission.student / submission.lesson / f"{submission.lesson}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(submission.file)


def differences(submissions: Iterable[Submission], grades: Iterable[Grade]) -> Iterator[str]:
    """Where the points of a graded class are not what the submissions deserve, in words."""
    found = {(grade.student, grade.lesson): grade for grade in grades}
    for submission in submissions:
        grade = found.get((submission.student, submission.lesson))
        if grade is None or grade.ledger is None:
            yield f"{submission.student}, {submission.lesson}: not graded"
            continue
        got = {report["exercise"]: report["points"] for report in grade.ledger["exercises"]}
        for name in {**submission.points, **got}:
            if got.get(name) != submission.points.get(name):
                yield (
                    f"{submission.student}, {submission.lesson}, {name}: "
                    f"deserves {submission.points.get(name)} points, got {got.get(name)}"
                )


def _points(check: Check, loses: Iterable[str]) -> float:
    if set(loses) & set(check.gates):
        return 0.0
    return math.fsum(points for name, points in check.points.items() if name not in loses)


def _dealt(wrong: list[list]) -> Iterator[list]:
    """Deal the wrong answers out like cards, to the fewest students that can have them: one for an exercise."""
    students = max(map(len, wrong))
    cards = [entry for entries in wrong for entry in entries]
    for number in range(students):
        yield cards[number::students]


def _answered(release: NotebookNode, sources: Mapping[str, str]) -> NotebookNode:
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    return notebook


# Prints and warns at every call, and costs nothing.
_NOISE = """

def {name}(*args, plain={name}, **kwargs):
    import sys
    import warnings

    warnings.warn("something is deprecated")
    print("a progress bar", file=sys.stderr)
    return plain(*args, **kwargs)
"""

# Ways to points that lead nowhere.
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
    # A check of one's own.
    """import autograder.check

autograder.check.Report.points = property(lambda self: self.max_points)
autograder.check.Report.lost = property(lambda self: set())


def {name}(*args, **kwargs):
    return None
""",
    # Writing into whatever is open.
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
