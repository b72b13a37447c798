"""A class's settings, and the class built from them."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import determine_grade, is_grade, is_solution
from sqlalchemy import create_engine
from traitlets.config import Config

from autograder.classroom import settings
from autograder.classroom.directory import CONFIG
from autograder.classroom.settings import TEMPLATE, Late, load
from autograder.gradebook import create as gradebook_create
from autograder.lesson import Lesson, Question, checks_of
from autograder.nbgrader_config import configure
from autograder.release import build as built
from autograder.release import for_class
from autograder.release.build import SourceError
from autograder.sandbox.limits import Limits
from tests.autograder.toy_class import LESSON, TOY, TWO_PARTS

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's gradebook warns

COURSE_ID = "deep-generative-models"
CHOSEN = """
lessons = ["01_toy"]

[lesson.01_toy]
due = 2026-11-02T23:59:00+01:00
exercises = ["Counter", "double"]
points = {double = 7}

[[lesson.01_toy.questions]]
name = "explain"
points = 4
text = "Why is $2x$ even?"
"""


def make_class(folder: Path, settings: str = f'lessons = ["{LESSON}"]\n') -> Path:
    """A class whose only lesson is the small one, in its own folder."""
    for part in ("solutions", "checks"):
        (folder / part).mkdir(parents=True)
    shutil.copy(TOY / f"{LESSON}.py", folder / "solutions")
    shutil.copy(TOY / "checks" / "toy.py", folder / "checks")
    (folder / "course.toml").write_text(settings)
    (folder / "nbgrader_config.py").write_text(CONFIG)
    return folder


def gradebook(folder: Path) -> Gradebook:
    return Gradebook(load(folder).db_url, COURSE_ID)


def notebook(folder: Path, step: str = "release") -> nbformat.NotebookNode:
    return nbformat.read(folder / step / LESSON / f"{LESSON}.ipynb", as_version=4)


# Settings


def test_without_a_file_it_is_a_class_of_all_lessons(tmp_path):
    found = load(tmp_path)
    assert list(found.lessons) == [name for name in built.lessons() if not name.startswith("00_")]
    for name, lesson in found.lessons.items():
        checks = checks_of(name)
        assert lesson.checks() == checks and lesson.exercises == tuple(checks)
        assert lesson.points == {exercise: check.max_points for exercise, check in checks.items()}
        assert (lesson.due, lesson.questions, lesson.check_source) == (None, (), None)
    assert (found.late, found.limits, found.roster) == (None, Limits(), {})
    assert found.db_url == f"sqlite:///{tmp_path}/gradebook.db?timeout=60"
    assert found.course_id == "deep-generative-models"


def test_the_template_shows_every_key_with_its_default(tmp_path):
    unset = load(tmp_path)
    (tmp_path / "course.toml").write_text(TEMPLATE.read_text())
    assert load(tmp_path) == unset
    text = "".join(re.findall(r"(?m)^# (\[.*\n|\w+ = .*\n)", TEMPLATE.read_text()))
    (tmp_path / "course.toml").write_text(text)
    found = load(tmp_path)
    assert found.limits == Limits() and set(tomllib.loads(text)["limits"]) == set(settings._LIMITS)
    assert found.db_url == f"sqlite:///{tmp_path}/gradebook.db?timeout=60"
    assert found.late == Late(0.1, 1.0)
    lesson = found.lessons["03_made_masks"]
    assert lesson.exercises == ("masks", "paths") and lesson.points["masks"] == 6
    assert lesson.due == datetime(2026, 11, 2, 22, 59, tzinfo=UTC)
    assert [question.name for question in lesson.questions] == ["explain"]


def test_what_is_chosen_has_the_notebooks_order_and_its_points(tmp_path):
    lesson = load(make_class(tmp_path, CHOSEN)).lessons[LESSON]
    assert lesson.exercises == ("double", "Counter")
    assert lesson.points == {"double": 7.0, "Counter": 1.5}
    checks = lesson.checks()
    assert list(checks) == ["double", "Counter"]
    assert checks["double"].points == {"whole numbers": 5.6, "fractions": 1.4} and checks["double"].max_points == 7
    assert checks["double"].gates == ("a number",)
    report = checks["double"].run(lambda x: 2 * int(x))
    assert report.points == 5.6 and str(report).startswith("Twice: 5.6 of 7 points")
    assert checks["Counter"].points == {"counts": 1, "apart": 0.5}
    assert lesson.questions == (Question("explain", 4.0, "Why is $2x$ even?"),)


@pytest.mark.parametrize(
    "settings, core_only",
    [
        ("", False),
        ('parts = "core"', True),
        ('[lesson.01_toy]\nparts = "core"', True),
        ('parts = "core"\n[lesson.01_toy]\nparts = "all"', False),
    ],
)
def test_a_class_chooses_the_parts_of_a_lesson(tmp_path, settings, core_only):
    make_class(tmp_path, settings)
    (tmp_path / "solutions" / f"{LESSON}.py").write_text(TWO_PARTS)
    lesson = load(tmp_path).lessons[LESSON]
    assert lesson.core_only == core_only and Lesson.from_json(lesson.to_json()) == lesson
    assert lesson.exercises == (("double", "ask") if core_only else ("double", "ask", "Counter"))


def test_an_exercise_below_the_core_path_is_not_in_a_class_of_the_core_path(tmp_path):
    make_class(tmp_path, 'parts = "core"\n[lesson.01_toy]\nexercises = ["Counter"]')
    (tmp_path / "solutions" / f"{LESSON}.py").write_text(TWO_PARTS)
    with pytest.raises(ValueError, match="'Counter' is not an exercise; expected one of double, ask"):
        load(tmp_path)


def test_a_lesson_that_does_not_go_further_is_its_own_core_path(tmp_path):
    assert not load(make_class(tmp_path, 'parts = "core"')).lessons[LESSON].core_only


def test_a_lesson_travels_as_text(tmp_path):
    lesson = load(make_class(tmp_path, CHOSEN)).lessons[LESSON]
    other = Lesson.from_json(lesson.to_json())
    assert other == lesson and other.digest() == lesson.digest()
    plain = load(tmp_path / "none").lessons["01_likelihood"]
    assert Lesson.from_json(plain.to_json()) == plain


def test_the_digest_changes_with_checks_exercises_and_points_alone(tmp_path):
    def digest(settings: str, *, more: str = "") -> str:
        shutil.rmtree(tmp_path / "class", ignore_errors=True)
        folder = make_class(tmp_path / "class", settings)
        path = folder / "checks" / "toy.py"
        path.write_text(path.read_text() + more)
        return load(folder).lessons[LESSON].digest()

    same = digest(CHOSEN)
    assert same == digest(CHOSEN.replace("2026", "2027").replace("points = 4", "points = 5"))
    others = [
        digest(CHOSEN, more="\n# more"),
        digest(CHOSEN.replace("double = 7", "double = 8")),
        digest(CHOSEN.replace('["Counter", "double"]', '["double"]')),
    ]
    assert len({same, *others}) == 4


def test_the_gradebooks_address_is_good_from_anywhere(tmp_path):
    folder = tmp_path / "a class, 100%"
    folder.mkdir()
    address = load(folder).db_url
    gradebook_create.create(address)
    assert (folder / "gradebook.db").exists()
    postgres = "postgresql://teacher:a%40b@db.example.org:5433/grades"
    (folder / "course.toml").write_text(f'db_url = "{postgres}"')
    # The address names the installed driver.
    assert load(folder).db_url == postgres.replace("postgresql:", "postgresql+psycopg2:")
    assert create_engine(load(folder).db_url).dialect.driver == "psycopg2"


@pytest.mark.parametrize(
    "settings, message",
    [
        ("lessons = [", "course.toml cannot be read: "),
        ("lesons = []", "unknown key 'lesons', did you mean 'lessons'.; expected course_id, db_url, "),
        ('lessons = ["03_made_mask"]', "'03_made_mask' is not a lesson, did you mean '03_made_masks'.; expected one "),
        ('lessons = "03_made_masks"', "lessons: expected a list of names, got '03_made_masks'"),
        ('lessons = ["02_nade", "02_nade"]', "expected each name once"),
        ("lessons = []", "expected at least one of 00_"),
        ('lessons = ["02_nade"]\n[lesson.01_toy]', "'01_toy' is not a lesson of this class; expected one of 02_nade"),
        ('parts = "cor"', "parts: 'cor' is not a choice of parts, did you mean 'core'"),
        ("[lesson.01_toy]\nparts = 3", "lesson.01_toy.parts: '3' is not a choice of parts; expected one of all, core"),
        ('[lesson.01_toy]\nparts = "core"', "01_toy has no heading '## Going further'"),
        ("lesson = 3", "lesson: expected a table of keys and values, got 3"),
        ("[lesson.01_toy]\nexercise = []", "unknown key 'exercise', did you mean 'exercises'"),
        ('[lesson.01_toy]\nexercises = ["Conter"]', "'Conter' is not an exercise, did you mean 'Counter'"),
        ("[lesson.01_toy]\nexercises = []", "expected at least one exercise or question"),
        ("[lesson.01_toy]\npoints = {dubble = 1}", "'dubble' is not an exercise that counts, did you mean 'double'"),
        ('[lesson.01_toy]\nexercises = ["ask"]\npoints = {double = 1}', "'double' is not an exercise that counts"),
        ("[lesson.01_toy]\npoints = {double = 0}", "points.double: expected a number above 0, got 0"),
        ("[lesson.01_toy]\npoints = {double = nan}", "points.double: expected a number above 0, got nan"),
        ("[lesson.01_toy]\npoints = {double = inf}", "points.double: expected a number above 0, got inf"),
        ("[lesson.01_toy]\npoints = {double = true}", "points.double: expected a number above 0, got True"),
        ("[lesson.01_toy]\ndue = 2026-11-02T23:59:00", "due: expected a date, time and time zone like 2026-"),
        ("[lesson.01_toy]\ndue = 2026-11-02", "due: expected a date, time and time zone"),
        ('[lesson.01_toy]\ndue = "tomorrow"', "due: expected a date, time and time zone .* got tomorrow"),
        ("[lesson.01_toy.questions]\nname = 'a'", r"questions: expected \[\[lesson.01_toy.questions\]\]"),
        ("[[lesson.01_toy.questions]]\nname = 'a'\npoints = 1", "expected name, points and text, text is missing"),
        ("[[lesson.01_toy.questions]]\nname = 'a b'\npoints = 1\ntext = 'c'", "a letter first, got 'a b'"),
        ("[[lesson.01_toy.questions]]\nname = 'a'\npoints = -1\ntext = 'c'", "a.points: expected a number above 0"),
        ("[[lesson.01_toy.questions]]\nname = 'a'\npoints = 1\ntext = ' '", "text: expected the question"),
        ("[[lesson.01_toy.questions]]\nname = 'ask'\npoints = 1\ntext = 'c'", "'ask' is taken by an exercise"),
        ("[[lesson.01_toy.questions]]\nname = 'ask-check'\npoints = 1\ntext = 'c'", "'ask-check' is taken"),
        ("[[lesson.01_toy.questions]]\nname = 'a'\npoints = 1\ntext = 'c'\n" * 2, "'a' is taken by an exercise or a"),
        ("late = {}", "late: expected per_day"),
        ("late = {per_day = 1.1}", "late.per_day: expected a number above 0, at most 1, got 1.1"),
        ("late = {per_day = 0.1, most = 1}", "late: unknown key 'most'"),
        ('course_id = "a b"', "course_id: expected letters, digits, .*; got 'a b'"),
        ("course_id = 5", "course_id: expected .* got 5"),
        ('course_id = "../x"', "course_id: expected "),
        ("db_url = 5", "db_url: expected an address like"),
        ('db_url = "gradebook.db"', "db_url: expected an address like"),
        ('db_url = "mysql://host/grades"', "expected sqlite:///FILE or postgresql://HOST/NAME"),
        ('db_url = "sqlite://"', "expected sqlite:///FILE or"),
        ("[limits]\nmemory = 3", "limits: unknown key 'memory', did you mean 'memory_mib'"),
        ("[limits]\ncell_seconds = 0", "limits.cell_seconds: expected a number above 0, got 0"),
        ("[limits]\nfiles = 2.5", "limits.files: expected a whole number, got 2.5"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong_are_refused_in_words(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        load(make_class(tmp_path, settings))


def test_limits_have_the_units_of_their_names(tmp_path):
    (tmp_path / "course.toml").write_text("[limits]\ncheck_seconds = 2.5\nmemory_mib = 1024\nfiles = 99")
    assert load(tmp_path).limits == Limits(check=2.5, memory=2**30, files=99)


# The roster


def test_a_roster_is_read_by_id(tmp_path):
    (tmp_path / "roster.csv").write_text('\ufeffid,last_name,first_name,section\nann,"Lee, PhD", Ann ,3\n7,,,\n')
    found = load(tmp_path).roster
    assert list(found) == ["ann", "7"]
    assert found["ann"] == {"first_name": "Ann", "last_name": "Lee, PhD", "email": "", "lms_user_id": ""}


@pytest.mark.parametrize(
    "text, message",
    [
        ("name,email\nann,a@b\n", "expected a column id, found name, email"),
        ("", "expected a column id, found nothing"),
        ("id\nann\nbob\nann\n", "line 4: the id 'ann' appears twice"),
        ("id,email\n,a@b\n", "line 2: expected an id that can name a folder, got ''"),
        ("id\n../bob\n", "line 2: expected an id that can name a folder, got '../bob'"),
        ("id\n.hidden\n", "line 2: expected an id that can name a folder"),
        ("id\n\xe9\n", "roster.csv: "),
    ],
)
def test_a_roster_that_is_wrong_is_refused_in_words(tmp_path, text, message):
    (tmp_path / "roster.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


# Private variants


def test_a_variant_may_replace_one_check_of_the_course(tmp_path):
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "likelihood.py").write_text(
        "from autograder.checking.check import check, holds\n"
        "from autograder.checks.likelihood import *\n"
        "@check(points={'is six': 3}, hints=['a', 'b', 'c'])\n"
        "def kl(student, rng):\n"
        "    'Six'\n"
        "    yield holds('is six', student.call() == 6, because='not six')\n"
    )
    own, common = load(tmp_path).lessons["01_likelihood"], load(tmp_path / "none").lessons["01_likelihood"]
    assert own.exercises == common.exercises and own.points == {**common.points, "kl": 3.0}
    checks = own.checks()
    assert {name for name in checks if checks[name] is not common.checks()[name]} == {"kl"}
    assert checks["kl"].run(lambda: 6).points == 3
    # The lesson's name is part of the seed of the cases.
    assert checks["kl"].lesson == "likelihood"


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("checks/likelihod.py", "", "'likelihod' is not the name of a lesson's checks, did you mean 'likelihood'"),
        ("checks/likelihood.py", "1 / 0", "the checks of 01_likelihood cannot be loaded: ZeroDivisionError"),
        ("checks/likelihood.py", "def f(:", "the checks of 01_likelihood cannot be loaded: SyntaxError"),
        ("checks/likelihood.py", "from autograder.check import check", "moved to autograder.checking.check: change"),
        ("checks/likelihood.py", "from autograder.checks.common import real", "moved to autograder.checking.answers, "),
        ("solutions/likelihood.py", "", "expected a lesson's name like 03_made_masks.py"),
    ],
)
def test_a_variant_that_is_wrong_is_refused_in_words(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


# The built class


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = make_class(tmp_path_factory.mktemp("class") / "class", CHOSEN)
    for_class.build(load(folder))
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A built class that a test may change."""
    return shutil.copytree(made, tmp_path / "class")


def test_exercises_that_do_not_count_stay_as_practice(made):
    cells = {cell.id: cell for cell in notebook(made).cells}
    assert "nbgrader" not in cells["ask-check"].metadata
    assert cells["ask-check"].source == "checks.ask(ask)  # practice, without points"
    # Grading runs it, since another answer may call it; it has no points.
    assert is_solution(cells["ask"]) and not is_grade(cells["ask"])
    assert cells["ask"].source.endswith("raise NotImplementedError  # your answer")
    assert cells["double-check"].source == "checks.double.worth(7)(double)"
    assert cells["Counter-check"].source == "checks.Counter(Counter, go_on=True)"
    points = {name: cell.metadata.nbgrader.points for name, cell in cells.items() if is_grade(cell)}
    assert points == {"double-check": 7.0, "Counter-check": 1.5, "explain": 4.0}


def test_a_question_waits_at_the_end_for_a_persons_points(made):
    *_, heading, text, answer = notebook(made).cells
    assert heading.source == built.QUESTIONS
    assert text.source == "### explain · 4 points\n\nWhy is $2x$ even?"
    assert answer.id == "explain" and answer.cell_type == "markdown" and answer.source == settings.ANSWER
    assert is_solution(answer) and is_grade(answer)
    assert determine_grade(answer) == (0, 4.0)  # not answered
    answer.source = "It is twice a number."
    assert determine_grade(answer) == (None, 4.0)


def test_source_and_release_lie_in_the_class(made):
    source, release = nbformat.writes(notebook(made, "source")), nbformat.writes(notebook(made))
    assert "return 2 * x" in source and "return 2 * x" not in release
    assert not {"BEGIN SOLUTION", "math.sqrt"} & set(release.split())
    assert not list(built.NOTEBOOKS.glob("*toy*")) and not list(built.SOURCE.glob("*toy*"))


def test_students_practise_with_the_checks_beside_their_notebook(made, tmp_path):
    folder = shutil.copytree(made / "release" / LESSON, tmp_path / "student")
    assert sorted(path.name for path in folder.iterdir()) == [f"{LESSON}.ipynb", "checks_toy.py"]
    code = [cell.source for cell in notebook(made, "source").cells if cell.cell_type == "code"]
    assert sum("import checks_toy as checks" in source for source in code) == 1
    script = "\n".join([*code, "print(checks.__file__)", "print(checks.double.worth(7)(double))"])
    environment = os.environ | {"TOY_CHECKS": "nowhere", "PYTHONPATH": str(built.ROOT)}
    run = [sys.executable, "-c", script]
    shown = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert str(folder / "checks_toy.py") in shown and "Twice: 7 of 7 points" in shown


def test_the_gradebook_has_points_and_due_dates(made):
    with gradebook(made) as book:
        assert [assignment.name for assignment in book.assignments] == [LESSON]
        assignment = book.find_assignment(LESSON)
        assert assignment.duedate == datetime(2026, 11, 2, 22, 59)  # nbgrader's are in UTC
        assert assignment.max_score == 12.5
        assert {cell.name for cell in assignment.notebooks[0].grade_cells} == {
            "double-check",
            "Counter-check",
            "explain",
        }


def test_plain_nbgrader_makes_the_same_release_with_the_instructors_own_settings(folder):
    with (folder / "nbgrader_config.py").open("a") as file:
        file.write('c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # yours"}\n')
    for_class.build(load(folder))
    assert "raise NotImplementedError  # yours" in nbformat.writes(notebook(folder))
    before = (folder / "release" / LESSON / f"{LESSON}.ipynb").read_bytes()
    shutil.rmtree(folder / "release")
    nbgrader = str(Path(sys.executable).with_name("nbgrader"))
    environment = os.environ | {"PYTHONPATH": str(built.ROOT)}
    subprocess.run([nbgrader, "generate_assignment", LESSON], cwd=folder, env=environment, check=True)
    assert (folder / "release" / LESSON / f"{LESSON}.ipynb").read_bytes() == before


def submit(folder: Path, points: float) -> None:
    """Write, as grading does, a student with points from the judge and from a person."""
    with gradebook(folder) as book:
        book.add_student("ann")
        submission = book.add_submission(LESSON, "ann")
        for grade in submission.notebooks[0].grades:
            grade.auto_score, grade.manual_score = (None, 3.0) if grade.name == "explain" else (points, None)
        book.db.commit()


def grades(folder: Path) -> dict[str, tuple[float, float]]:
    with gradebook(folder) as book:
        submission = book.find_submission(LESSON, "ann")
        return {grade.name: (grade.score, grade.max_score) for grade in submission.notebooks[0].grades}


def test_points_and_due_dates_change_and_grades_stay(folder):
    submit(folder, 1.0)
    changed = CHOSEN.replace("double = 7", "double = 10").replace("points = 4", "points = 5")
    (folder / "course.toml").write_text(changed.replace("due = 2026", "due = 2027"))
    for_class.build(load(folder))
    assert grades(folder) == {"double-check": (1.0, 10.0), "Counter-check": (1.0, 1.5), "explain": (3.0, 5.0)}
    with gradebook(folder) as book:
        assert book.find_assignment(LESSON).duedate.year == 2027
    (folder / "course.toml").write_text(re.sub("due = .*\n", "", changed))
    for_class.build(load(folder))
    with gradebook(folder) as book:
        assert book.find_assignment(LESSON).duedate is None


@pytest.mark.parametrize("old, new", [('"Counter", "double"', '"ask", "double"'), ('name = "explain"', 'name = "why"')])
def test_cells_with_points_come_and_go_only_before_work_is_graded(folder, old, new):
    before = notebook(folder)
    submit(folder, 1.0)
    (folder / "course.toml").write_text(CHOSEN.replace(old, new))
    with pytest.raises(ValueError, match="01_toy: work of 1 students is graded, so nbgrader lets nobody add"):
        for_class.build(load(folder))
    assert notebook(folder) == before and len(grades(folder)) == 3

    with gradebook(folder) as book:
        book.remove_assignment(LESSON)
    for_class.build(load(folder))
    assert notebook(folder) != before


@pytest.mark.parametrize("handed_in", [False, True])
def test_a_lesson_that_is_left_out_leaves_but_what_has_work_or_is_the_instructors_stays(folder, handed_in):
    with gradebook(folder) as book:
        book.update_or_create_assignment("exam")
        if handed_in:
            book.add_student("ann")
            book.add_submission(LESSON, "ann")
    mine = folder / "source" / "exam" / "exam.ipynb"
    mine.parent.mkdir()
    mine.write_text("{}")
    (folder / "course.toml").write_text('lessons = ["00_start_here"]')
    for_class.build(load(folder))
    assert [path.name for path in (folder / "release").iterdir()] == ["00_start_here"]
    assert sorted(path.name for path in (folder / "source").iterdir()) == ["00_start_here", "exam"]
    with gradebook(folder) as book:
        still = {LESSON} if handed_in else set()
        assert {assignment.name for assignment in book.assignments} == {"00_start_here", "exam"} | still


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("    ### END SOLUTION\n", "", "expected pairs of '### BEGIN SOLUTION'"),
        (
            "from autograder.checks import toy",
            "from autograder.checks import ton",
            "expected the line 'from autograder",
        ),
        ("def double(x):", "def twice(x):", "the cell must define double"),
    ],
)
def test_a_variants_source_that_is_wrong_changes_nothing(folder, old, new, message):
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    path = folder / "solutions" / f"{LESSON}.py"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SourceError, match=message):
        for_class.build(load(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == before


# The gradebook is created once


KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from autograder.gradebook.create import create
from autograder.classroom.settings import load
from pathlib import Path

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

create(load(Path(sys.argv[1])).db_url)
"""


def run(script: str, folder: Path, *words: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(built.ROOT)}
    return subprocess.Popen([sys.executable, "-c", script, str(folder), *words], env=environment)


def tables(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "gradebook.db") as connection:
        return sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


def test_a_gradebook_is_there_whole_or_not_at_all(made, tmp_path):
    folder = make_class(tmp_path / "class", CHOSEN)
    for statements in (1, 35, 43):  # out of 43, before the commit
        killed = run(KILLED, folder, str(statements))
        assert killed.wait() == -signal.SIGKILL
        assert tables(folder) == []
    for_class.build(load(folder))
    assert tables(folder) == tables(made) and "alembic_version" in tables(made)


def test_two_builds_at_once_make_one_class(made, tmp_path):
    folder = make_class(tmp_path / "class", CHOSEN)
    script = "import sys; from pathlib import Path; from autograder.classroom.settings import load; "
    script += "from autograder.release.for_class import build; "
    script += "build(load(Path(sys.argv[1])))"
    both = [run(script, folder), run(script, folder)]
    assert [process.wait() for process in both] == [0, 0]
    assert notebook(folder) == notebook(made)
    with gradebook(folder) as book:
        assert len(book.find_assignment(LESSON).notebooks[0].grade_cells) == 3


# Lateness


@pytest.mark.parametrize(
    "settings, seconds, score, penalty",
    [
        ("late = {per_day = 0.1}", 0, 10.0, None),
        ("late = {per_day = 0.1}", 1, 10.0, 1.0),
        ("late = {per_day = 0.1}", 86400, 10.0, 1.0),
        ("late = {per_day = 0.1}", 86401, 10.0, 2.0),
        ("late = {per_day = 0.1}", 3 * 86400, 10.0, 3.0),
        ("late = {per_day = 0.1}", 99 * 86400, 10.0, 10.0),
        ("late = {per_day = 0.1, at_most = 0.25}", 99 * 86400, 10.0, 2.5),
        ("late = {per_day = 0.1}", 5, 0.0, None),
        ("", 99 * 86400, 10.0, None),
    ],
)
def test_each_started_day_costs_its_share(tmp_path, settings, seconds, score, penalty):
    (tmp_path / "course.toml").write_text(settings)
    config = Config()
    configure(config, tmp_path)
    step = AssignLatePenalties(config=config)
    step.init_plugin()
    assert step.plugin_inst.late_submission_penalty("ann", score, seconds) == penalty
