"""The build: the sources that it accepts, the notebooks that it makes, and that it is reproducible."""

from pathlib import Path

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from autograder.lesson import Lesson, Question
from autograder.release import build
from autograder.release.build import SourceError, build_source
from tests.autograder.toy_class import LESSON, POINTS, TOY

SOURCE = (TOY / f"{LESSON}.py").read_text()
DOUBLE_CELL = SOURCE[SOURCE.index('# %% exercise="double"') : SOURCE.index('# %% check="double"')]


@pytest.fixture
def built(toy_checks):
    return build_source(TOY / f"{LESSON}.py")


def rebuilt(folder: Path, text: str):
    path = folder / f"{LESSON}.py"
    path.write_text(text)
    return build_source(path)


def test_cells_get_their_names_points_and_metadata(built):
    cells = {cell.id: cell for cell in built.cells}
    for name, points in POINTS.items():
        solution, check = cells[name].metadata.nbgrader, cells[f"{name}-check"].metadata.nbgrader
        assert (solution.grade_id, solution.solution, solution.grade, solution.locked) == (name, True, False, False)
        assert (check.grade_id, check.grade, check.locked, check.points) == (f"{name}-check", True, True, points)
        assert cells[f"{name}-check"].source == f"checks.{name}({name})"
    assert cells["setup"].metadata.nbgrader.locked and cells["setup"].source == "import math"
    assert [cell.metadata for cell in built.cells if "tags" in cell.metadata] == [{"tags": ["demo"]}] * 2
    for cell in built.cells:
        MetadataValidator().validate_cell(cell)
    assert set(built.metadata) == {"kernelspec", "language_info"}
    nbformat.validate(built)


def test_the_same_source_gives_the_same_bytes(built, tmp_path):
    assert nbformat.writes(built) == nbformat.writes(rebuilt(tmp_path, SOURCE))


def test_other_cells_keep_their_ids_when_one_comes(built, tmp_path):
    """This way, a diff of the release shows only what changed."""
    more = rebuilt(tmp_path, SOURCE.replace("# %% setup=true", "# %% [markdown]\n# New\n\n# %% setup=true"))
    assert {cell.id for cell in built.cells} < {cell.id for cell in more.cells}


def test_cells_of_equal_text_get_different_ids(toy_checks, tmp_path):
    ids = [cell.id for cell in rebuilt(tmp_path, SOURCE + '\n# %% tags=["demo"]\nprint("the end")\n').cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("# %% setup=true", "# %% setup=true points=3", "cell 2 .import math.: unknown option points; expected check,"),
        ("    ### END SOLUTION\n", "", "expected '### BEGIN SOLUTION' and '### END SOLUTION' once"),
        ("    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n", "expected '### BEGIN SOLUTION'"),
        ("import math", "import math\n### BEGIN SOLUTION\n### END SOLUTION", "and in no other; got"),
        ("import math", "import math  # like BEGIN SOLUTION", "and in no other; got"),
        ('# %% check="double"', '# %% [markdown]\n# between\n\n# %% check="double"', "right below its exercise"),
        ('# %% check="double"', '# %% check="ask"', "right below its exercise"),
        ('# %% check="double"\n', '# %% check="double"\nassert double(1) == 2\n', "expected an empty cell for"),
        ('# %% check="double"\n', "", "every exercise needs its check"),
        (DOUBLE_CELL, "", "must be right below its exercise"),
        (DOUBLE_CELL + '# %% check="double"', "", "every exercise needs its check and every check its exercise"),
        ("def double(x):", "def twice(x):", "the cell must define double, but it defines twice"),
        ("def double(x):", "if True:\n  def double(x):", "the cell must define double, but it defines nothing"),
        ('exercise="double"', 'exercise="double it"', "named like a function or a class"),
        ('# %% tags=["demo"]\nprint', '# %% check="nothing"\nprint', "right below its exercise"),
    ],
)  # fmt: skip
def test_a_source_that_breaks_the_pattern_is_refused(toy_checks, tmp_path, old, new, message):
    assert old in SOURCE
    with pytest.raises(SourceError, match=message):
        rebuilt(tmp_path, SOURCE.replace(old, new, 1))


def test_an_exercise_without_a_declared_check_is_refused(toy_checks, tmp_path):
    other = DOUBLE_CELL.replace("double", "triple") + '# %% check="triple"\n'
    with pytest.raises(SourceError, match="autograder/checks has no check 'triple'"):
        rebuilt(tmp_path, SOURCE + "\n" + other)


def test_an_exercise_that_comes_twice_is_refused(toy_checks, tmp_path):
    with pytest.raises(SourceError, match="two cells named 'double'"):
        rebuilt(tmp_path, SOURCE + "\n" + DOUBLE_CELL + '# %% check="double"\n')


def test_a_class_sets_what_counts_and_for_how_much(toy_checks):
    lesson = Lesson(LESSON, ("double", "Counter"), {"double": 5.0, "Counter": 2.25})
    cells = {cell.id: cell for cell in build_source(TOY / f"{LESSON}.py", lesson).cells}
    assert cells["double-check"].source == "checks.double.worth(5)(double)"
    assert cells["Counter-check"].source == "checks.Counter.worth(2.25)(Counter)"
    assert cells["ask-check"].source.startswith("checks.ask(ask)  #") and cells["ask-check"].metadata == {}
    assert [cells[f"{name}-check"].metadata.nbgrader.points for name in lesson.exercises] == [5.0, 2.25]
    for cell in cells.values():
        MetadataValidator().validate_cell(cell)


def test_questions_come_last_with_a_cell_each_for_the_answer(toy_checks, built):
    questions = Question("one", 1.0, "What?"), Question("two", 2.5, "What?")
    notebook = build_source(TOY / f"{LESSON}.py", Lesson(LESSON, tuple(POINTS), POINTS, questions=questions))
    assert notebook.cells[: len(built.cells)] == built.cells
    heading, *cells = notebook.cells[len(built.cells) :]
    assert heading.source.startswith("## Questions")
    assert [cell.source.partition("\n")[0] for cell in cells[::2]] == ["### one · 1 point", "### two · 2.5 points"]
    assert [(cell.id, cell.metadata.nbgrader.points) for cell in cells[1::2]] == [("one", 1.0), ("two", 2.5)]
    nbformat.validate(notebook)
    for cell in notebook.cells:
        MetadataValidator().validate_cell(cell)


def test_a_question_with_a_cells_name_is_refused(toy_checks):
    lesson = Lesson(LESSON, tuple(POINTS), POINTS, questions=(Question("setup", 1.0, "What?"),))
    with pytest.raises(SourceError, match="the question 'setup' has the same name as another cell"):
        build_source(TOY / f"{LESSON}.py", lesson)


@pytest.fixture
def repository(toy_checks, tmp_path, monkeypatch):
    """A repository whose only lesson is the small one."""
    for name in ("SOLUTIONS", "SOURCE", "NOTEBOOKS"):
        monkeypatch.setattr(build, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    (tmp_path / "solutions" / f"{LESSON}.py").write_text(SOURCE)
    return tmp_path


def test_the_release_holds_no_solution_and_no_output(made_toy):
    notebook = made_toy.release()
    cells = {cell.id: cell for cell in notebook.cells}
    assert cells["double"].source.splitlines() == [
        "def double(x):",
        '    """Twice the number."""',
        "    raise NotImplementedError  # your answer",
    ]
    text = nbformat.writes(notebook)
    assert "SOLUTION" not in text and "2 * x" not in text and "math.sqrt" not in text
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    assert "jupytext" not in text
    assert cells["setup"].metadata.deletable is False and cells["double-check"].metadata.editable is False


def test_a_fresh_release_is_no_drift_and_every_change_is(repository, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["build"])
    assert build.main() == 0
    monkeypatch.setattr("sys.argv", ["build", "--check"])
    assert build.main() == 0
    path = repository / "notebooks" / LESSON / f"{LESSON}.ipynb"
    made = path.read_text()

    path.write_text(made.replace("Twice the number", "Thrice the number"))
    capsys.readouterr()
    assert build.main() == 1
    shown = capsys.readouterr()
    assert "Thrice the number" in shown.out and "make notebooks" in shown.err
    path.unlink()
    assert build.main() == 1
    path.write_text(made)
    (path.parent / "stale.ipynb").write_text(made)
    assert build.main() == 1
    (path.parent / "stale.ipynb").unlink()
    assert build.main() == 0


def test_a_lesson_that_is_gone_leaves_no_source(repository):
    build.write_sources([LESSON])
    (repository / "solutions" / f"{LESSON}.py").rename(repository / "solutions" / "02_toy.py")
    build.write_sources(["02_toy"])
    assert [path.name for path in (repository / "source").iterdir()] == ["02_toy"]
