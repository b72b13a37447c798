"""The pipe to a student's process: requests go in, answers come out, and nothing that comes out is believed.

The process may write anything at any time. An answer counts only if it carries the tag of its request.
"""

import secrets
import select
import socket
import time
from collections.abc import Callable

from autograder.checking.student import StudentError
from autograder.inside.cells import ANSWER, CALLBACK, HEADER, TAG
from autograder.inside.codec import MAX_BYTES, encode
from autograder.sandbox.server import Server, ServerEnded

__all__ = ["Pipe"]


class Pipe:
    """A student's process as a channel. After any failure it is closed and answers nothing more."""

    def __init__(self, server: Server):
        self.limits = server.limits
        self.process = server.spawn()
        self.closed = False
        self.lost: ServerEnded | None = None
        self.start_clock(self.limits.start, "the student's process did not start")

    def start_clock(self, seconds: float, message: str) -> None:
        """Give the process this many seconds from now on; then the judge ends it, with the message as the reason."""
        self.deadline, self.late = time.monotonic() + seconds, message

    def define(self, name: str, source: str) -> None:
        """Run one cell."""
        self._exchange(b"D", encode((name, source)), lambda frame: frame)

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        """One call of the student's code; see `autograder.checking.student.Channel`."""
        return self._exchange(b"Q", frame, serve)

    def close(self, grace: float = 0.0) -> None:
        """End the process and everything that it started."""
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
                if tag != expected:  # twice, too early or too late: it answers another request
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
