"""Hostile submissions to the small course: what each tries, where it must stop, and the points that it deserves.

Each attack keeps honest answers beside it, so that "earns exactly what its honest answers deserve" is a sharp
statement. Every attack limits its own damage: if a defence fails, a test fails, and the machine survives.

>>> attacks = Catalogue()
>>> @attacks.cell("double", tries="Answers with text.", stops="judge: text is not a number")
... def text():
...     def double(x):
...         return str(2 * x)
...     return double
>>> attacks.entries[0].points
{'double': 0.0, 'ask': 1.0, 'Counter': 1.5}
"""

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from banks import body
from tests.autograder.toy_class import LESSON, POINTS

__all__ = ["HONEST", "LEFT", "NOTHING", "PLACES", "Attack", "Catalogue", "answered", "submission"]

# The places that can stop an attack, from outermost to innermost.
PLACES = ("intake", "rebuild", "sandbox", "pipe", "judge", "gradebook", "feedback")
NOTHING = dict.fromkeys(POINTS, 0.0)
LEFT = "left-behind"  # part of the name of everything that an attack leaves: files, queues
HONEST = {
    "double": "def double(x):\n    return 2 * x\n",
    "ask": "def ask(f, n):\n    return math.sqrt(sum(f(i) for i in range(n)))\n",
    "Counter": """class Counter:
    def __init__(self):
        self.total = 0

    def add(self, k):
        self.total += k
        return self.total
""",
}

Notebook = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """One hostile submission.

    Attributes:
        name: the attack's name; also the student's, unless `student` says otherwise.
        tries, stops: the goal; the defence that must stop it, beginning with one of `PLACES`.
        points: the worth of its honest answers; None if it must be refused with a message.
        hand_in: writes it to the submission's folder (CLASS/submitted/STUDENT/LESSON), given the released notebook
            (plain JSON) and the targets (`tests.attacks.traps.Traps`).
        shows: text that the ledger must contain, or one of several: the attack ran to its end, and what it got.
        cells: the cells of an attack that consists of cells only.
        works_outside: the attack succeeds if nothing stops it, as a test shows.
    """

    name: str
    tries: str
    stops: str
    points: Mapping[str, float] | None
    hand_in: Callable[[Path, Notebook, Any], None]
    shows: str | tuple[str, ...] = ""
    cells: Callable[[Any], Mapping[str, str]] | None = None
    works_outside: bool = False
    student: str = field(default="")

    def __post_init__(self) -> None:
        if self.stops.partition(":")[0] not in PLACES:
            raise ValueError(f"{self.name}: expected one of {PLACES} and a colon, got {self.stops!r}")
        object.__setattr__(self, "student", self.student or self.name.replace("_", "-"))


class Catalogue:
    """The attacks in one file."""

    def __init__(self) -> None:
        self.entries: list[Attack] = []

    def cell(self, exercise: str, *, earns: float = 0.0, **words: Any) -> Callable[[Callable], Callable]:
        """Add an attack in one exercise's cell: a function whose body is that cell.

        Its parameters are names from `Traps`, whose values the cell gets in its first lines; the other exercises are
        answered honestly. `earns` gives the points that this exercise deserves nevertheless.
        """

        def add(factory: Callable) -> Callable:
            def cells(traps: Any) -> Mapping[str, str]:
                names = inspect.signature(factory).parameters
                given = "".join(f"{name} = {getattr(traps, name)!r}\n" for name in names)
                return {exercise: given + body(factory)}

            return self._cells(factory, cells, POINTS | {exercise: earns}, words)

        return add

    def cells(self, *, earns: Mapping[str, float], **words: Any) -> Callable[[Callable], Callable]:
        """Add an attack in several cells, or one that is not Python: a function from `Traps` to the cells."""
        return lambda factory: self._cells(factory, factory, POINTS | earns, words)

    def notebook(self, *, earns: Mapping[str, float], **words: Any) -> Callable[[Callable], Callable]:
        """Add an attack through the file: a function from the released notebook to the one handed in."""

        def add(factory: Callable) -> Callable:
            def hand_in(folder: Path, release: Notebook, traps: Any) -> None:
                _write(folder, factory(copy.deepcopy(release)))

            return self._add(factory, hand_in, POINTS | earns, words)

        return add

    def folder(self, *, earns: Mapping[str, float] | None, **words: Any) -> Callable[[Callable], Callable]:
        """Add an attack through the folder: a function of folder, released notebook and `Traps` that fills the folder.

        `earns` is None if all of it must be refused.
        """
        return lambda factory: self._add(factory, factory, None if earns is None else POINTS | earns, words)

    def _cells(self, factory: Callable, cells: Callable, points: Mapping, words: Mapping) -> Callable:
        def hand_in(folder: Path, release: Notebook, traps: Any) -> None:
            _write(folder, answered(release, **HONEST | cells(traps)))

        return self._add(factory, hand_in, points, words | {"cells": cells})

    def _add(self, factory: Callable, hand_in: Callable, points: Mapping | None, words: Mapping) -> Callable:
        self.entries.append(Attack(factory.__name__, points=points, hand_in=hand_in, **words))
        return factory


def submission(folder: Path) -> Path:
    """The path of a student's notebook."""
    return folder / f"{LESSON}.ipynb"


def answered(notebook: Notebook, **sources: str) -> Notebook:
    """Copy the notebook, with these sources in these exercises' cells."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        cell["source"] = sources.get(cell["id"], cell["source"])
    return notebook


def _write(folder: Path, content: Notebook | str | bytes) -> None:
    # Plain JSON, since nbformat would repair deliberate damage.
    text = json.dumps(content) if isinstance(content, dict) else content
    submission(folder).write_bytes(text.encode() if isinstance(text, str) else text)
