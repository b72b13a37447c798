"""A lesson as a class has it: its exercises, their points and their checks."""

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType

from autograder import checking
from autograder.checking.check import Check

__all__ = ["FURTHER_ID", "GOING_FURTHER", "Lesson", "Question", "checks_of", "short_name"]

GOING_FURTHER = "## Going further"  # the heading that ends a lesson's core path
FURTHER_ID = "going-further"  # of its cell in the notebook


@dataclass(frozen=True)
class Question:
    """A question in words; a person grades the answer."""

    name: str
    points: float
    text: str


@dataclass(frozen=True)
class Lesson:
    """One lesson as this class has it: plain data, which travels to the grading processes.

    Attributes:
        exercises: those that count, in the notebook's order.
        points: what each of them is worth.
        due: the due date with its time zone; None if nothing is late.
        questions: graded by hand.
        check_source: the text of the class's own checks; None for the course's.
        core_only: whether the class has the core path alone.
    """

    name: str
    exercises: tuple[str, ...]
    points: Mapping[str, float]
    due: datetime | None = None
    questions: tuple[Question, ...] = ()
    check_source: str | None = None
    core_only: bool = False

    @property
    def short(self) -> str:
        """The name without its number, which names the module of its checks."""
        return short_name(self.name)

    @property
    def practice_checks(self) -> str:
        """The module with the class's own checks, beside the students' notebook."""
        return f"checks_{self.short}"

    def checks(self) -> dict[str, Check]:
        """The check of each exercise that counts, with its points."""
        checks = self.all_checks()
        return {name: checks[name].worth(self.points[name]) for name in self.exercises}

    def all_checks(self) -> dict[str, Check]:
        """The checks of all exercises, even those for practice, as declared."""
        return checks_of(self.name) if self.check_source is None else _variant(self.name, self.check_source)

    def digest(self) -> str:
        """A digest of the checks and points: equal digests mean comparable grades."""
        spec = importlib.util.find_spec(f"autograder.checks.{self.short}")
        files = [*([Path(spec.origin)] if spec else []), *sorted(Path(checking.__file__).parent.glob("*.py"))]
        texts = [path.read_text() for path in files]
        counted = [self.check_source, self.exercises, [self.points[name] for name in self.exercises]]
        return hashlib.sha256(json.dumps([texts, counted]).encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str) -> "Lesson":
        """The lesson that `to_json` wrote."""
        data = json.loads(text)
        return cls(
            data["name"],
            tuple(data["exercises"]),
            data["points"],
            data["due"] and datetime.fromisoformat(data["due"]),
            tuple(Question(**question) for question in data["questions"]),
            data["check_source"],
            data["core_only"],
        )


def checks_of(lesson: str) -> dict[str, Check]:
    """The checks of a lesson ("01_likelihood") by exercise, in the order of their file."""
    module = importlib.import_module(f"autograder.checks.{short_name(lesson)}")
    return {name: value for name, value in vars(module).items() if isinstance(value, Check)}


@functools.cache
def _variant(lesson: str, source: str) -> dict[str, Check]:
    """The checks declared in a class's own module."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    # The last part of its module's name is the lesson that a check belongs to.
    module = ModuleType(f"variant_{digest}.{short_name(lesson)}")
    sys.modules[module.__name__] = module
    exec(compile(source, f"checks/{short_name(lesson)}.py", "exec"), vars(module))
    return {name: value for name, value in vars(module).items() if isinstance(value, Check)}


def short_name(lesson: str) -> str:
    """A lesson's name without its number, which names the module of its checks."""
    return lesson.lstrip("0123456789_")
