"""A check's report on an answer: a verdict for each property, shown as text and as HTML."""

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Report", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """The judgement on one property; `because` is the first counter-example, empty where there is none."""

    name: str
    points: float
    held: bool
    because: str


@dataclass(frozen=True)
class Report:
    """The judgement on one exercise.

    Attributes:
        verdicts: one for each gate and property, in the order declared.
        error: what ended the check early (the student's exception), else "".
        fault: an exception of the check itself, for the instructor, else "".
        notes: remarks that cost nothing.
        advice: what to do next, where the report is practice.
    """

    lesson: str
    exercise: str
    title: str
    verdicts: tuple[Verdict, ...]
    gates: frozenset[str]
    error: str = ""
    kind: str = ""
    fault: str = ""
    notes: tuple[str, ...] = ()
    advice: str = field(default="", compare=False)

    @property
    def max_points(self) -> float:
        return math.fsum(verdict.points for verdict in self.verdicts)

    @property
    def points(self) -> float:
        """The points earned: none unless every gate held."""
        if any(verdict.name in self.gates and not verdict.held for verdict in self.verdicts):
            return 0.0
        return math.fsum(verdict.points for verdict in self.verdicts if verdict.held)

    @property
    def lost(self) -> set[str]:
        """Every gate and property that did not hold: it has a counter-example, or the check ended early."""
        return {verdict.name for verdict in self.verdicts if not verdict.held}

    @property
    def failed(self) -> set[str]:
        """The gates and properties for which the check found a counter-example."""
        return {verdict.name for verdict in self.verdicts if verdict.because}

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON data, for the ledger and for exports."""
        verdicts = [vars(verdict) | {"gate": verdict.name in self.gates} for verdict in self.verdicts]
        return {
            "exercise": self.exercise,
            "title": self.title,
            "points": self.points,
            "max_points": self.max_points,
            "verdicts": verdicts,
            "error": self.error,
            "kind": self.kind,
            "fault": self.fault,
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield (mark, what, why) for each verdict, then for what ended the check, then for the notes."""
        untested = []
        for verdict in self.verdicts:
            what = verdict.name + (f" ({_points(verdict.points)})" if verdict.points else "")
            if verdict.held or verdict.because:
                yield "ok" if verdict.held else "lost", what, verdict.because
            else:
                untested.append(what)
        if untested:
            yield "lost", "not tested to the end: " + ", ".join(untested), self.error
        for note in self.notes:
            yield "note", note, ""

    def __str__(self) -> str:
        rows = [f"  {mark:<5} {what}{': ' if why else ''}{why}" for mark, what, why in self.lines()]
        return "\n".join([self.headline, *rows])

    @property
    def headline(self) -> str:
        return f"{self.title}: {_number(self.points)} of {_points(self.max_points)}"

    def html(self) -> str:
        """The report for notebooks and feedback: no script, no outside resource, readable without colour."""
        marks = {"ok": ("#1a7f37", "✓"), "lost": ("#b42318", "✗"), "note": ("#6b5900", "note")}
        rows = []
        for mark, what, why in self.lines():
            colour, sign = marks[mark]
            reason = f'<div style="margin-left:1.6em">{_text(why)}</div>' if why else ""
            rows.append(f'<div><b style="color:{colour}">{sign}</b> {_text(what)}{reason}</div>')
        tail = f'<div style="margin-top:.4em;opacity:.75">{_text(self.advice)}</div>' if self.advice else ""
        return (
            f'<div style="border-left:4px solid {marks["ok" if not self.lost else "lost"][0]};padding:.2em .8em">'
            f"<b>{_text(self.headline)}</b>{''.join(rows)}{tail}</div>"
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # nbgrader reads the points from text/plain, and gives full points for anything but a plain number there.
        return {"text/plain": repr(float(self.points)), "text/html": self.html()}


def _number(value: float) -> str:
    return f"{value:g}"


def _points(value: float) -> str:
    return f"{value:g} point" + ("" if value == 1 else "s")


def _text(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
