"""The build: the sources that it accepts, the notebooks that it makes, and that it is reproducible."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from autograder.classroom.settings import ANSWER
from autograder.lesson import Lesson, Question
from autograder.release import build
from autograder.release.build import SourceError, build_source
from tests.autograder.toy_class import LESSON, POINTS, SOURCE, TOY, TWO_PARTS

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
    # Only below the last check is there given code to go on with.
    calls = [cells[f"{name}-check"].source for name in POINTS]
    assert calls == ["checks.double(double)", "checks.ask(ask)", "checks.Counter(Counter, go_on=True)"]
    assert cells["setup"].metadata.nbgrader.locked and cells["setup"].source == "import math"
    assert [cell.metadata for cell in built.cells if "tags" in cell.metadata] == [{"tags": ["demo"]}] * 2
    for cell in built.cells:
        MetadataValidator().validate_cell(cell)
    assert set(built.metadata) == {"kernelspec", "language_info"}
    nbformat.validate(built)


def test_reading_notebooks_builds_no_parser_of_addresses():
    """Each command would take a second and a half longer."""
    code = "import sys, autograder.release.build; assert 'nbformat' in sys.modules and 'lark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=build.ROOT, check=True)


def test_the_same_source_gives_the_same_bytes(built, tmp_path):
    assert nbformat.writes(built) == nbformat.writes(rebuilt(tmp_path, SOURCE))


def test_other_cells_keep_their_ids_when_one_comes(built, tmp_path):
    """This way, a diff of the release shows only what changed."""
    more = rebuilt(tmp_path, SOURCE.replace("# %% setup=true", "# %% [markdown]\n# New\n\n# %% setup=true"))
    assert {cell.id for cell in built.cells} < {cell.id for cell in more.cells}


def test_cells_of_equal_text_get_different_ids(toy_checks, tmp_path):
    ids = [cell.id for cell in rebuilt(tmp_path, SOURCE + '\n# %% tags=["demo"]\nprint("the end")\n').cells]
    assert len(set(ids)) == len(ids)


def test_a_class_shows_each_of_its_methods(toy_checks, tmp_path):
    old = "        self.total = 0\n\n    def add(self, k):\n"
    new = old.replace("    def", "        ### END SOLUTION\n\n    def") + "        ### BEGIN SOLUTION\n"
    (cell,) = (cell for cell in rebuilt(tmp_path, SOURCE.replace(old, new)).cells if cell.id == "Counter")
    assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 2


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("# # A lesson", "# A lesson", "expected the title, '# ...', as the first line of the first cell"),
        ("# %% setup=true", "# %% setup=true points=3", "cell 2 .import math.: unknown option points; expected check,"),
        ("    ### END SOLUTION\n", "", "expected pairs of '### BEGIN SOLUTION' and '### END SOLUTION'"),
        ("    return 2 * x\n", "    ### END SOLUTION\n", "expected pairs of '### BEGIN SOLUTION'"),
        ("    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n", "expected pairs of '### BEGIN SOLUTION'"),
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
    assert cells["Counter-check"].source == "checks.Counter.worth(2.25)(Counter, go_on=True)"
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


def test_the_times_are_below_the_title_and_beside_each_section_that_goes_further(toy_checks, built, tmp_path):
    title, *_ = built.cells
    assert title.source == "# A lesson for the tests\n\n**Time**: about 40 minutes, 3 exercises, 5 points."
    title, *cells = rebuilt(tmp_path, TWO_PARTS).cells
    assert title.source == (
        "# A lesson for the tests\n\n**Core path**: about 25 minutes, 2 exercises, 3.5 points. "
        "**Going further**: about 15 minutes, 1 exercise, 1.5 points, in one section."
    )
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert texts[-2:] == [
        "## Going further\n\nMore.",
        "### Counting · about 15 minutes\n\n#### Exercise 3 · Count",
    ]
    assert title.id == built.cells[0].id  # the ids depend on the source alone


@pytest.mark.parametrize("words, time", [(20, "1 minute"), (330, "3 minutes"), (800, "7 minutes"), (850, "10 minutes")])
def test_short_sections_are_timed_to_a_minute(toy_checks, tmp_path, words, time):
    source = f"{TWO_PARTS}\n# %% [markdown]\n# ### Short\n# {words * 'word '}\n"
    assert rebuilt(tmp_path, source).cells[-1].source.startswith(f"### Short · about {time}\n")


def test_a_class_may_have_the_core_path_alone(toy_checks, tmp_path):
    path = tmp_path / f"{LESSON}.py"
    path.write_text(TWO_PARTS)
    whole = build_source(path)
    question = Question("why", 2.0, "Why?")
    core = {"double": 2.5, "ask": 4.0}
    title, *cells = build_source(path, Lesson(LESSON, tuple(core), core, questions=(question,), core_only=True)).cells
    assert title.source.endswith("**Time**: about 25 minutes, 2 exercises, 6.5 points.")
    ids = [cell.id for cell in whole.cells]
    core_ids = ids[1 : ids.index("going-further")]
    assert [cell.id for cell in cells[: len(core_ids)]] == core_ids
    headings = [cell.source.partition("\n")[0] for cell in cells[len(core_ids) :]]
    assert headings == ["## Questions", "### why · 2 points", ANSWER]


def test_a_core_path_over_its_budget_is_refused_with_what_counts_how_much(toy_checks, tmp_path):
    def text(words):
        return "# %% [markdown]\n# " + words * "word " + "\n\n# %% setup=true"

    over = SOURCE.replace("# %% setup=true", text(3500)), TWO_PARTS.replace("# %% setup=true", text(3500))
    rebuilt(tmp_path, over[0])  # not yet in two parts
    with pytest.raises(SourceError, match="core path takes 58 minutes: 31.9 for 3,511 words, 25 for 2 exercises, 0.7"):
        rebuilt(tmp_path, over[1])
    rebuilt(tmp_path, TWO_PARTS.replace("# %% setup=true", text(3400)))
    rebuilt(tmp_path, TWO_PARTS + "\n" + text(9000).removesuffix("# %% setup=true"))  # what goes further may be long
    clinics = "# %% [markdown]\n" + 6 * "# ## Bug clinic\n" + "\n# %% setup=true"
    with pytest.raises(SourceError, match="131 minutes: .* 105 for 6 bug clinics, .*; expected at most 120 minutes"):
        rebuilt(tmp_path, TWO_PARTS.replace("# %% setup=true", clinics))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("# ### Counting", "# Counting", "at least one section"),
        ("# ### Counting", "# ## Counting", "write its sections as '### ...'"),
        ("# ### Counting", "# ## Going further", "once, as the first line of a Markdown cell"),
        ("# ## Going further", "# Text.\n#\n# ## Going further", "once, as the first line of a Markdown cell"),
        ("import math", "import math\n" + 20 * "x = 1\n", "21 lines of visible code, expected at most 20: fold it"),
    ],
)
def test_a_lesson_in_two_parts_that_breaks_their_pattern_is_refused(toy_checks, tmp_path, old, new, message):
    assert old in TWO_PARTS
    with pytest.raises(SourceError, match=message):
        rebuilt(tmp_path, TWO_PARTS.replace(old, new, 1))


FOLDED = '# %% tags=["demo"] folded="Prints the end."\n' + 25 * "x = 1\n\n"


def test_folded_code_is_hidden_with_a_line_above_that_says_what_it_does(toy_checks, tmp_path):
    *_, line, cell = rebuilt(tmp_path, f"{TWO_PARTS}\n{FOLDED}").cells
    assert line.cell_type == "markdown" and line.source == "*Folded code:* Prints the end."
    assert cell.metadata == {"tags": ["demo"], "jupyter": {"source_hidden": True}}
    setup = rebuilt(tmp_path, SOURCE.replace("setup=true", 'setup=true folded="Imports."')).cells[2]
    assert setup.metadata.jupyter.source_hidden and setup.metadata.nbgrader.locked
    MetadataValidator().validate_cell(setup)


@pytest.mark.parametrize(
    "old, new",
    [
        ('# %% exercise="double"', '# %% exercise="double" folded="Doubles."'),
        ('# %% check="double"', '# %% check="double" folded="Checks."'),
        ("# %% setup=true", "# %% setup=true folded=true"),
        ("# %% [markdown]", '# %% [markdown] folded="Text."'),
    ],
)
def test_only_given_code_is_folded(toy_checks, tmp_path, old, new):
    with pytest.raises(SourceError, match='expected folded="what it does" on a cell of given code'):
        rebuilt(tmp_path, SOURCE.replace(old, new, 1))


LOOP = """
# %% [markdown]
# Now write its training loop.

# %% loop="train"
def train(counter):
    ### BEGIN SOLUTION
    counter.add(1)
    ### END SOLUTION
"""


def test_a_training_loop_makes_the_exercise_above_the_students_own_model(toy_checks, tmp_path):
    title, *_, loop = rebuilt(tmp_path, SOURCE.replace('# %% tags=["demo"]\nprint("the end")\n', LOOP)).cells
    assert title.source.endswith("**Time**: about 55 minutes, 3 exercises, 5 points.")
    assert (loop.id, loop.metadata.nbgrader.solution, loop.metadata.nbgrader.grade) == ("train", True, False)
    MetadataValidator().validate_cell(loop)


@pytest.mark.parametrize(
    "place, loop, message",
    [
        ("# %% setup=true", LOOP, "below the exercise of its model"),
        ('# %% check="ask"', LOOP, "the check 'ask' must be right below its exercise"),
        ('# %% tags=["demo"]\nprint', LOOP.replace("def train", "def fit"), "the cell must define train"),
        ('# %% tags=["demo"]\nprint', LOOP.replace("    ### END SOLUTION\n", ""), "in an exercise's or a loop's cell"),
    ],
)
def test_a_training_loop_out_of_place_is_refused(toy_checks, tmp_path, place, loop, message):
    with pytest.raises(SourceError, match=message):
        rebuilt(tmp_path, SOURCE.replace(place, f"{loop}\n{place}", 1))


def test_an_outcome_needs_a_guess_above(toy_checks, tmp_path):
    asked = '\n# %% tags=["demo"]\nguess("mass", ...)\n'
    shown = '\n# %% tags=["demo"]\noutcome("mass", 1)\n'
    rebuilt(tmp_path, SOURCE + asked + shown)
    for text in (SOURCE + shown, SOURCE + shown + asked, SOURCE + asked.replace("mass", "NLL") + shown):
        with pytest.raises(SourceError, match="expected guess.'mass', .... above outcome.'mass'"):
            rebuilt(tmp_path, text)


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
    assert "    not in two parts, 38 minutes: 0.1 for 14 words, 37.5 for 3 exercises, " in capsys.readouterr().out
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
