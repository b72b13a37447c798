"""Can this machine grade? What is missing, and how to fix it."""

import contextlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from autograder.classroom.settings import SETTINGS, Settings, load
from autograder.sandbox.limits import Limits, size
from autograder.sandbox.remedies import NoSandbox
from autograder.sandbox.server import Server

__all__ = ["Finding", "examine", "examine_sandbox"]

GIB = 2**30
DISK = 2 * GIB  # for the pages, pictures and copies of hundreds of students
MEMORY_EACH = GIB  # one grading process, its fork server and an ordinary submission
PACKAGES = {
    "distributed": "several cores or a cluster",
    "cryptography": "TLS between the grader's processes",
    "pyseccomp": "the sandbox",
    "psutil": "the bound on memory",
    "nbgrader": "the gradebook",
}
INSTALL = "Run: make env   (or: pip install --editable '.[dev]')"


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    ok: bool
    what: str
    remedy: str = ""


def examine(folder: Path | None = None) -> Iterator[Finding]:
    """Examine this machine, and a class directory if one is named."""
    yield from _python()
    limits = Limits()
    if folder is not None:
        with contextlib.suppress(ValueError):  # reported below, with the rest of the class
            limits = load(folder).limits
    yield from examine_sandbox(limits)
    yield from _machine(limits)
    if folder is not None:
        yield from _class(folder)


def _checked(ok: bool, what: str, remedy: str) -> Finding:
    return Finding(ok, what, "" if ok else remedy)


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _checked(sys.version_info >= (3, 11), f"Python {version}", "Install Python 3.11 or newer, then: make env")
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(False, f"torch does not load: {error}", INSTALL)
    else:
        yield Finding(True, f"torch {torch.__version__}")
    missing = [f"{name} ({why})" for name, why in PACKAGES.items() if not _installed(name)]
    yield _checked(not missing, f"packages missing: {', '.join(missing)}" if missing else "packages installed", INSTALL)


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def examine_sandbox(limits: Limits) -> list[Finding]:
    """Check whether this machine can confine students' code, and what is missing."""
    try:
        with Server(limits) as server:
            findings = [Finding(True, f"students' code is confined: {server.stamp}")]
            if "watchdog" in server.stamp:
                remedy = (
                    "Log in with systemd (loginctl enable-linger) or grade as root, and the kernel enforces the bound."
                )
                findings.append(Finding(True, "no cgroup for memory: a watchdog checks ten times per second", remedy))
            return findings
    except NoSandbox as missing:
        return [Finding(False, missing.reason, missing.remedy)]


def _machine(limits: Limits) -> Iterator[Finding]:
    cores, free = len(os.sched_getaffinity(0)), psutil.virtual_memory().available
    fitting = max(1, free // MEMORY_EACH)
    fewer = f"Grade with --workers {fitting}, or free memory: each worker takes about 1 GiB."
    what = f"{cores} cores, {_rounded(free)} of memory free"
    yield Finding(free >= MEMORY_EACH, what, fewer if fitting < cores else "")
    if limits.memory > free:
        yield Finding(
            False,
            f"one submission may use {size(limits.memory)}, more than the free memory",
            "Free memory, or lower memory_mib under [limits] in course.toml.",
        )


def _rounded(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _class(folder: Path) -> Iterator[Finding]:
    again = f"Run: python -m autograder new-class {folder}"
    if not folder.is_dir():
        yield Finding(False, f"{folder} does not exist", again)
        return
    disk = shutil.disk_usage(folder).free
    yield _checked(disk >= DISK, f"{_rounded(disk)} of disk free", f"Free at least {_rounded(DISK)}.")
    if not os.access(folder, os.W_OK):
        yield Finding(False, f"{folder} cannot be written", f"Run: sudo chown -R $USER {folder}")
    try:
        settings = load(folder)
    except ValueError as error:
        yield Finding(False, f"the settings of the class: {error}", f"Correct {folder / SETTINGS}.")
        return
    yield Finding(True, f"{len(settings.lessons)} lessons, {len(settings.roster) or 'no'} students on the roster")
    yield from _gradebook(settings, again)
    unbuilt = [name for name in settings.lessons if not (folder / "release" / name / f"{name}.ipynb").exists()]
    yield _checked(not unbuilt, f"not built: {', '.join(unbuilt)}" if unbuilt else "lessons built", again)
    secret = folder / "secret"
    if secret.exists() and secret.stat().st_mode & 0o077:
        yield Finding(False, f"others can read {secret}", f"Run: chmod 600 {secret}")


def _gradebook(settings: Settings, again: str) -> Iterator[Finding]:
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    url = make_url(settings.db_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database).exists():
        yield Finding(False, f"there is no gradebook {url.database}", again)
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            known = inspect(connection).has_table("assignment")
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        start = "Start the database server, or correct db_url in course.toml (its password belongs in ~/.pgpass)."
        yield Finding(False, f"the gradebook {shown} cannot be opened: {reason}", start)
        return
    finally:
        engine.dispose()
    yield _checked(known, f"gradebook {shown}" + ("" if known else " is empty"), again)
