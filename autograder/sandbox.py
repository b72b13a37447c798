"""The box around students' code: what the host sets up, and what it refuses to do without.

One outer box (bubblewrap) holds a fork server (`autograder.forkserver`); each submission gets a copy of that server's
process in namespaces of its own. Ordinary hostile Python reaches no file, network, process, other submission or
grader from there, and its time, memory, processes and disk are bounded. It is no protection against a bug of the
kernel.
"""

import atexit
import base64
import contextlib
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from autograder.box import HELLO

__all__ = ["Finding", "Limits", "NoSandbox", "Process", "Server", "ServerEnded", "examine", "shared"]

MIB = 2**20
NOBODY = 65534
MODULES = ("__init__", "box", "codec", "forkserver", "given", "worker")  # all that the box has of this project
PYTHON, PACKAGES, GRADER = "/python", "/packages", "/grader"  # where things lie in the box
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
SERVER_MEMORY = 2048 * MIB  # of the fork server itself, where one bound holds for both
NO_WALLS = "none (--unsafe-no-sandbox)"
AS_USER = "no namespaces: another user and filtered system calls, memory bounded by a watchdog"


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Wall clocks are in seconds, sizes in bytes."""

    start: float = 120.0  # the fork server's imports; the lesson's own imports
    cell: float = 20.0  # running one of the student's cells
    check: float = 60.0  # one whole check, the student's calls and the judge's own work
    memory: int = 3072 * MIB  # all processes of a submission together
    address_space: int = 8192 * MIB  # of each process: a CUDA build of torch reserves that much
    processes: int = 64  # threads among them
    files: int = 256  # open at once
    file_size: int = 64 * MIB
    tmp: int = 128 * MIB  # of /tmp and of /dev/shm


class NoSandbox(RuntimeError):
    """Students' code cannot be contained on this machine: `reason`, and the `remedy`."""

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}\n{remedy}")
        self.reason, self.remedy = reason, remedy


class ServerEnded(RuntimeError):
    """The fork server is gone: no fault of the submission, which has to be judged again."""


@dataclass(frozen=True)
class Finding:
    """One line of a machine's examination."""

    ok: bool
    what: str
    remedy: str = ""


class Process:
    """One submission's process; `Server.spawn` makes it.

    Attributes:
        channel: its pipe. Whatever comes from there after any code of the student has run is the student's word.
        cpu_seconds: processor time of the student's code and all that it started; None until the end, or if unknown.
        reason: how it ended, in words for the student; empty until the end, and if it was ended from here.
    """

    def __init__(self, server: "Server", channel: socket.socket, report: socket.socket, folder: Any):
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
        self.pid = int(re.search(r"^Pid:\s*(-?\d+)", Path(f"/proc/self/fdinfo/{self.pidfd}").read_text(), re.M)[1])

    def kill(self, grace: float = 0.0) -> None:
        """End the process and all that it started, and wait until they are gone.

        Args:
            grace: seconds to wait for its own end first, so that `reason` can tell how it came about.

        Raises:
            ServerEnded: the fork server is gone, and took the process with it.
        """
        with self._lock:
            if not self._open:
                return
            self._open = False
            by_itself = ended(self.pidfd, grace)
            self._signal()
            answer = b""
            with contextlib.suppress(TimeoutError):
                answer = self._report.recv(4096)
            exceeded = self._hold is not None and self._hold.release()
            for each in (self.channel, self._report):
                each.close()
            os.close(self.pidfd)
            if self._folder:
                self._folder.cleanup()
            self._server.forget(self)
            if not answer:
                raise ServerEnded("the sandbox's fork server ended")
            told = json.loads(answer)
            self.cpu_seconds = max(0.0, told["cpu"] - self._own_cpu)
            if exceeded:
                self.reason = f"your code used more memory than the {size(self._server.limits.memory)} it may use"
            elif by_itself:
                self.reason = "your code ended the process that ran it: " + ending(told["status"])

    def _signal(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self._folder:  # without a pid namespace its children do not end with it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class Server:
    """An outer box with a fork server in it. One per grading process is enough; it may be used from several threads.

    Args:
        limits: of each submission.
        unsafe: without walls around the submissions; for machines where no result matters.
        user: for root in a container that forbids namespaces and holds nothing but one submission: instead of walls,
            the submissions run as this user, and behind the filter of system calls. What they could read or change
            there has to be closed to that user.

    Attributes:
        stamp: what contains the submissions and bounds their memory, to be written on every result.

    Raises:
        NoSandbox: this machine cannot contain students' code.
    """

    def __init__(self, limits: Limits | None = None, *, unsafe: bool = False, user: int | None = None):
        self.limits, self.unsafe, self.user = limits or Limits(), unsafe, user
        self.walls = not unsafe and user is None
        self._live: set[Process] = set()
        self._lock = threading.Lock()
        if sys.platform != "linux":
            raise NoSandbox(
                f"the sandbox needs Linux; this is {platform.system()}",
                "Grade in a Linux virtual machine, in a container (docs/instructors.md), or on Windows in WSL2.",
            )
        self._filter = b"" if unsafe else seccomp_filter()
        self._home = group_home(self.limits.memory) if user is None else None
        self._scope = [] if self._home or not self.walls else user_scope(self.limits.memory + SERVER_MEMORY)
        self._start()
        _servers.add(self)
        atexit.register(self.close)
        try:
            self.spawn().kill()  # with the real walls: what does not work shows now
        except BaseException:
            self.close()
            raise

    def spawn(self) -> Process:
        """A process for one submission, behind its walls, with the student's first code still to come.

        Raises:
            NoSandbox: a wall cannot be put up.
            ServerEnded: the fork server ended just now; the next call starts a new one.
        """
        with self._lock:
            if self._process.poll() is not None:
                self._stop()
                self._start()
        folder = None if self.walls else tempfile.TemporaryDirectory(dir=self._folder.name)
        if folder and self.user is not None:
            os.chown(folder.name, self.user, self.user)
        ours, theirs = socket.socketpair()
        report, reporting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report.settimeout(self.limits.start)
        ours.settimeout(self.limits.start)
        try:
            with theirs, reporting:
                order = json.dumps({"folder": folder.name if folder else None}).encode()
                socket.send_fds(self._control, [order], [theirs.fileno(), reporting.fileno()])
            process = Process(self, ours, report, folder)
        except OSError:
            raise ServerEnded("the sandbox's fork server ended") from None
        self._live.add(process)
        try:
            if process.pid > 0:  # else it has ended
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
        if not self.walls:
            return NO_WALLS if self.user is None else AS_USER
        version = "v1" if self._home and (self._home / V1.limit).exists() else "v2"
        by = f"cgroup {version}" if self._home or self._scope else "a watchdog"
        return f"bubblewrap, memory bounded by {by}"

    def disown(self) -> None:
        """In a copy of this process: the box is the original's, and has to end with that."""
        self._control.close()
        self._live.clear()
        atexit.unregister(self.close)

    def forget(self, process: Process) -> None:
        self._live.discard(process)

    def close(self) -> None:
        """End the box and all that is in it."""
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
        """Start the box and wait until the fork server is ready."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._folder = None if self.walls else tempfile.TemporaryDirectory(prefix="grader-")
        limits = self.limits
        rlimits = {"AS": limits.address_space, "FSIZE": limits.file_size, "NOFILE": limits.files, "CORE": 0}
        order = {
            "become": NOBODY if os.geteuid() == 0 and self.walls else self.user,
            "walls": self.walls,
            "rlimits": rlimits,
            "processes": limits.processes,
            "tmp": limits.tmp,
            "folder": self._folder.name if self._folder else None,
            "filter": base64.b64encode(self._filter).decode(),
        }
        with theirs, open(os.memfd_create("stderr"), "w+b") as words:
            self._control.send(json.dumps(order).encode())
            start = self._bubblewrap if self.walls else self._plain
            self._process = start(theirs.fileno(), words)
            theirs.close()
            self._control.settimeout(limits.start)
            said = f"the fork server is not ready within {limits.start:g} s"
            try:
                said = self._control.recv(16).decode()
            except ConnectionError:  # it ended without having read its orders
                said = ""
            except TimeoutError:
                pass
            if said != "ready":
                self._process.kill()
                self._stop()
                words.seek(0)
                raise unfit(said or words.read().decode(errors="replace"))
        self._control.settimeout(None)

    def _stop(self) -> None:
        hang_up(self._control)  # the fork server ends with this, and all in the box with it
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder.name, ignore_errors=True)  # the fork server may be at it, too
            self._folder.cleanup()

    def _bubblewrap(self, control: int, words: Any) -> subprocess.Popen:
        found = shutil.which("bwrap")
        if found is None:
            raise NoSandbox("bubblewrap (the command bwrap) is not installed.", INSTALL_BUBBLEWRAP)
        with contextlib.ExitStack() as opened:
            files = {name: memory_file(opened, source(name)) for name in MODULES}
            told = arguments(files, as_root=os.geteuid() == 0)
            listed = memory_file(opened, b"".join(os.fsencode(word) + b"\0" for word in told))
            command = [*self._scope, found, "--args", str(listed), "--", interpreter()]
            command += ["-P", "-m", "autograder.forkserver", str(control)]
            kept = {name: os.environ[name] for name in ("PATH", *USER_BUS) if name in os.environ}
            return keep(command, [control, listed, *files.values()], words, kept, self._control)

    def _plain(self, control: int, words: Any) -> subprocess.Popen:
        command = [sys.executable, "-P", "-m", "autograder.forkserver", str(control)]
        place = Path(self._folder.name)
        (place / "autograder").mkdir()
        for name in MODULES:
            (place / "autograder" / f"{name}.py").write_bytes(source(name))
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)
        (place / "home").mkdir()
        if self.user is not None:
            os.chown(place / "home", self.user, self.user)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"PYTHONPATH": str(place), "IPYTHONDIR": str(place / "home"), "MPLCONFIGDIR": str(place / "home")}
        environment = clean_environment() | kept | own
        return keep(command, [control], words, environment, self._control)

    def _bound(self, process: Process) -> "Group | Watchdog | None":
        """Bound the memory of a process that has not run any code of its student yet."""
        if self._home:
            return Group(self._home, self.limits.memory, process.pid)
        if self._scope:
            return None
        return Watchdog(self.limits.memory, process.pidfd, process.pid)


# The walls, as bubblewrap's and the kernel's words.


def arguments(modules: dict[str, int], *, as_root: bool) -> list[str]:
    """What bubblewrap is told: only what is named here is there.

    They are handed over in a file: the command line would show the host's paths in the box.
    """
    words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "box", "--new-session", "--die-with-parent", "--as-pid-1", "--clearenv"]
    if as_root:
        # The fork server gives up root itself, once it runs: an interpreter below a closed home could not be started
        # by anyone else. A user namespace without a change of the real user would leave root's rights to files.
        words += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            words += ["--cap-add", capability]
    else:
        words += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    words += folder("/etc")
    for name in SYSTEM_FILES:
        words += ["--ro-bind-try", name, name]
    base = os.path.realpath(sys.base_prefix)
    if not in_system(base):
        words += ["--ro-bind", base, PYTHON]
    words += folder(PACKAGES)
    for path, place in packages().items():
        if place.startswith(PACKAGES):
            words += ["--ro-bind", path, place]
        for name in ("autograder", "course_lib"):  # where the course is installed as a package
            if Path(path, name).is_dir():
                words += ["--tmpfs", f"{place}/{name}", "--remount-ro", f"{place}/{name}"]
    words += folder(GRADER) + folder(f"{GRADER}/autograder")
    for name, descriptor in modules.items():
        words += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"{GRADER}/autograder/{name}.py"]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    bound = [place for place in packages().values() if place.startswith(PACKAGES)]
    for name, value in (clean_environment() | {"PYTHONPATH": ":".join([GRADER, *bound])}).items():
        words += ["--setenv", name, value]
    return words


def folder(path: str) -> list[str]:
    return ["--perms", "0755", "--dir", path]  # bubblewrap alone would make it for the owner only


def packages() -> dict[str, str]:
    """The folders with installed packages that this process uses, and where they lie in the box."""
    base = os.path.realpath(sys.base_prefix)
    places: dict[str, str] = {}
    for entry in map(os.path.realpath, sys.path):
        if os.path.basename(entry) in ("site-packages", "dist-packages") and os.path.isdir(entry):
            if in_system(entry):
                places[entry] = entry
            elif Path(entry).is_relative_to(base):
                places[entry] = PYTHON + entry.removeprefix(base)
            else:
                places[entry] = f"{PACKAGES}/{len(places)}"
    return places


def interpreter() -> str:
    """The path of Python itself in the box."""
    path, base = os.path.realpath(sys._base_executable), os.path.realpath(sys.base_prefix)
    return path if in_system(path) else PYTHON + path.removeprefix(base)


def in_system(path: str) -> bool:
    return any(Path(path).is_relative_to(name) for name in SYSTEM)


def source(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.py").read_bytes()


def clean_environment() -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    return threads | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{PYTHON}/lib",
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "HOME": "/tmp",
        "IPYTHONDIR": "/tmp/.ipython",
        "MPLCONFIGDIR": "/tmp/.matplotlib",
        "MPLBACKEND": "agg",
        "MALLOC_ARENA_MAX": "2",  # each arena takes address space
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # grading again gives the same points
    }


NAMESPACE_FLAGS = 0x7E020080  # every CLONE_NEW* flag
REFUSED = """
    unshare setns mount umount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount
    fspick mount_setattr swapon swapoff quotactl quotactl_fd open_by_handle_at name_to_handle_at fanotify_init
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp
    memfd_create memfd_secret shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semctl
    mq_open mq_unlink io_uring_setup io_uring_enter io_uring_register userfaultfd bpf perf_event_open
    add_key request_key keyctl kexec_load kexec_file_load init_module finit_module delete_module reboot
    syslog acct settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname iopl ioperm modify_ldt
    personality vhangup lookup_dcookie nfsservctl uselib sysfs ustat
    mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node
"""
NEWER = (457, 458, 467)  # statmount, listmount, open_tree_attr: libraries of 2024 know no name for them


def seccomp_filter() -> bytes:
    """The system calls that no solution needs and that a way out, or memory that nothing counts, could begin with.

    It is compiled here: libseccomp is not in the box.

    Raises:
        NoSandbox: libseccomp or pyseccomp is missing.
    """
    try:
        import pyseccomp as seccomp
    except ImportError:
        raise NoSandbox("The Python package pyseccomp is not installed.", "Run: pip install pyseccomp") from None
    except (RuntimeError, OSError):
        raise NoSandbox("The library libseccomp is not installed.", INSTALL_SECCOMP) from None
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refuse, unknown = seccomp.ERRNO(1), seccomp.ERRNO(38)  # EPERM, ENOSYS
    for name in REFUSED.split():
        number = seccomp.resolve_syscall(seccomp.system_arch(), name)
        if number >= 0:  # else this processor has no such call, or it is too new for the library
            rules.add_rule(refuse, number)
    for number in NEWER:
        rules.add_rule(refuse, number)
    rules.add_rule(unknown, "clone3")  # its flags lie in memory, out of a filter's sight; the C library then uses clone
    for bit in range(32):
        if NAMESPACE_FLAGS >> bit & 1:
            rules.add_rule(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 1 << bit, 1 << bit))
    for request in (0x5412, 0x541C):  # TIOCSTI, TIOCLINUX: typing into a terminal
        rules.add_rule(refuse, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    with open(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def memory_file(opened: contextlib.ExitStack, content: bytes) -> int:
    descriptor = os.memfd_create("box")
    opened.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def keep(
    command: list[str], descriptors: list[int], words: Any, environment: dict[str, str], control: socket.socket
) -> subprocess.Popen:
    """Start the box from a thread that lives as long: the kernel ends the box with the thread that started it."""
    started: SimpleQueue = SimpleQueue()

    def start() -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
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
            # A bubblewrap that is killed cannot take a fork server of another user with it.
            hang_up(control)

    threading.Thread(target=start, daemon=True).start()
    process = started.get()
    if isinstance(process, BaseException):
        raise process
    return process


def hang_up(control: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        control.shutdown(socket.SHUT_RDWR)


# The bound on memory.


@dataclass(frozen=True)
class Files:
    """How a version of cgroups names things."""

    limit: str
    swap: str
    events: str


V1 = Files("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
V2 = Files("memory.max", "memory.swap.max", "memory.events")


class Group:
    """A cgroup that bounds the memory of one process and all that it starts."""

    def __init__(self, home: Path, limit: int, pid: int | None = None):
        self.path = Path(tempfile.mkdtemp(prefix=f"box-{os.getpid()}-", dir=home))
        try:
            files = V1 if (self.path / V1.limit).exists() else V2
            self.events = self.path / files.events
            (self.path / files.limit).write_text(str(limit))
            with contextlib.suppress(OSError):  # without swap accounting there is no such file
                (self.path / files.swap).write_text(str(limit if files is V1 else 0))
            if files is V2:
                (self.path / "memory.oom.group").write_text("1")
            if pid is not None:
                (self.path / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.path.rmdir()
            raise

    def release(self) -> bool:
        """Take the group away once its processes are gone; whether it had to end one of them."""
        killed = re.search(r"^oom_kill (\d+)", self.events.read_text(), re.M)
        for _ in range(1000):
            try:
                self.path.rmdir()
                break
            except OSError:  # the kernel is still counting the last process out
                time.sleep(0.005)
        return killed is not None and killed[1] != "0"


class Watchdog:
    """Looks at a process and all that it started ten times a second, and ends it when they use too much memory."""

    def __init__(self, limit: int, pidfd: int, pid: int):
        self.limit, self.pidfd, self.pid, self.exceeded = limit, os.dup(pidfd), pid, False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def release(self) -> bool:
        """Stop watching, once the process is gone; whether it was ended for its memory."""
        self.thread.join()
        os.close(self.pidfd)
        return self.exceeded

    def _watch(self) -> None:
        while not ended(self.pidfd, 0.1):
            # Shared pages count fully here, which is quick; only if that is too much they are counted exactly.
            if self._used("rss") > self.limit and self._used("pss") > self.limit:
                self.exceeded = True
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _used(self, kind: str) -> int:
        import psutil

        total = 0
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(self.pid)
            for process in [first, *first.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    try:
                        memory = process.memory_info() if kind == "rss" else process.memory_full_info()
                    except psutil.AccessDenied:  # root of a container may not look that closely at another user's
                        memory, kind = process.memory_info(), "rss"
                    total += getattr(memory, kind)
        return total


def group_home(limit: int) -> Path | None:
    """The folder of cgroups in which this process can make groups that bound memory, if there is one."""
    for candidate in group_candidates():
        for left in candidate.glob("box-*-*"):  # by a grader that was killed
            if not Path("/proc", left.name.split("-")[1]).exists():
                with contextlib.suppress(OSError):
                    left.rmdir()
        waits = [sys.executable, "-I", "-S", "-c", "input()"]
        with subprocess.Popen(
            waits, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as tried:
            try:
                group = Group(candidate, limit, tried.pid)
            except OSError:
                continue
            finally:
                tried.stdin.close()
                tried.wait()
            group.release()
            return candidate
    return None


def group_candidates() -> Iterator[Path]:
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split(" ")
        if kind == "cgroup2" or kind == "cgroup" and "memory" in options.split(","):
            for _, controllers, path in own:
                if controllers == "" if kind == "cgroup2" else "memory" in controllers.split(","):
                    here = Path(mount, path.lstrip("/"))
                    # Version 2 bounds only groups beside a process's own; in a container the own one is the mount.
                    yield from (place for place in (here, here.parent, Path(mount)) if place.is_relative_to(mount))


USER_BUS = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def user_scope(limit: int) -> list[str]:
    """The command through which systemd bounds the memory of what it starts, or nothing where that does not work."""
    whose = [] if os.geteuid() == 0 else ["--user"]
    command = ["systemd-run", *whose, "--scope", "--quiet", "--collect", "-p", f"MemoryMax={limit}"]
    command += ["-p", "MemorySwapMax=0", "--"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return command if tried.returncode == 0 else []


# What is wrong with a machine, and what to do about it.

INSTALL_BUBBLEWRAP = "Run: sudo apt-get install bubblewrap   (Fedora, RHEL: sudo dnf install bubblewrap)"
INSTALL_SECCOMP = "Run: sudo apt-get install libseccomp2   (Fedora, RHEL: sudo dnf install libseccomp)"
APPARMOR = """\
Ubuntu's AppArmor has to be told that bubblewrap may make namespaces. Put these five lines into /etc/apparmor.d/bwrap,
then run: sudo apparmor_parser -r /etc/apparmor.d/bwrap
  abi <abi/4.0>,
  include <tunables/global>
  profile bwrap /usr/bin/bwrap flags=(unconfined) {
    userns,
  }"""
CONTAINER = """\
This is a container; start it so that it may make namespaces of its own, without --cap-drop and no-new-privileges:
  podman run --security-opt unmask=ALL ...
  docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
    --security-opt systempaths=unconfined ..."""
SYSCTL = """\
The kernel's settings forbid it to make namespaces. Run as root:
  sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000
(the first setting exists on older Debian only)."""
TOO_LITTLE = "The limits leave it too little memory: raise memory and address space in the class's settings."
UNREADABLE = """\
The box runs as another user, who cannot read the Python installation or the packages.
Run: chmod -R go+rX on the folder named above, or install Python where every user can read it."""


def unfit(words: str) -> NoSandbox:
    """What bubblewrap or the fork server said, with its remedy."""
    last = (words.strip().splitlines() or ["it said nothing"])[-1]
    reason = f"The sandbox does not start: {last}"

    def said(*parts: str) -> bool:
        return any(part in words for part in parts)

    namespaces = (
        "setting up uid map",
        "reating new namespace",
        "taking namespaces",
        "permissions to create",
        "uid_map",
    )
    if said("RTM_NEWADDR", "setting up uid map: Permission denied") or said(*namespaces) and apparmor_restricts():
        return NoSandbox(reason, APPARMOR)
    if said("mount proc", "proc/sys", "mounting /", *namespaces):
        return NoSandbox(reason, CONTAINER if in_container() else SYSCTL)
    if said("Unknown option"):
        return NoSandbox(f"{reason}: this bubblewrap is too old.", "Install bubblewrap 0.5 or newer.")
    if said("MemoryError", "Cannot allocate memory"):
        return NoSandbox(reason, TOO_LITTLE)
    if said("Permission denied"):
        return NoSandbox(reason, UNREADABLE)
    if said("ModuleNotFoundError", "ImportError"):
        remedy = f"In the box are the packages of {', '.join(packages())}: install the course's packages there."
        return NoSandbox(reason, remedy)
    return NoSandbox(reason, "Run `python -m autograder doctor` and see docs/instructors.md.")


def apparmor_restricts() -> bool:
    setting = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    return setting.exists() and setting.read_text().strip() == "1"


def in_container() -> bool:
    marks = Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
    return marks or "container" in os.environ or "KUBERNETES_SERVICE_HOST" in os.environ


def examine(limits: Limits | None = None) -> list[Finding]:
    """Whether students' code can be contained on this machine, and what is missing."""
    try:
        with Server(limits) as server:
            found = [Finding(True, f"students' code is contained: {server.stamp}")]
            if "watchdog" in server.stamp:
                remedy = (
                    "Log in with systemd (loginctl enable-linger) or grade as root, for a bound that the kernel keeps."
                )
                found.append(Finding(True, "no cgroup for memory: a watchdog looks ten times a second", remedy))
            return found
    except NoSandbox as missing:
        return [Finding(False, missing.reason, missing.remedy)]


def ended(pidfd: int, seconds: float) -> bool:
    """Whether a process ends within this time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def ending(status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return "not enough memory, or a kill" if name == "SIGKILL" else f"a crash ({name})"
    return "an exit, or it closed the grader's pipe"


def size(count: int) -> str:
    return f"{count / 2**30:g} GiB" if count >= 2**30 else f"{count / MIB:g} MiB"


_shared: list[Server] = []
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _forked() -> None:
    _shared.clear()
    for server in _servers:
        server.disown()


os.register_at_fork(after_in_child=_forked)


def shared(limits: Limits | None = None, *, unsafe: bool = False) -> Server:
    """This process's server: made at the first call, and again when it is asked for with other limits."""
    if not _shared or (_shared[0].limits, _shared[0].unsafe) != (limits or Limits(), unsafe):
        while _shared:
            _shared.pop().close()
        _shared.append(Server(limits, unsafe=unsafe))
    return _shared[0]
