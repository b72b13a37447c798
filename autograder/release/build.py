"""The build: from text sources (`solutions/`) to nbgrader's sources (`build/source`) to the release (`notebooks/`).

`python -m autograder.release.build` does it all; with `--check` it fails if a committed notebook differs from what its
source builds. The result depends only on the sources and the checks, byte for byte.
"""

import argparse
import ast
import difflib
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupytext
import nbformat
from nbformat import NotebookNode

from autograder.checking.check import Check
from autograder.classroom.settings import ANSWER, SOLUTIONS
from autograder.lesson import FURTHER_ID, GOING_FURTHER, Lesson, Question, checks_of
from autograder.release.outline import MAX_CORE_MINUTES, MAX_CORE_WORDS, Outline, code_lines, outline, write_times

if TYPE_CHECKING:
    from traitlets.config import Config

__all__ = ["ROOT", "SourceError", "build_source", "generate", "lessons", "release"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE, NOTEBOOKS = ROOT / "build" / "source", ROOT / "notebooks"

# The options that authors may write on a cell's first line.
OPTIONS = {"exercise", "check", "loop", "setup", "tags", "folded"}
MAX_VISIBLE_LINES = 20  # of given code in one cell
QUESTIONS = "## Questions\n\nA person reads these answers. To write yours, double-click the cell below a question."
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_JUPYTEXT_KEYS = {"lines_to_next_cell", "lines_to_end_of_cell_marker"}


class SourceError(ValueError):
    """A text source breaks the pattern of a lesson; the message says where, and how to fix it."""


def lessons() -> list[str]:
    """The names of all lessons, in order."""
    return sorted(path.stem for path in SOLUTIONS.glob("[0-9][0-9]_*.py"))


def build_source(path: Path, lesson: Lesson | None = None) -> NotebookNode:
    """Build a lesson's notebook with solutions and nbgrader's metadata.

    An exercise that does not count stays for practice: grading runs its solution cell, since other answers may call it,
    but its check is an ordinary cell. A class that has the core path alone gets the notebook up to its end.

    Args:
        path: a text source in jupytext's percent format.
        lesson: the lesson as a class has it; None for the course's own version.

    Raises:
        SourceError: an unknown cell option, an exercise without its check right below, markers out of place, a core
            path that takes too long, an outcome that nobody was asked to guess, ...
    """
    notebook = jupytext.read(path, fmt="py:percent")
    parts = _outline(path.name, notebook.cells)
    checks = lesson.all_checks() if lesson else checks_of(path.stem)
    points = lesson.points if lesson else {name: check.max_points for name, check in checks.items()}
    if lesson and lesson.check_source is not None:
        _import_own_checks(path.name, notebook, lesson)
    build = _Build(path.name, checks, points, in_pattern=bool(parts.sections))
    for cell in notebook.cells:
        build.add(cell)
    build.expect_every_check(in_order=lesson is None)
    if lesson and lesson.core_only:
        build.cells, parts = build.cells[: build.ids.index(FURTHER_ID)], Outline(parts.core)
    notebook.cells = build.cells
    _expect_guesses(path.name, notebook.cells)
    _go_on(notebook.cells)
    write_times(notebook.cells, parts, points)
    if lesson and lesson.questions:
        notebook.cells += _question_cells(lesson.questions, build.ids)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


class _Build:
    """Gives the cells of a lesson, one by one, their ids and nbgrader's metadata.

    Args:
        source: the name of the lesson's text source, for messages.
        checks: each exercise's check.
        points: the worth of each exercise that counts.
        in_pattern: whether the lesson is in two parts, with the limits that come with them.

    Attributes:
        exercises: the names of the exercises so far.
        cells: the cells so far.
        ids: their ids.
    """

    def __init__(self, source: str, checks: Mapping[str, Check], points: Mapping[str, float], *, in_pattern: bool):
        self.source, self.checks, self.points, self.in_pattern = source, checks, points, in_pattern
        self.exercises: list[str] = []
        self.cells: list[NotebookNode] = []
        self.ids: list[str] = []

    def add(self, cell: NotebookNode) -> None:
        """Set one cell's id and metadata, and add it; the line above a folded cell comes first.

        Raises:
            SourceError: the cell breaks the pattern of a lesson.
        """
        options = {key: value for key, value in cell.metadata.items() if key not in _JUPYTEXT_KEYS}
        first = next(iter(cell.source.strip().splitlines()), "empty")
        where = f"{self.source}, cell {len(self.ids) + 1} ({first})"
        _expect_pattern(where, cell, options)
        if text := options.get("folded"):
            self.cells.append(_markdown(f"*Folded code:* {text}", self.ids))
        elif self.in_pattern and _is_given(cell, options) and (lines := code_lines(cell.source)) > MAX_VISIBLE_LINES:
            raise SourceError(
                f"{where}: {lines} lines of visible code, expected at most {MAX_VISIBLE_LINES}: fold it with "
                'folded="what it does", or move it to course_lib'
            )
        if name := options.get("exercise"):
            _defines(where, name, cell.source)
            self.exercises.append(name)
            cell.metadata = _nbgrader(name, solution=True)
        elif name := options.get("loop"):
            if not self.exercises:
                raise SourceError(f"{where}: expected a training loop below the exercise of its model")
            _defines(where, name, cell.source)
            cell.metadata = _nbgrader(name, solution=True)
        elif name := options.get("check"):
            self._write_check(where, cell, name)
        elif options.get("setup"):
            cell.metadata = _nbgrader("setup" if "setup" not in self.ids else f"setup-{len(self.ids)}")
        else:
            cell.metadata = nbformat.from_dict({"tags": options["tags"]} if "tags" in options else {})
        if "folded" in options:
            cell.metadata.jupyter = {"source_hidden": True}
        if "nbgrader" in cell.metadata:
            cell.id = cell.metadata.nbgrader.grade_id
        elif cell.cell_type == "markdown" and first == GOING_FURTHER:
            cell.id = FURTHER_ID
        else:
            cell.id = f"{options['check']}-check" if "check" in options else _content_id(cell.source, self.ids)
        if cell.id in self.ids:
            raise SourceError(f"{where}: there are two cells named {cell.id!r}")
        self.cells.append(cell)
        self.ids.append(cell.id)

    def expect_every_check(self, *, in_order: bool) -> None:
        """Verify that the notebook's exercises and the checks match.

        Raises:
            SourceError: one is missing, or their order differs although it must not.
        """
        same = self.exercises == list(self.checks) if in_order else sorted(self.exercises) == sorted(self.checks)
        if not same or {f"{name}-check" for name in self.exercises} - set(self.ids):
            raise SourceError(
                f"{self.source}: every exercise needs its check and every check its exercise, in the same order; "
                f"the notebook has {self.exercises}, the checks are {list(self.checks)}"
            )

    def _write_check(self, where: str, cell: NotebookNode, name: str) -> None:
        if self.exercises[-1:] != [name] or self.ids[-1:] != [name]:
            raise SourceError(f"{where}: the check {name!r} must be right below its exercise")
        if cell.source.strip():
            raise SourceError(f"{where}: expected an empty cell for the check: the build writes it")
        if name not in self.checks:
            raise SourceError(f"{where}: autograder/checks has no check {name!r} for this lesson")
        points = self.points.get(name)
        cell.source = _call(self.checks[name], points)
        cell.metadata = NotebookNode() if points is None else _nbgrader(f"{name}-check", grade=True, points=points)


def _outline(where: str, cells: list[NotebookNode]) -> Outline:
    """A lesson's outline, once it is known to be within its budget; only a lesson in two parts has one."""
    try:
        parts = outline(cells)
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error
    if parts.sections and (parts.core.words > MAX_CORE_WORDS or parts.core.minutes > MAX_CORE_MINUTES):
        raise SourceError(
            f"{where}: the core path takes {parts.core}; expected at most {MAX_CORE_MINUTES} minutes and "
            f"{MAX_CORE_WORDS:,} words: shorten it, fold code, or move a section below {GOING_FURTHER!r}"
        )
    return parts


def _expect_guesses(where: str, cells: list[NotebookNode]) -> None:
    """Expect a guess in the cells above each outcome: without one, `outcome` would say that the reader made none."""
    guessed: set[str] = set()
    for cell in (cell for cell in cells if cell.cell_type == "code"):
        for verb, name in re.findall(r"\b(guess|outcome)\(\s*[\"'](.+?)[\"']", cell.source):
            if verb == "guess":
                guessed.add(name)
            elif name not in guessed:
                raise SourceError(f"{where}: expected guess({name!r}, ...) above outcome({name!r}, ...)")


def _go_on(cells: list[NotebookNode]) -> None:
    """Let the box of a passed check say to run the cell below, where the next code is given."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell, below in pairwise(code):
        if cell.id.endswith("-check") and not below.metadata.get("nbgrader", {}).get("solution"):
            name = cell.id.removesuffix("-check")
            cell.source = cell.source.replace(f"({name})", f"({name}, go_on=True)", 1)


def _is_given(cell: NotebookNode, options: Mapping[str, Any]) -> bool:
    return cell.cell_type == "code" and not {"exercise", "check", "loop"} & set(options)


def _expect_pattern(where: str, cell: NotebookNode, options: Mapping[str, Any]) -> None:
    if unknown := set(options) - OPTIONS:
        raise SourceError(
            f"{where}: unknown option {', '.join(sorted(unknown))}; expected {', '.join(sorted(OPTIONS))}"
        )
    # nbgrader treats these words as a marker anywhere, even in a sentence.
    markers = [line.strip() for line in cell.source.splitlines() if _BEGIN[4:] in line or _END[4:] in line]
    solutions = max(1, len(markers) // 2) if {"exercise", "loop"} & set(options) else 0
    if markers != [_BEGIN, _END] * solutions:
        raise SourceError(
            f"{where}: expected pairs of {_BEGIN!r} and {_END!r} in an exercise's or a loop's cell, and in no other; "
            f"got {markers}"
        )
    if "folded" in options and not (_is_given(cell, options) and isinstance(options["folded"], str)):
        raise SourceError(f'{where}: expected folded="what it does" on a cell of given code, got {options}')


def write_sources(names: list[str]) -> None:
    """Write nbgrader's sources, and delete those of lessons that no longer exist."""
    for path in SOURCE.glob("*"):
        if path.name not in lessons():
            shutil.rmtree(path)
    for name in names:
        (SOURCE / name).mkdir(parents=True, exist_ok=True)
        nbformat.write(build_source(SOLUTIONS / f"{name}.py"), SOURCE / name / f"{name}.ipynb")


def release(names: list[str], folder: Path | None = None) -> None:
    """Make the student release of these lessons, with nbgrader's generate_assignment but without a gradebook.

    Args:
        folder: the target; None for `notebooks/`.
    """
    from traitlets.config import Config

    from autograder.nbgrader_config import configure

    write_sources(names)
    config = Config()
    configure(config, ROOT)
    config.CourseDirectory.root = str(ROOT)
    config.CourseDirectory.source_directory = str(SOURCE)
    config.CourseDirectory.release_directory = str(folder or NOTEBOOKS)
    config.GenerateAssignment.no_database = True
    config.SaveCells.enabled = False
    generate(names, config)


def generate(names: Iterable[str], config: "Config") -> None:
    """Turn these lessons' sources into releases with nbgrader's generate_assignment.

    Raises:
        RuntimeError: nbgrader fails; the message is its own.
    """
    from nbgrader.apps import NbGraderAPI

    api = NbGraderAPI(config=config)
    for name in names:
        result = api.generate_assignment(name, force=True)
        if not result["success"]:
            raise RuntimeError(f"nbgrader generate_assignment {name}: {result.get('error') or result.get('log')}")


def drift(names: list[str]) -> list[str]:
    """A diff, in lines, of the committed release against a fresh build; empty if they agree."""
    with tempfile.TemporaryDirectory() as folder:
        release(names, Path(folder))
        made = {path.relative_to(folder): path.read_text() for path in Path(folder).rglob("*.ipynb")}
    committed = {
        path.relative_to(NOTEBOOKS): path.read_text()
        for path in NOTEBOOKS.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    lines: list[str] = []
    for path in sorted(made.keys() | committed.keys()):
        before, after = committed.get(path, "").splitlines(), made.get(path, "").splitlines()
        lines += difflib.unified_diff(before, after, f"notebooks/{path}", f"from the sources: {path}", lineterm="", n=1)
    return lines


def _nbgrader(
    grade_id: str, *, grade: bool = False, solution: bool = False, points: float | None = None
) -> NotebookNode:
    metadata = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": grade,
        "solution": solution,
        "locked": not solution,
        "task": False,
    }
    if points is not None:
        metadata["points"] = points
    return nbformat.from_dict({"nbgrader": metadata})


def _call(check: Check, points: float | None) -> str:
    """The source of a check's cell."""
    if points is None:
        return f"checks.{check.name}({check.name})  # practice, without points"
    worth = "" if points == check.max_points else f".worth({int(points) if points == int(points) else points})"
    return f"checks.{check.name}{worth}({check.name})"


def _import_own_checks(where: str, notebook: NotebookNode, lesson: Lesson) -> None:
    """Make the notebook import the class's own checks, which lie beside it."""
    common, own = (
        f"from autograder.checks import {lesson.short} as checks",
        f"import {lesson.practice_checks} as checks",
    )
    cells = [cell for cell in notebook.cells if re.search(rf"^{common}\b", cell.source, re.MULTILINE)]
    if len(cells) != 1:
        raise SourceError(f"{where}: expected the line {common!r} in one cell, for the class's own checks to replace")
    cells[0].source = cells[0].source.replace(common, own)


def _question_cells(questions: Iterable[Question], ids: list[str]) -> Iterator[NotebookNode]:
    """A heading, then each question's text and the cell for its answer, which a person grades."""
    yield _markdown(QUESTIONS, ids)
    for question in questions:
        points = f"{question.points:g} point" + ("" if question.points == 1 else "s")
        yield _markdown(f"### {question.name} · {points}\n\n{question.text}", ids)
        if question.name in ids:
            raise SourceError(f"the question {question.name!r} has the same name as another cell: rename it")
        ids.append(question.name)
        metadata = _nbgrader(question.name, grade=True, solution=True, points=question.points)
        yield nbformat.v4.new_markdown_cell(ANSWER, metadata=metadata, id=question.name)


def _markdown(source: str, ids: list[str]) -> NotebookNode:
    cell = nbformat.v4.new_markdown_cell(source, id=_content_id(source, ids))
    ids.append(cell.id)
    return cell


def _content_id(source: str, taken: Collection[str]) -> str:
    """An id that does not depend on other cells."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    return next(name for name in (digest, *(f"{digest}-{count}" for count in range(2, 99))) if name not in taken)


def _defines(where: str, name: str, source: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*|[A-Z][A-Za-z0-9]*", name):
        raise SourceError(f"{where}: expected an exercise named like a function or a class, got {name!r}")
    defined = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if name not in defined:
        raise SourceError(f"{where}: the cell must define {name}, but it defines {', '.join(defined) or 'nothing'}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m autograder.release.build", description="Make the student notebooks from solutions/."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing; fail if a committed notebook differs from what its source builds",
    )
    parser.add_argument("lessons", nargs="*", help="lessons to build (default: all)")
    arguments = parser.parse_args()
    names = arguments.lessons or lessons()
    if arguments.check:
        lines = drift(lessons())
        print("\n".join(lines) or "notebooks/ matches solutions/.")
        if lines:
            print("\nRun `make notebooks` and commit the result.", file=sys.stderr)
        return bool(lines)
    release(names)
    for name in names:
        print(f"notebooks/{name}/{name}.ipynb\n{_outline(name, jupytext.read(SOLUTIONS / f'{name}.py').cells)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
