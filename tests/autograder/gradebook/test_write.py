"""The only writer of the gradebook, on SQLite and a real PostgreSQL server: it writes what nbgrader would."""

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nbgrader import api
from sqlalchemy import create_engine, text

from autograder.classroom.directory import nbgrader_settings
from autograder.classroom.settings import load, load_gradebook
from autograder.gradebook.write import COURSE_ID, Gradebook, GradebookError
from tests.autograder.toy_class import LESSON, POINTS, SETTINGS, ToyClass, answered

SCORES = {f"{name}-check": points for name, points in POINTS.items()}
NOBODY = 65534
DUE = "2026-01-01T12:00:00+00:00"
LATE = f"""{SETTINGS}
[lesson.{LESSON}]
due = {DUE}
"""
WITH_QUESTION = f"""{LATE}
[[lesson.{LESSON}.questions]]
name = "explain"
points = 4
text = "Why?"
"""


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[str]:
    """The address, without database, of a private PostgreSQL server; fails if PostgreSQL is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [os.path.dirname(shutil.which("initdb") or "")]
    programs = Path(found[-1])
    assert (programs / "initdb").exists(), "there is no PostgreSQL server: run tools/system-packages database"
    # PostgreSQL refuses to run as root, and a socket's path may have at most 107 characters.
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/postgres-XXXXXX"], text=True).strip())
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    if who:
        os.chown(folder, NOBODY, NOBODY)
    about = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **who}
    data, options = folder / "data", f"-k {folder} -c listen_addresses='' -c fsync=off"
    subprocess.run([programs / "initdb", "-D", data, "-U", "grader", "-A", "trust", "--no-sync"], **about)
    try:
        start = [programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"]
        subprocess.run(start, **about)
        yield f"postgresql://grader@/{{}}?host={folder}"
    finally:
        subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **about)
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def graded(request, made_toy, tmp_path) -> ToyClass:
    """A class with an empty gradebook, due dates and a question for a person, in either database."""
    toy = made_toy.copy(tmp_path)
    address = ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        name = f"course_{os.urandom(4).hex()}"
        maker = create_engine(server.format("postgres").replace("://", "+psycopg2://"), isolation_level="AUTOCOMMIT")
        with maker.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        maker.dispose()
        address = f'db_url = "{server.format(name)}"\n'
    toy.set(f"{address}late = {{per_day = 0.1}}\n{WITH_QUESTION}")
    return toy


def opened(toy: ToyClass) -> Gradebook:
    return Gradebook(load_gradebook(toy.folder).db_url, nbgrader_settings(toy.folder))


def nbgraders(toy: ToyClass) -> api.Gradebook:
    return api.Gradebook(load_gradebook(toy.folder).db_url, COURSE_ID)


def written(toy: ToyClass, answer: float | None = None, time: str | None = None, **scores: float) -> None:
    points = SCORES | {f"{name}-check": value for name, value in scores.items()}
    with opened(toy) as book:
        book.write("ada", LESSON, time, points | {"explain": answer}, frozenset({"ask"}))


def test_what_is_written_is_what_nbgrader_reads(graded):
    written(graded, time="2026-01-01T10:00:00+00:00", double=2.0)
    with nbgraders(graded) as book:
        submission = book.find_submission(LESSON, "ada")
        assert (submission.score, submission.max_score, submission.needs_manual_grade) == (4.5, 9.0, True)
        assert submission.timestamp == datetime(2026, 1, 1, 10)
        assert book.find_grade("double-check", LESSON, LESSON, "ada").to_dict()["auto_score"] == 2.0
        assert book.find_grade("explain", LESSON, LESSON, "ada").needs_manual_grade
        assert not book.find_grade("double-check", LESSON, LESSON, "ada").needs_manual_grade
        assert book.find_comment("ask", LESSON, LESSON, "ada").auto_comment == "No response."
        assert book.find_comment("double", LESSON, LESSON, "ada").auto_comment is None


def test_what_a_person_wrote_outlasts_a_new_submission(graded):
    written(graded)
    with nbgraders(graded) as book:
        grade = book.find_grade("explain", LESSON, LESSON, "ada")
        grade.manual_score, grade.needs_manual_grade, grade.extra_credit = 3.0, False, 0.5
        book.find_comment("double", LESSON, LESSON, "ada").manual_comment = "well done"
        book.db.commit()
    with opened(graded) as book:
        book.clear("ada", LESSON)
    with nbgraders(graded) as book:
        assert book.find_submission(LESSON, "ada").score == 3.5
        assert {grade.auto_score for grade in book.find_submission_notebook(LESSON, LESSON, "ada").grades} == {None}
    written(graded, double=0.5)
    with nbgraders(graded) as book:
        grade = book.find_grade("explain", LESSON, LESSON, "ada")
        assert (grade.manual_score, grade.extra_credit, grade.needs_manual_grade) == (3.0, 0.5, True)
        assert book.find_comment("double", LESSON, LESSON, "ada").comment == "well done"
        assert book.find_submission(LESSON, "ada").score == 0.5 + 1.0 + 1.5 + 3.5


def test_writing_twice_counts_nothing_twice(graded):
    written(graded, answer=0.0)
    before = graded.rows()
    written(graded, answer=0.0)
    assert graded.rows() == before
    assert len(before["grades"]) == 4 and len(before["comments"]) == 4


@pytest.mark.parametrize("days, penalty", [(-1, None), (0.5, 0.5), (2.5, 1.5), (30, 5.0)])
def test_late_work_loses_what_the_settings_say(graded, days, penalty):
    time = datetime.fromisoformat(DUE) + timedelta(days=days)
    written(graded, time=time.isoformat())
    assert [row[-1] for row in graded.rows()["notebooks"]] == [penalty]


def test_an_extension_counts_at_the_next_run(graded):
    written(graded, time="2026-01-03T10:00:00+00:00")
    with nbgraders(graded) as book:
        assert book.find_submission_notebook(LESSON, LESSON, "ada").late_submission_penalty == 1.0
        book.grant_extension(LESSON, "ada", days=1)
    with opened(graded) as book:
        book.penalise("ada", LESSON)
    with nbgraders(graded) as book:
        assert book.find_submission_notebook(LESSON, LESSON, "ada").late_submission_penalty == 0.5
        book.grant_extension(LESSON, "ada", days=3)
    with opened(graded) as book:
        book.penalise("ada", LESSON)
    with nbgraders(graded) as book:
        assert book.find_submission_notebook(LESSON, LESSON, "ada").late_submission_penalty is None


def test_an_extension_of_what_is_never_due_is_no_error(toy):
    toy.set(SETTINGS)
    with opened(toy) as book:
        book.write("ada", LESSON, "2026-01-03T10:00:00+00:00", SCORES, frozenset())
    with nbgraders(toy) as book:
        book.grant_extension(LESSON, "ada", days=1)
    with opened(toy) as book:
        book.penalise("ada", LESSON)
    assert [row[-1] for row in toy.rows()["notebooks"]] == [None]


def test_the_roster_is_enrolled_and_kept_up_to_date(graded):
    written(graded)
    for email in ("ada@example.org", "ada@example.net"):
        with opened(graded) as book:
            book.enrol({"ada": {"first_name": "Ada", "email": email, "last_name": ""}, "bob": {}})
    assert graded.rows()["students"] == [
        ("ada", "Ada", None, "ada@example.net", None),
        ("bob", None, None, None, None),
    ]


def test_what_fails_half_way_is_not_written(graded):
    written(graded, answer=0.0)
    before = graded.rows()
    with opened(graded) as book, pytest.raises(KeyError):
        book.write("ada", LESSON, None, {"double-check": 1.0}, frozenset())
    assert graded.rows() == before


def test_a_gradebook_of_another_build_is_told(toy):
    (toy.folder / "course.toml").write_text(f"{SETTINGS}[lesson.{LESSON}]\npoints = {{ask = 7}}\n")
    with opened(toy) as book, pytest.raises(ValueError, match="gives ask-check 1 points, the class's settings 7: "):
        book.check(load(toy.folder).lessons[LESSON])
    with opened(toy) as book, pytest.raises(ValueError, match="does not know the lesson 02_none"):
        book.clear("ada", "02_none")


def test_no_server_is_told(toy):
    with pytest.raises(GradebookError, match="nowhere.*the gradebook cannot be used: .*nowhere"):
        Gradebook("postgresql+psycopg2://grader:password@/none?host=/nowhere")
    with pytest.raises(GradebookError) as told:
        Gradebook("postgresql+psycopg2://grader:password@/none?host=/nowhere")
    assert "password" not in str(told.value)


@pytest.mark.parametrize("graded", ["postgresql"], indirect=True)
def test_a_class_in_postgresql(graded):
    """A class from submissions to nbgrader's own commands; other tests cover SQLite."""
    graded.submit("ada", graded.source()).with_name("timestamp.txt").write_text("2026-01-01 13:00:00 UTC")
    graded.submit("bob", answered(graded.release(), explain="Because."))
    statuses = graded.grade()
    assert {student: status.status for student, status in statuses.items()} == {"ada": "graded", "bob": "graded"}
    assert graded.gradebook("ada") == POINTS | {"explain": 0.0}
    assert graded.gradebook("bob") == dict.fromkeys(POINTS, 0.0) | {"explain": None}
    assert [row[-1] for row in graded.rows()["notebooks"]] == [0.5, None]
    ours = graded.rows()
    for command in (("autograde", LESSON, "--force"), ("generate_feedback", LESSON), ("export",)):
        result = graded.nbgrader(*command)
        assert result.returncode == 0, result.stderr
    assert graded.rows() == ours
    assert "late" in graded.feedback("ada").read_text().lower()
    assert {status.status for status in graded.grade().values()} == {"unchanged"}


def test_times_are_in_utc(graded):
    written(graded, time=datetime(2026, 1, 1, 12, tzinfo=UTC).isoformat())
    with opened(graded) as book:
        assert book.graded() == {("ada", LESSON): "2026-01-01T12:00:00+00:00"}
