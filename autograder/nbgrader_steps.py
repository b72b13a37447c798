"""The steps through which plain `nbgrader autograde` reaches the judge; `nbgrader_config` puts them in their places.

A submission is rebuilt from the master first: of the student's file only the sources of solution cells are used,
and the outputs of the other cells, as pictures and text, to be seen in the feedback. Then the judge judges, and its
points stand in the check cells where nbgrader looks for them.
"""

import base64
import binascii
import copy
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_locked, is_solution

from autograder.judge import judge

__all__ = ["ForgivingExporter", "JudgeSubmission", "Rebuild", "class_secret", "invalidate"]

MAX_FILE = 50 * 2**20
MAX_TEXT, MAX_IMAGE, MAX_OUTPUTS = (
    20_000,
    2 * 2**20,
    10 * 2**20,
)  # characters, of one output and of a notebook's


class ForgivingExporter(NotebookExporter):
    """Reads whatever was handed in. A file that is no notebook becomes an empty one that says why."""

    def from_file(self, file_stream: Any, resources: Any = None, **kw: Any) -> Any:
        try:
            if os.path.islink(file_stream.name):
                raise ValueError("it is a link to another file, which is not followed")
            data = file_stream.buffer.read(MAX_FILE + 1)
            if len(data) > MAX_FILE:
                raise ValueError(f"it is larger than {MAX_FILE // 2**20} MiB")
            notebook = nbformat.reads(data.decode("utf-8-sig"), as_version=4)
            notebook.cells = [cell for cell in notebook.cells if isinstance(cell.get("source"), str)]
        except (
            Exception
        ) as error:  # nbformat raises whatever a hostile file provokes, KeyError and AttributeError among it
            notebook = nbformat.v4.new_notebook(metadata={"unreadable": f"{type(error).__name__}: {str(error)[:200]}"})
        return self.from_notebook_node(notebook, resources=resources, **kw)


class Rebuild(NbGraderPreprocessor):
    """The master notebook, with the student's solutions and what they saw."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        names = resources["nbgrader"]
        course = CourseDirectory(parent=self)
        path = (
            Path(course.format_path(course.release_directory, ".", names["assignment"])) / f"{names['notebook']}.ipynb"
        )
        if not path.exists():
            raise FileNotFoundError(
                f"there is no release {path} to grade against: run `nbgrader generate_assignment {names['assignment']}`"
            )
        notebook, notes = rebuild(nbformat.read(path, as_version=4), nb)
        for note in notes:
            self.log.warning("%s: %s", names["student"], note)
        return notebook, resources


class JudgeSubmission(NbGraderPreprocessor):
    """Judges the rebuilt notebook, writes the points into its check cells and the reports into the class's ledger."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        names = resources["nbgrader"]
        root = Path(CourseDirectory(parent=self).root)
        missing = nb.metadata.grading.missing
        setup = [cell.source for cell in nb.cells if is_locked(cell) and not is_grade(cell)]
        cells = {cell.metadata.nbgrader.grade_id: cell.source for cell in nb.cells if is_solution(cell)}
        reports = judge(
            names["assignment"],
            setup,
            {name: None if name in missing else cells[name] for name in cells},
            class_secret(root),
        )
        for cell in filter(is_grade, nb.cells):
            report = reports[cell.metadata.nbgrader.grade_id.removesuffix("-check")]
            if report.max_points != cell.metadata.nbgrader.points:
                raise RuntimeError(
                    f"the gradebook gives {report.exercise} {cell.metadata.nbgrader.points:g} points, "
                    f"the check {report.max_points:g}: run `nbgrader generate_assignment {names['assignment']}` again"
                )
            cell.outputs = [nbformat.v4.new_output("execute_result", report._repr_mimebundle_())]
            if report.fault:
                self.log.error(
                    "%s, %s: the check failed on this answer: %s",
                    names["student"],
                    report.exercise,
                    report.fault,
                )
        ledger = {
            "lesson": names["assignment"],
            "student": names["student"],
            "points": sum(report.points for report in reports.values()),
            "max_points": sum(report.max_points for report in reports.values()),
            "notes": nb.metadata.grading.notes,
            "exercises": [report.to_dict() for report in reports.values()],
        }
        _write(root / "ledger" / names["student"] / f"{names['assignment']}.json", json.dumps(ledger, indent=1))
        return nb, resources


def rebuild(master: NotebookNode, submission: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Put a submission's solutions into the master.

    A solution cell is found by its exercise's name: by nbgrader's metadata or the cell's id, else by the function
    that it defines. Of several cells of one name the original one counts (its cell id is the exercise's name), else
    the first.

    Returns:
        The notebook, and what was odd about the submission, in words.
    """
    notebook, notes, missing = copy.deepcopy(master), [], []
    if "unreadable" in submission.metadata:
        notes.append(f"the file cannot be read as a notebook ({submission.metadata.unreadable}); it counts as empty")
    room = MAX_OUTPUTS
    for cell in notebook.cells:
        if is_solution(cell):
            name = cell.metadata.nbgrader.grade_id
            found = _solutions(name, submission.cells)
            if not found:
                missing.append(name)
                notes.append(f"there is no cell for the exercise {name}")
                continue
            if len(found) > 1:
                notes.append(f"{len(found)} cells claim to be the exercise {name}; one of them was graded")
            cell.source = found[0].source
        elif cell.cell_type == "code" and not is_grade(cell):
            found = [other for other in submission.cells if other.cell_type == "code" and cell.id == other.get("id")]
            found = found or [
                other for other in submission.cells if other.cell_type == "code" and cell.source == other.source
            ]
        else:
            continue
        if found and cell.cell_type == "code":
            cell.outputs = sanitised(found[0].get("outputs", []), room)
            room -= sum(len(json.dumps(output)) for output in cell.outputs)
    notebook.metadata.grading = nbformat.from_dict({"notes": notes, "missing": missing})
    return notebook, notes


def sanitised(outputs: Any, room: int = MAX_OUTPUTS) -> list[NotebookNode]:
    """The outputs of a student's cell as text and pictures, bounded; no markup, no script, no widget."""
    kept = []
    for output in outputs if isinstance(outputs, list) else []:
        kind = output.get("output_type")
        if kind == "stream":
            clean = nbformat.v4.new_output(
                "stream",
                name="stderr" if output.get("name") == "stderr" else "stdout",
                text=_text(output.get("text")),
            )
        elif kind == "error":
            clean = nbformat.v4.new_output(
                "error",
                ename=_text(output.get("ename")),
                evalue=_text(output.get("evalue")),
                traceback=_text(output.get("traceback")).split("\n"),
            )
        elif kind in ("display_data", "execute_result"):
            data = output.get("data", {})
            clean = nbformat.v4.new_output(
                "display_data",
                {mime: found for mime, clean_one in _MIMES.items() if (found := clean_one(data.get(mime)))},
            )
        else:
            continue
        room -= len(json.dumps(clean))
        if room < 0:
            kept.append(nbformat.v4.new_output("stream", text="(more output than is kept)\n"))
            break
        kept.append(clean)
    return kept


def invalidate(settings: Any, *, assignment: str, student: str, notebooks: list[str]) -> None:
    """nbgrader's pre-convert hook: the old grade goes first, so that it can never stand for the new submission."""
    *_, student, assignment, _ = Path(notebooks[0]).parts
    with Gradebook(settings.CourseDirectory.db_url, settings.CourseDirectory.course_id) as gradebook:
        try:
            submission = gradebook.find_submission(assignment, student)
        except MissingEntry:
            return
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                grade.auto_score, grade.needs_manual_grade = None, True
        gradebook.db.commit()
    (Path("ledger") / student / f"{assignment}.json").unlink(missing_ok=True)


def class_secret(root: Path) -> str:
    """The secret of a class, from which the random cases of the checks are drawn; made at its first use."""
    path = root / "secret"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().strip()


def _solutions(name: str, cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells that are, or else define, an exercise; the likeliest first."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    claimed = [cell for cell in code if cell.get("id") == name or _grade_id(cell) == name]
    if claimed:
        return sorted(claimed, key=lambda cell: cell.get("id") != name)
    return [cell for cell in code if re.search(rf"^(def|class) {name}\b", cell.source, re.MULTILINE)]


def _grade_id(cell: NotebookNode) -> Any:
    metadata = cell.metadata.get("nbgrader")
    return metadata.get("grade_id") if isinstance(metadata, dict) else None


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "\n".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str):
        return ""
    return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "\n(cut)"


def _image(value: Any) -> str:
    try:
        data = (
            base64.b64decode("".join(value.split()), validate=True)
            if isinstance(value, str) and len(value) <= MAX_IMAGE
            else b""
        )
    except binascii.Error:
        return ""
    return base64.b64encode(data).decode()


_MIMES = {"image/png": _image, "image/jpeg": _image, "text/plain": _text}


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_text(text)
    half.replace(path)
