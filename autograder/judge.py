"""The judge: runs a lesson's checks against a student's code that sits in another process, and keeps the ledger.

Points come from the verdicts made here and from nowhere else. Nothing that the student's process prints, raises or
forges can make a verdict; silence is a failure.
"""

import importlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from autograder.box import ANSWER, CALLBACK
from autograder.check import Check, Report
from autograder.codec import MAX_BYTES, encode
from autograder.student import StudentError

__all__ = ["Box", "Limits", "checks_of", "judge"]


@dataclass(frozen=True)
class Limits:
    """Wall clocks, in seconds."""

    start: float = 120.0  # the process, and the lesson's imports
    cell: float = 20.0  # running one of the student's cells
    check: float = 60.0  # one whole check, the student's calls and the judge's own work


def checks_of(lesson: str) -> dict[str, Check]:
    """The checks of a lesson ("01_likelihood") by exercise, in the order of their file."""
    module = importlib.import_module(f"autograder.checks.{lesson.lstrip('0123456789_')}")
    return {name: found for name, found in vars(module).items() if isinstance(found, Check)}


def judge(
    lesson: str,
    setup: Sequence[str],
    cells: Mapping[str, str | None],
    secret: int | str,
    limits: Limits | None = None,
) -> dict[str, Report]:
    """Judge one submission.

    Args:
        lesson: names the checks.
        setup: sources of the master's own definition cells (imports), run first.
        cells: for each exercise the source of the student's cell, None where the submission has none.
        secret: seeds the random cases of the checks; never enters the student's process.
        limits: wall clocks.

    Returns:
        A report for every exercise of the lesson, whatever the submission does.
    """
    limits = limits or Limits()
    reports: dict[str, Report] = {}
    hanging: set[str] = set()
    box: Box | None = None
    try:
        for name, check in checks_of(lesson).items():
            if cells.get(name) is None:
                reports[name] = check.refuse("Missing", "the submission has no cell for this exercise")
                continue
            try:
                while box is None or box.closed:
                    box = _fill(Box(limits), setup, cells, hanging)
            except StudentError as error:
                reports[name] = check.refuse(error.kind, str(error))
                continue
            if name in hanging:
                reports[name] = check.refuse(
                    "TooSlow", f"the cell did not finish within {limits.cell:g} seconds, or ended the process"
                )
                continue
            box.start_clock(limits.check, f"not finished within {limits.check:g} seconds")
            report = check.judge(box, secret)
            if report.kind == "NameError":
                advice = "when graded, only the solution cells are run: put your own imports and helpers inside them"
                report = replace(report, notes=(*report.notes, advice))
            reports[name] = report
    finally:
        if box is not None:
            box.close()
    return reports


def _fill(box: "Box", setup: Sequence[str], cells: Mapping[str, str | None], hanging: set[str]) -> "Box":
    """Run the cells in a new process; one that ends it or hangs is named in `hanging` and left out next time."""
    for source in setup:
        box.start_clock(
            box.limits.start,
            "the lesson's own imports did not finish: the grader's machine is too slow or broken",
        )
        box.define("setup", source)
    for name, source in cells.items():
        if source is not None and name not in hanging:
            box.start_clock(box.limits.cell, "")
            try:
                box.define(name, source)
            except StudentError:
                hanging.add(name)
                break
    return box


class Box:
    """A student's process as a channel. After any failure it is closed and answers nothing more."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.folder = tempfile.TemporaryDirectory(prefix="box-")
        keep = {key: os.environ[key] for key in ("PATH", "LANG", "LD_LIBRARY_PATH") if key in os.environ}
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
        self.process = subprocess.Popen(
            # -P: a file of the student's folder must not stand in for a library.
            [sys.executable, "-P", "-m", "autograder.box"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=self.folder.name,
            env=keep | threads | {"HOME": self.folder.name, "IPYTHONDIR": self.folder.name},
            start_new_session=True,
        )
        os.set_blocking(self.process.stdin.fileno(), False)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.closed = False
        self.start_clock(limits.start, "the student's process did not start")

    def start_clock(self, seconds: float, message: str) -> None:
        """From now on the process has this long; then it is ended, and the message is the reason."""
        self.deadline, self.late = time.monotonic() + seconds, message

    def define(self, name: str, source: str) -> None:
        """Run one cell."""
        self._exchange(b"D" + encode((name, source)), lambda frame: frame)

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        """One call of the student's code; see `autograder.student.Channel`."""
        return self._exchange(b"Q" + frame, serve)

    def close(self) -> None:
        """End the process and all that it started."""
        if not self.closed:
            self.closed = True
            with_group = os.getpgid(self.process.pid) if self.process.poll() is None else None
            if with_group is not None:
                os.killpg(with_group, 9)
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.folder.cleanup()

    def _exchange(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        if self.closed:
            raise StudentError("Died", "the process that ran your code had ended")
        try:
            self._send(frame)
            while True:
                length = int.from_bytes(self._receive(8), "little")
                kind = self._receive(1)
                if length > MAX_BYTES or kind not in (ANSWER, CALLBACK):
                    raise StudentError("Unreadable", "your code wrote into the grader's pipe")
                answer = self._receive(length)
                if kind == ANSWER:
                    return answer
                self._send(serve(answer))
        except BaseException:
            self.close()
            raise

    def _send(self, frame: bytes) -> None:
        data = memoryview(len(frame).to_bytes(8, "little") + frame)
        while data:
            self._wait(self.process.stdin, select.POLLOUT)
            try:
                data = data[os.write(self.process.stdin.fileno(), data) :]
            except BrokenPipeError:
                raise self._died() from None

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait(self.process.stdout, select.POLLIN)
            part = os.read(self.process.stdout.fileno(), min(count - len(parts), 2**20))
            if not part:
                raise self._died()
            parts += part
        return bytes(parts)

    def _wait(self, stream: object, event: int) -> None:
        poll = select.poll()
        poll.register(stream, event)
        left = self.deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise StudentError("TooSlow", self.late)

    def _died(self) -> StudentError:
        return StudentError("Died", "your code ended the process that ran it (exit, a crash, or too much memory)")
