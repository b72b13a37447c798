"""Plain nbgrader's command line, and our own, on a class of odd submissions: the same exact points."""

import copy
import csv
import json
import os
import shutil
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from autograder.classroom.job import Status
from autograder.classroom.settings import load
from autograder.release.for_class import create
from autograder.results import feedback
from tests.autograder.toy_class import LESSON, POINTS, ToyClass, answered

NOTHING = dict.fromkeys(POINTS, 0.0)
WRONG = "def double(x):\n    return int(2 * x)"  # right for whole numbers only
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCRIPT = "<script>document.title = 'hacked'</script><img src=x onerror=\"document.title='hacked'\">"


def solved(toy: ToyClass, **sources: str) -> nbformat.NotebookNode:
    return answered(toy.source(), **sources)


def position(notebook, name: str) -> int:
    return next(place for place, cell in enumerate(notebook.cells) if cell.id == name)


def copied_check(toy):
    notebook = solved(toy, double=WRONG)
    place = position(notebook, "double-check")
    notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))
    notebook.cells[place].source = "2.5"
    return json.dumps(notebook)


def copied_solution(toy):
    """JupyterLab gives a copied cell a new id and keeps nbgrader's metadata."""
    notebook = solved(toy)
    place = position(notebook, "double")
    notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]) | {"id": "another", "source": WRONG})
    return json.dumps(notebook)


def answered_below(toy):
    """The stub untouched, the answer in a new cell below."""
    notebook, released = solved(toy), toy.release()
    place = position(notebook, "double")
    answer = notebook.cells[place].source
    notebook.cells[place] = released.cells[position(released, "double")]
    notebook.cells.insert(place + 1, new_code_cell(answer))
    return notebook


def as_markdown(toy):
    notebook = solved(toy)
    place = position(notebook, "double")
    notebook.cells[place] = new_markdown_cell(notebook.cells[place].source, metadata=notebook.cells[place].metadata)
    return notebook


def deleted(toy, *names):
    notebook = solved(toy)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in names]
    return notebook


def moved(toy):
    notebook = solved(toy)
    notebook.cells.reverse()
    return notebook


def forged(toy):
    """Nothing answered; check cells that claim otherwise."""
    notebook = toy.release()
    for cell in notebook.cells:
        if cell.id.endswith("-check"):
            cell.metadata.tags = ["skip-execution"]
            cell.metadata.nbgrader.points = 1000
            cell.outputs = [new_output("execute_result", {"text/plain": "2.5"})]
            cell.source = "99.0"
    return notebook


def without_metadata(toy):
    """Cells pasted into a new notebook, one of them with an extra word."""
    return nbformat.v4.new_notebook(
        cells=[new_markdown_cell("mine")] + [new_code_cell(cell.source) for cell in toy.source().cells]
    )


def with_scripts(toy):
    notebook = solved(toy, double=f"{WRONG}\n# {SCRIPT}", ask=f"def ask(f, n):\n    raise ValueError({SCRIPT!r})")
    notebook.cells.insert(0, new_markdown_cell(SCRIPT))
    demo = next(cell for cell in notebook.cells if cell.cell_type == "code" and "checks" in cell.source)
    picture = {"image/png": DOT, "text/html": SCRIPT, "text/plain": f"a dot {SCRIPT}"}
    evil = {"image/png": f"{SCRIPT}", "application/javascript": "document.title='hacked'", "image/svg+xml": SCRIPT}
    demo.outputs = [
        new_output("display_data", picture),
        new_output("display_data", evil),
        new_output("stream", text=SCRIPT),
        new_output("error", ename=SCRIPT, evalue=SCRIPT, traceback=[SCRIPT]),
    ]
    return notebook


def old_format(toy):
    """A notebook in the format from before 2015."""
    cells = [{"cell_type": "code", "input": cell.source, "outputs": []} for cell in toy.source().cells]
    return json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})


def lines(toy):
    """Sources as lists of lines, one of them null; a cell without a source; half a character."""
    notebook = json.loads(nbformat.writes(solved(toy)))
    notebook["cells"][0]["source"] = [7]
    notebook["cells"].insert(0, {"cell_type": "code"})
    place = position(solved(toy), "double") + 1
    notebook["cells"][place]["source"] = ["def double(x):\n", "    return 2 * x  # \ud800"]
    return json.dumps(notebook)


NOISY = """import sys
import warnings

warnings.warn("a warning")


def double(x):
    print("a progress bar", file=sys.stderr)
    warnings.warn("another")
    return 2 * x
"""

ACCENT = "def double(x):  # \u00e9\n    return 2 * x"

# Submissions, and the points that they deserve.
CLASS = {
    "solution": (solved, POINTS),
    "untouched": (ToyClass.release, NOTHING),
    "wrong": (lambda c: solved(c, double=WRONG), POINTS | {"double": 2.0}),
    "noisy": (lambda c: solved(c, double=NOISY), POINTS),
    "hangs": (lambda c: solved(c, ask="def ask(f, n):\n    while True:\n        pass"), POINTS | {"ask": 0.0}),
    "exits": (lambda c: solved(c, double="def double(x):\n    import os\n    os._exit(0)"), POINTS | {"double": 0.0}),
    "copied_check": (copied_check, POINTS | {"double": 2.0}),
    "copied_solution": (copied_solution, POINTS),
    "answered_below": (answered_below, POINTS),
    "as_markdown": (as_markdown, POINTS | {"double": 0.0}),
    "exit_first": (lambda c: solved(c, double="exit()\nquit()\ndef double(x):\n    return 2 * x"), POINTS),
    "deleted_checks": (lambda c: deleted(c, *(f"{name}-check" for name in POINTS)), POINTS),
    "deleted_solution": (lambda c: deleted(c, "ask"), POINTS | {"ask": 0.0}),
    "moved": (moved, POINTS),
    "forged": (forged, NOTHING),
    "without_metadata": (without_metadata, POINTS),
    "scripts": (with_scripts, POINTS | {"double": 2.0, "ask": 0.0}),
    "not_json": (lambda c: "{", NOTHING),
    "empty_file": (lambda c: "", NOTHING),
    "conflict": (lambda c: "<<<<<<< HEAD\n" + nbformat.writes(c.source()), NOTHING),
    "latin1": (lambda c: b"\xe9\xff", NOTHING),
    "a_list": (lambda c: "[1, 2]", NOTHING),
    "odd": (lambda c: '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"source": 3}, 7]}', NOTHING),
    "a_text": (lambda c: '"' + "x" * 99 + '"', NOTHING),
    "nested": (lambda c: "[" * 100_000, NOTHING),
    "newer": (lambda c: nbformat.writes(c.source()).replace('"nbformat": 4', '"nbformat": 99'), POINTS),
    "old_format": (old_format, POINTS),
    "lines": (lines, POINTS),
    "wide": (lambda c: nbformat.writes(c.source()).encode("utf-16"), POINTS),
    "accents": (lambda c: nbformat.writes(solved(c, double=ACCENT)).encode("latin-1"), POINTS),
    "huge_answer": (lambda c: solved(c, double="#" * 2**20 + "\ndef double(x):\n    return 2 * x"),
                    POINTS | {"double": 0.0}),
    "huge_number": (lambda c: '{"cells": [' + "9" * 5000 + "]}", NOTHING),
    "mark": (lambda c: b"\xef\xbb\xbf" + nbformat.writes(c.source()).encode(), POINTS),
}  # fmt: skip


def hand_in(toy: ToyClass) -> None:
    for student, (make, _) in CLASS.items():
        toy.submit(student, make(toy))
    link = toy.folder / "submitted" / "link" / LESSON / f"{LESSON}.ipynb"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../solution/{LESSON}/{LESSON}.ipynb")


EXPECTED = {student: points for student, (_, points) in CLASS.items()} | {"link": NOTHING}


@pytest.fixture(scope="module")
def handed_in(made_toy, tmp_path_factory) -> ToyClass:
    """The class before it is graded."""
    toy = made_toy.copy(tmp_path_factory.mktemp("handed-in"))
    hand_in(toy)
    return toy


@pytest.fixture(scope="module")
def plain(handed_in, tmp_path_factory) -> ToyClass:
    """The class, graded by nbgrader's own command line."""
    toy = handed_in.copy(tmp_path_factory.mktemp("plain"))
    for command in ("autograde", "generate_feedback"):
        result = toy.nbgrader(command, LESSON)
        assert result.returncode == 0, result.stderr
    return toy


@pytest.fixture(scope="module")
def ours(handed_in, tmp_path_factory) -> tuple[ToyClass, dict[str, Status]]:
    """The class, graded by our command."""
    toy = handed_in.copy(tmp_path_factory.mktemp("ours"))
    return toy, toy.grade(workers=2)


def test_plain_nbgrader_gives_what_is_deserved(plain):
    assert {student: plain.gradebook(student) for student in EXPECTED} == EXPECTED


def test_our_command_gives_what_is_deserved(ours):
    toy, statuses = ours
    assert {student: toy.gradebook(student) for student in EXPECTED} == EXPECTED
    for student, status in statuses.items():
        assert (status.status, status.error) == ("graded", "")
        reports = status.ledger["exercises"]
        assert {report["exercise"]: report["points"] for report in reports} == EXPECTED[student]
        assert not any(report["fault"] for report in reports)
        assert status.ledger == toy.ledger(student)


def test_both_leave_the_same_gradebook_and_ledgers(plain, ours):
    toy, _ = ours
    assert plain.rows() == toy.rows()
    for student in EXPECTED:
        assert plain.ledger(student) == toy.ledger(student)
        assert plain.autograded(student) == toy.autograded(student)


def test_autograded_notebooks_hold_the_points_where_nbgrader_looks(ours):
    for student, points in EXPECTED.items():
        notebook = ours[0].autograded(student)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            if cell.id.endswith("-check"):
                (output,) = cell.outputs
                assert output.data["text/plain"] == repr(points[cell.id.removesuffix("-check")])


def test_what_was_odd_is_told_in_words(ours):
    notes = {student: " ".join(status.ledger["notes"]) for student, status in ours[1].items()}
    assert notes["solution"] == notes["noisy"] == notes["moved"] == notes["newer"] == notes["lines"] == ""
    assert "cannot be read as a notebook (it is not JSON: " in notes["not_json"]
    assert "(it is nested too deeply)" in notes["nested"]
    assert "(expected a notebook, found list)" in notes["a_list"]
    assert "it is a link, which is not followed" in notes["link"]
    assert "read as Latin-1" in notes["accents"]
    assert "no cell for the exercise ask" in notes["deleted_solution"]
    assert "the exercise double is answered in cell" in notes["answered_below"]
    assert "the cell of the exercise double is a markdown cell" in notes["as_markdown"]
    assert "no cell" not in notes["not_json"]
    assert "2 cells claim to be the exercise double" in notes["copied_solution"]
    assert "the exercise double is longer than" in notes["huge_answer"]


def test_nbgrader_exports_the_points(plain, tmp_path):
    result = plain.nbgrader("export", "--to", str(tmp_path / "grades.csv"))
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "grades.csv") as file:
        assert {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)} == {
            student: sum(points.values()) for student, points in EXPECTED.items()
        }


class Harmless(HTMLParser):
    """Asserts that nothing in a page runs or is loaded."""

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "iframe", "link", "object", "embed", "form", "base")
        for name, value in attributes:
            assert not name.startswith("on") and name != "srcset"
            assert name not in ("src", "href") or value.startswith(("#", "data:image/png;base64,"))
            assert name != "http-equiv" or value == "Content-Security-Policy"

    def handle_data(self, data):
        assert "url(" not in data and "@import" not in data


@pytest.mark.parametrize("student", ["wrong", "scripts", "not_json", "copied_solution", "link"])
def test_feedback_shows_points_and_reports_and_loads_nothing(plain, ours, student):
    list(feedback.make(load(ours[0].folder), [student]))
    for toy in (plain, ours[0]):
        page = toy.feedback(student).read_text()
        Harmless().feed(page)
        sum_, max_ = sum(EXPECTED[student].values()), sum(POINTS.values())
        assert f"{sum_:g} of {max_:g} points" in page
        for name in POINTS:
            assert f"{EXPECTED[student][name]:g} of {POINTS[name]:g} point" in page


def test_a_broken_resubmission_loses_the_old_grade(ours):
    """An answered one is graded again; ledger and grade belong to the same file."""
    toy = ours[0].copy(ours[0].root.with_name("again"))
    for handed_in, expected in (("{", NOTHING), (solved(toy, double=WRONG), EXPECTED["wrong"])):
        toy.submit("solution", handed_in)
        result = toy.nbgrader("autograde", LESSON, "--student", "solution", "--force")
        assert result.returncode == 0, result.stderr
        assert toy.gradebook("solution") == expected
        assert toy.ledger("solution")["points"] == sum(expected.values())


def test_a_failure_of_the_grader_leaves_no_old_grade(ours):
    """Here the release is gone: a missing grade is reported as a failure, never replaced by the old one."""
    toy = ours[0].copy(ours[0].root.with_name("broken"))
    (toy.folder / "release" / LESSON / f"{LESSON}.ipynb").unlink()
    result = toy.nbgrader("autograde", LESSON, "--student", "solution", "--force")
    assert result.returncode != 0 and "there is no release" in result.stderr
    status = toy.grade(students=["solution", "wrong"])["wrong"]
    assert status.status == "failed" and "there is no release" in status.error
    for student in ("solution", "wrong"):
        assert set(toy.gradebook(student).values()) == {None}
        assert toy.ledger(student) is None
        assert not (toy.folder / "autograded" / student / LESSON).exists()


def test_nbgrader_takes_nothing_but_the_notebook(toy, tmp_path):
    """Neither other files nor the targets of links are taken; an invalid time does not end the run."""
    path = toy.submit("ada", toy.source())
    (tmp_path / "private").write_text("private")
    (path.parent / "link").symlink_to(tmp_path / "private")
    (path.parent / ".hidden").write_text("x")
    (path.parent / "torch.py").write_text("x")
    (path.parent / "data").mkdir()
    (path.parent / "data" / "more").write_text("x")
    (path.parent / "timestamp.txt").write_text("soon")
    toy.submit("bob", toy.source()).with_name("timestamp.txt").symlink_to(tmp_path / "private")
    toy.submit("cat", toy.source()).with_name("timestamp.txt").write_text("2026-01-01 12:00:00 UTC")
    result = toy.nbgrader("autograde", LESSON)
    assert result.returncode == 0, result.stderr
    assert {student: toy.gradebook(student) for student in ("ada", "bob", "cat")} == dict.fromkeys(
        ("ada", "bob", "cat"), POINTS
    )
    found = {student: sorted(os.listdir(toy.folder / "autograded" / student / LESSON)) for student in ("ada", "cat")}
    assert found == {"ada": [f"{LESSON}.ipynb"], "cat": [f"{LESSON}.ipynb", "timestamp.txt"]}
    assert toy.ledger("ada")["timestamp"] is None
    assert toy.ledger("cat")["timestamp"] == "2026-01-01T12:00:00+00:00"


def test_nbgrader_grades_a_newer_submission_without_force(toy):
    for hour, notebook, expected in ((12, toy.release(), NOTHING), (13, toy.source(), POINTS)):
        toy.submit("ada", notebook).with_name("timestamp.txt").write_text(f"2026-01-01 {hour}:00:00 UTC")
        result = toy.nbgrader("autograde", LESSON)
        assert result.returncode == 0, result.stderr
        assert toy.gradebook("ada") == expected


def test_without_a_sandbox_every_result_says_so(toy, monkeypatch):
    toy.submit("ada", toy.source())
    monkeypatch.setenv("UNSAFE_NO_SANDBOX", "1")
    result = toy.nbgrader("autograde", LESSON)
    assert result.returncode == 0, result.stderr
    assert toy.ledger("ada")["sandbox"] == "none (--unsafe-no-sandbox)"


def test_making_a_class_again_keeps_its_secret_and_grades(ours):
    toy = ours[0].copy(ours[0].root.with_name("twice"))
    secret = (toy.folder / "secret").read_text()
    create(toy.folder)
    assert (toy.folder / "secret").read_text() == secret and len(secret) == 64
    assert (toy.folder / "secret").stat().st_mode & 0o777 == 0o600
    assert toy.gradebook("wrong") == EXPECTED["wrong"]


def test_nbgrader_makes_the_same_release(made_toy, tmp_path):
    toy = made_toy.copy(tmp_path)
    before = nbformat.writes(toy.release())
    result = toy.nbgrader("generate_assignment", LESSON, "--force")
    assert result.returncode == 0, result.stderr
    assert nbformat.writes(toy.release()) == before


@pytest.mark.parametrize(
    "double, says",
    [
        ("def double(x):\n    return x + x", "Success! Your notebook passes all the tests."),
        (WRONG, "lost "),
        ("def double(x):\n    raise NotImplementedError", "not tested to the end"),
    ],
)
def test_validate_tells_a_student_before_handing_in(toy, double, says):
    path = toy.submit("ada", answered(toy.source(), double=double))
    shutil.copy(toy.folder / "release" / LESSON / "checks_toy.py", path.parent)
    shown = toy.nbgrader("validate", str(path))
    assert says in shown.stdout and "Partial credit" not in shown.stdout, shown.stdout + shown.stderr
    if "Success" not in says:
        assert "VALIDATION FAILED ON 1 CELL(S)" in shown.stdout and "checks.double(double)" in shown.stdout
