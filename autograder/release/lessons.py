"""Run every lesson with its solutions, top to bottom, in a fresh kernel; `make lessons` does so without network.

The executed notebooks go to `build/lessons`, for you to look at, and for the website, which runs a lesson only if
something that it depends on has changed since. A notebook whose players hold more than 200 kB of sound fails: students
hand it in, and a class has hundreds.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from autograder.release.build import ROOT, SOLUTIONS, build_source, lessons

__all__ = ["digest", "executed", "run", "sound_bytes"]

MAX_SOUND = 200_000
BUDGETS = ("smoke", "cpu", "gpu")
# What a lesson's outcome depends on, beside its notebook, its checks and the budget.
DEPENDENCIES = (
    "requirements.lock",
    "course_lib/**/*.py",
    "course_lib/data/*.*",
    "course_lib/weights/*.*",
    "autograder/given.py",
    "autograder/checking/*.py",
    "autograder/inside/*.py",
)


def sound_bytes(notebook: NotebookNode) -> int:
    """How many bytes of an executed notebook are sound, in the players of `course_lib.notebook.play`."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    return sum(len(sound) for page in pages for sound in re.findall(r"data:audio/wav;base64,([^\"]*)", page))


def run(notebook: NotebookNode) -> float:
    """Execute a notebook in place, in a temporary folder.

    Returns:
        The seconds that it took, including the kernel's start.

    Raises:
        CellExecutionError: a cell failed; the message holds the cell and its traceback.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        # Kernels warn about loopback TCP at each start.
        quiet = ["--IPKernelApp.log_level=ERROR"]
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, extra_arguments=quiet, resources=resources).execute()
    return time.perf_counter() - start


def digest(name: str, notebook: NotebookNode, budget: str) -> str:
    """A number for everything that decides what a lesson shows: if it is the same, no run is needed.

    Args:
        name: the lesson's name.
        notebook: as built, before it is run.
        budget: the value of COURSE_BUDGET.
    """
    total = hashlib.sha256(f"{budget}\n{nbformat.writes(notebook)}".encode())
    for pattern in (*DEPENDENCIES, f"autograder/checks/{name[3:]}.py"):
        for path in sorted(ROOT.glob(pattern)):
            total.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def executed(name: str, budget: str) -> NotebookNode:
    """A lesson as it was last run, if it would be the same today; else it is run now, and kept.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = build_source(SOLUTIONS / f"{name}.py")
    number = digest(name, notebook, budget)
    if (path := _path(name, budget)).exists():
        kept = nbformat.read(path, as_version=4)
        if kept.metadata.get("digest") == number:
            return kept
    os.environ["COURSE_BUDGET"] = budget
    print(f"{name}  {run(notebook):.0f} s", flush=True)
    notebook.metadata.digest = number
    _keep(name, notebook, budget)
    return notebook


def _path(name: str, budget: str) -> Path:
    """Where an executed lesson lies: that of the default budget where everybody looks."""
    folder = ROOT / "build" / "lessons"
    return (folder if budget == "cpu" else folder / budget) / f"{name}.ipynb"


def _keep(name: str, notebook: NotebookNode, budget: str) -> None:
    """Write an executed lesson in one step: another process may be reading it."""
    path = _path(name, budget)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:
        nbformat.write(notebook, file)
    os.replace(file.name, path)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m autograder.release.lessons", description="Run the lessons with their solutions."
    )
    parser.add_argument("--budget", choices=BUDGETS, default="cpu", help="size of training (default: cpu)")
    parser.add_argument("lessons", nargs="*", default=lessons(), help="lessons to run (default: all)")
    arguments = parser.parse_args()
    os.environ["COURSE_BUDGET"] = arguments.budget
    failed = False
    for name in arguments.lessons:
        notebook = build_source(SOLUTIONS / f"{name}.py")
        number = digest(name, notebook, arguments.budget)
        try:
            seconds, sound = run(notebook), sound_bytes(notebook)
            notebook.metadata.digest = number
            print(f"{name}  {seconds:.0f} s" + (f", {sound / 1000:.0f} kB of sound" if sound else ""), flush=True)
            if sound > MAX_SOUND:
                failed = True
                print(f"{name}  failed\nIts sound may take at most {MAX_SOUND / 1000:.0f} kB: play less", flush=True)
        except CellExecutionError as error:
            failed = True
            print(f"{name}  failed\n{error}", flush=True)
        _keep(name, notebook, arguments.budget)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
