"""Faults during a class run: after the next run, the gradebook is as if nothing had happened.

COURSE_SEEDS sets how often the coordinator is killed (5 times, or 50 in `make soak`).
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from autograder.classroom import files, run
from autograder.gradebook.write import GradebookError
from tests.autograder.toy_class import LESSON, POINTS, SETTINGS, ToyClass, answered

KILLS = min(50, int(os.environ.get("COURSE_SEEDS", "5")))
WRONG = "def double(x):\n    return int(2 * x)"
BEFORE, AFTER = "2026-01-01 12:00:00 UTC", "2026-01-03 12:00:00 UTC"
CLASS = f"""
db_url = "sqlite:///gradebook.db?timeout=2"
late = {{per_day = 0.1}}
{SETTINGS}
[lesson.{LESSON}]
due = 2026-01-02T12:00:00Z
"""
RUN = """
import sys
from pathlib import Path
from autograder.classroom import run

for status in run.grade(Path(sys.argv[1]), workers=1):
    print(status.student, status.status, status.error, flush=True)
"""


@pytest.fixture(scope="module")
def handed_in(made_toy, tmp_path_factory) -> ToyClass:
    """A class where some work was graded before, automatically and by hand, and has been handed in again."""
    from nbgrader.api import Gradebook

    toy = made_toy.copy(tmp_path_factory.mktemp("handed-in"))
    toy.set(CLASS)
    for student in ("ada", "bob"):
        toy.submit(student, toy.source()).with_name("timestamp.txt").write_text(BEFORE)
    toy.grade()
    with Gradebook(f"sqlite:///{toy.folder}/gradebook.db", "deep-generative-models") as book:
        grade = book.find_grade("ask-check", LESSON, LESSON, "ada")
        grade.manual_score, grade.needs_manual_grade = 0.25, False
        book.find_comment("ask", LESSON, LESSON, "ada").manual_comment = "see me"
        book.db.commit()
    for student, time_ in (("ada", AFTER), ("cat", BEFORE)):
        notebook = answered(toy.source(), double=WRONG)
        toy.submit(student, notebook).with_name("timestamp.txt").write_text(time_)
    toy.submit("dan", "{")
    return toy


@pytest.fixture(scope="module")
def undisturbed(handed_in, tmp_path_factory) -> ToyClass:
    toy = handed_in.copy(tmp_path_factory.mktemp("undisturbed"))
    statuses = toy.grade()
    assert {student: status.status for student, status in statuses.items()} == {
        "ada": "graded",
        "bob": "unchanged",
        "cat": "graded",
        "dan": "graded",
    }
    grades = {row[:3]: row[3:] for row in toy.rows()["grades"]}
    assert grades["ada", LESSON, "ask-check"] == (1.0, 0.25, None, True)
    assert grades["cat", LESSON, "double-check"] == (2.0, None, None, False)
    return toy


@pytest.fixture
def disturbed(handed_in, tmp_path) -> ToyClass:
    return handed_in.copy(tmp_path)


def state(toy: ToyClass) -> tuple:
    """Everything that a run leaves."""
    steps = ("autograded", "ledger", "status.json")
    paths = [path for step in steps for path in (toy.folder / step, *(toy.folder / step).rglob("*"))]
    texts = {str(path.relative_to(toy.folder)): path.read_text() for path in paths if path.is_file()}
    return toy.rows(), texts


def test_a_disturbed_run_that_goes_on_leaves_what_an_undisturbed_one_leaves(undisturbed, disturbed):
    """Even a run that stops after each submission."""
    for _ in range(3):
        statuses = run.grade(disturbed.folder, workers=1)
        next(status for status in statuses if status.status == "graded")
        statuses.close()
    disturbed.grade()
    ours, expected = state(disturbed), state(undisturbed)
    for texts in (ours[1], expected[1]):
        del texts["status.json"]
    assert ours == expected


@contextlib.contextmanager
def running(toy: ToyClass) -> Iterator[subprocess.Popen]:
    """A coordinator in its own process."""
    command = [sys.executable, "-c", RUN, str(toy.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=30)[1]


def kill_once(toy: ToyClass, seed: int) -> str:
    """Kill a coordinator at a random moment, and check that everything that it started ends with it."""
    rng = random.Random(seed)
    with running(toy) as process:
        # A quarter during the start, which takes seconds; the others around writing a submission, which is quick.
        lines = rng.randrange(4)
        for _ in range(lines):
            if not process.stdout.readline():
                return "done"
        time.sleep(rng.random() * (rng.choice([0, 0.01, 0.1, 0.3]) if lines else 6))
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ended(started)
    return "killed"


def killed_at_random(toy: ToyClass, seeds: range) -> None:
    assert "killed" in [kill_once(toy, seed) for seed in seeds]


def test_kill_9_of_the_coordinator(undisturbed, disturbed):
    killed_at_random(disturbed, range(min(KILLS, 5)))
    disturbed.grade()
    assert disturbed.rows() == undisturbed.rows()
    assert {student: disturbed.ledger(student) for student in ("ada", "bob", "cat", "dan")} == {
        student: undisturbed.ledger(student) for student in ("ada", "bob", "cat", "dan")
    }


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_9_at_each_of_many_moments(undisturbed, disturbed, seed):
    kill_once(disturbed, seed)
    disturbed.grade()
    assert disturbed.rows() == undisturbed.rows()


def test_a_worker_that_is_killed(undisturbed, disturbed):
    """Another worker judges its submission; the class goes on."""
    slow = "import time\ntime.sleep(4)\n\n\ndef double(x):\n    return 2 * x"
    with running(disturbed) as process:
        disturbed.submit("zoe", answered(disturbed.source(), double=slow))
        while "dan" not in (line := process.stdout.readline()):
            assert line
        time.sleep(2)
        workers = [
            child
            for server in psutil.Process(process.pid).children()
            if "multiprocessing.forkserver" in " ".join(server.cmdline())
            for child in server.children()
        ]
        assert len(workers) == 1
        workers[0].kill()
        told, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "zoe graded" in told
    assert disturbed.gradebook("zoe") == POINTS
    for name, rows in undisturbed.rows().items():
        assert [row for row in disturbed.rows()[name] if "zoe" not in row] == rows


def test_a_submission_that_kills_its_worker_each_time(disturbed, undisturbed, tmp_path, monkeypatch):
    """Here the check does it. The class goes on, and the submission is reported as failed."""
    checks = disturbed.folder / "checks" / "toy.py"
    kill = "    if student.call(7) == 77:\n        import os\n\n        os.kill(os.getpid(), 9)\n"
    checks.write_text(checks.read_text().replace('    """Twice."""\n', f'    """Twice."""\n{kill}'))
    disturbed.submit("bad", answered(disturbed.source(), double="def double(x):\n    return 11 * x"))
    statuses = disturbed.grade()
    assert statuses["bad"].status == "failed" and "process 3 times" in statuses["bad"].error
    assert disturbed.gradebook("cat") == undisturbed.gradebook("cat")


def test_a_full_disk(undisturbed, disturbed, monkeypatch):
    """A failed write leaves no part of a file; work graded before stays graded."""
    write, room = files.write, iter(range(3))

    def full(path: Path, text: str) -> None:
        if next(room, None) is None:
            raise OSError(28, "No space left on device", str(path))
        write(path, text)

    monkeypatch.setattr(run, "write", full)
    with pytest.raises(OSError, match="No space left"):
        for _ in range(4):
            disturbed.grade(regrade=True)
    monkeypatch.undo()
    disturbed.grade()
    assert disturbed.rows() == undisturbed.rows()


FULL = """
import os
import subprocess
import sys
from pathlib import Path

from autograder.classroom import run

folder = Path(sys.argv[1])
size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
place = folder.with_name("small")
place.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % (2 * size), "tmpfs", place], check=True)
subprocess.run(["cp", "-a", folder, place / "class"], check=True)
filler = place / "filler"
with open(filler, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
for _ in range(25):
    os.truncate(filler, max(0, filler.stat().st_size - 16384))
    try:
        list(run.grade(place / "class", workers=1))
        break
    except (OSError, RuntimeError) as error:
        print(type(error).__name__, error, flush=True)
        left = [path for path in (place / "class").rglob("*.half")]
        assert not left, left
subprocess.run(["cp", "-a", place / "class", folder.with_name("after")], check=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk; the test above fakes one")
def test_a_really_full_disk(undisturbed, disturbed):
    """A class on a small disk with ever more room, until all of it can be written."""
    command = ["unshare", "--mount", sys.executable, "-c", FULL, str(disturbed.folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Free some space" in result.stdout or "No space left" in result.stdout, result.stdout
    disturbed.folder.rename(disturbed.folder.with_name("before"))
    disturbed.folder.with_name("after").rename(disturbed.folder)
    assert disturbed.rows() == undisturbed.rows()


@contextlib.contextmanager
def lock(toy: ToyClass) -> Iterator[None]:
    """Another process's lock on the gradebook."""
    connection = sqlite3.connect(toy.folder / "gradebook.db", isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


def test_a_gradebook_that_is_locked_for_a_while(undisturbed, disturbed):
    """The run waits."""
    with running(disturbed) as process:
        assert process.stdout.readline()
        with lock(disturbed):
            time.sleep(1)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert disturbed.rows() == undisturbed.rows()


def test_a_gradebook_that_stays_locked(undisturbed, disturbed):
    """The run ends with a message, and graded work stays graded."""
    statuses = run.grade(disturbed.folder, workers=1)
    first = next(status for status in statuses if status.status == "graded")
    assert first.ledger is not None
    with lock(disturbed), pytest.raises(GradebookError, match="another process has held the gradebook's lock"):
        list(statuses)
    assert disturbed.ledger(first.student) == first.ledger
    with lock(disturbed), pytest.raises(GradebookError, match="another process has held the gradebook's lock"):
        disturbed.grade()
    disturbed.grade()
    assert disturbed.rows() == undisturbed.rows()
