"""One submission, from the bytes that were handed in to the judged notebook and its ledger.

The class run and plain nbgrader both call `grade`. It first rebuilds the submission from the master: the student's file
contributes only the sources of solution cells and, for the feedback, the other cells' outputs as pictures and text.
Then the judge judges, and the points go into the check cells, where nbgrader looks for them.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autograder.checking.report import Report
from autograder.grading.handed_in import MAX_OUTPUTS, HandedIn, answer_cell, cells_of, joined, output_size, sanitised
from autograder.grading.judge import judge
from autograder.lesson import Lesson
from autograder.sandbox.server import Server, ServerEnded

__all__ = ["FORMAT", "Graded", "GraderFailed", "grade", "rebuild"]

FORMAT = 1  # the ledger's format
ATTEMPTS = 3


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
    """Put a submission's answers into the master; `answer_cell` chooses the cell for each exercise.

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
            shown, note = answer_cell(_name(cell), cell, cells, given)
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


def _is(cell: Mapping[str, Any], what: str) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get(what))


def _name(cell: Mapping[str, Any]) -> str:
    return cell["metadata"]["nbgrader"]["grade_id"]


def _text(notebook: Mapping[str, Any]) -> str:
    """Write a notebook as nbformat does, without its validation."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")) + "\n"
