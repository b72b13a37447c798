"""Checks: tests by property, not by stored answers.

A check is a generator. It calls a student's function and reports which properties held. The decorator declares the
properties and their points, once. The same check runs in a notebook with a public seed and in the grader with a
secret one.

>>> @check(gates=["a number"], points={"doubles": 2}, hints=["Think of 2 x.", "Multiply.", "By two."])
... def double(student, rng):
...     "Twice the number"
...     for x in [1, int(rng.integers(2, 99))]:
...         y = student.call(x)
...         yield holds("a number", isinstance(y, int), because=f"expected an int, got {y!r}")
...         yield holds("doubles", y == 2 * x, because=f"double({x}) should be {2 * x}, got {y}")
>>> double.run(lambda x: x + x).points
2.0
>>> print(double.run(lambda x: x))
Twice the number: 0 of 2 points
  ok    a number
  lost  doubles (2 points): double(1) should be 2, got 1
"""

import hashlib
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.checking.report import Report, Verdict
from autograder.checking.student import InProcess, Student, StudentError

__all__ = ["Check", "Outcome", "check", "holds"]

PRACTICE = "practice"  # the public seed of notebooks
MAX_REASON = 2000  # characters; a reason may quote what the student's code returned


@dataclass(frozen=True)
class Outcome:
    """The result of one case for one property."""

    name: str
    ok: bool
    because: str


def holds(name: str, ok: Any, because: str | Callable[[], str]) -> Outcome:
    """Report one case of one property.

    Args:
        name: a property or gate that the check declares.
        ok: whether it holds here.
        because: what the student reads if it does not: the counter-example and what it means. A function is called
            only then.
    """
    ok = bool(ok)
    return Outcome(name, ok, "" if ok else because() if callable(because) else because)


class Check:
    """A check with its declaration; calling it on a function in a notebook runs it with the public seed."""

    def __init__(
        self,
        function: Callable[..., Iterator[Outcome]],
        gates: list[str],
        points: dict[str, float],
        hints: list[str],
        side_effects: str | None = None,
    ):
        if not points or any(value <= 0 for value in points.values()) or set(gates) & set(points):
            raise ValueError(
                f"{function.__name__}: expected gates and points of different names, each point value above 0"
            )
        if side_effects is not None and side_effects not in points:
            raise ValueError(f"{function.__name__}: expected a property for side_effects, got {side_effects!r}")
        if len(hints) != 3:
            raise ValueError(f"{function.__name__}: expected hints in three steps, got {len(hints)}")
        self.function = function
        self.name = function.__name__
        self.lesson = function.__module__.rpartition(".")[2]
        self.title = (function.__doc__ or self.name).strip().splitlines()[0].rstrip(".")
        self.__doc__ = function.__doc__
        self.gates, self.points, self.hints = tuple(gates), dict(points), tuple(hints)
        self.side_effects = side_effects or next(iter(points))
        self.hinted = 0

    @property
    def max_points(self) -> float:
        return math.fsum(self.points.values())

    def worth(self, points: float) -> "Check":
        """The same check with another maximum: its properties' points in proportion, and their sum exact."""
        if points == self.max_points:
            return self
        scaled = {name: value * points / self.max_points for name, value in self.points.items()}
        if math.fsum(scaled.values()) != points:
            # The smallest value absorbs the rounding error: its own rounding is too small to change the sum.
            smallest = min(scaled, key=scaled.__getitem__)
            scaled[smallest] = math.fsum([points, *(-value for name, value in scaled.items() if name != smallest)])
        return Check(self.function, list(self.gates), scaled, list(self.hints), self.side_effects)

    def __call__(self, function: Callable[..., Any], *, go_on: bool = False) -> Report:
        """Practise: run the check on a function of this notebook. Only the grader's own run counts.

        Args:
            go_on: whether there is a cell below that puts the function to work; the report of a right answer says so.
        """
        if not callable(function):
            raise TypeError(
                f"expected the function {self.name} itself, got {type(function).__name__}: "
                f"write checks.{self.name}({self.name})"
            )
        report = self.run(function)
        if report.lost:
            advice = f"Stuck? checks.{self.name}.hint() gives a hint, a bigger one each time."
        else:
            advice = "Now run the cell below." if go_on else ""
        if report.lost and os.environ.get("NBGRADER_EXECUTION") == "validate":
            # Without a word here, nbgrader says "Partial credit", even of an open exercise. It cuts long lines.
            for line in str(report).splitlines():
                print(textwrap.fill(line, 80, subsequent_indent=" " * 8), file=sys.stderr)
        return Report(**{**vars(report), "advice": advice})

    def run(self, function: Callable[..., Any], seed: int | str = PRACTICE) -> Report:
        """Judge a function in this process."""
        return self.judge(InProcess(function), seed)

    def hint(self) -> None:
        """Print the next of three hints; after the third, all of them again."""
        self.hinted = min(self.hinted + 1, len(self.hints))
        for step, text in enumerate(self.hints[: self.hinted], start=1):
            print(f"Hint {step} of {len(self.hints)}: {text}")

    def judge(self, channel: Any, seed: int | str) -> Report:
        """Judge the code behind a channel. Never raises for anything that the student's code does or returns."""
        student = Student(channel, self.name)
        rng = np.random.default_rng(list(hashlib.sha256(f"{seed}/{self.lesson}/{self.name}".encode()).digest()))
        seen: set[str] = set()
        failed: dict[str, str] = {}
        finished, error, kind, fault = False, "", "", ""
        try:
            for outcome in self.function(student, rng):
                if outcome.name not in self.gates and outcome.name not in self.points:
                    raise KeyError(f"the check declares no property {outcome.name!r}")
                seen.add(outcome.name)
                if not outcome.ok:
                    failed.setdefault(outcome.name, _told(outcome.because) or "no reason given")
                    if outcome.name in self.gates:
                        break
            else:
                student.look_back()
                finished = True
        except StudentError as raised:
            error, kind = str(raised), raised.kind
        except Exception as raised:
            error, kind = "the check could not judge this answer; your instructor has been told", "Fault"
            fault = f"{type(raised).__name__}: {raised}"
        if finished and student.side_effects:
            failed.setdefault(self.side_effects, _told(f"a side effect: {student.side_effects[0]}"))
        held = seen - set(failed) if finished else set()
        verdicts = [
            Verdict(name, self.points.get(name, 0.0), name in held, failed.get(name, ""))
            for name in (*self.gates, *self.points)
        ]
        return Report(
            self.lesson,
            self.name,
            self.title,
            tuple(verdicts),
            frozenset(self.gates),
            _told(error),
            _told(kind),
            _told(fault),
        )

    def refuse(self, kind: str, error: str) -> Report:
        """Report an answer that could not be judged at all: no points, and the reason."""
        verdicts = [Verdict(name, self.points.get(name, 0.0), False, "") for name in (*self.gates, *self.points)]
        return Report(self.lesson, self.name, self.title, tuple(verdicts), frozenset(self.gates), error, kind)


def check(
    *,
    points: dict[str, float],
    hints: list[str],
    gates: Sequence[str] = (),
    side_effects: str | None = None,
) -> Callable[[Callable], Check]:
    """Declare a check: its gates, the points of its properties, and three hints.

    Args:
        points: what each property is worth. A property holds only if it held in every case and the check ran to its
            end.
        hints: three steps, from a nudge to nearly there; never the answer.
        gates: conditions that earn nothing, and without which the rest earns nothing; the first one that fails ends
            the check.
        side_effects: the property that an answer loses if it changes an argument, an earlier result or torch's
            settings, or gives another result for the same arguments; by default the first property. The framework
            watches every call, so no check has to.
    """
    return lambda function: Check(function, list(gates), points, hints, side_effects)


def _told(text: str) -> str:
    """Shorten text that may quote the student's code, and replace lone surrogates."""
    short = text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} ... ({len(text)} characters in all)"
    return short.encode("utf-8", "replace").decode()
