"""One submission, from the bytes that were handed in to the judged notebook and its ledger.

The class run and plain nbgrader both call `grade`. It first rebuilds the submission from the master: the student's file
contributes only the sources of solution cells and, for the feedback, the other cells' outputs as pictures and text.
Then the judge judges, and the points go into the check cells, where nbgrader looks for them.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autograder.checking.report import Report
from autograder.grading.handed_in import MAX_OUTPUTS, MIB, HandedIn, cells_of, joined, output_size, sanitised
from autograder.grading.judge import judge
from autograder.lesson import Lesson
from autograder.sandbox.server import Server, ServerEnded

__all__ = ["FORMAT", "Graded", "GraderFailed", "grade", "rebuild"]

FORMAT = 1  # the ledger's format
ATTEMPTS = 3
MAX_SOURCE = MIB


class GraderFailed(RuntimeError):
    """A submission could not be judged, though the machine is fine; the message says what happened where."""


@dataclass(frozen=True)
class Graded:
    """A judged submission.

    Attributes:
        notebook: the notebook file's text: the master with the student's answers, the points and the reports.
        ledger: what was judged, and how; plain JSON data that does not depend on a clock.
        scores: the grader's points for each graded cell of the notebook; None where a person has to grade.
        unanswered: the solution cells that still are as they were released.
    """

    notebook: str
    ledger: dict[str, Any]
    scores: Mapping[str, float | None]
    unanswered: frozenset[str]


def grade(
    lesson: Lesson, master: Mapping[str, Any], handed_in: HandedIn, secret: str, server: Server, student: str
) -> Graded:
    """Rebuild and judge one submission, whatever it contains.

    Args:
        lesson: the lesson as the class has it.
        master: the notebook as it was released.
        secret: seeds the random cases of the checks.
        server: where the student's code runs.

    Raises:
        GraderFailed: the sandbox ended at each attempt to judge this submission.
        NoSandbox: the machine can no longer confine students' code.
    """
    notebook, notes, missing = rebuild(master, handed_in)
    notebook["metadata"]["grading"]["sandbox"] = server.stamp
    setup = [joined(cell["source"]) for cell in notebook["cells"] if _is(cell, "locked") and not _is(cell, "grade")]
    # They include exercises for practice: another answer may call one.
    answers = [cell for cell in notebook["cells"] if _is(cell, "solution") and cell["cell_type"] == "code"]
    cells = {_name(cell): None if _name(cell) in missing else cell["source"] for cell in answers}
    reports = _judged(lesson, setup, cells, secret, server)
    released = {_name(cell): joined(cell["source"]) for cell in master["cells"] if _is(cell, "solution")}
    unanswered = frozenset(
        _name(cell) for cell in notebook["cells"] if _is(cell, "solution") and cell["source"] == released[_name(cell)]
    )
    scores: dict[str, float | None] = {}
    for cell in notebook["cells"]:
        if _is(cell, "grade"):
            name = _name(cell)
            # Nobody has to read a question that has no answer.
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
    return Graded(_text(notebook), ledger, scores, unanswered)


def rebuild(master: Mapping[str, Any], handed_in: HandedIn) -> tuple[dict[str, Any], list[str], set[str]]:
    """Put a submission's answers into the master; `_answer` chooses the cell for each exercise.

    Returns:
        The notebook, notes on what was odd about the submission, and the exercises for which it has no cell.
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
    given = {joined(cell["source"]) for cell in master["cells"]}
    for cell in notebook["cells"]:
        cell["source"] = joined(cell["source"])
        shown = None
        if _is(cell, "solution"):
            shown, note = _answer(_name(cell), cell, cells, given)
            # An unreadable file is one fault, not one per exercise.
            notes += [note] if note and cells else []
            if shown is None:
                missing.add(_name(cell))
                continue
            cell["source"] = shown["source"]
        elif cell["cell_type"] == "code" and not _is(cell, "grade"):
            shown = by_id.get(cell.get("id")) or by_source.get(cell["source"])
        if shown and cell["cell_type"] == "code":
            cell["outputs"] = sanitised(shown["outputs"], room)
            room -= sum(map(output_size, cell["outputs"]))
    notebook["metadata"]["grading"] = {"notes": notes}
    return notebook, notes, missing


def _judged(
    lesson: Lesson, setup: list[str], cells: Mapping[str, str | None], secret: str, server: Server
) -> dict[str, Report]:
    for _ in range(ATTEMPTS):
        # Another submission may have ended the sandbox, or the machine.
        with contextlib.suppress(ServerEnded):
            return judge(lesson.name, setup, cells, secret, checks=lesson.checks(), server=server)
    raise GraderFailed(f"the sandbox ended {ATTEMPTS} times under this submission")


def _written(cell: dict[str, Any], report: Report) -> float:
    """Write a report into its check's cell; returns the points."""
    shown = {"data": report._repr_mimebundle_(), "metadata": {}, "execution_count": None}
    cell["outputs"] = [{"output_type": "execute_result", **shown}]
    return report.points


def _answer(
    name: str, released: Mapping[str, Any], cells: list[dict[str, Any]], given: set[str]
) -> tuple[dict[str, Any] | None, str]:
    """Choose the cell that is graded as an exercise, or None; and say what is odd about it, in words.

    A cell belongs to the exercise by its id or by nbgrader's metadata, which a copy has as well. An answered cell goes
    before an unchanged one, then the original before a copy. If none is answered, the last other cell that defines the
    function counts, as it would in a notebook that is run from top to bottom.

    Args:
        released: the exercise's cell in the master.
        cells: from `cells_of`.
        given: the sources of the master's cells; none of them is an answer, even if it defines the function.
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
    """Whether a cell is as it was released, apart from comments and blank lines of code."""

    def kept(source: str) -> list[str]:
        lines = (line.rstrip() for line in source.splitlines())
        return [line for line in lines if line and not line.lstrip().startswith("#")]

    before = joined(released["source"])
    return cell["source"] == before or (cell["type"] == "code" and kept(cell["source"]) == kept(before))


def _is(cell: Mapping[str, Any], what: str) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get(what))


def _name(cell: Mapping[str, Any]) -> str:
    return cell["metadata"]["nbgrader"]["grade_id"]


def _text(notebook: Mapping[str, Any]) -> str:
    """Write a notebook as nbformat does, without its validation."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")) + "\n"
