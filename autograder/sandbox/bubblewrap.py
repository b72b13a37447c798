"""Bubblewrap's arguments: what exists in the sandbox, and its environment."""

import os
import sys
from pathlib import Path

from autograder.sandbox.remedies import ELSEWHERE, NoSandbox

__all__ = ["arguments", "clean_environment", "interpreter"]

NOBODY = 65534
ROOT = os.path.realpath(Path(__file__).parents[2])
PYTHON, PACKAGES, GRADER = "/python", "/packages", "/grader"  # paths in the sandbox
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


def arguments(modules: dict[str, int], *, as_root: bool) -> list[str]:
    """Bubblewrap's arguments: only what they name exists in the sandbox.

    They are passed in a file, because a command line would show the host's paths inside.

    Raises:
        NoSandbox: the course is in a folder that the sandbox must contain.
    """
    words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "sandbox", "--new-session", "--die-with-parent", "--as-pid-1", "--clearenv"]
    if as_root:
        # The fork server gives up root itself once it runs: only root can start an interpreter below a closed home.
        # A user namespace alone would leave the process root's access to files.
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
    base, found = os.path.realpath(sys.base_prefix), packages()
    if ROOT not in found and (in_system(ROOT) or Path(ROOT).is_relative_to(base)):
        raise NoSandbox(f"The course lies in {ROOT}, where students' code could read it.", ELSEWHERE)
    if not in_system(base):
        words += ["--ro-bind", base, PYTHON]
    words += folder(PACKAGES)
    for path, place in found.items():
        if place.startswith(PACKAGES):
            words += ["--ro-bind", path, place]
        for name in ("autograder", "course_lib"):  # covers the course where it is installed as a package
            if Path(path, name).is_dir():
                words += ["--tmpfs", f"{place}/{name}", "--remount-ro", f"{place}/{name}"]
    words += folder(GRADER) + folder(f"{GRADER}/autograder") + folder(f"{GRADER}/autograder/inside")
    for name, descriptor in modules.items():
        words += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"{GRADER}/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    bound = [place for place in found.values() if place.startswith(PACKAGES)]
    for name, value in (clean_environment() | {"PYTHONPATH": ":".join([GRADER, *bound])}).items():
        words += ["--setenv", name, value]
    return words


def folder(path: str) -> list[str]:
    return ["--perms", "0755", "--dir", path]  # by default bubblewrap creates it for the owner only


def packages() -> dict[str, str]:
    """The folders of installed packages that this process uses, and their paths in the sandbox."""
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
    """The path of Python itself in the sandbox."""
    path, base = os.path.realpath(sys._base_executable), os.path.realpath(sys.base_prefix)
    return path if in_system(path) else PYTHON + path.removeprefix(base)


def in_system(path: str) -> bool:
    return any(Path(path).is_relative_to(name) for name in SYSTEM)


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
        "MALLOC_ARENA_MAX": "2",  # each arena reserves address space
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # grading again gives the same points
    }
