"""The whole catalogue in one class, with honest classmates: its points, its traces, and the readers of its texts.

Each hostile submission must earn exactly what its honest answers deserve. The class is graded once, with short time
limits, by more workers than cores, since most of the time is spent waiting for a timeout. It is a single test, since
several tests in several processes would grade the class several times.
"""

import csv
import ctypes
import io
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from autograder import __main__ as commands
from autograder.classroom import run
from autograder.classroom.job import Status
from tests.attacks import HONEST, LEFT, PLACES, Attack, answered, host, notebook, points, resources
from tests.attacks import feedback as reading
from tests.attacks.traps import MINE, VICTIM, Traps, traps
from tests.autograder.toy_class import LESSON, POINTS, ToyClass

ATTACKS = [attack for module in (points, notebook, host, resources, reading) for attack in module.attacks.entries]
SETTINGS = f"""
lessons = ["{LESSON}"]
[limits]
start_seconds = 120
cell_seconds = 5
check_seconds = 8
memory_mib = 512
processes = 32
files = 128
file_size_mib = 16
tmp_mib = 32
"""
# Names first, in the middle and last in the order of grading.
CLASSMATES = {
    "ada": ({}, POINTS),
    VICTIM: ({"Counter": f"# {{word}}\n{HONEST['Counter']}"}, POINTS),
    "zoe": ({"double": notebook.WRONG}, POINTS | {"double": 2.0}),
}


def test_the_catalogue_is_whole():
    assert len(ATTACKS) >= 60
    for key in ("name", "student"):
        assert len({getattr(attack, key) for attack in ATTACKS}) == len(ATTACKS)
    for place in PLACES:
        assert any(attack.stops.startswith(place) for attack in ATTACKS), place
    assert not {attack.student for attack in ATTACKS} & CLASSMATES.keys()


def test_every_attack_stops_where_it_must(tmp_path, monkeypatch):
    made = ToyClass.make(tmp_path, SETTINGS)
    with traps(made) as around:
        monkeypatch.setenv("HOME", around.home)
        before = hand_in(made, around)
        statuses = list(run.grade(made.folder, workers=4))
        graded = {status.student: status for status in statuses if status.lesson == LESSON}
        assert all(status.status == "failed" for status in statuses if status.lesson != LESSON)
        assert all("bubblewrap" in status.ledger["sandbox"] for status in graded.values() if status.ledger)
        printed = read_by_the_instructor(made, monkeypatch)
        complaints = [
            *undeserved(graded),
            *unsaid(graded),
            *leaked(made, around, printed),
            *left_behind(made, around, before),
            *dangerous_pages(made),
            *dangerous_text(made, printed),
        ]
        assert not complaints, "\n".join(complaints)


def hand_in(made: ToyClass, around: Traps) -> dict[str, str]:
    """Hand in everybody's work, and record the class directory."""
    release = json.loads(json.dumps(made.release()))
    for student, (sources, _) in CLASSMATES.items():
        sources = {name: source.replace("{word}", around.word) for name, source in sources.items()}
        made.submit(student, json.dumps(answered(release, **HONEST | sources)))
    for attack in ATTACKS:
        folder = made.folder / "submitted" / attack.student / LESSON
        folder.mkdir(parents=True)
        attack.hand_in(folder, release, around)
    return handed_in(made)


def handed_in(made: ToyClass) -> dict[str, str]:
    """Everything in the class directory that the grader must not change."""
    found = {}
    for top in ("submitted", "solutions", "checks", "release", "source", "secret", "course.toml"):
        for path in (made.folder / top, *(made.folder / top).rglob("*")):
            about = path.lstat()
            found[str(path)] = f"{about.st_mode} {about.st_size} {about.st_mtime_ns if path.is_file() else ''}"
    return found


def undeserved(graded: dict[str, Status]) -> Iterator[str]:
    """Students who did not get exactly what they deserve, in the ledger and in the gradebook."""
    deserved = {attack.student: attack.points for attack in ATTACKS}
    deserved |= {student: expected for student, (_, expected) in CLASSMATES.items()}
    for student, expected in deserved.items():
        status = graded.get(student)
        if status is None:
            yield f"{student!r}: not looked at"
        elif expected is None:
            if status.ledger is not None or not status.error:
                yield f"{student!r}: not refused with a message"
        elif status.ledger is None:
            yield f"{student!r}: not graded: {status.error}"
        else:
            got = {report["exercise"]: report["points"] for report in status.ledger["exercises"]}
            if got != expected:
                yield f"{student!r}: deserves {expected}, got {got}: {reasons(status)[:500]}"
    if graded.keys() != deserved.keys():
        yield f"students out of nowhere: {graded.keys() - deserved.keys()}"


def reasons(status: Status) -> str:
    """All text in a ledger."""
    reports = status.ledger["exercises"] if status.ledger else []
    told = [verdict["because"] for report in reports for verdict in report["verdicts"]]
    return " ".join([*told, *(report["error"] for report in reports), *(report["fault"] for report in reports)])


def unsaid(graded: dict[str, Status]) -> Iterator[str]:
    """Attacks that did not run to their end, or succeeded."""
    for attack in ATTACKS:
        told = reasons(graded[attack.student])
        wanted = (attack.shows,) if isinstance(attack.shows, str) else attack.shows
        if not any(text in told for text in wanted):
            yield f"{attack.name}: expected the reason to tell {' or '.join(map(repr, wanted))}, got {told[:500]!r}"


def leaked(made: ToyClass, around: Traps, printed: str) -> Iterator[str]:
    """Results of one student's work that contain another's secret."""
    secrets = {
        "the canary": around.word,
        "the class's secret": Path(around.secret).read_text().strip(),
        "the checks": "student.build(), student.build()",
    }
    texts = {"the terminal": printed}
    for top in ("ledger", "autograded", "feedback", "exports", "status.json"):
        for path in (made.folder / top, *(made.folder / top).rglob("*")):
            if path.is_file() and VICTIM not in path.parts:
                texts[str(path.relative_to(made.folder))] = path.read_text(encoding="utf-8")
    for place, text in texts.items():
        yield from (f"{what} is in {place}" for what, secret in secrets.items() if secret in text)
    if around.hits:
        yield f"somebody came by {sorted(set(around.hits))}"


def left_behind(made: ToyClass, around: Traps, before: dict[str, str]) -> Iterator[str]:
    """Traces, on the machine or in the class directory, that should not be there."""
    after = handed_in(made)
    for path in before.keys() | after.keys():
        if before.get(path) != after.get(path):
            yield f"changed: {path}"
    known = {"submitted", "solutions", "checks", "release", "source", "secret", "course.toml", "nbgrader_config.py"}
    known |= {"gradebook.db", "ledger", "autograded", "feedback", "exports", "status.json", ".lock"}
    yield from (f"in the class directory: {path.name}" for path in made.folder.iterdir() if path.name not in known)
    yield from (f"left: {path}" for path in Path(around.left).iterdir())
    home = Path(around.home)
    places = [*sys.path, "/", "/tmp", "/dev/shm", "/var/tmp", "/run", os.getcwd(), home, home / ".ipython"]
    places += [home / ".ipython/profile_default", home / ".ipython/profile_default/startup", made.folder]
    for place in map(Path, places):
        yield from (f"left: {path}" for path in place.glob(f"*{LEFT}*"))
    yield from (f"still running: {process}" for process in running(around))
    bystander = psutil.Process(around.bystander)
    if (
        bystander.status() not in ("sleeping", "running")
        or MINE not in bystander.cmdline()
        or bystander.nice() != psutil.Process().nice()
    ):
        yield f"somebody touched the bystander: {bystander}"
    for kind in ("shm", "msg", "sem"):
        for line in Path("/proc/sysvipc", kind).read_text().splitlines()[1:]:
            if 0x1EF71 <= int(line.split()[0]) <= 0x1EF73:
                yield f"left in the kernel: {kind} {line}"
    libc = ctypes.CDLL(None)
    for number in (1, 2, 3):
        if libc.mq_open(f"/{LEFT}-{number}".encode(), os.O_RDONLY) != -1:
            yield f"left in the kernel: message queue {number}"


def running(around: Traps) -> list[psutil.Process]:
    """Processes that an attack started and that are still running."""
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == around.mark]


# ------------------------------------------------------------------------------------------------------ who reads it


def read_by_the_instructor(made: ToyClass, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the commands that write pages and tables, and return what they print to a terminal."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    for name in ("console", "errors"):
        monkeypatch.setattr(commands, name, terminal)
    for command in ("grade", "feedback", "export", "report"):
        result = CliRunner().invoke(commands.app, [command, str(made.folder)])
        assert result.exit_code in (0, 1), f"{command}: {result.exception!r}"
    return terminal.file.getvalue()


class Page(HTMLParser):
    """Complains about anything that would run, load or leave a page."""

    DEAD = {"script", "iframe", "object", "embed", "form", "base", "link", "audio", "video", "applet", "frame", "math"}
    ADDRESSES = re.compile(r"#|data:image/(png|jpeg);base64,[A-Za-z0-9+/=]*$")

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag in self.DEAD:
            self.complaints.append(f"<{tag}>")
        for name, value in attributes:
            addressed = name in ("src", "href", "xlink:href", "action", "srcset", "background", "poster")
            policy = tag == "meta" and name == "http-equiv" and value != "Content-Security-Policy"
            if name.startswith("on") or policy or (addressed and not self.ADDRESSES.match(value or "")):
                self.complaints.append(f"<{tag} {name}={value!r}>")
            if name == "style" and re.search(r"url\(|expression|@import", value or ""):
                self.complaints.append(f"<{tag} {name}={value!r}>")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style" and re.search(r"url\(|@import", data):
            self.complaints.append("a style that loads something")


def test_markup_on_a_page_is_noticed():
    page = Page()
    page.feed(reading.MARKUP)
    found = " ".join(page.complaints)
    for what in ("script", "onerror", "onload", "iframe", "base", "http-equiv", "form"):
        assert what in found


def dangerous_pages(made: ToyClass) -> Iterator[str]:
    """Feedback that is missing, too large, or holds more than text and pictures."""
    known = None
    for attack in ATTACKS:
        if attack.points is None:
            continue
        path = made.folder / "feedback" / attack.student / LESSON / f"{LESSON}.html"
        if not path.exists():
            yield f"{attack.name}: no feedback"
            continue
        text, page = path.read_text(encoding="utf-8"), Page()
        page.feed(text)
        yield from (f"{attack.name}: its feedback holds {complaint}" for complaint in set(page.complaints))
        total = f"{sum(attack.points.values()):g} of {sum(POINTS.values()):g} points"
        if total not in text:
            yield f"{attack.name}: its feedback does not say {total}"
        if len(text) > 20 * 2**20:
            yield f"{attack.name}: its feedback has {len(text):,} characters"
        styles = re.findall(r"<style.*?</style>", text, re.DOTALL)
        known = known or styles
        if styles != known:
            yield f"{attack.name}: its feedback has styles of its own"


def dangerous_text(made: ToyClass, printed: str) -> Iterator[str]:
    """Text that would control a terminal or a spreadsheet."""
    own = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours, and the progress bar's moves
    rest = own.sub("", printed)
    for text, pattern in ((rest, r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"), (printed, r"\x1b\[2J")):
        for found in itertools.islice(re.finditer(pattern, text), 5):
            yield f"printed: a command to the terminal: {text[max(0, found.start() - 80) : found.end() + 80]!r}"
    for path in sorted((made.folder / "exports").glob("*.csv")):
        if path.name == "grades.csv":  # nbgrader wrote it
            continue
        for cell in cells_of(path):
            if cell.startswith(("=", "+", "@", "\t", "\r")) or re.match(r"-[^\d.]", cell):
                yield f"{path.name}: a formula: {cell[:80]!r}"


def cells_of(path: Path) -> Iterator[str]:
    csv.field_size_limit(10**8)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            yield from row


# ---------------------------------------------------------------------------------------------- what attacks are worth


OUTSIDE = [attack for attack in ATTACKS if attack.works_outside]


@pytest.fixture
def around(tmp_path) -> Iterator[Traps]:
    """The traps around a mock class."""
    with traps(ToyClass(tmp_path)) as found:
        for path in (found.notebook, found.solutions, found.checks, found.secret, found.gradebook):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(found.word)
        yield found


@pytest.mark.parametrize("attack", OUTSIDE, ids=lambda attack: attack.name)
def test_without_walls_it_gets_what_it_wants(attack: Attack, around):
    """Otherwise its failure in the class would prove nothing."""
    (source,) = attack.cells(around).values()
    environment = os.environ | {"HOME": around.home}
    ran = subprocess.run(
        [sys.executable, "-c", f"{source}\nprint(double(1))"], capture_output=True, text=True, env=environment
    )
    assert ran.stdout.startswith("found ") and not ran.stdout.startswith("found []"), ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["daemon", "programs_in_the_background"])
def test_without_walls_what_it_leaves_running_is_found(name, around):
    (attack,) = [attack for attack in ATTACKS if attack.name == name]
    (source,) = attack.cells(around).values()
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-c", source], check=True, **nowhere)
    try:
        for _ in range(100):  # they may take a while to start
            if found := running(around):
                break
            time.sleep(0.1)
        assert found
    finally:
        for process in running(around):
            process.kill()
        Path("/tmp", around.mark).unlink(missing_ok=True)
