"""The points that a class lost, by lesson, exercise and property, with the message that most students saw."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autograder.results.table import harmless, table

__all__ = ["COLUMNS", "Exercise", "Property", "losses", "to_csv"]

COLUMNS = ("lesson", "exercise", "property", "points", "judged", "unanswered", "lost", "message", "message_seen")
UNANSWERED = ("Missing", "NotImplementedError")  # kinds of error that mean no answer
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Property:
    """One property of an exercise.

    Attributes:
        points: its worth; 0 for a gate, without which the exercise earns nothing.
        lost: how many of those who answered the exercise lost it.
        message: what most of them read, in one student's copy; messages that differ only in numbers count as one.
        seen: how many read that message.
    """

    name: str
    points: float
    lost: int
    message: str
    seen: int


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        judged: the number of submissions.
        unanswered: how many of them have no answer; their losses say nothing about the properties.
        full: how many earned everything.
        mean, max_points: mean points over all submissions, and the maximum.
        properties: those that somebody lost, most lost first.
    """

    lesson: str
    name: str
    judged: int
    unanswered: int
    full: int
    mean: float
    max_points: float
    properties: tuple[Property, ...]


def losses(ledgers: Iterable[Mapping[str, Any]]) -> list[Exercise]:
    """Summarise a class by exercise, in the order of the lessons and of their exercises."""
    by_exercise: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for ledger in ledgers:
        for report in ledger["exercises"]:
            by_exercise.setdefault((ledger["lesson"], report["exercise"]), []).append(report)
    exercises = [_exercise(lesson, name, reports) for (lesson, name), reports in by_exercise.items()]
    return sorted(exercises, key=lambda exercise: exercise.lesson)


def to_csv(exercises: Iterable[Exercise]) -> str:
    """A table with one row per property that somebody lost."""
    return table(COLUMNS, (_row(exercise, lost) for exercise in exercises for lost in exercise.properties))


def _row(exercise: Exercise, lost: Property) -> tuple[Any, ...]:
    counts = lost.points, exercise.judged, exercise.unanswered, lost.lost
    return exercise.lesson, exercise.name, lost.name, *counts, harmless(lost.message), lost.seen


def _exercise(lesson: str, name: str, reports: list[Mapping[str, Any]]) -> Exercise:
    messages: dict[str, list[str]] = {}
    points: dict[str, float] = {}
    answered = [report for report in reports if report["kind"] not in UNANSWERED]
    for report in answered:
        for verdict in report["verdicts"]:
            points[verdict["name"]] = verdict["points"]
            if not verdict["held"]:
                reason = verdict["because"] or report["error"] or _ended(report)
                messages.setdefault(verdict["name"], []).append(reason)
    lost = [Property(name, points[name], len(reasons), *_most_seen(reasons)) for name, reasons in messages.items()]
    return Exercise(
        lesson,
        name,
        len(reports),
        len(reports) - len(answered),
        sum(report["points"] == report["max_points"] for report in reports),
        math.fsum(report["points"] for report in reports) / len(reports),
        max(report["max_points"] for report in reports),
        tuple(sorted(lost, key=lambda loss: -loss.lost)),
    )


def _ended(report: Mapping[str, Any]) -> str:
    """Why a property without a counter-example was lost: the check ended before testing it fully."""
    gates = [verdict["name"] for verdict in report["verdicts"] if verdict["gate"] and not verdict["held"]]
    return f"not tested to the end: the check ended at {gates[0]!r}" if gates else "not tested to the end"


def _most_seen(messages: list[str]) -> tuple[str, int]:
    kinds = [_NUMBER.sub("#", message) for message in messages]
    kind, seen = Counter(kinds).most_common(1)[0]
    return messages[kinds.index(kind)], seen
