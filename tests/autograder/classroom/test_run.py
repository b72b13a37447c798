"""A class run: the outcome of every submission, what a later run repeats, and where work may be sent."""

import json
import os
import pickle
import socket
import subprocess
import sys

import pytest
from distributed.security import Security

from autograder.classroom import cluster, run
from autograder.classroom.cluster import trusted
from autograder.gradebook.write import COURSE_ID
from autograder.grading import remote
from autograder.grading.submission import GraderFailed
from autograder.release import for_class
from tests.autograder.toy_class import LESSON, POINTS, SETTINGS, ToyClass, answered

WRONG = "def double(x):\n    return int(2 * x)"


@pytest.fixture(scope="module")
def graded(made_toy, tmp_path_factory) -> ToyClass:
    """A class after its first run. Tests must not change it: `again` is a copy."""
    toy = made_toy.copy(tmp_path_factory.mktemp("run"))
    toy.submit("ada", toy.source())
    toy.submit("bob", answered(toy.source(), double=WRONG))
    toy.grade()
    return toy


@pytest.fixture
def again(graded, tmp_path) -> ToyClass:
    return graded.copy(tmp_path)


def listed(toy: ToyClass) -> dict[tuple[str, str], dict]:
    found = json.loads((toy.folder / "status.json").read_text())
    return {(each["student"], each["lesson"]): each for each in found["submissions"]}


def test_a_new_class_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(for_class, "build", lambda settings: None)
    for_class.create(tmp_path / "new" / "class")
    assert (tmp_path / "new" / "class").stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    for_class.create(shared)
    assert shared.stat().st_mode & 0o777 == 0o750


def test_a_second_run_judges_nothing_again(again, monkeypatch):
    monkeypatch.setattr(cluster.Workers, "send", None)
    before = again.rows()
    statuses = again.grade()
    assert {student: status.status for student, status in statuses.items()} == {"ada": "unchanged", "bob": "unchanged"}
    assert statuses["ada"].ledger["points"] == sum(POINTS.values())
    assert again.rows() == before


def test_what_changed_is_judged_again(again):
    """Only a new file, a new time, or a missing ledger or gradebook causes that."""
    again.submit("ada", answered(again.source(), double=WRONG))
    for student in ("cat", "dan", "eve", "fay"):
        again.submit(student, again.source())
    again.grade()
    again.submit("cat", again.source()).with_name("timestamp.txt").write_text("2026-01-01 12:00:00 UTC")
    (again.folder / "ledger" / "dan" / f"{LESSON}.json").unlink()
    (again.folder / "ledger" / "eve" / f"{LESSON}.json").write_text("{")
    result = again.nbgrader("db", "student", "remove", "fay", "--force")
    assert result.returncode == 0, result.stderr
    statuses = {student: status.status for student, status in again.grade().items()}
    assert statuses == dict.fromkeys(("cat", "dan", "eve", "fay"), "graded") | dict.fromkeys(
        ("ada", "bob"), "unchanged"
    )
    assert again.gradebook("ada") == POINTS | {"double": 2.0}
    for student in ("cat", "dan", "eve", "fay"):
        assert again.gradebook(student) == POINTS


def test_other_checks_are_told_and_judge_again_when_asked(again):
    checks = again.folder / "checks" / "toy.py"
    checks.write_text(
        checks.read_text().replace('got == 2 * x, because=f"double({x:.3})', 'True, because=f"double({x:.3})')
    )
    statuses = again.grade()
    assert {status.status for status in statuses.values()} == {"outdated"}
    assert statuses["bob"].ledger["points"] == again.ledger("bob")["points"] == 4.5
    statuses = again.grade(regrade=True, students=["bob"])
    assert statuses["bob"].status == "graded" and list(statuses) == ["bob"]
    assert again.gradebook("bob") == POINTS
    assert {who: each["status"] for (who, _), each in listed(again).items()} == {"ada": "outdated", "bob": "graded"}


def test_every_submission_has_a_status(again):
    """Odd submissions are reported, and the class goes on."""
    folder = again.folder
    (folder / "roster.csv").write_text("id,first_name\nada,Ada\nzoe,Zoe\n")
    again.submit("cat", again.source()).rename(folder / "submitted" / "cat" / LESSON / "01_toy (1).ipynb")
    (folder / "submitted" / "dan" / "99_none").mkdir(parents=True)
    (folder / "submitted" / "eve").mkdir()
    (folder / "submitted" / "eve" / LESSON).symlink_to(folder / "submitted" / "ada" / LESSON)
    (folder / "submitted" / ("x" * 129) / LESSON).mkdir(parents=True)
    os.makedirs(os.fsencode(folder / "submitted") + b"/\xff/" + os.fsencode(LESSON))
    (folder / "submitted" / ".hidden" / LESSON).mkdir(parents=True)
    os.mkfifo(again.submit("fay", "").with_name("timestamp.txt"))
    pipe = again.submit("gus", "")
    pipe.unlink()
    os.mkfifo(pipe)
    statuses = again.grade()
    errors = {student: status.error for student, status in statuses.items() if status.status == "failed"}
    assert "expected the file 01_toy.ipynb, found 01_toy (1).ipynb" in errors.pop("cat")
    assert "99_none is not a lesson of this class; the lessons are 01_toy" in errors.pop("dan")
    assert "submitted/eve/01_toy is a link, which is not followed" in errors.pop("eve")
    assert "at most 128 characters" in errors.pop("x" * 129)
    assert "in UTF-8" in errors.pop("\udcff")
    assert not errors
    assert {who: status.status for who, status in statuses.items() if status.status not in ("failed", "unchanged")} == {
        "fay": "graded",
        "gus": "graded",
        "zoe": "missing",
    }
    assert statuses["ada"].notes == () and statuses["bob"].notes == ("not on the roster",)
    assert "timestamp.txt is not used" in statuses["fay"].notes[1]
    assert any("pipe or device" in note for note in statuses["gus"].ledger["notes"])
    assert listed(again)["zoe", LESSON]["status"] == "missing"
    assert listed(again)["bob", LESSON]["points"] == 4.5
    assert again.rows()["students"][0] == ("ada", "Ada", None, None, None)


def test_a_resubmission_that_cannot_be_graded_has_no_grade(again):
    path = again.folder / "submitted" / "ada" / LESSON / f"{LESSON}.ipynb"
    path.rename(path.with_name("mine.ipynb"))
    assert again.grade()["ada"].status == "failed"
    assert set(again.gradebook("ada").values()) == {None}
    assert again.ledger("ada") is None and again.gradebook("bob") == POINTS | {"double": 2.0}
    path.with_name("mine.ipynb").rename(path)
    assert again.grade()["ada"].status == "graded"
    assert again.gradebook("ada") == POINTS


def test_a_lesson_that_is_not_built_is_told(again):
    (again.folder / "course.toml").write_text(f"{SETTINGS}[lesson.{LESSON}]\npoints = {{ask = 7}}\n")
    status = again.grade(regrade=True)["ada"]
    assert status.status == "failed" and "new-class" in status.error


def test_an_extension_counts_without_judging_again(again):
    from nbgrader.api import Gradebook

    again.set(f"late = {{per_day = 0.1}}\n{SETTINGS}[lesson.{LESSON}]\ndue = 2026-01-01T12:00:00Z\n")
    again.submit("ada", again.source()).with_name("timestamp.txt").write_text("2026-01-02 11:00:00 UTC")
    assert again.grade()["ada"].status == "graded"
    assert [row[-1] for row in again.rows()["notebooks"]] == [0.5, None]
    with Gradebook(f"sqlite:///{again.folder}/gradebook.db", COURSE_ID) as book:
        book.grant_extension(LESSON, "ada", days=1)
    assert again.grade()["ada"].status == "unchanged"
    assert [row[-1] for row in again.rows()["notebooks"]] == [None, None]


def test_what_is_no_class_is_told(tmp_path, toy):
    with pytest.raises(FileNotFoundError, match="new-class"):
        list(run.grade(tmp_path))
    with pytest.raises(ValueError, match="02_none is not a lesson of this class"):
        list(run.grade(toy.folder, lessons=["02_none"]))


def test_what_workers_send_is_read_as_data_alone(tmp_path):
    """A pickle instead of an answer is never an answer, and never run."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    with pytest.raises(ValueError):
        remote.unpack(pickle.dumps(Trap()))
    assert not (tmp_path / "trapped").exists()


def test_a_worker_answers_whatever_it_is_sent():
    for package in (b"", b"{}", b"\xff"):
        with pytest.raises(GraderFailed, match="the grader failed: "):
            remote.unpack(remote.work(package, b"{}", b""))


@pytest.mark.parametrize("address", ["tls://grader.example.org:8786", "tcp://127.0.0.1:8786", "localhost:8786"])
def test_schedulers_to_which_work_may_be_sent(address):
    assert trusted(address).endswith(address)


@pytest.mark.parametrize(
    "address", ["tcp://grader.example.org:8786", "10.0.0.1:8786", "ws://localhost:1", "inproc://x"]
)
def test_schedulers_to_which_no_work_may_be_sent(toy, address):
    with pytest.raises(ValueError, match="expected a scheduler at tls://"):
        list(run.grade(toy.folder, scheduler=address))


def test_what_workers_need_is_imported_once():
    """Workers are forks of one process that has torch and the checks."""
    with cluster.Workers(None, 2) as workers:
        workers._start()
        found = workers._client.run(lambda: (os.getppid(), "autograder.checking.answers" in sys.modules)).values()
    assert len(found) == 2 and len(set(found)) == 1 and all(imported for _, imported in found)


def test_a_cluster_of_its_own(toy, tmp_path):
    """Start a scheduler and a worker as an administrator would, with certificates."""
    security = Security.temporary()
    keys = {"ca-file": security.tls_ca_file, "cert": security.tls_worker_cert, "key": security.tls_worker_key}
    options, settings = [], {}
    for name, value in keys.items():
        path = tmp_path / f"{name}.pem"
        path.write_text("".join(value) if isinstance(value, tuple | list) else value)
        options += [f"--tls-{name}", str(path)]
        settings[name] = str(path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tls://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", *options]
    started = []
    try:
        common = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*dask, "--host", address, "--no-dashboard", *options], **common))
        started.append(subprocess.Popen([*worker, "--no-dashboard", "--local-directory", str(tmp_path)], **common))
        import dask.config

        names = {"ca-file": "ca-file", "cert": "client.cert", "key": "client.key"}
        client = {f"distributed.comm.tls.{names[name]}": path for name, path in settings.items()}
        toy.submit("ada", toy.source())
        with dask.config.set(client):
            status = toy.grade(scheduler=address)["ada"]
        assert (status.status, status.ledger["points"]) == ("graded", sum(POINTS.values()))
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def test_no_scheduler_is_told(toy, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    toy.submit("ada", toy.source())
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RuntimeError, match=f"the Dask scheduler {address} cannot be used"):
        toy.grade(scheduler=address)
