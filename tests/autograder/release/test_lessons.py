"""Every lesson runs with its solutions from top to bottom; `tests/test_browser.py` runs the students' version."""

import subprocess
import sys

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from autograder.release.build import ROOT, lessons
from autograder.release.lessons import run

OFFLINE = [sys.executable, ROOT / "tools" / "offline"]


@pytest.mark.parametrize("name", lessons())
def test_lesson_runs_with_its_solutions_and_without_network(name):
    command = [sys.executable, "-m", "autograder.release.lessons", "--budget", "smoke", name]
    result = subprocess.run([*OFFLINE, *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_run_says_which_cell_failed():
    notebook = new_notebook(cells=[new_code_cell("import torch"), new_code_cell("torch.no_such_thing")])
    with pytest.raises(CellExecutionError, match="no_such_thing"):
        run(notebook)


def test_offline_leaves_loopback_alone():
    """Nothing reaches the network, but a kernel and its client can still communicate."""
    script = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
import urllib.request
try:
    urllib.request.urlopen("https://example.org", timeout=60)
except OSError:
    print("loopback only")
"""
    result = subprocess.run([*OFFLINE, sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines()[1:] == ["loopback only"], result.stdout + result.stderr
