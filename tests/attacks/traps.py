"""Targets that a submission could reach if nothing stopped it; each would notice, or be missed."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks import submission
from tests.autograder.toy_class import LESSON, ToyClass

__all__ = ["MINE", "Traps", "traps"]

MINE = "a bystander of the tests"  # part of the bystander's command line
VARIABLE = "ATTACKS_CANARY"
VICTIM = "mia"


@dataclass
class Traps:
    """The targets, as plain data for the cells of the attacks.

    Attributes:
        word: part of everything that nobody may read; no attack gets it.
        mark: in this run, the name of every process that an attack starts.
        left: a folder for everyone, in which nothing may appear.
        diary: a file that everyone on the machine may read.
        home: the grader's home.
        variable: the environment variable whose value is `word`.
        port, udp, path, abstract: addresses of listeners: TCP, UDP, a Unix socket with a path and one without.
        bystander: the id of a process whose command line ends in `word`.
        notebook, solutions, checks, secret, gradebook: files of the class; the notebook is a classmate's.
        hits: connections that the listeners noticed.
    """

    word: str
    mark: str
    left: str
    diary: str
    home: str
    variable: str
    port: int
    udp: int
    path: str
    abstract: str
    bystander: int
    notebook: str
    solutions: str
    checks: str
    secret: str
    gradebook: str
    hits: list[str] = field(default_factory=list)


@contextlib.contextmanager
def traps(toy: ToyClass) -> Iterator[Traps]:
    """Set the traps around a class; the grader must be started inside this context."""
    with contextlib.ExitStack() as stack:
        # Not in /tmp, of which each sandbox has its own, but where any user of the machine may look and write.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attacks-", dir="/var/tmp")))
        folder.chmod(0o755)
        word = f"canary-{secrets.token_hex(8)}"
        for name in ("left", "home"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        (folder / "diary").write_text(word)
        stack.callback(os.environ.pop, VARIABLE, None)
        os.environ[VARIABLE] = word
        bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", MINE, word])
        stack.callback(bystander.wait)
        stack.callback(bystander.kill)

        kinds = {
            "port": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "path": (socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket")),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{secrets.token_hex(8)}"),
        }
        hits: list[str] = []
        where = {name: _listening(stack, name, *kind, hits) for name, kind in kinds.items()}
        os.chmod(where["path"], 0o777)

        lesson = LESSON.partition("_")[2]
        yield Traps(
            word=word,
            mark=f"left-{secrets.token_hex(4)}",  # the kernel keeps 15 characters
            left=str(folder / "left"),
            diary=str(folder / "diary"),
            home=str(folder / "home"),
            variable=VARIABLE,
            **where,
            bystander=bystander.pid,
            notebook=str(submission(toy.folder / "submitted" / VICTIM / LESSON)),
            solutions=str(toy.folder / "solutions" / f"{LESSON}.py"),
            checks=str(toy.folder / "checks" / f"{lesson}.py"),
            secret=str(toy.folder / "secret"),
            gradebook=str(toy.folder / "gradebook.db"),
            hits=hits,
        )


def _listening(stack: contextlib.ExitStack, name: str, family: int, kind: int, address, hits: list[str]):
    """Listen, record connections, and return the address."""
    listener = stack.enter_context(socket.socket(family, kind))
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                if kind == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                elif not listener.recv(64):
                    return
                hits.append(name)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    stack.callback(end)
    place = listener.getsockname()
    return place[1] if family == socket.AF_INET else place.decode() if isinstance(place, bytes) else place
