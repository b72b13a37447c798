"""One submission, from the bytes that were handed in to the judged notebook and its ledger.

The class run and plain nbgrader both come here. A submission is rebuilt from the master first: of the student's file
only the sources of solution cells are used, and the outputs of the other cells, as pictures and text, to be seen in
the feedback. Then the judge judges, and its points stand in the check cells where nbgrader looks for them.

Notebooks are handled as plain JSON: nbformat's validation costs more than all the rest, and refuses what can be read.
"""

import base64
import binascii
import contextlib
import dataclasses
import functools
import hashlib
import json
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autograder.check import Report
from autograder.course import Lesson
from autograder.judge import judge
from autograder.sandbox import Limits, NoSandbox, Server, ServerEnded, shared

__all__ = [
    "FORMAT",
    "Graded",
    "GraderFailed",
    "HandedIn",
    "cells_of",
    "dumps",
    "grade",
    "pack",
    "rebuild",
    "sanitised",
    "unpack",
    "work",
]

FORMAT = 1  # of the ledger
ATTEMPTS = 3
MAX_RESULT = 100 * 2**20  # bytes that a worker may send
MIB = 2**20
MAX_SOURCE = MIB
MAX_TEXT, MAX_IMAGE, MAX_OUTPUTS = 20_000, 2 * MIB, 10 * MIB  # characters: of one output, of a picture, of a notebook's
CELLS_READ = 5000


class GraderFailed(RuntimeError):
    """A submission could not be judged, by no fault of the machine: the message says what happened where."""


@dataclass(frozen=True)
class HandedIn:
    """A file as it was handed in.

    Attributes:
        data: its bytes; none where it is refused.
        refused: why it was not read, in words, else "".
        timestamp: when it was handed in, as ISO text in UTC, None where that is not known.
    """

    data: bytes
    refused: str = ""
    timestamp: str | None = None

    @property
    def digest(self) -> str:
        """Says whether two files are the same."""
        return hashlib.sha256(self.refused.encode() or self.data).hexdigest()


@dataclass(frozen=True)
class Graded:
    """A judged submission.

    Attributes:
        notebook: the master with the student's answers, the points and the reports.
        ledger: what was judged, and how; plain JSON data that depends on no clock.
        scores: for each graded cell of the notebook what the grader gives, None where a person has to.
        unanswered: the solution cells that are as they were released.
    """

    notebook: Any
    ledger: dict[str, Any]
    scores: Mapping[str, float | None]
    unanswered: frozenset[str]


def grade(
    lesson: Lesson, master: Mapping[str, Any], handed_in: HandedIn, secret: str, server: Server, student: str
) -> Graded:
    """Rebuild and judge one submission, whatever it is.

    Args:
        lesson: the lesson as the class has it.
        master: the notebook as it was released.
        secret: seeds the random cases of the checks.
        server: where the student's code runs.

    Raises:
        GraderFailed: the sandbox ended each time under this submission.
        NoSandbox: students' code cannot be contained any more.
    """
    notebook, notes, missing = rebuild(master, handed_in)
    notebook["metadata"]["grading"]["sandbox"] = server.stamp
    setup = [_joined(cell["source"]) for cell in notebook["cells"] if _is(cell, "locked") and not _is(cell, "grade")]
    # Exercises for practice among them: another answer may call one.
    answers = [cell for cell in notebook["cells"] if _is(cell, "solution") and cell["cell_type"] == "code"]
    cells = {_name(cell): None if _name(cell) in missing else cell["source"] for cell in answers}
    reports = _judged(lesson, setup, cells, secret, server)
    released = {_name(cell): _joined(cell["source"]) for cell in master["cells"] if _is(cell, "solution")}
    unanswered = frozenset(
        _name(cell) for cell in notebook["cells"] if _is(cell, "solution") and cell["source"] == released[_name(cell)]
    )
    scores: dict[str, float | None] = {}
    for cell in notebook["cells"]:
        if _is(cell, "grade"):
            name = _name(cell)
            # A question in words: nobody has to look at one without an answer.
            by_hand = 0.0 if name in unanswered else None
            scores[name] = by_hand if _is(cell, "solution") else _written(cell, reports[name.removesuffix("-check")])
    ledger = {
        "format": FORMAT,
        "lesson": lesson.name,
        "student": student,
        "points": sum(report.points for report in reports.values()),
        "max_points": sum(report.max_points for report in reports.values()),
        "notes": notes,
        "exercises": [report.to_dict() for report in reports.values()],
        "sandbox": server.stamp,
        "submission": handed_in.digest,
        "checks": lesson.digest(),
        "timestamp": handed_in.timestamp,
    }
    return Graded(notebook, ledger, scores, unanswered)


def pack(lesson: Lesson, master: str, secret: str, limits: Limits, unsafe: bool) -> bytes:
    """All that a worker has to know to judge submissions of a lesson."""
    about = {"lesson": lesson.to_json(), "master": master, "secret": secret}
    return json.dumps(about | {"limits": dataclasses.asdict(limits), "unsafe": unsafe}).encode()


def work(package: bytes, about: bytes, data: bytes) -> bytes:
    """Judge one submission in a process of its own: bytes in, bytes out, and no exception.

    Args:
        package: from `pack`.
        about: student, refused and timestamp, as JSON.
        data: what was handed in.

    Returns:
        JSON for `unpack`.
    """
    try:
        lesson, master, secret, limits, unsafe = _unpacked(package)
        names = json.loads(about)
        handed_in = HandedIn(data, names["refused"], names["timestamp"])
        graded = grade(lesson, master, handed_in, secret, shared(limits, unsafe=unsafe), names["student"])
        found = vars(graded) | {"notebook": dumps(graded.notebook), "unanswered": sorted(graded.unanswered)}
        result = json.dumps(found).encode()
        if len(result) > MAX_RESULT:
            raise GraderFailed(f"the graded notebook is larger than {MAX_RESULT // MIB} MiB")
        return result
    except NoSandbox as error:
        return json.dumps({"no_sandbox": [error.reason, error.remedy]}).encode()
    except GraderFailed as error:
        return json.dumps({"failed": str(error)}).encode()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return json.dumps(
            {"failed": f"the grader failed: {_in_words(error)} ({where.filename}, line {where.lineno})"}
        ).encode()


def unpack(result: bytes) -> Graded:
    """What a worker sent; its notebook is text, to be written as it is.

    Raises:
        NoSandbox: the worker's machine cannot contain students' code.
        GraderFailed: the grader itself failed.
    """
    if len(result) > MAX_RESULT:
        raise GraderFailed(f"a worker sent more than {MAX_RESULT // MIB} MiB")
    found = json.loads(result)
    if "no_sandbox" in found:
        raise NoSandbox(*found["no_sandbox"])
    if "failed" in found:
        raise GraderFailed(found["failed"])
    return Graded(**found | {"unanswered": frozenset(found["unanswered"])})


def dumps(notebook: Mapping[str, Any]) -> str:
    """A notebook as nbformat writes it, without its validation."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")) + "\n"


@functools.lru_cache(maxsize=8)
def _unpacked(package: bytes) -> tuple[Lesson, dict[str, Any], str, Limits, bool]:
    found = json.loads(package)
    lesson, limits = Lesson.from_json(found["lesson"]), Limits(**found["limits"])
    return lesson, json.loads(found["master"]), found["secret"], limits, found["unsafe"]


def rebuild(master: Mapping[str, Any], handed_in: HandedIn) -> tuple[dict[str, Any], list[str], set[str]]:
    """Put a submission's answers into the master; `_answer` says which cell is taken for which exercise.

    Returns:
        The notebook, what was odd about the submission, in words, and the exercises of which it has no cell.
    """
    notebook: dict[str, Any] = {
        **master,
        "metadata": dict(master["metadata"]),
        "cells": [dict(cell) for cell in master["cells"]],
    }
    missing, room = set(), MAX_OUTPUTS
    cells, notes = cells_of(handed_in)
    by_id = {cell["id"]: cell for cell in reversed(cells) if cell["type"] == "code"}
    by_source = {cell["source"]: cell for cell in reversed(cells) if cell["type"] == "code"}
    given = {_joined(cell["source"]) for cell in master["cells"]}
    for cell in notebook["cells"]:
        cell["source"] = _joined(cell["source"])
        shown = None
        if _is(cell, "solution"):
            shown, note = _answer(_name(cell), cell, cells, given)
            # An unreadable file is one fault, not one for each exercise.
            notes += [note] if note and cells else []
            if shown is None:
                missing.add(_name(cell))
                continue
            cell["source"] = shown["source"]
        elif cell["cell_type"] == "code" and not _is(cell, "grade"):
            shown = by_id.get(cell.get("id")) or by_source.get(cell["source"])
        if shown and cell["cell_type"] == "code":
            cell["outputs"] = sanitised(shown["outputs"], room)
            room -= sum(map(_size, cell["outputs"]))
    notebook["metadata"]["grading"] = {"notes": notes}
    return notebook, notes, missing


def cells_of(handed_in: HandedIn) -> tuple[list[dict[str, Any]], list[str]]:
    """The cells of whatever was handed in, and what was odd about it, in words.

    Returns:
        For each cell its number, id, type, source, the exercise that its metadata name, and its outputs as they were.
    """
    notes = []
    try:
        if handed_in.refused:
            raise ValueError(handed_in.refused)
        try:
            found = json.loads(handed_in.data)
        except UnicodeDecodeError:
            found = json.loads(handed_in.data.decode("latin-1"))
            notes.append("the file is not written in UTF-8; it was read as Latin-1")
        if not isinstance(found, dict):
            raise ValueError(f"expected a notebook, found {type(found).__name__}")
        # Before 2015 the cells stood in worksheets, and a cell's source was called its input.
        sheets = found.get("worksheets")
        listed = found["cells"] if sheets is None else [cell for sheet in sheets for cell in sheet["cells"]]
        if len(listed) > CELLS_READ:
            notes.append(f"only the first {CELLS_READ:,} of its {len(listed):,} cells were read")
        cells = [_plain(cell) for cell in listed[:CELLS_READ] if isinstance(cell, dict)]
        return [cell | {"number": number} for number, cell in enumerate(cells, start=1)], notes
    except Exception as error:  # a hostile file provokes whatever it can, RecursionError and MemoryError among it
        why = _in_words(error)
        return [], [*notes, f"the file cannot be read as a notebook ({why}); it counts as empty"]


def sanitised(outputs: Any, room: int = MAX_OUTPUTS) -> list[dict[str, Any]]:
    """The outputs of a student's cell as text and pictures, bounded; no markup, no script, no widget."""
    kept: list[dict[str, Any]] = []
    for output in outputs if isinstance(outputs, list) else []:
        kind = output.get("output_type") if isinstance(output, dict) else None
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            clean = {"output_type": "stream", "name": name, "text": _text(output.get("text"))}
        elif kind == "error":
            traceback = _text(output.get("traceback"), "\n").split("\n")
            said = {key: _text(output.get(key)) for key in ("ename", "evalue")}
            clean = {"output_type": "error", **said, "traceback": traceback}
        elif kind in ("display_data", "execute_result"):
            data = output.get("data") if isinstance(output.get("data"), dict) else {}
            shown = {mime: found for mime, clean_one in _MIMES.items() if (found := clean_one(data.get(mime)))}
            clean = {"output_type": "display_data", "data": shown, "metadata": {}}
        else:
            continue
        room -= _size(clean)
        if room < 0:
            kept.append({"output_type": "stream", "name": "stdout", "text": "(more output than is kept)\n"})
            break
        kept.append(clean)
    return kept


def _judged(
    lesson: Lesson, setup: list[str], cells: Mapping[str, str | None], secret: str, server: Server
) -> dict[str, Report]:
    for _ in range(ATTEMPTS):
        # Another submission may have ended the sandbox, or the machine.
        with contextlib.suppress(ServerEnded):
            return judge(lesson.name, setup, cells, secret, checks=lesson.checks(), server=server)
    raise GraderFailed(f"the sandbox ended {ATTEMPTS} times under this submission")


def _written(cell: dict[str, Any], report: Report) -> float:
    """Write a report into its check's cell."""
    shown = {"data": report._repr_mimebundle_(), "metadata": {}, "execution_count": None}
    cell["outputs"] = [{"output_type": "execute_result", **shown}]
    return report.points


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    exercise = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    source = cell.get("source", cell.get("input"))
    kind, name = cell.get("cell_type"), cell.get("id")
    return {
        "id": name if isinstance(name, str) else None,
        "type": kind if isinstance(kind, str) else None,
        "source": _joined(source),
        "exercise": exercise if isinstance(exercise, str) else None,
        "outputs": cell.get("outputs"),
    }


def _answer(
    name: str, released: Mapping[str, Any], cells: list[dict[str, Any]], given: set[str]
) -> tuple[dict[str, Any] | None, str]:
    """The cell that is graded as an exercise, None where there is none; and what is odd about that, in words.

    A cell belongs to the exercise by its id or nbgrader's metadata, which a copy has as well. An answered one goes
    before one that is as it was released, then the original one before a copy. Where none is answered, the last other
    cell that defines the function counts, as it would in a notebook that is run from top to bottom.

    Args:
        released: the exercise's cell in the master.
        cells: from `cells_of`.
        given: the sources of the master's cells: none of them is an answer, also where it defines the function.
    """
    kind = released["cell_type"]
    claimed = [cell for cell in cells if name in (cell["id"], cell["exercise"])]
    own = [cell for cell in claimed if cell["type"] == kind]
    own.sort(key=lambda cell: (_untouched(cell, released), cell["id"] != name))
    note = ""
    if len(own) > 1:
        note = f"{len(own)} cells claim to be the exercise {name}; cell {own[0]['number']} of the notebook was graded"
    if kind == "code" and (not own or _untouched(own[0], released)):
        definition = re.compile(rf"^(def|class) {re.escape(name)}\b", re.MULTILINE)
        code = [cell for cell in cells if cell["type"] == "code" and cell["source"] not in given]
        others = [cell for cell in code if definition.search(cell["source"]) and not _untouched(cell, released)]
        if others:
            if own or len(others) > 1:
                note = (
                    f"the exercise {name} is answered in cell {others[-1]['number']} of the notebook, which was graded"
                )
            own = others[-1:]
    if not own:
        if claimed:
            found = claimed[0]["type"]
            return None, f"the cell of the exercise {name} is a {found} cell, not a {kind} cell: it was not graded"
        # A question in words may have been added after the release.
        return None, f"there is no cell for the exercise {name}" if kind == "code" else ""
    if len(own[0]["source"]) > MAX_SOURCE:
        return None, f"the cell of the exercise {name} is longer than {MAX_SOURCE} characters; it was not run"
    return own[0], note


def _untouched(cell: Mapping[str, Any], released: Mapping[str, Any]) -> bool:
    """Whether a cell holds what was released; comments and blank lines of a code cell do not count."""

    def kept(source: str) -> list[str]:
        lines = (line.rstrip() for line in source.splitlines())
        return [line for line in lines if line and not line.lstrip().startswith("#")]

    before = _joined(released["source"])
    return cell["source"] == before or (cell["type"] == "code" and kept(cell["source"]) == kept(before))


def _is(cell: Mapping[str, Any], what: str) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get(what))


def _name(cell: Mapping[str, Any]) -> str:
    return cell["metadata"]["nbgrader"]["grade_id"]


def _joined(value: Any, between: str = "") -> str:
    """Text of a notebook, which may be a list of its lines; half a character becomes a question mark."""
    if isinstance(value, list):
        value = between.join(part for part in value if isinstance(part, str))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _size(output: Mapping[str, Any]) -> int:
    """Characters of a clean output, its names included."""
    texts = output["data"].values() if "data" in output else map(str, output.values())
    return 80 + sum(map(len, texts))


def _text(value: Any, between: str = "") -> str:
    text = _joined(value, between)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "\n(cut)"


def _image(value: Any) -> str:
    text = "".join(_joined(value).split())
    if len(text) > MAX_IMAGE:
        return ""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return text


_MIMES: dict[str, Callable[[Any], str]] = {"image/png": _image, "image/jpeg": _image, "text/plain": _text}


def _in_words(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"it is not JSON: {error.msg}, line {error.lineno}"
        case KeyError():
            return f"it has no {error.args[0]}"
        case RecursionError():
            return "it is nested too deeply"
    return f"{type(error).__name__}: {str(error)[:200]}" if type(error) is not ValueError else str(error)[:200]
