"""The sandbox as the host sees it: starting it, and getting a process in it for each submission.

One bubblewrap process holds a fork server (`autograder.inside.forkserver`); each submission gets a copy of that
server's process in namespaces of its own. Ordinary hostile Python reaches no file, network, process, other submission
or grader from there, and its time, memory, processes and disk are bounded. It does not protect against a bug in the
kernel.

`autograder.sandbox.bubblewrap` says what the sandbox contains, `.seccomp` which system calls it refuses, `.limits` how
much a submission may use; `.memory` bounds the memory, and `.remedies` says what to do where a machine lacks something.
"""

import atexit
import base64
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from autograder.inside.cells import HELLO
from autograder.sandbox.bubblewrap import NOBODY, arguments, clean_environment, interpreter
from autograder.sandbox.limits import MIB, Limits, size
from autograder.sandbox.memory import USER_BUS, V1, Group, Watchdog, ended, group_home, user_scope
from autograder.sandbox.remedies import INSTALL_BUBBLEWRAP, TOO_LITTLE, NoSandbox, unfit
from autograder.sandbox.seccomp import seccomp_filter

__all__ = ["Process", "Server", "ServerEnded", "shared"]

SERVER_MEMORY = 2048 * MIB  # for the fork server, where one bound covers both
NO_WALLS = "none (--unsafe-no-sandbox)"
AS_USER = "no namespaces: another user and filtered system calls, memory bounded by a watchdog"


class ServerEnded(RuntimeError):
    """The fork server has ended. The submission is not at fault and must be judged again."""


class Process:
    """One submission's process; `Server.spawn` makes it.

    Attributes:
        channel: its pipe. Once student code has run, nothing that comes from it can be trusted.
        cpu_seconds: CPU time of the student's code and everything that it started; None until the end, or if unknown.
        reason: how it ended, in words for the student; empty until the end, and if the host ended it.
    """

    def __init__(self, server: "Server", channel: socket.socket, report: socket.socket, folder: Path | None):
        self.channel, self.cpu_seconds, self.reason = channel, None, ""
        self._server, self._report, self._folder = server, report, folder
        self._lock, self._open = threading.Lock(), True
        self._hold: Group | Watchdog | None = None
        self._own_cpu = 0.0
        answer, handed, _, _ = socket.recv_fds(report, 4096, 1)
        if not answer:
            raise ServerEnded("the sandbox's fork server ended")
        if not handed:
            raise unfit(json.loads(answer)["error"])
        self.pidfd = handed[0]
        # The pid is -1 once the process has ended.
        self.pid = int(re.search(r"^Pid:\s*(-?\d+)", Path(f"/proc/self/fdinfo/{self.pidfd}").read_text(), re.M)[1])

    def kill(self, grace: float = 0.0) -> None:
        """End the process and everything that it started, and wait until they are gone.

        Args:
            grace: seconds to wait for the process to end first, so that `reason` can say how.

        Raises:
            ServerEnded: the fork server has ended, and the process with it.
        """
        with self._lock:
            if not self._open:
                return
            self._open = False
            unforced = ended(self.pidfd, grace)
            self._signal()
            answer = b""
            with contextlib.suppress(TimeoutError):
                answer = self._report.recv(4096)
            exceeded = self._hold is not None and self._hold.release()
            for each in (self.channel, self._report):
                each.close()
            os.close(self.pidfd)
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._server.forget(self)
            if not answer:
                raise ServerEnded("the sandbox's fork server ended")
            ended_with = json.loads(answer)
            self.cpu_seconds = max(0.0, ended_with["cpu"] - self._own_cpu)
            if exceeded:
                self.reason = f"your code used more memory than the {size(self._server.limits.memory)} it may use"
            elif unforced:
                self.reason = "your code ended the process that ran it: " + ending(ended_with["status"])

    def _signal(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self._folder and self.pid > 0:  # without a pid namespace, its children survive it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class Server:
    """A sandbox with a fork server in it. One per grading process is enough; several threads may use it.

    Args:
        limits: what each submission may use.
        unsafe: do not confine submissions; for machines where no result matters. A process that a submission starts in
            a new session can outlive it.
        user: for root in a container that forbids namespaces and holds only one submission: submissions run as this
            user, behind the filter of system calls, and everything that they must not read or change has to be closed
            to this user.

    Attributes:
        stamp: how submissions are confined and their memory is bounded; every result carries it.

    Raises:
        NoSandbox: this machine cannot confine students' code.
    """

    def __init__(self, limits: Limits | None = None, *, unsafe: bool = False, user: int | None = None):
        self.limits, self.unsafe, self.user = limits or Limits(), unsafe, user
        self.confined = not unsafe and user is None
        self._live: set[Process] = set()
        self._lock = threading.Lock()
        if sys.platform != "linux":
            raise NoSandbox(
                f"the sandbox needs Linux; this is {platform.system()}",
                "Grade in a Linux virtual machine, in a container (docs/instructors.md), or on Windows in WSL2.",
            )
        self._filter = b"" if unsafe else seccomp_filter()
        self._home = group_home(self.limits.memory) if user is None else None
        self._scope = [] if self._home or not self.confined else user_scope(self.limits.memory + SERVER_MEMORY)
        self._start()
        _servers.add(self)
        atexit.register(self.close)
        try:
            self.spawn().kill()  # a first process, really confined: what does not work shows now
        except BaseException:
            self.close()
            raise

    def spawn(self) -> Process:
        """Start a confined process for one submission; no student code has run in it yet.

        Raises:
            NoSandbox: the process cannot be confined.
            ServerEnded: the fork server has just ended; the next call starts a new one.
        """
        with self._lock:
            if self._process.poll() is not None:
                self._stop()
                self._start()
        folder = None if self.confined else Path(tempfile.mkdtemp(dir=self._folder))
        if folder and self.user is not None:
            os.chown(folder, self.user, self.user)
        ours, theirs = socket.socketpair()
        report, reporting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report.settimeout(self.limits.start)
        ours.settimeout(self.limits.start)
        try:
            with theirs, reporting:
                order = json.dumps({"folder": str(folder) if folder else None}).encode()
                socket.send_fds(self._control, [order], [theirs.fileno(), reporting.fileno()])
            process = Process(self, ours, report, folder)
        except OSError:
            raise ServerEnded("the sandbox's fork server ended") from None
        self._live.add(process)
        try:
            if process.pid > 0:
                with contextlib.suppress(ProcessLookupError):  # the process is just ending
                    process._hold = self._bound(process)
            hello = ours.recv(HELLO.size, socket.MSG_WAITALL)
            if len(hello) < HELLO.size:
                raise NoSandbox("A submission's process ended at once.", TOO_LITTLE)
            process._own_cpu = HELLO.unpack(hello)[0]
        except BaseException:
            process.kill()
            raise
        return process

    @property
    def stamp(self) -> str:
        if not self.confined:
            return NO_WALLS if self.user is None else AS_USER
        version = "v1" if self._home and (self._home / V1.limit).exists() else "v2"
        by = f"cgroup {version}" if self._home or self._scope else "a watchdog"
        return f"bubblewrap, memory bounded by {by}"

    def disown(self) -> None:
        """Give the sandbox up in a forked copy of this process: it belongs to the original and ends with it."""
        self._control.close()
        self._live.clear()
        self._folder = None
        atexit.unregister(self.close)

    def forget(self, process: Process) -> None:
        self._live.discard(process)

    def close(self) -> None:
        """End the sandbox and everything in it."""
        for process in list(self._live):
            with contextlib.suppress(ServerEnded):
                process.kill()
        self._stop()
        atexit.unregister(self.close)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start the sandbox and wait until the fork server is ready."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = None if self.confined else Path(tempfile.mkdtemp(prefix="grader-"))
        limits = self.limits
        rlimits = {"AS": limits.address_space, "FSIZE": limits.file_size, "NOFILE": limits.files, "CORE": 0}
        order = {
            "become": NOBODY if os.geteuid() == 0 and self.confined else self.user,
            "confined": self.confined,
            "rlimits": rlimits,
            "processes": limits.processes,
            "tmp": limits.tmp,
            "folder": str(self._folder) if self._folder else None,
            "filter": base64.b64encode(self._filter).decode(),
        }
        with theirs, open(os.memfd_create("stderr"), "w+b") as log:
            self._control.send(json.dumps(order).encode())
            start = self._bubblewrap if self.confined else self._plain
            self._process = start(theirs.fileno(), log)
            theirs.close()
            self._control.settimeout(limits.start)
            answer = f"the fork server is not ready within {limits.start:g} s"
            try:
                answer = self._control.recv(16).decode()
            except ConnectionError:  # it ended before it read its orders
                answer = ""
            except TimeoutError:
                pass
            if answer != "ready":
                self._process.kill()
                self._stop()
                log.seek(0)
                raise unfit(answer or log.read().decode(errors="replace"))
        self._control.settimeout(None)

    def _stop(self) -> None:
        hang_up(self._control)  # this ends the fork server, and everything in the sandbox with it
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)  # the fork server may be deleting it at the same moment

    def _bubblewrap(self, control: int, log: Any) -> subprocess.Popen:
        bubblewrap = shutil.which("bwrap")
        if bubblewrap is None:
            raise NoSandbox("bubblewrap (the command bwrap) is not installed.", INSTALL_BUBBLEWRAP)
        with contextlib.ExitStack() as opened:
            files = {name: memory_file(opened, text) for name, text in sources().items()}
            words = arguments(files, as_root=os.geteuid() == 0)
            listed = memory_file(opened, b"".join(os.fsencode(word) + b"\0" for word in words))
            command = [*self._scope, bubblewrap, "--args", str(listed), "--", interpreter()]
            command += ["-P", "-m", "autograder.inside.forkserver", str(control)]
            environment = {name: os.environ[name] for name in ("PATH", *USER_BUS) if name in os.environ}
            return start_attached(command, [control, listed, *files.values()], log, environment, self._control)

    def _plain(self, control: int, log: Any) -> subprocess.Popen:
        command = [sys.executable, "-P", "-m", "autograder.inside.forkserver", str(control)]
        folder = self._folder
        (folder / "autograder" / "inside").mkdir(parents=True)
        for name, text in sources().items():
            (folder / name).write_bytes(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        (folder / "home").mkdir()
        if self.user is not None:
            os.chown(folder / "home", self.user, self.user)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"PYTHONPATH": str(folder), "IPYTHONDIR": str(folder / "home"), "MPLCONFIGDIR": str(folder / "home")}
        environment = clean_environment() | kept | own
        return start_attached(command, [control], log, environment, self._control)

    def _bound(self, process: Process) -> "Group | Watchdog | None":
        """Bound the memory of a process in which no student code has run yet."""
        if self._home:
            return Group(self._home, self.limits.memory, process.pid)
        if self._scope:
            return None
        return Watchdog(self.limits.memory, process.pidfd, process.pid)


def sources() -> dict[str, bytes]:
    """Every file of this project that the sandbox holds, by its path from the folder of `autograder`."""
    package = Path(__file__).parents[1]
    paths = [package / "__init__.py", package / "given.py", *sorted((package / "inside").glob("*.py"))]
    return {str(path.relative_to(package.parent)): path.read_bytes() for path in paths}


def memory_file(opened: contextlib.ExitStack, content: bytes) -> int:
    descriptor = os.memfd_create("sandbox")
    opened.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def start_attached(
    command: list[str], descriptors: list[int], log: Any, environment: dict[str, str], control: socket.socket
) -> subprocess.Popen:
    """Start the sandbox from a thread that lives as long: the kernel ends it with the thread that started it."""
    started: SimpleQueue = SimpleQueue()

    def start() -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=descriptors,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except BaseException as error:
            started.put(error)
        else:
            started.put(process)
            process.wait()
            # A bubblewrap that is killed does not end a fork server that runs as another user.
            hang_up(control)

    threading.Thread(target=start, daemon=True).start()
    process = started.get()
    if isinstance(process, BaseException):
        raise process
    return process


def hang_up(control: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already closed
        control.shutdown(socket.SHUT_RDWR)


def ending(status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return "not enough memory, or a kill" if name == "SIGKILL" else f"a crash ({name})"
    return "an exit, or it closed the grader's pipe"


_shared: list[Server] = []
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _forked() -> None:
    _shared.clear()
    for server in _servers:
        server.disown()


os.register_at_fork(after_in_child=_forked)


def shared(limits: Limits | None = None, *, unsafe: bool = False) -> Server:
    """This process's server: created at the first call, and again when the limits change."""
    if not _shared or (_shared[0].limits, _shared[0].unsafe) != (limits or Limits(), unsafe):
        while _shared:
            _shared.pop().close()
        _shared.append(Server(limits, unsafe=unsafe))
    return _shared[0]
