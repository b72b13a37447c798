"""The outline of a lesson: its core path and what goes further, what they contain, and the minutes that they take.

The rule is one for all lessons, and nothing that it counts is declared: text with formulas is read at 110 words per
minute, visible code at 10 lines per minute; an exercise takes 12.5 minutes, a bug clinic 17.5, and the student's own
model with its training loop 27.5.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nbformat import NotebookNode

from autograder.lesson import GOING_FURTHER

__all__ = ["MAX_CORE_MINUTES", "MAX_CORE_WORDS", "Outline", "Size", "code_lines", "outline", "write_times"]

WORDS_PER_MINUTE, LINES_PER_MINUTE = 110, 10
EXERCISE, CLINIC, OWN_MODEL = 12.5, 17.5, 27.5  # minutes
MAX_CORE_WORDS, MAX_CORE_MINUTES = 3500, 120


@dataclass(frozen=True)
class Size:
    """What a stretch of a lesson contains.

    Attributes:
        words: words of text, those of formulas included.
        lines: lines of visible given code.
        exercises: names; the student's own models are among them.
        clinics: number of bug clinics.
        models: number of the student's own models, each an exercise with a training loop.
    """

    words: int = 0
    lines: int = 0
    exercises: tuple[str, ...] = ()
    clinics: int = 0
    models: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def minutes(self) -> float:
        return sum(minutes for _, minutes in self._rows())

    def __str__(self) -> str:
        """The minutes, and what counts how much.

        >>> print(Size(words=2200, lines=30, exercises=("a", "b"), models=1))
        63 minutes: 20 for 2,200 words, 12.5 for 1 exercise, 27.5 for 1 own model, 3 for 30 lines of visible code
        """
        return f"{self.minutes:.0f} minutes: " + ", ".join(
            f"{round(minutes, 1):g} for {what}" for what, minutes in self._rows()
        )

    def _rows(self) -> Iterator[tuple[str, float]]:
        exercises = len(self.exercises) - self.models
        for number, what, minutes in (
            (self.words, "word", self.words / WORDS_PER_MINUTE),
            (exercises, "exercise", EXERCISE * exercises),
            (self.models, "own model", OWN_MODEL * self.models),
            (self.clinics, "bug clinic", CLINIC * self.clinics),
            (self.lines, "line", self.lines / LINES_PER_MINUTE),
        ):
            if number:
                yield _plural(number, what) + (" of visible code" if what == "line" else ""), minutes


@dataclass(frozen=True)
class Outline:
    """A lesson's parts.

    Attributes:
        core: the core path; the whole lesson if it does not go further.
        sections: those of the part that goes further; before the first one, its introduction.
    """

    core: Size
    sections: tuple[Size, ...] = ()

    @property
    def further(self) -> Size:
        return sum(self.sections, Size())

    def __str__(self) -> str:
        """What the build prints for the lesson's author."""
        if not self.sections:
            return f"    not in two parts, {self.core}"
        return f"    core path, {self.core}\n    going further, {self.further}"


def outline(cells: Sequence[NotebookNode]) -> Outline:
    """Measure a text source, cell by cell.

    Raises:
        ValueError: the title, the heading of what goes further, or a heading below it is not where it belongs.
    """
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        raise ValueError("expected the title, '# ...', as the first line of the first cell")
    sizes = [Size()]
    further = False
    for cell in cells:
        if cell.cell_type == "code":
            sizes[-1] += _code(cell)
            continue
        for number, (line, level) in enumerate(_headings(cell.source)):
            if line == GOING_FURTHER:
                if further or number:
                    raise ValueError(f"expected {GOING_FURTHER!r} once, as the first line of a Markdown cell")
                further = True
                sizes.append(Size())
            elif further and level in (1, 2):
                raise ValueError(f"{line!r} lies below {GOING_FURTHER!r}: write its sections as '### ...'")
            elif further and level == 3:
                sizes.append(Size())
            sizes[-1] += _text(line, level)
    if further and len(sizes) < 3:
        raise ValueError(f"expected at least one section, '### ...', below {GOING_FURTHER!r}")
    return Outline(sizes[0], tuple(sizes[1:]))


def write_times(cells: Sequence[NotebookNode], parts: Outline, points: Mapping[str, float]) -> None:
    """Write the times below a notebook's title, and beside the heading of each section that goes further.

    Args:
        parts: the outline of these cells.
        points: of the exercises that count.
    """
    headings = iter(parts.sections[1:])
    further = False
    for cell in cells:
        if cell.cell_type == "markdown":
            lines = []
            for line, level in _headings(cell.source):
                further |= line == GOING_FURTHER
                section = f" · {_about(next(headings).minutes)}" if further and level == 3 else ""
                lines.append(line + section)
            cell.source = "\n".join(lines)
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{_summary(parts, points)}\n{rest}".rstrip("\n")


def code_lines(source: str) -> int:
    """The number of lines of code that a reader sees, blank ones not counted."""
    return sum(1 for line in source.splitlines() if line.strip())


def _summary(parts: Outline, points: Mapping[str, float]) -> str:
    if not parts.sections:
        return f"**Time**: {_contents(parts.core, points)}."
    times = sorted({_rounded(section.minutes) for section in parts.sections[1:]})
    span = " to ".join(map(str, dict.fromkeys([times[0], times[-1]])))
    number = len(parts.sections) - 1
    sections = "one section" if number == 1 else f"{number} sections of {span} minutes"
    return (
        f"**Core path**: {_contents(parts.core, points)}. "
        f"**Going further**: {_contents(parts.further, points)}, in {sections}."
    )


def _contents(size: Size, points: Mapping[str, float]) -> str:
    contents = [_about(size.minutes)]
    if size.exercises:
        worth = sum(points.get(name, 0.0) for name in size.exercises)
        contents += [_plural(len(size.exercises), "exercise"), _plural(worth, "point")]
    return ", ".join(contents)


def _about(minutes: float) -> str:
    return f"about {_plural(_rounded(minutes), 'minute')}"


def _rounded(minutes: float) -> int:
    """To 5 minutes, and below 7.5 to one: many short sections must not add up to more than the total."""
    return 5 * round(minutes / 5) if minutes >= 7.5 else max(1, round(minutes))


def _headings(source: str) -> Iterator[tuple[str, int]]:
    """The lines of a Markdown cell, each with its level as a heading: 0 for any other line."""
    fenced = False
    for line in source.split("\n"):
        fenced ^= line.startswith("```")
        heading = re.match("(#+) ", line)
        yield line, len(heading[1]) if heading and not fenced else 0


def _text(line: str, level: int) -> Size:
    return Size(words=_words(line), clinics=int(level > 0 and "bug clinic" in line.lower()))


def _code(cell: NotebookNode) -> Size:
    options = cell.metadata
    if "exercise" in options:
        return Size(exercises=(options["exercise"],))
    if "loop" in options:
        return Size(models=1)
    if "folded" in options:
        return Size(words=_words(str(options["folded"])))
    return Size(lines=code_lines(cell.source))  # a check's cell is empty


def _words(text: str) -> int:
    return sum(1 for word in re.sub(r"</?\w+>", " ", text).split() if re.search(r"\w", word))


def _plural(number: float, what: str) -> str:
    return f"{number:,g} {what}" + ("" if number == 1 else "s")
