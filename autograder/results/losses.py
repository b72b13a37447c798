"""What a class lost: by lesson, exercise and property, with the message that most students saw."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autograder.results.table import harmless, table

__all__ = ["COLUMNS", "Exercise", "Property", "losses", "to_csv"]

COLUMNS = ("lesson", "exercise", "property", "points", "judged", "unanswered", "lost", "message", "message_seen")
UNANSWERED = ("Missing", "NotImplementedError")  # kinds of what ended a check
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Property:
    """One property of an exercise.

    Attributes:
        points: what it is worth; 0 for a gate, without which the exercise earns nothing.
        lost: how many lost it who answered the exercise.
        message: what most of them read, in one student's words; messages that differ in numbers only count as one.
        seen: how many read that.
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
        judged: how many submissions.
        unanswered: how many of them have no answer: what those lost says nothing of its properties.
        full: how many earned everything.
        mean, max_points: points, of all.
        properties: those that somebody lost, the most lost first.
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
    """The class by exercise, in the order of the lessons and of the exercises in them."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for ledger in ledgers:
        for one in ledger["exercises"]:
            found.setdefault((ledger["lesson"], one["exercise"]), []).append(one)
    exercises = [_exercise(lesson, name, reports) for (lesson, name), reports in found.items()]
    return sorted(exercises, key=lambda exercise: exercise.lesson)


def to_csv(exercises: Iterable[Exercise]) -> str:
    """A row for each property that somebody lost."""
    return table(COLUMNS, (_row(one, lost) for one in exercises for lost in one.properties))


def _row(one: Exercise, lost: Property) -> tuple[Any, ...]:
    counts = lost.points, one.judged, one.unanswered, lost.lost
    return one.lesson, one.name, lost.name, *counts, harmless(lost.message), lost.seen


def _exercise(lesson: str, name: str, reports: list[Mapping[str, Any]]) -> Exercise:
    messages: dict[str, list[str]] = {}
    points: dict[str, float] = {}
    answered = [one for one in reports if one["kind"] not in UNANSWERED]
    for one in answered:
        for verdict in one["verdicts"]:
            points[verdict["name"]] = verdict["points"]
            if not verdict["held"]:
                messages.setdefault(verdict["name"], []).append(verdict["because"] or one["error"] or _ended(one))
    lost = [Property(gone, points[gone], len(said), *_most_seen(said)) for gone, said in messages.items()]
    return Exercise(
        lesson,
        name,
        len(reports),
        len(reports) - len(answered),
        sum(one["points"] == one["max_points"] for one in reports),
        math.fsum(one["points"] for one in reports) / len(reports),
        max(one["max_points"] for one in reports),
        tuple(sorted(lost, key=lambda one: -one.lost)),
    )


def _ended(one: Mapping[str, Any]) -> str:
    """Why a property without a counter-example was lost: a gate ended the check before it was tested to the end."""
    gates = [verdict["name"] for verdict in one["verdicts"] if verdict["gate"] and not verdict["held"]]
    return f"not tested to the end: the check ended at {gates[0]!r}" if gates else "not tested to the end"


def _most_seen(messages: list[str]) -> tuple[str, int]:
    kinds = [_NUMBER.sub("#", message) for message in messages]
    kind, seen = Counter(kinds).most_common(1)[0]
    return messages[kinds.index(kind)], seen
