"""Every lesson runs with its solutions from top to bottom; `tests/test_browser.py` runs the students' version."""

import ast
import subprocess
import sys

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook, new_output

from autograder.release import lessons as lessons_module
from autograder.release.build import ROOT, SOLUTIONS, build_source, lessons
from autograder.release.lessons import run, sound_bytes

OFFLINE = [sys.executable, ROOT / "tools" / "offline"]


@pytest.mark.parametrize("name", lessons())
def test_lesson_runs_with_its_solutions_and_without_network(name):
    command = [sys.executable, "-m", "autograder.release.lessons", "--budget", "smoke", name]
    result = subprocess.run([*OFFLINE, *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", lessons())
def test_no_cell_ends_with_training(name):
    """It would show the inside of a history, hundreds of numbers in one line."""
    cells = [cell for cell in build_source(SOLUTIONS / f"{name}.py").cells if cell.cell_type == "code"]
    for cell in cells:
        *_, last = [None, *ast.parse(cell.source).body]
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            assert getattr(last.value.func, "id", "") not in ("fit", "fit_game"), cell.source


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


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A repository of one lesson; `.runs` counts how often it was executed."""
    for name in (
        "course_lib/models/nade.py",
        "autograder/checks/nade.py",
        "autograder/checks/vae.py",
        "course_lib/weights/nade.safetensors",
        "requirements.lock",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "source").write_text("1 + 1")

    def counted(notebook):
        workplace.runs += 1
        notebook.cells[0].outputs = [new_output("stream", text=f"run {workplace.runs}")]
        return 0.0

    class workplace:  # noqa: N801
        root, runs = tmp_path, 0

    monkeypatch.setattr(lessons_module, "ROOT", tmp_path)
    monkeypatch.setattr(
        lessons_module,
        "build_source",
        lambda path: new_notebook(cells=[new_code_cell((tmp_path / "source").read_text(), id="a")]),
    )
    monkeypatch.setattr(lessons_module, "run", counted)
    monkeypatch.setenv("COURSE_BUDGET", "cpu")
    return workplace


def test_an_executed_lesson_is_run_once(workplace):
    first, second = (lessons_module.executed("02_nade", "cpu") for _ in range(2))
    assert workplace.runs == 1 and first == second
    assert second.cells[0].outputs[0].text == "run 1"
    assert (workplace.root / "build" / "lessons" / "02_nade.ipynb").exists()


@pytest.mark.parametrize(
    "path",
    [
        "source",
        "course_lib/models/nade.py",
        "course_lib/weights/nade.safetensors",
        "autograder/checks/nade.py",
        "requirements.lock",
    ],
)
def test_a_lesson_is_run_again_after_a_change_of_what_it_depends_on(workplace, path):
    lessons_module.executed("02_nade", "cpu")
    (workplace.root / path).write_text("# another")
    assert lessons_module.executed("02_nade", "cpu").cells[0].outputs[0].text == "run 2"


def test_neither_another_lessons_check_nor_another_budget_makes_a_lesson_run_again(workplace):
    lessons_module.executed("02_nade", "cpu")
    lessons_module.executed("02_nade", "smoke")
    assert workplace.runs == 2
    (workplace.root / "autograder" / "checks" / "vae.py").write_text("# another")
    assert [lessons_module.executed("02_nade", budget).cells[0].outputs[0].text for budget in ("cpu", "smoke")] == [
        "run 1",
        "run 2",
    ]


def test_a_lesson_that_failed_is_not_kept_as_executed(workplace, monkeypatch):
    def fails(notebook):
        raise CellExecutionError("", "ZeroDivisionError", "")

    monkeypatch.setattr(lessons_module, "run", fails)
    monkeypatch.setattr("sys.argv", ["lessons", "02_nade"])
    assert lessons_module.main() == 1  # which writes the notebook, for its author to look at
    with pytest.raises(CellExecutionError):
        lessons_module.executed("02_nade", "cpu")


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
