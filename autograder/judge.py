"""The judge: runs a lesson's checks against a student's code that sits in another process, and keeps the ledger.

Points come from the verdicts made here and from nowhere else. Nothing that the student's process prints, raises or
forges can make a verdict; silence is a failure.
"""

import importlib
import secrets
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from autograder.box import ANSWER, CALLBACK, HEADER, TAG
from autograder.check import Check, Report
from autograder.codec import MAX_BYTES, encode
from autograder.sandbox import Server, ServerEnded
from autograder.student import StudentError

__all__ = ["Box", "checks_of", "judge"]


def checks_of(lesson: str) -> dict[str, Check]:
    """The checks of a lesson ("01_likelihood") by exercise, in the order of their file."""
    module = importlib.import_module(f"autograder.checks.{lesson.lstrip('0123456789_')}")
    return {name: found for name, found in vars(module).items() if isinstance(found, Check)}


def judge(
    lesson: str,
    setup: Sequence[str],
    cells: Mapping[str, str | None],
    secret: int | str,
    *,
    checks: Mapping[str, Check],
    server: Server,
) -> dict[str, Report]:
    """Judge one submission.

    Args:
        lesson: its name; with the secret it seeds the checks' random cases.
        setup: sources of the master's own definition cells (imports), run first.
        cells: for each exercise the source of the student's cell, None where the submission has none.
        secret: seeds the random cases of the checks; never enters the student's process.
        checks: the check of each exercise.
        server: where the student's process comes from, with its limits.

    Returns:
        A report for every check, whatever the submission does.

    Raises:
        NoSandbox: a submission cannot be contained any more.
        ServerEnded: the sandbox ended under the submission, which has to be judged again.
    """
    limits = server.limits
    reports: dict[str, Report] = {}
    unfinished: dict[str, StudentError] = {}
    box: Box | None = None
    try:
        for name, check in checks.items():
            if cells.get(name) is None:
                reports[name] = check.refuse("Missing", "the submission has no cell for this exercise")
                continue
            try:
                while box is None or box.closed:
                    box = _fill(Box(server), setup, cells, unfinished)
            except StudentError as error:
                reports[name] = check.refuse(error.kind, str(error))
                continue
            if name in unfinished:
                error = unfinished[name]
                reports[name] = check.refuse(error.kind, f"the cell did not run to its end: {error}")
                continue
            box.start_clock(limits.check, f"not finished within {limits.check:g} seconds")
            report = check.judge(box, f"{secret}/{lesson}")
            if box.lost is not None:  # the check took it for a fault of its own
                raise box.lost
            if report.kind == "NameError":
                advice = "when graded, only the solution cells are run: put your own imports and helpers inside them"
                report = replace(report, notes=(*report.notes, advice))
            reports[name] = report
    finally:
        if box is not None:
            box.close()
    return reports


def _fill(
    box: "Box", setup: Sequence[str], cells: Mapping[str, str | None], unfinished: dict[str, StudentError]
) -> "Box":
    """Run the cells in a new process; one that ends it or hangs goes to `unfinished` and is left out next time."""
    for source in setup:
        box.start_clock(
            box.limits.start,
            "the lesson's own imports did not finish: the grader's machine is too slow or broken",
        )
        box.define("setup", source)
    for name, source in cells.items():
        if source is not None and name not in unfinished:
            box.start_clock(box.limits.cell, f"not finished within {box.limits.cell:g} seconds")
            try:
                box.define(name, source)
            except StudentError as error:
                unfinished[name] = error
                break
    return box


class Box:
    """A student's process as a channel. After any failure it is closed and answers nothing more."""

    def __init__(self, server: Server):
        self.limits = server.limits
        self.process = server.spawn()
        self.closed = False
        self.lost: ServerEnded | None = None
        self.start_clock(self.limits.start, "the student's process did not start")

    def start_clock(self, seconds: float, message: str) -> None:
        """From now on the process has this long; then it is ended, and the message is the reason."""
        self.deadline, self.late = time.monotonic() + seconds, message

    def define(self, name: str, source: str) -> None:
        """Run one cell."""
        self._exchange(b"D", encode((name, source)), lambda frame: frame)

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        """One call of the student's code; see `autograder.student.Channel`."""
        return self._exchange(b"Q", frame, serve)

    def close(self, grace: float = 0.0) -> None:
        """End the process and all that it started."""
        self.closed = True
        try:
            self.process.kill(grace)
        except ServerEnded as lost:
            self.lost = lost
            raise

    def _exchange(self, what: bytes, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        if self.closed:
            raise StudentError("Died", "the process that ran your code had ended")
        try:
            expected = secrets.token_bytes(TAG)
            self._send(what + expected + frame)
            while True:
                length, kind, tag = HEADER.unpack(self._receive(HEADER.size))
                if length > MAX_BYTES or kind not in (ANSWER, CALLBACK):
                    raise StudentError("Unreadable", "your code wrote into the grader's pipe")
                answer = self._receive(length)
                if tag != expected:  # it comes twice, too early or too late: what it answers was another request
                    continue
                if kind == ANSWER:
                    return answer
                self._send(serve(answer))
        except BaseException:
            self.close()
            raise

    def _send(self, frame: bytes) -> None:
        data = memoryview(len(frame).to_bytes(8, "little") + frame)
        while data:
            self._wait(select.POLLOUT)
            try:
                data = data[self.process.channel.send(data, socket.MSG_DONTWAIT) :]
            except ConnectionError:
                raise self._died() from None

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait(select.POLLIN)
            try:
                part = self.process.channel.recv(min(count - len(parts), 2**20), socket.MSG_DONTWAIT)
            except ConnectionError:
                part = b""
            if not part:
                raise self._died()
            parts += part
        return bytes(parts)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self.process.channel, event)
        left = self.deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise StudentError("TooSlow", self.late)

    def _died(self) -> StudentError:
        self.close(grace=1.0)
        return StudentError("Died", self.process.reason or "your code closed the grader's pipe")
