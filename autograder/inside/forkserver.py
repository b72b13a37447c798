"""The fork server: imports torch once, then forks a confined process for each submission.

`autograder.sandbox.server` starts it in the sandbox as `python -P -m autograder.inside.forkserver FD`, where FD is the
socket that carries its orders. It holds nothing secret, and each of its children starts as a copy of it. It forks
while it has one thread: a copy of a process whose other threads hold locks would hang.
"""

import base64
import contextlib
import ctypes
import gc
import importlib.abc
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import sys
from typing import Any, NoReturn

from autograder.inside import cells

HERE = re.compile(r"autograder\.(given|inside)(\.|$)")  # the modules of this project in the sandbox

# Python 3.11 has no names for these constants of <linux/sched.h>, <linux/mount.h> and <linux/prctl.h>.
NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, ipc, user, pid, net
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_READ = 1, 4, 22, 23
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve until the host closes the socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    order = json.loads(control.recv(2**20))
    if order["become"]:
        become(order["become"])
    # A submission's first process loses its parent at once: the kernel must hand it to this process.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prepare()
    if order["become"] and not order["walls"]:
        # Without namespaces, processes of one user can reach each other, so the filter applies to this one as well.
        prctl(PR_SET_DUMPABLE, 0)
        limit({"NPROC": order["processes"]})
        disarm(base64.b64decode(order["filter"]))
    control.send(b"ready")
    serve(control, order)


def become(uid: int) -> None:
    """Give up root for good: the kernel does not apply its limits on files and processes to root."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_DUMPABLE, 1)  # otherwise root owns /proc/self, and new namespaces cannot be set up


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
                if not order["walls"]:  # nothing else would end them
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
    if not order["walls"]:
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
            wall(order)
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


def wall(order: dict) -> None:
    """Enter new namespaces and give up every way out of them."""
    uid, gid = os.getuid(), os.getgid()
    cpu = read("/proc/cpuinfo")  # torch reads the CPU's features there
    call("taking namespaces of its own", libc.unshare, NEW_NAMESPACES)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {uid} 1")
    write("/proc/self/gid_map", f"{gid} {gid} 1")
    # Set inside the user namespace, this limit counts only the processes in it.
    limit({"NPROC": order["processes"]})
    space = f"size={order['tmp']},nr_inodes={order['tmp'] // 4096},mode=1777"
    for folder in ("/tmp", "/dev/shm"):
        mount("tmpfs", folder, MS_NOSUID | MS_NODEV, space)
    mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,max=16")
    # The outer /proc shows other submissions' command lines and mounts, and the kernel refuses to mount a new one.
    mount("tmpfs", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,nr_inodes=8,mode=755")
    write("/proc/cpuinfo", cpu)
    mount("tmpfs", "/proc", MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    os.chdir("/tmp")
    os.setsid()
    disarm(base64.b64decode(order["filter"]))


def disarm(program: bytes) -> None:
    """Drop all capabilities for good, and have the kernel refuse the system calls that the filter names."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            prctl(PR_CAPBSET_DROP, capability)
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    call("dropping capabilities", libc.capset, header, nothing)
    prctl(PR_SET_NO_NEW_PRIVS, 1)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, program)))


def limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))


def run(asked: dict, channel: socket.socket) -> NoReturn:
    """Serve as a submission's process: close everything of the fork server except the process's own socket."""
    try:
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


def mount(kind: str, folder: str, flags: int, options: str) -> None:
    call(f"mounting {folder}", libc.mount, kind.encode(), folder.encode(), kind.encode(), flags, options.encode())


def prctl(option: int, *values: Any) -> None:
    call(f"prctl {option}", libc.prctl, option, *values, *[0] * (4 - len(values)))


def call(what: str, function: Any, *values: Any) -> None:
    if function(*(ctypes.c_ulong(value) if isinstance(value, int) else value for value in values)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def read(path: str) -> str:
    with open(path) as stream:
        return stream.read()


def write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)


if __name__ == "__main__":
    main()
