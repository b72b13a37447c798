"""Run every lesson with its solutions, top to bottom, each in a fresh kernel; `make lessons` does so without network.

The notebooks with their outputs are left in `build/lessons`, to look at.
"""

import argparse
import os
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from autograder.release.build import ROOT, SOLUTIONS, build_source, lessons

__all__ = ["run"]


def run(notebook: NotebookNode) -> float:
    """Execute a notebook in place, in a folder of its own.

    Returns:
        The seconds that it took, the kernel's start included.

    Raises:
        CellExecutionError: a cell raised; the message holds the cell and its traceback.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        # A kernel that talks over loopback TCP warns about it at each start.
        quiet = ["--IPKernelApp.log_level=ERROR"]
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, extra_arguments=quiet, resources=resources).execute()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m autograder.release.lessons")
    parser.add_argument("--budget", choices=["smoke", "cpu", "gpu"], default="cpu", help="default: cpu")
    parser.add_argument("lessons", nargs="*", default=lessons(), help="names of lessons (default: all)")
    arguments = parser.parse_args()
    os.environ["COURSE_BUDGET"] = arguments.budget
    folder = ROOT / "build" / "lessons"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in arguments.lessons:
        notebook = build_source(SOLUTIONS / f"{name}.py")
        try:
            print(f"{name}  {run(notebook):.0f} s", flush=True)
        except CellExecutionError as error:
            failed = True
            print(f"{name}  failed\n{error}", flush=True)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
