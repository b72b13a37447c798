"""Run every lesson with its solutions, top to bottom, in a fresh kernel and without network: `make lessons`.

On Linux the run gets a network namespace that holds the loopback interface alone. Where the system allows none,
proxies that lead nowhere stop what would be downloaded through urllib or requests. The first line of the output
says which it is. The notebooks with their outputs are left in `build/lessons`, to look at.
"""

import argparse
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from autograder.build import ROOT, SOLUTIONS, build_source, lessons

__all__ = ["run"]

_UNSHARE = ["unshare", "--map-root-user", "--net"]
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


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


def _enter_empty_network() -> None:
    """Start this command again in an empty network namespace; returns only where that cannot be done."""
    if shutil.which("unshare") and subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode == 0:
        again = [sys.executable, "-m", "autograder.lessons", "--offline", *sys.argv[1:]]
        os.execvp("unshare", [*_UNSHARE, *again])


def _raise_loopback() -> None:
    """Switch on the loopback interface of this namespace: the kernel and its client talk through it."""
    import fcntl  # not on Windows, which never comes here

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def run_all(names: list[str]) -> bool:
    """Run lessons with their solutions, top to bottom; whether all of them ran to the end."""
    folder = ROOT / "build" / "lessons"
    folder.mkdir(parents=True, exist_ok=True)
    good = True
    for name in names:
        notebook = build_source(SOLUTIONS / f"{name}.py")
        try:
            print(f"{name}  {run(notebook):.0f} s", flush=True)
        except CellExecutionError as error:
            good = False
            print(f"{name}  failed\n{error}", flush=True)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m autograder.lessons")
    parser.add_argument("--budget", choices=["smoke", "cpu", "gpu"], default="cpu", help="default: cpu")
    parser.add_argument("--offline", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("lessons", nargs="*", default=lessons(), help="names of lessons (default: all)")
    arguments = parser.parse_args()
    if arguments.offline:
        _raise_loopback()
        print("No network: a namespace of its own.", flush=True)
    else:
        _enter_empty_network()
        nowhere = "http://127.0.0.1:9"
        os.environ.update(http_proxy=nowhere, https_proxy=nowhere, HTTP_PROXY=nowhere, HTTPS_PROXY=nowhere)
        print("No network: proxies that lead nowhere (this system allows no namespace).", flush=True)
    os.environ["COURSE_BUDGET"] = arguments.budget
    return 0 if run_all(arguments.lessons) else 1


if __name__ == "__main__":
    sys.exit(main())
