"""The fork server: imports torch once, then forks a confined process for each submission.

`autograder.sandbox.server` starts it in the sandbox as `python -P -m autograder.inside.forkserver FD`, where FD is the
socket that carries its orders. It holds nothing secret, and each of its children starts as a copy of it. It forks
while it has one thread: a copy of a process whose other threads hold locks would hang.
"""

import base64
import contextlib
import gc
import importlib.abc
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import sys
from typing import Any, NoReturn

from autograder.inside import cells
from autograder.inside.confinement import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    become,
    confine,
    disarm,
    limit,
    prctl,
)

HERE = re.compile(r"autograder\.(given|inside)(\.|$)")  # the modules of this project in the sandbox


def main() -> None:
    """Serve until the host closes the socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    order = json.loads(control.recv(2**20))
    if order["become"]:
        become(order["become"])
    # A submission's first process loses its parent at once: the kernel must hand it to this process.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prepare()
    if order["become"] and not order["confined"]:
        # Without namespaces, processes of one user can reach each other, so the filter applies to this one as well.
        prctl(PR_SET_DUMPABLE, 0)
        limit({"NPROC": order["processes"]})
        disarm(base64.b64decode(order["filter"]))
    control.send(b"ready")
    serve(control, order)


def prepare() -> None:
    """Do once what every submission needs."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    sys.meta_path.insert(0, Absent())
    cells.make_shell().run_cell("pass", silent=True)
    # First use is slow, so each part is used once before the first fork.
    weight = torch.nn.Linear(2, 1)
    output = weight(torch.from_numpy(np.ones((2, 2), np.float32)))
    torch.autograd.grad(output.sum(), list(weight.parameters()))
    gc.collect()
    gc.freeze()  # otherwise garbage collection in a child copies every page


class Absent(importlib.abc.MetaPathFinder):
    """Explains why a module of the course cannot be imported in the sandbox."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "course_lib" or name.startswith("autograder.") and not HERE.match(name):
            raise ModuleNotFoundError(f"{name} is not there when work is graded: write it with torch and numpy")


def serve(control: socket.socket, order: dict) -> None:
    """Fork on request; tell the host how each child ended, and how much CPU time it used."""
    children: dict[int, tuple[int, socket.socket]] = {}  # pidfd: (pid, socket to report to)
    wait = select.poll()
    wait.register(control, select.POLLIN)
    while True:
        for descriptor, _ in wait.poll():
            if descriptor in children:
                pid, report = children.pop(descriptor)
                wait.unregister(descriptor)
                os.close(descriptor)
                _, status, usage = os.wait4(pid, 0)
                tell(report, {"status": os.waitstatus_to_exitcode(status), "cpu": usage.ru_utime + usage.ru_stime})
                report.close()
                continue
            asked, handed, _, _ = socket.recv_fds(control, 4096, 2)
            if not asked:
                if not order["confined"]:  # nothing else would end them
                    for pid, _ in children.values():
                        os.killpg(pid, signal.SIGKILL)
                    shutil.rmtree(order["folder"], ignore_errors=True)
                return
            channel, report = (socket.socket(fileno=number) for number in handed)
            try:
                pid = fork(order, json.loads(asked), channel)
                descriptor = os.pidfd_open(pid)
            except OSError as error:
                tell(report, {"error": str(error)})
            else:
                children[descriptor] = pid, report
                wait.register(descriptor, select.POLLIN)
                socket.send_fds(report, [b"{}"], [descriptor])
            channel.close()


def tell(report: socket.socket, words: dict) -> None:
    with contextlib.suppress(OSError):  # the host no longer listens
        report.send(json.dumps(words).encode())


def fork(order: dict, asked: dict, channel: socket.socket) -> int:
    """Fork a new submission's process; when this returns, it is confined.

    Raises:
        OSError: the process cannot be confined; the message says which step failed.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise OSError("the fork server has more than one thread: forking is not safe")
    if not order["confined"]:
        pid = os.fork()
        if pid == 0:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            limit(order["rlimits"])
            run(asked, channel)
        return pid
    answer, said = os.pipe()
    middle = os.fork()
    if middle == 0:
        # This process confines itself, forks and ends: its child, the first of a new pid namespace, starts confined.
        try:
            limit(order["rlimits"])
            confine(order)
            pid = os.fork()
            if pid == 0:
                run(asked, channel)
            os.write(said, str(pid).encode())
        except BaseException as error:
            os.write(said, f"{type(error).__name__}: {error}".encode()[:1000])
        finally:
            os._exit(0)
    os.close(said)
    with os.fdopen(answer, "rb") as stream:
        words = stream.read().decode()
    os.waitpid(middle, 0)
    if not words.isdigit():
        raise OSError(words)
    return int(words)


def run(asked: dict, channel: socket.socket) -> NoReturn:
    """Serve as a submission's process: close everything of the fork server except the process's own socket."""
    try:
        # Student code reads nothing from stdin, and what it prints to stdout and stderr goes nowhere.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.dup2(channel.detach(), 3)
        os.closerange(4, 2**20)
        if asked["folder"]:  # there are no namespaces
            os.setsid()
            os.chdir(asked["folder"])
            for name in ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"):
                os.environ[name] = asked["folder"]
        seed()
        cells.serve(socket.socket(fileno=3))
    finally:
        os._exit(0)


def seed() -> None:
    """Seed every submission alike, so that grading it again gives the same points."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


if __name__ == "__main__":
    main()
