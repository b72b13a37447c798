"""The process that holds one student's code: it runs their cells in an IPython shell, then answers requests.

Started by `autograder.judge` as `python -m autograder.box`; standard input and output are the pipe to the judge. It
is given nothing
that may not be known: no solution, no check, no seed. A sandbox belongs around this process.
"""

import os
import sys
from typing import Any, BinaryIO

from autograder.codec import decode, encode
from autograder.worker import Missing, Worker, describe

ANSWER, CALLBACK = b"A", b"C"


def main() -> None:
    """Serve until the judge closes the pipe."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the student's code prints or reads must not meet the pipe.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)

    def send(kind: bytes, frame: bytes) -> None:
        answers.write(len(frame).to_bytes(8, "little") + kind + frame)
        answers.flush()

    def ask(frame: bytes) -> bytes:
        send(CALLBACK, frame)
        return _read(requests)

    cells = Cells()
    worker = Worker(cells.resolve)
    while True:
        try:
            frame = _read(requests)
        except EOFError:
            return
        kind, payload = frame[:1], frame[1:]
        send(ANSWER, cells.define(payload) if kind == b"D" else worker.answer(payload, ask))


class Cells:
    """The student's cells, run one after the other in one IPython shell, as in their notebook."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        settings = Config()
        settings.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=settings)
        self.shell.enable_gui = lambda gui=None: None  # `%matplotlib inline` in a student's cell is harmless
        self.errors: dict[str, dict] = {}

    def define(self, frame: bytes) -> bytes:
        """Run one cell; an error stays with it and stops nothing else."""
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


if __name__ == "__main__":
    sys.exit(main())
