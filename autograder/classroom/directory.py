"""A class directory: where its files are, and how they are read and written.

    submitted/STUDENT/LESSON/LESSON.ipynb    what was handed in, with timestamp.txt where the time is known
    autograded/STUDENT/LESSON/LESSON.ipynb   with points and reports
    ledger/STUDENT/LESSON.json               the judge's reports
    feedback/STUDENT/LESSON/LESSON.html      what students get back
    release/LESSON/LESSON.ipynb              what students got
    secret                                   seeds the random cases of the checks; readable by its owner alone

What students made is read without trust; what the grader makes is whole or not there.
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

from autograder.classroom.files import sync, write
from autograder.classroom.untrusted import Unusable, read_file
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
    """Have a class directory for oneself; who comes second waits. The lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def submissions(folder: Path) -> list[tuple[str, str]]:
    """(student, lesson) of everything that was handed in, in order."""
    found = (folder / "submitted").glob("[!.]*/[!.]*")
    return sorted(path.parts[-2:] for path in found if path.is_dir())


def handed_in(folder: Path, student: str, lesson: str) -> Path:
    return folder / "submitted" / student / lesson / f"{lesson}.ipynb"


def autograded(folder: Path, student: str, lesson: str) -> Path:
    return folder / "autograded" / student / lesson / f"{lesson}.ipynb"


def ledger(folder: Path, student: str, lesson: str) -> Path:
    return folder / "ledger" / student / f"{lesson}.json"


def master(folder: Path, lesson: str) -> str:
    """The release of a lesson, against which work is graded.

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
    """Read what was handed in, whatever it is; and what is odd about its time, in words."""
    path = handed_in(folder, student, lesson)
    time, odd = time_in(path.parent)
    try:
        return HandedIn(read_file(path), "", time), odd
    except Unusable as error:
        return HandedIn(b"", str(error), time), odd


def time_in(folder: Path) -> tuple[str | None, str]:
    """When the work in a folder was handed in, and what is odd about that.

    Returns:
        ISO text in UTC, None where the time is not known; and words, or "".
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
    """What names a student's feedback in nbgrader's exchange; "" where the work did not come from there."""
    try:
        text = read_file(folder / EXCHANGE_SECRET).decode()
    except (Unusable, ValueError):
        return ""
    return text if len(text) <= MAX_SECRET else ""


def load_ledger(folder: Path, student: str, lesson: str) -> dict[str, Any] | None:
    """The ledger of a submission; None where it was not judged."""
    try:
        return json.loads(ledger(folder, student, lesson).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # written by no grader
        return None


def ledgers(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every ledger of a class by (student, lesson), in order: there is one for each submission whose grade stands."""
    names = sorted((path.parent.name, path.stem) for path in (folder / "ledger").glob("*/*.json"))
    return {name: found for name in names if (found := load_ledger(folder, *name)) is not None}


def write_ledger(folder: Path, about: dict[str, Any]) -> None:
    """Write a submission's ledger; last, since it says that the rest is there."""
    student, lesson, time = about["student"], about["lesson"], about["timestamp"]
    graded = autograded(folder, student, lesson)
    if time:
        # nbgrader compares it with that of the next submission.
        write(graded.with_name("timestamp.txt"), time)
    if found := _exchange_secret(handed_in(folder, student, lesson).parent):
        write(graded.with_name(EXCHANGE_SECRET), found)
    write(ledger(folder, student, lesson), json.dumps(about, indent=1))


def forget(folder: Path, student: str, lesson: str) -> None:
    """Remove what was made of a submission before: its ledger first, since it says that the rest is there."""
    path = ledger(folder, student, lesson)
    if path.exists():
        path.unlink()
        sync(path.parent)
    for step in ("autograded", "feedback"):
        shutil.rmtree(folder / step / student / lesson, ignore_errors=True)


def class_secret(folder: Path) -> str:
    """The secret of a class, from which the random cases of the checks are drawn; made at its first use."""
    path = folder / "secret"
    if not path.exists():
        descriptor, whole = tempfile.mkstemp(dir=folder, prefix=".secret-")  # readable by its owner alone
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # whoever came first
            os.link(whole, path)
        os.unlink(whole)
        sync(folder)
    return path.read_text().strip()


def nbgrader_settings(folder: Path) -> Config:
    """nbgrader's settings of a class, the instructor's own among them."""
    return PyFileConfigLoader(FILE, str(folder.resolve())).load_config()
