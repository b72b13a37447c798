"""Run every lesson with its solutions, top to bottom, in a fresh kernel; `make lessons` does so without network.

The executed notebooks go to `build/lessons`, for you to look at. A notebook whose players hold more than 200 kB of
sound fails: students hand it in, and a class has hundreds.
"""

import argparse
import os
import re
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from autograder.release.build import ROOT, SOLUTIONS, build_source, lessons

__all__ = ["run", "sound_bytes"]

MAX_SOUND = 200_000


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


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m autograder.release.lessons", description="Run the lessons with their solutions."
    )
    parser.add_argument(
        "--budget", choices=["smoke", "cpu", "gpu"], default="cpu", help="size of training (default: cpu)"
    )
    parser.add_argument("lessons", nargs="*", default=lessons(), help="lessons to run (default: all)")
    arguments = parser.parse_args()
    os.environ["COURSE_BUDGET"] = arguments.budget
    folder = ROOT / "build" / "lessons"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in arguments.lessons:
        notebook = build_source(SOLUTIONS / f"{name}.py")
        try:
            seconds, sound = run(notebook), sound_bytes(notebook)
            print(f"{name}  {seconds:.0f} s" + (f", {sound / 1000:.0f} kB of sound" if sound else ""), flush=True)
            if sound > MAX_SOUND:
                failed = True
                print(f"{name}  failed\nIts sound may take at most {MAX_SOUND / 1000:.0f} kB: play less", flush=True)
        except CellExecutionError as error:
            failed = True
            print(f"{name}  failed\n{error}", flush=True)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
