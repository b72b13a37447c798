"""Every lesson runs with its solutions from top to bottom; `tests/test_browser.py` runs the students' version."""

import subprocess
import sys

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from autograder.release import lessons as lessons_module
from autograder.release.build import ROOT, lessons
from autograder.release.lessons import run, sound_bytes

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


PLAYS = """
import torch
from course_lib.notebook import play
for length in {lengths}:
    play(torch.zeros(length), 8000, alt="Silence.")
"""


def test_the_sound_of_an_executed_notebook_is_counted():
    notebook = new_notebook(cells=[new_code_cell(PLAYS.format(lengths=[3000, 6000])), new_code_cell("print('audio')")])
    assert sound_bytes(notebook) == 0
    run(notebook)
    assert 24_000 < sound_bytes(notebook) < 24_200  # 16 bits, in base64


@pytest.mark.parametrize(("lengths", "fails"), [([14_000] * 5, False), ([14_000] * 6, True)])
def test_a_lesson_with_too_much_sound_fails(tmp_path, monkeypatch, capsys, lengths, fails):
    notebook = new_notebook(cells=[new_code_cell(PLAYS.format(lengths=lengths))])
    monkeypatch.setattr(lessons_module, "ROOT", tmp_path)
    monkeypatch.setattr(lessons_module, "build_source", lambda path: notebook)
    monkeypatch.setattr("sys.argv", ["lessons", "loud"])
    monkeypatch.setenv("COURSE_BUDGET", "cpu")  # which main sets; restored after the test
    assert lessons_module.main() == fails
    told = capsys.readouterr().out
    assert f"{len(lengths) * 14 * 8 / 3:.0f} kB of sound" in told and ("at most 200 kB" in told) is fails
    assert (tmp_path / "build" / "lessons" / "loud.ipynb").exists()
