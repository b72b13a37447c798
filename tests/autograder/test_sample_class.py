"""The sample class: every kind of submission, what each deserves, and the command that grades it."""

import json
import re

import nbformat
import pytest
from typer.testing import CliRunner

from autograder import __main__ as commands
from autograder import build, classroom, sample_class
from autograder.classroom import Grade
from tests.autograder.course import LESSON, POINTS, Course
from tests.submissions import Bank, banks


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


def made(course: Course) -> list[sample_class.Submission]:
    return sample_class.make(LESSON, course.source(), course.release(), answers())


@pytest.mark.parametrize("bank", banks(), ids=lambda bank: bank.lesson)
def test_every_wrong_answer_is_in_a_submission(bank):
    notebook = _blank(bank)
    submissions = sample_class.make(f"01_{bank.lesson}", notebook, notebook, bank)
    assert len({submission.student for submission in submissions}) == len(submissions)
    handed_in = [
        cell["source"]
        for submission in submissions
        if submission.student.startswith("mistakes-")
        for cell in json.loads(submission.file)["cells"]
    ]
    wrong = [entry.source for entry in bank.entries if not entry.is_right]
    assert wrong
    for source in wrong:
        assert handed_in.count(source) == wrong.count(source), source


def _blank(bank: Bank) -> nbformat.NotebookNode:
    """A notebook with a cell for each exercise and each check of a bank."""
    cells = []
    for name in bank.checks:
        for grade_id in (name, f"{name}-check"):
            grade = grade_id != name
            metadata = {"nbgrader": {"grade_id": grade_id, "grade": grade, "solution": not grade, "points": 1}}
            cells.append(nbformat.v4.new_code_cell(metadata=metadata, id=grade_id))
    return nbformat.v4.new_notebook(cells=cells)


def test_it_is_the_same_each_time(course):
    assert made(course) == made(course)


@pytest.fixture
def only_toy(course, monkeypatch):
    """`python -m autograder` sees the small lesson alone."""
    for name, folder in (("SOURCE", "source"), ("NOTEBOOKS", "release")):
        monkeypatch.setattr(build, name, course.root / folder)
    monkeypatch.setattr(build, "lessons", lambda: [LESSON])
    monkeypatch.setattr(build, "write_sources", lambda names: None)
    monkeypatch.setattr("tests.submissions.banks", lambda: [answers()])
    # The class directory is kept, since its settings name the small course.
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
    return course


def test_the_command_gives_everyone_what_they_deserve(only_toy):
    result = CliRunner().invoke(commands.app, ["sample-class", str(only_toy.folder)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    expected = {submission.student: submission.points for submission in made(only_toy)}
    assert {student: only_toy.gradebook(student) for student in expected} == expected
    assert expected["untouched"] == expected["tricks"] == dict.fromkeys(POINTS, 0.0)
    assert f"Every one of the {len(expected)} submissions got exactly the points that it deserves." in result.output

    lines = result.output.splitlines()
    assert all(len(line) <= 100 for line in lines if "/" not in line)
    for student in expected:
        assert re.search(rf"^ *{student} ", result.output, re.MULTILINE), student
    assert "not answered yet" in result.output and "ended the process" in result.output
    for path in ("grades.csv", "exercises.csv", "gradebook.db", "feedback/solution/01_toy/01_toy.html"):
        assert (only_toy.folder / path).exists()


def grade(student: str, **points: float) -> Grade:
    reports = [{"exercise": name, "points": value} for name, value in points.items()]
    return Grade(student, LESSON, {"exercises": reports})


def test_differences_are_found_and_told():
    deserved = [sample_class.Submission(student, LESSON, "", {"double": 2.0, "ask": 1.0}) for student in ("ada", "bob")]
    right = [grade("ada", double=2.0, ask=1.0), grade("bob", ask=1.0, double=2.0)]
    assert list(sample_class.differences(deserved, right)) == []
    wrong = [grade("ada", double=2.5, ask=1.0), Grade("bob", LESSON, None, "lost")]
    assert list(sample_class.differences(deserved, wrong)) == [
        "ada, 01_toy, double: deserves 2.0 points, got 2.5",
        "bob, 01_toy: not graded",
    ]
    assert list(sample_class.differences(deserved, [grade("ada", double=2.0), right[1]])) == [
        "ada, 01_toy, ask: deserves 1.0 points, got None"
    ]


def test_grade_tells_what_is_no_class(tmp_path):
    result = CliRunner().invoke(commands.app, ["grade", str(tmp_path)])
    assert result.exit_code == 2 and "new-class" in result.output


def test_grade_ends_with_an_error_where_a_submission_could_not_be_graded(course):
    path = course.submit("ada", course.source())
    path.rename(path.with_name("lesson.ipynb"))
    result = CliRunner().invoke(commands.app, ["grade", str(course.folder), "--workers", "1"])
    assert result.exit_code == 1 and "not graded" in result.output


def test_lesson_00_is_not_collected(made_course, shown_checks, tmp_path):
    course = made_course.copy(tmp_path)
    (course.root / "source" / LESSON).rename(course.root / "source" / "00_toy")
    (course.root / "source" / "00_toy" / f"{LESSON}.ipynb").rename(course.root / "source" / "00_toy" / "00_toy.ipynb")
    with pytest.raises(ValueError, match="make notebooks"):
        classroom.create(course.folder)
