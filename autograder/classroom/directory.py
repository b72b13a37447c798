"""A class directory: where its files are, and how to read and write them.

    submitted/STUDENT/LESSON/LESSON.ipynb    what was handed in, with timestamp.txt where the time is known
    autograded/STUDENT/LESSON/LESSON.ipynb   the same with points and reports
    ledger/STUDENT/LESSON.json               the judge's reports
    feedback/STUDENT/LESSON/LESSON.html      the page that the student gets back
    release/LESSON/LESSON.ipynb              the notebook that students were given
    secret                                   seeds the random cases of the checks; only its owner can read it

Files from students are never trusted; files from the grader are complete or absent.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from nbgrader.utils import parse_utc
from traitlets.config import Config, PyFileConfigLoader

from autograder.classroom.archives import Unusable, read_file
from autograder.classroom.files import sync, write
from autograder.grading.handed_in import HandedIn

__all__ = [
    "CONFIG",
    "EXCHANGE_SECRET",
    "FILE",
    "autograded",
    "class_secret",
    "forget",
    "handed_in",
    "ledger",
    "ledgers",
    "load_ledger",
    "locked",
    "master",
    "nbgrader_settings",
    "submissions",
    "take",
    "time_in",
    "write_ledger",
]

EXCHANGE_SECRET = "submission_secret.txt"
MAX_TIMESTAMP = MAX_SECRET = 200
FILE = "nbgrader_config.py"
CONFIG = """from pathlib import Path

from autograder.nbgrader_config import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821
"""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a class directory; a second process waits until this one ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def submissions(folder: Path) -> list[tuple[str, str]]:
    """(student, lesson) of everything that was handed in, in order."""
    paths = (folder / "submitted").glob("[!.]*/[!.]*")
    return sorted(path.parts[-2:] for path in paths if path.is_dir())


def handed_in(folder: Path, student: str, lesson: str) -> Path:
    return folder / "submitted" / student / lesson / f"{lesson}.ipynb"


def autograded(folder: Path, student: str, lesson: str) -> Path:
    return folder / "autograded" / student / lesson / f"{lesson}.ipynb"


def ledger(folder: Path, student: str, lesson: str) -> Path:
    return folder / "ledger" / student / f"{lesson}.json"


def master(folder: Path, lesson: str) -> str:
    """The released notebook of a lesson, against which work is graded.

    Raises:
        ValueError: there is none.
    """
    path = folder / "release" / lesson / f"{lesson}.ipynb"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(
            f"there is no release {path} to grade against: make the class again with `python -m autograder new-class`"
        ) from None


def take(folder: Path, student: str, lesson: str) -> tuple[HandedIn, str]:
    """Read a submission, whatever it is, and say what is odd about its timestamp ("" if nothing is)."""
    path = handed_in(folder, student, lesson)
    time, odd = time_in(path.parent)
    try:
        return HandedIn(read_file(path), "", time), odd
    except Unusable as error:
        return HandedIn(b"", str(error), time), odd


def time_in(folder: Path) -> tuple[str | None, str]:
    """When the work in a folder was handed in, and what is odd about its timestamp.

    Returns:
        The time as ISO text in UTC, None if unknown; and a note, or "".
    """
    path = folder / "timestamp.txt"
    if not os.path.lexists(path):
        return None, ""
    try:
        time = parse_utc(read_file(path)[:MAX_TIMESTAMP].decode().strip())
    except Unusable as error:
        return None, f"timestamp.txt is not used ({error}); the work counts as handed in on time"
    except (ValueError, OverflowError):
        return None, "timestamp.txt holds no date and time; the work counts as handed in on time"
    return time.replace(tzinfo=UTC).isoformat(), ""


def _exchange_secret(folder: Path) -> str:
    """The name of a student's feedback in nbgrader's exchange; "" if the work did not come from there."""
    try:
        text = read_file(folder / EXCHANGE_SECRET).decode()
    except (Unusable, ValueError):
        return ""
    return text if len(text) <= MAX_SECRET else ""


def load_ledger(folder: Path, student: str, lesson: str) -> dict[str, Any] | None:
    """The ledger of a submission; None if it has not been judged."""
    try:
        return json.loads(ledger(folder, student, lesson).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not written by the grader
        return None


def ledgers(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every ledger of a class by (student, lesson), in order: one per submission with a valid grade."""
    names = sorted((path.parent.name, path.stem) for path in (folder / "ledger").glob("*/*.json"))
    return {name: loaded for name in names if (loaded := load_ledger(folder, *name)) is not None}


def write_ledger(folder: Path, about: dict[str, Any]) -> None:
    """Write a submission's ledger. It must come last, since it vouches for the rest."""
    student, lesson, time = about["student"], about["lesson"], about["timestamp"]
    graded = autograded(folder, student, lesson)
    if time:
        # nbgrader compares this time with the next submission's.
        write(graded.with_name("timestamp.txt"), time)
    if secret := _exchange_secret(handed_in(folder, student, lesson).parent):
        write(graded.with_name(EXCHANGE_SECRET), secret)
    write(ledger(folder, student, lesson), json.dumps(about, indent=1))


def forget(folder: Path, student: str, lesson: str) -> None:
    """Delete everything made from an earlier submission: its ledger first, since it vouches for the rest."""
    path = ledger(folder, student, lesson)
    if path.exists():
        path.unlink()
        sync(path.parent)
    for step in ("autograded", "feedback"):
        shutil.rmtree(folder / step / student / lesson, ignore_errors=True)


def class_secret(folder: Path) -> str:
    """The class's secret, which seeds the random cases of the checks; created on first use."""
    path = folder / "secret"
    if not path.exists():
        descriptor, whole = tempfile.mkstemp(dir=folder, prefix=".secret-")  # only its owner can read it
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(whole, path)
        os.unlink(whole)
        sync(folder)
    return path.read_text().strip()


def nbgrader_settings(folder: Path) -> Config:
    """A class's settings for nbgrader, including the instructor's own."""
    return PyFileConfigLoader(FILE, str(folder.resolve())).load_config()
