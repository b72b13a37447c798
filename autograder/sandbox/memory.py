"""Bounding the memory of a submission: by a cgroup where possible, otherwise by a watchdog.

Limits on single processes do not bound what several of them use together.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Group", "Watchdog", "ended", "group_home", "user_scope"]

USER_BUS = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


@dataclass(frozen=True)
class Files:
    """The names that a version of cgroups uses."""

    limit: str
    swap: str
    events: str


V1 = Files("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
V2 = Files("memory.max", "memory.swap.max", "memory.events")


class Group:
    """A cgroup that bounds the memory of one process and all that it starts."""

    def __init__(self, home: Path, limit: int, pid: int | None = None):
        self.path = Path(tempfile.mkdtemp(prefix=f"submission-{os.getpid()}-", dir=home))
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
        """Remove the group once its processes are gone; returns whether the kernel had to end one of them."""
        killed = re.search(r"^oom_kill (\d+)", self.events.read_text(), re.M)
        for _ in range(1000):
            try:
                self.path.rmdir()
                break
            except OSError:  # the kernel has not released the last process yet
                time.sleep(0.005)
        return killed is not None and killed[1] != "0"


class Watchdog:
    """Measures a process and its descendants ten times per second, and ends it when they use too much memory."""

    def __init__(self, limit: int, pidfd: int, pid: int):
        self.limit, self.pidfd, self.pid, self.exceeded = limit, os.dup(pidfd), pid, False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def release(self) -> bool:
        """Stop watching once the process is gone; returns whether the watchdog ended it."""
        self.thread.join()
        os.close(self.pidfd)
        return self.exceeded

    def _watch(self) -> None:
        while not ended(self.pidfd, 0.1):
            # This quick sum counts shared pages several times; the exact one follows only if it is too large.
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
                    except psutil.AccessDenied:  # root in a container may not read another user's smaps
                        memory, kind = process.memory_info(), "rss"
                    total += getattr(memory, kind)
        return total


def group_home(limit: int) -> Path | None:
    """The cgroup folder in which this process can create groups that bound memory, or None."""
    for candidate in group_candidates():
        for left in candidate.glob("submission-*-*"):  # left by a grader that was killed
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
                    # Version 2 can bound only siblings of a process's own group, which in a container is the mount.
                    yield from (place for place in (here, here.parent, Path(mount)) if place.is_relative_to(mount))


def user_scope(limit: int) -> list[str]:
    """The command with which systemd bounds the memory of what it starts; empty where that does not work."""
    whose = [] if os.geteuid() == 0 else ["--user"]
    command = ["systemd-run", *whose, "--scope", "--quiet", "--collect", "-p", f"MemoryMax={limit}"]
    command += ["-p", "MemorySwapMax=0", "--"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return command if tried.returncode == 0 else []


def ended(pidfd: int, seconds: float) -> bool:
    """Whether a process ends within this time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
