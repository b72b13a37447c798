"""The sample class: its submissions, the points that they deserve, and the command that runs all other commands."""

import json
import re
from dataclasses import replace

import nbformat
import pytest
from typer.testing import CliRunner

from autograder import __main__ as commands
from autograder import sample_class
from autograder.classroom.job import Status
from banks import Bank, all_banks
from tests.autograder.conftest import shown
from tests.autograder.toy_class import LESSON, POINTS


def answers() -> Bank:
    """A small bank for the small lesson."""
    bank = Bank("toy")

    @bank.right("double")
    def sum_():
        def double(x):
            return x + x

        return double

    @bank.right("double")
    def product():
        def double(x):
            return 2 * x

        return double

    @bank.wrong("double", loses={"fractions"})
    def whole():
        def double(x):
            return int(2 * x)

        return double

    @bank.wrong("double", loses={"a number"})
    def text():
        def double(x):
            return str(2 * x)

        return double

    @bank.right("ask")
    def loop():
        def ask(f, n):
            total = 0.0
            for i in range(n):
                total += f(i)
            return total**0.5

        return ask

    @bank.wrong("ask", loses={"sum"})
    def no_root():
        def ask(f, n):
            return sum(f(i) for i in range(n)) + 0.5

        return ask

    @bank.right("Counter")
    def solution():
        class Counter:
            def __init__(self):
                self.total = 0

            def add(self, k):
                self.total += k
                return self.total

        return Counter

    @bank.wrong("Counter", loses={"apart"})
    def shared():
        class Counter:
            totals = [0]

            @property
            def total(self):
                return self.totals[0]

            def add(self, k):
                self.totals[0] += k
                return self.total

        return Counter

    return bank


@pytest.fixture(scope="module")
def by_lesson() -> dict[str, Bank]:
    with shown():
        return {LESSON: answers()}


@pytest.fixture(scope="module")
def graded(made_toy, by_lesson, tmp_path_factory):
    """The small course's sample class, and the command's result."""
    toy = made_toy.copy(tmp_path_factory.mktemp("sample"))
    toy.set(
        f'lessons = ["{LESSON}"]\n'
        + (sample_class.LATE_CLASS % LESSON).replace("check_seconds = 20", "check_seconds = 5")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_class, "create", lambda folder: by_lesson)
        result = CliRunner().invoke(commands.app, ["sample-class", str(toy.folder)], env={"COLUMNS": "80"})
    return toy, result


def test_everyone_gets_what_they_deserve(graded, by_lesson):
    toy, result = graded
    assert result.exit_code == 0, result.output
    first, again = sample_class.rounds(toy.folder, by_lesson)
    assert f"All {len(first)} submissions got exactly the points that they deserve." in result.output
    expected = {one.student: dict(one.points) for one in (*first, *again)}
    assert {student: toy.gradebook(student) for student in expected} == expected
    assert expected["tricks"] == expected["spoils"] == dict.fromkeys(POINTS, 0.0)
    assert expected["improves"] == expected["renamed"] == expected["old-format"] == POINTS
    assert len(expected) == len(first) >= 27


def test_what_the_commands_say_can_be_read_in_a_narrow_window(graded):
    _, result = graded
    lines = result.output.splitlines()
    assert all(len(line) <= 80 for line in lines if not re.search(r"/|: ", line)), lines
    for said in ("not answered yet", "ended the process", "cannot be read as a notebook", "25 unchanged, 2 graded"):
        assert said in " ".join(result.output.split()), said


def test_it_is_the_same_each_time(graded, by_lesson):
    toy, _ = graded
    assert sample_class.rounds(toy.folder, by_lesson) == sample_class.rounds(toy.folder, by_lesson)


def test_differences_are_told(graded, by_lesson):
    """Every kind of difference, provoked by submissions that deserve something else."""
    toy, _ = graded
    first, again = sample_class.rounds(toy.folder, by_lesson)
    statuses = [Status(one.student, LESSON, "graded") for one in again]

    def told(change, graded=statuses):
        return list(sample_class.differences(toy.folder, [change(one) for one in first], again, graded))

    assert told(lambda one: one) == []
    more = told(lambda one: replace(one, points=one.points | {"ask": 7.0}) if one.student == "noisy" else one)
    assert more[0] == f"noisy, {LESSON}, ask: deserves 7.0 points, got 1.0"
    assert more[1] == f"noisy, {LESSON}: deserves 11 points in all, got 5"
    assert more[2] == f"noisy, {LESSON}: the feedback does not say 11 of 5 points"
    assert told(lambda one: replace(one, days_late=0))[0] == f"late, {LESSON}: deserves 5 points in all, got 4"
    assert told(lambda one: replace(one, student="x") if one.student == "noisy" else one) == [
        f"noisy, {LESSON}: graded, but not handed in",
        f"x, {LESSON}: not graded",
    ]
    (line,) = told(lambda one: one, [*statuses, Status("noisy", LESSON, "graded")])
    assert line.startswith(f"noisy, {LESSON}: expected the second round")


@pytest.mark.parametrize("bank", all_banks(), ids=lambda bank: bank.lesson)
def test_mistakes_of_every_exercise_are_in_the_class(bank):
    """A few distinct mistakes, so that the class stays small however large the bank is."""
    notebook = _blank(bank)
    lesson = sample_class.Material(f"01_{bank.lesson}", notebook, notebook, bank)
    mistakes = [one for one in lesson.ordinary() if one.student.startswith("mistakes-")]
    assert len(mistakes) == sample_class.MISTAKES
    for name in bank.checks:
        wrong = {entry.source for entry in bank.of(name, right=False)}
        cells = {cell["source"] for one in mistakes for cell in json.loads(one.file)["cells"] if cell["id"] == name}
        assert len(cells) == len(mistakes) and cells <= wrong


def _blank(bank: Bank) -> nbformat.NotebookNode:
    """A notebook with one cell per exercise and one per check of a bank."""
    cells = []
    for name in bank.checks:
        for grade_id in (name, f"{name}-check"):
            grade = grade_id != name
            metadata = {"nbgrader": {"grade_id": grade_id, "grade": grade, "solution": not grade, "points": 1}}
            cells.append(nbformat.v4.new_code_cell(metadata=metadata, id=grade_id))
    return nbformat.v4.new_notebook(cells=cells)
