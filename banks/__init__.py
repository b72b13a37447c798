"""The banks: right and wrong answers to every exercise, in every style and with every mistake known from the field.

A bank proves its lesson's checks: each right answer earns everything, each wrong one loses exactly what it says.

>>> bank = Bank("likelihood")
>>> [entry.name for entry in bank.of("kl")]
[]
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from autograder.checking.check import Check

__all__ = ["Bank", "Entry", "all_banks", "body"]


@dataclass(frozen=True)
class Entry:
    """One answer to one exercise.

    Attributes:
        exercise, name: the exercise, and what this answer is called.
        source: the answer as a notebook cell; it is self-contained.
        shows: the gates and properties for which the check finds a counter-example; none for a right answer.
        raises: the kind of the error that ends the check early, else "".
        loses: all that the answer does not earn (`Report.lost`): `shows`, or everything where a gate is among them
            or an error ended the check.
    """

    exercise: str
    name: str
    source: str
    shows: frozenset[str] = frozenset()
    raises: str = ""
    loses: frozenset[str] = frozenset()

    @property
    def is_right(self) -> bool:
        return not self.loses

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The answer, made by running `source` alone."""
        namespace: dict[str, Any] = {}
        exec(compile(self.source, f"<{self.exercise}: {self.name}>", "exec"), namespace)
        return namespace[self.exercise]


class Bank:
    """The answers to the exercises of one lesson.

    Args:
        lesson: the name of its checks in `autograder.checks`.
    """

    def __init__(self, lesson: str):
        self.lesson = lesson
        module = importlib.import_module(f"autograder.checks.{lesson}")
        self.checks = {name: found for name, found in vars(module).items() if isinstance(found, Check)}
        self.entries: list[Entry] = []
        self.equivalents: dict[str, dict[tuple[str, str], str]] = {}

    def right(self, exercise: str) -> Callable[[Callable], Callable]:
        """Add a right answer: a function that defines the answer and returns it."""
        return lambda factory: self._add(Entry(exercise, factory.__name__, body(factory))) or factory

    def wrong(self, exercise: str, loses: Iterable[str], raises: str = "") -> Callable[[Callable], Callable]:
        """Add a wrong answer.

        Args:
            loses: exactly those gates and properties that the check must show a counter-example to.
            raises: the kind of the error that ends the check, if one does.
        """
        self._expect_some(exercise, loses, raises)
        return lambda factory: (
            self._add_wrong(Entry(exercise, factory.__name__, body(factory)), loses, raises) or factory
        )

    def _expect_some(self, exercise: str, loses: Iterable[str], raises: str) -> None:
        everything = {*self.checks[exercise].gates, *self.checks[exercise].points}
        if not (set(loses) or raises) or set(loses) - everything:
            raise ValueError(f"{exercise}: expected some of {sorted(everything)}, got {sorted(loses)}")

    def _add_wrong(self, entry: Entry, loses: Iterable[str], raises: str) -> None:
        check, shows = self.checks[entry.exercise], frozenset(loses)
        self._expect_some(entry.exercise, loses, raises)
        lost = frozenset((*check.gates, *check.points)) if raises or shows & set(check.gates) else shows
        self._add(replace(entry, shows=shows, raises=raises, loses=lost))

    def slips(self, exercise: str, of: Callable) -> Callable[..., None]:
        """Add wrong answers that are small edits of another answer: `slip(name, old, new, *also, loses, raises="")`.

        Args:
            of: the factory of the answer that is edited; it need not be in the bank.

        Each of `also` is one more edit, `(old, new)`, such as an import that the mistake needs.
        Every `old` has to occur exactly once in the source, so that an edit never hits nothing, or the wrong line.
        """
        original = body(of)

        def slip(name: str, old: str, new: str, *also: tuple[str, str], loses: Iterable[str], raises: str = "") -> None:
            source = original
            for before, after in ((old, new), *also):
                if (count := source.count(before)) != 1:
                    raise ValueError(
                        f"{exercise}, {name}: expected {before!r} once in {of.__name__}, got {count} times"
                    )
                source = source.replace(before, after)
            self._add_wrong(Entry(exercise, name, source), loses, raises)

        return slip

    def equivalent(self, exercise: str, old: str, new: str, why: str) -> None:
        """Say why an edit of a right answer leaves it right, so that a mutant with this edit may earn everything.

        Args:
            old, new: the edit within a line, as `python -m tests.mutants` prints it.
            why: the reason.
        """
        self.equivalents.setdefault(exercise, {})[old, new] = why

    def of(self, exercise: str, right: bool | None = None) -> list[Entry]:
        """The answers to one exercise: all, the right ones, or the wrong ones."""
        return [e for e in self.entries if e.exercise == exercise and (right is None or e.is_right == right)]

    def _add(self, entry: Entry) -> None:
        if any((entry.exercise, entry.name) == (other.exercise, other.name) for other in self.entries):
            raise ValueError(f"{entry.exercise}: there are two answers named {entry.name}")
        self.entries.append(entry)


def all_banks() -> list[Bank]:
    """The banks of all lessons that have checks."""
    import autograder.checks

    (folder,) = autograder.checks.__path__
    names = sorted(_modules(folder))
    return [importlib.import_module(f"banks.{name}").bank for name in names]


def _modules(folder: str) -> list[str]:
    import pkgutil

    return [module.name for module in pkgutil.iter_modules([folder])]


def body(factory: Callable) -> str:
    """A factory's body, without its docstring and its last line, `return answer`."""
    lines, _ = inspect.getsourcelines(factory)
    text = textwrap.dedent("".join(lines))
    function = ast.parse(text).body[0]
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    if not isinstance(statements[-1], ast.Return):
        raise ValueError(f"{factory.__name__}: expected `return` of the answer at the end")
    first, last = statements[0], statements[-1]
    kept = text.splitlines()[first.lineno - 1 : last.lineno - 1]
    return textwrap.dedent("\n".join(kept)).strip() + "\n"
