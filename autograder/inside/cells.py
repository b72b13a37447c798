"""A submission's process: it runs the student's cells in an IPython shell, then answers requests.

`autograder.inside.forkserver` makes the process and confines it. The process receives nothing that a student must not
know: no solution, no check, no seed.
"""

import socket
import struct
import time
from typing import Any, BinaryIO

from autograder.inside.codec import decode, encode
from autograder.inside.responder import Missing, Responder, describe

ANSWER, CALLBACK = b"A", b"C"
TAG = 8  # bytes sent with a request; its answer must carry the same ones
HEADER = struct.Struct(f"<Qc{TAG}s")  # precedes each message: its length, its kind, the request's tag
HELLO = struct.Struct("<d")  # the first bytes on the pipe: CPU seconds used before any student code ran


def make_shell() -> Any:
    """The process's IPython shell; only the first call makes one."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    settings = Config()
    settings.HistoryManager.enabled = False  # history keeps a thread
    shell = InteractiveShell.instance(config=settings)
    shell.ask_exit = lambda: None  # exit() and quit(): as in a kernel, the cell still runs to its end
    shell.enable_gui = lambda gui=None: None  # `%matplotlib inline` in a student's cell is harmless
    return shell


def serve(channel: socket.socket) -> None:
    """Serve until the judge closes the pipe."""
    pipe, tag = channel.makefile("rwb"), b""

    def send(kind: bytes, frame: bytes) -> None:
        pipe.write(HEADER.pack(len(frame), kind, tag) + frame)
        pipe.flush()

    def ask(frame: bytes) -> bytes:
        send(CALLBACK, frame)
        return _read(pipe)

    cells = Cells()
    responder = Responder(cells.resolve)
    pipe.write(HELLO.pack(time.process_time()))
    pipe.flush()
    while True:
        try:
            frame = _read(pipe)
        except EOFError:
            return
        kind, tag, payload = frame[:1], frame[1 : 1 + TAG], frame[1 + TAG :]
        send(ANSWER, cells.define(payload) if kind == b"D" else responder.answer(payload, ask))


class Cells:
    """The student's cells, run one after the other in one IPython shell, as in their notebook."""

    def __init__(self) -> None:
        self.shell = make_shell()
        self.errors: dict[str, dict] = {}

    def define(self, frame: bytes) -> bytes:
        """Run one cell; its error is kept with its name and stops no other cell."""
        name, source = decode(frame)
        result = self.shell.run_cell(source)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            self.errors[name] = describe(error)
        return encode(None)

    def resolve(self, name: str) -> Any:
        found = self.shell.user_ns.get(name)
        if callable(found):
            return found
        if name in self.errors:
            error = self.errors[name]
            if error["kind"] == "NotImplementedError":
                raise NotImplementedError
            where = f", in line {error['line']}: {error['text']}" if error["line"] else ""
            raise Missing(f"the cell did not run: {error['kind']}: {error['message']}{where}")
        raise Missing(f"the cell does not define a function named {name}")


def _read(stream: BinaryIO) -> bytes:
    length = int.from_bytes(_exactly(stream, 8), "little")
    return _exactly(stream, length)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
