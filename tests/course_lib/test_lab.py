"""A reader's own copy of the notebooks keeps everything that the reader wrote, whatever an update brings."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import lab

NAME = "01_toy/01_toy.ipynb"


@pytest.fixture
def released(tmp_path) -> Path:
    folder = tmp_path / "notebooks"
    write(
        folder / NAME, text="# Lesson", setup="import torch", answer="raise NotImplementedError", show="print(answer())"
    )
    (folder / "01_toy" / "checks_toy.py").write_text("version = 1\n")
    return folder


@pytest.fixture
def work(tmp_path) -> Path:
    return tmp_path / "work"


def write(path: Path, **sources: str) -> None:
    cells = [(new_markdown_cell if name == "text" else new_code_cell)(text, id=name) for name, text in sources.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


def sources(path: Path) -> dict[str, str]:
    return {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}


def answer(path: Path, text: str) -> None:
    """Write an answer and run it, as JupyterLab saves it, and add a cell below it."""
    notebook = nbformat.read(path, as_version=4)
    (place,) = [i for i, cell in enumerate(notebook.cells) if cell.id == "answer"]
    notebook.cells[place].source = text
    notebook.cells[place].outputs = [new_output("stream", name="stdout", text="passed\n")]
    notebook.cells.insert(place + 1, new_code_cell("my_own = 1", id="own"))
    nbformat.write(notebook, path)


def test_the_first_time_everything_is_copied(released, work):
    assert lab.update(released, work) == []
    assert (work / NAME).read_bytes() == (released / NAME).read_bytes()
    assert (work / "01_toy" / "checks_toy.py").read_text() == "version = 1\n"


def test_without_an_update_nothing_is_touched(released, work):
    lab.update(released, work)
    answer(work / NAME, "x = 1")
    before = (work / NAME).read_bytes()
    assert lab.update(released, work) == []
    assert (work / NAME).read_bytes() == before
    assert not (work / lab.BACKUPS).exists()


def test_what_the_reader_never_changed_is_replaced(released, work):
    lab.update(released, work)
    write(released / NAME, text="# Lesson, better")
    (released / "01_toy" / "checks_toy.py").write_text("version = 2\n")
    assert lab.update(released, work) == []
    assert sources(work / NAME) == {"text": "# Lesson, better"}
    assert (work / "01_toy" / "checks_toy.py").read_text() == "version = 2\n"


def test_an_update_keeps_answers_outputs_and_own_cells(released, work):
    lab.update(released, work)
    answer(work / NAME, "x = 1")
    before = (work / NAME).read_bytes()
    write(released / NAME, text="# New", setup="import torch, math", answer="raise NotImplementedError", more="1 + 1")
    (line,) = lab.update(released, work)
    assert "updated, with your changes kept" in line
    assert list(sources(work / NAME).items()) == [
        ("text", "# New"),
        ("setup", "import torch, math"),
        ("answer", "x = 1"),
        ("own", "my_own = 1"),
        ("more", "1 + 1"),
    ]
    answered = nbformat.read(work / NAME, as_version=4).cells[2]
    assert answered.outputs[0].text == "passed\n"
    (backup,) = (work / lab.BACKUPS).iterdir()
    assert backup.read_bytes() == before
    assert lab.update(released, work) == []


def test_a_changed_cell_that_the_release_dropped_stays(released, work):
    lab.update(released, work)
    answer(work / NAME, "x = 1")
    write(released / NAME, text="# Lesson", setup="import torch")
    lab.update(released, work)
    assert sources(work / NAME) == {
        "text": "# Lesson",
        "setup": "import torch",
        "answer": "x = 1",
        "own": "my_own = 1",
    }


def test_new_metadata_reaches_answered_cells(released, work):
    lab.update(released, work)
    answer(work / NAME, "x = 1")
    notebook = nbformat.read(released / NAME, as_version=4)
    notebook.cells[2].metadata = {"nbgrader": {"points": 3}}
    nbformat.write(notebook, released / NAME)
    lab.update(released, work)
    assert nbformat.read(work / NAME, as_version=4).cells[2].metadata["nbgrader"]["points"] == 3


@pytest.mark.parametrize("content", ["{", "", "[]", '{"cells": 3}', "\ufeff{}"])
def test_a_damaged_notebook_stays_as_it_is(released, work, content):
    lab.update(released, work)
    (work / NAME).write_text(content, encoding="utf-8")
    write(released / NAME, text="# New")
    (line,) = lab.update(released, work)
    assert "your changes stay, and the update is not in it" in line and str(released / NAME) in line
    assert (work / NAME).read_text(encoding="utf-8") == content
    assert lab.update(released, work) == []


def test_a_changed_file_of_another_kind_stays(released, work):
    lab.update(released, work)
    (work / "01_toy" / "checks_toy.py").write_text("mine\n")
    (released / "01_toy" / "checks_toy.py").write_text("version = 2\n")
    (line,) = lab.update(released, work)
    assert "checks_toy.py: your changes stay" in line
    assert (work / "01_toy" / "checks_toy.py").read_text() == "mine\n"


def test_no_lessons_is_an_error(tmp_path, work):
    with pytest.raises(FileNotFoundError, match="no lessons in"):
        lab.update(tmp_path, work)


def test_the_command_opens_the_first_lesson_once_and_hides_what_is_for_instructors(tmp_path, monkeypatch):
    (tmp_path / lab.START).parent.mkdir()
    (tmp_path / lab.START).touch()
    monkeypatch.setattr(lab.os, "geteuid", lambda: 0)
    first = lab.command(tmp_path, ["--no-browser"], first=True)
    assert f"--LabApp.default_url=/lab/tree/{lab.START}" in first and "--allow-root" in first
    assert first[-1] == "--no-browser"
    monkeypatch.setattr(lab.os, "geteuid", lambda: 1000)
    assert not {f"--LabApp.default_url=/lab/tree/{lab.START}", "--allow-root"} & {*lab.command(tmp_path)}
    config = json.loads((tmp_path / ".jupyter" / "labconfig" / "page_config.json").read_text())
    assert "@jupyter/nbgrader:create-assignment" in config["disabledExtensions"]
