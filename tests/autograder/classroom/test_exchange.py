"""The whole way through nbgrader's exchange, from the release to the feedback that students fetch."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from autograder.classroom.settings import load
from autograder.results import feedback
from tests.autograder.classroom.test_nbgrader import WRONG
from tests.autograder.toy_class import LESSON, SETTINGS, ToyClass, answered

COURSE = "dgm-2027"  # not the default


@dataclass(frozen=True)
class Person:
    """A student with a folder and a cache of their own, or the instructor in the class directory."""

    home: Path

    @classmethod
    def student(cls, home: Path, exchange: Path) -> "Person":
        home.mkdir()
        (home / "nbgrader_config.py").write_text(
            "c = get_config()\n"
            f"c.CourseDirectory.course_id = {COURSE!r}\n"
            f"c.Exchange.root = {str(exchange)!r}\n"
            f"c.Exchange.cache = {str(home / 'cache')!r}\n"
        )
        return cls(home)

    def nbgrader(self, *words: str) -> str:
        command = [str(Path(sys.executable).with_name("nbgrader")), *words]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def answers(self, **sources: str) -> None:
        path = self.home / LESSON / f"{LESSON}.ipynb"
        nbformat.write(answered(nbformat.read(path, as_version=4), **sources), path)


@pytest.fixture
def exchange(tmp_path) -> Path:
    folder = tmp_path / "exchange"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def test_from_release_to_fetched_feedback(tmp_path, exchange):
    toy = ToyClass.make(tmp_path / "course", f'course_id = "{COURSE}"\n{SETTINGS}')
    config = toy.folder / "nbgrader_config.py"
    config.write_text(config.read_text() + f"get_config().Exchange.root = {str(exchange)!r}  # noqa: F821\n")
    instructor = Person(toy.folder)
    instructor.nbgrader("release_assignment", LESSON)

    ada = Person.student(tmp_path / "ada", exchange)
    assert LESSON in ada.nbgrader("list")
    ada.nbgrader("fetch_assignment", LESSON)
    ada.answers(double=WRONG)
    ada.nbgrader("submit", LESSON)

    instructor.nbgrader("collect", LESSON)
    toy.submit("by-mail", toy.source())  # work that came another way, without a secret or a time
    toy.submit("forger", toy.source()).with_name("submission_secret.txt").write_bytes(b"\xff" * 10**6)
    toy.grade()
    assert not [made.error for made in feedback.make(load(toy.folder)) if made.error]
    instructor.nbgrader("release_feedback", LESSON)

    ada.nbgrader("fetch_feedback", LESSON)
    (page,) = (ada.home / LESSON / "feedback").glob(f"*/{LESSON}.html")
    assert "Twice: 2 of 2.5 points" in page.read_text()
    # `nbgrader generate_feedback` takes these two from the autograded folder.
    (user,) = {path.name for path in (toy.folder / "feedback").iterdir()} - {"by-mail", "forger"}
    beside = {path.name for path in (toy.folder / "autograded" / user / LESSON).iterdir()}
    assert {"timestamp.txt", "submission_secret.txt"} <= beside
