"""A class's settings: the instructor's file `course.toml`, the roster, and the lessons that follow from them.

`TEMPLATE` is the file that a new class gets; it documents every key.
"""

import csv
import difflib
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.lesson import GOING_FURTHER, Lesson, Question, short_name
from autograder.sandbox.limits import MIB, Limits

__all__ = [
    "ANSWER",
    "PRACTICE",
    "SETTINGS",
    "SOLUTIONS",
    "TEMPLATE",
    "GradebookSettings",
    "Late",
    "Settings",
    "load",
    "load_gradebook",
    "sources",
]

PARTS = ("all", "core")
PRACTICE = "00_"  # prefix of lessons that are in a class only if `course.toml` names them
SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"
SETTINGS, ROSTER = "course.toml", "roster.csv"
ANSWER = "*Your answer*"  # placeholder in the cell for a question's answer
TEMPLATE = Path(__file__).parents[1] / "templates" / SETTINGS
COLUMNS = ("id", "first_name", "last_name", "email", "lms_user_id")  # nbgrader's

# Modules that have moved; a class's own checks may still import them by their old names.
MOVED = {
    "autograder.check": "autograder.checking.check",
    "autograder.student": "autograder.checking.student",
    "autograder.checks.common": "autograder.checking.answers, .comparing, .samplers and .cases",
}
_EXERCISE = re.compile(r'^# %% .*\bexercise="(\w+)"', re.MULTILINE)
_COURSE_ID = "deep-generative-models"
_DB_URL = "sqlite:///gradebook.db?timeout=60"
_LIMITS = {  # key: the field of Limits, and the key's unit
    "start_seconds": ("start", 1.0),
    "cell_seconds": ("cell", 1.0),
    "check_seconds": ("check", 1.0),
    "memory_mib": ("memory", MIB),
    "address_space_mib": ("address_space", MIB),
    "processes": ("processes", 1),
    "files": ("files", 1),
    "file_size_mib": ("file_size", MIB),
    "tmp_mib": ("tmp", MIB),
}


@dataclass(frozen=True)
class Late:
    """The share of the score lost per started day, and the largest share."""

    per_day: float
    at_most: float = 1.0


@dataclass(frozen=True)
class GradebookSettings:
    """The settings of a class that plain nbgrader needs.

    Attributes:
        db_url: the gradebook's address, valid from any working directory.
        late: None if lateness costs nothing.
        course_id: nbgrader's name of the course: of its folder in the exchange, and on a hub.
    """

    db_url: str
    late: Late | None
    course_id: str


@dataclass(frozen=True)
class Settings(GradebookSettings):
    """A class directory and its settings.

    Attributes:
        folder: the class directory, absolute.
        lessons: by name, in order.
        roster: each student's row of `roster.csv`, by id; empty if there is no such file.
    """

    folder: Path
    lessons: Mapping[str, Lesson]
    limits: Limits
    roster: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load(folder: Path) -> Settings:
    """Read a class's settings.

    Args:
        folder: the class directory; without a `course.toml`, the class has all lessons.

    Raises:
        ValueError: the settings, the roster or a private variant are invalid; the message says where, what was
            expected and what was given.
    """
    folder = folder.resolve()
    table = _read(folder)
    every_source = sources(folder)
    names = table.get("lessons", [name for name in every_source if not name.startswith(PRACTICE)])
    _strings("lessons", names)
    for name in names:
        _one_of("lessons", name, every_source, "a lesson")
    details = _table("lesson", table.get("lesson", {}))
    for name in details:
        _one_of("lesson", name, names, "a lesson of this class")
    parts = table.get("parts", "all")
    _one_of("parts", str(parts), PARTS, "a choice of parts")
    lessons = {name: _lesson(folder, every_source[name], details.get(name, {}), parts) for name in sorted(names)}
    if not lessons:
        raise ValueError(f"lessons: expected at least one of {', '.join(every_source)}")
    gradebook = load_gradebook(folder)
    limits, roster = _limits(table.get("limits", {})), _roster(folder / ROSTER)
    return Settings(gradebook.db_url, gradebook.late, gradebook.course_id, folder, lessons, limits, roster)


def load_gradebook(folder: Path) -> GradebookSettings:
    """Read the settings that plain nbgrader needs, without loading any lesson.

    Raises:
        ValueError: as `load`.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    folder = folder.resolve()
    table = _read(folder)
    address = table.get("db_url", _DB_URL)
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise ValueError(f"db_url: expected an address like {_DB_URL!r}, got {address!r}") from error
    if url.get_backend_name() not in ("sqlite", "postgresql") or not url.database:
        raise ValueError(f"db_url: expected sqlite:///FILE or postgresql://HOST/NAME, got {address!r}")
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(folder / url.database))
    elif url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")  # from 2.1 on, SQLAlchemy has another default
    late = table.get("late")
    if late is not None:
        _known("late", _table("late", late), ("per_day", "at_most"))
        if "per_day" not in late:
            raise ValueError("late: expected per_day, the share of the score lost per started day")
        late = Late(**{key: _number(f"late.{key}", value, 1.0) for key, value in late.items()})
    course_id = table.get("course_id", _COURSE_ID)
    if not (isinstance(course_id, str) and re.fullmatch(r"\w[\w.-]*", course_id, re.ASCII)):
        raise ValueError(f"course_id: expected letters, digits, '-', '_', '.', as in {_COURSE_ID!r}; got {course_id!r}")
    return GradebookSettings(url.render_as_string(hide_password=False), late, course_id)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    _known(SETTINGS, table, ("course_id", "db_url", "late", "lessons", "parts", "lesson", "limits"))
    return table


def sources(folder: Path) -> dict[str, Path]:
    """The text source of every lesson: the class's own if it has one, else the course's."""
    own = sorted((folder / "solutions").glob("*.py"))
    by_name = {path.stem: path for path in (*SOLUTIONS.glob("[0-9][0-9]_*.py"), *own)}
    for path in own:
        if not re.fullmatch(r"[0-9]{2}_\w+", path.stem):
            raise ValueError(f"{path}: expected a lesson's name like 03_made_masks.py")
    for path in sorted((folder / "checks").glob("*.py")):
        _one_of(f"{path}", path.stem, [short_name(name) for name in by_name], "the name of a lesson's checks")
    return dict(sorted(by_name.items()))


def _lesson(folder: Path, source: Path, table: Any, parts: str) -> Lesson:
    name, where = source.stem, f"lesson.{source.stem}"
    _known(where, _table(where, table), ("due", "parts", "exercises", "points", "questions"))
    path = folder / "checks" / f"{short_name(name)}.py"
    try:
        check_source = path.read_text(encoding="utf-8") if path.exists() else None
        checks = Lesson(name, (), {}, check_source=check_source).all_checks()
    except Exception as error:
        moved = MOVED.get(getattr(error, "name", None) or "", "")
        advice = f" ({error.name} has moved to {moved}: change the import)" if moved else ""
        raise ValueError(f"the checks of {name} cannot be loaded: {type(error).__name__}: {error}{advice}") from error
    text = source.read_text(encoding="utf-8")
    core, further, _ = text.partition(f"\n# {GOING_FURTHER}\n")
    parts = table.get("parts", parts if further else "all")
    _one_of(f"{where}.parts", str(parts), PARTS, "a choice of parts")
    if parts == "core" and not further:
        raise ValueError(f"{where}.parts: {name} has no heading {GOING_FURTHER!r}, so its core path is all of it")
    order = _EXERCISE.findall(text)
    everything = sorted(checks, key=lambda exercise: order.index(exercise) if exercise in order else len(order))
    offered = everything
    if parts == "core":
        offered = [exercise for exercise in everything if exercise in _EXERCISE.findall(core)]

    chosen = table.get("exercises", offered)
    _strings(f"{where}.exercises", chosen)
    for exercise in chosen:
        _one_of(f"{where}.exercises", exercise, offered, "an exercise")
    points = {exercise: checks[exercise].max_points for exercise in offered if exercise in chosen}
    for exercise, value in _table(f"{where}.points", table.get("points", {})).items():
        _one_of(f"{where}.points", exercise, points, "an exercise that counts")
        points[exercise] = _number(f"{where}.points.{exercise}", value)
    due = table.get("due")
    if due is not None and (not isinstance(due, datetime) or due.tzinfo is None):
        raise ValueError(f"{where}.due: expected a date, time and time zone like 2026-11-02T23:59:00+01:00, got {due}")
    questions = table.get("questions", [])
    if not isinstance(questions, list):
        raise ValueError(f"{where}.questions: expected [[{where}.questions]] with name, points and text")
    lesson = Lesson(
        name,
        tuple(points),
        points,
        due,
        tuple(_question(f"{where}.questions", question) for question in questions),
        check_source,
        parts == "core",
    )
    taken = {cell for exercise in everything for cell in (exercise, f"{exercise}-check")} | {"setup"}
    for question in lesson.questions:
        if question.name in taken:
            raise ValueError(f"{where}.questions: the name {question.name!r} is taken by an exercise or a question")
        taken.add(question.name)
    if not points and not lesson.questions:
        raise ValueError(f"{where}: expected at least one exercise or question")
    return lesson


def _question(where: str, table: Any) -> Question:
    _known(where, _table(where, table), ("name", "points", "text"))
    if missing := {"name", "points", "text"} - set(table):
        raise ValueError(f"{where}: expected name, points and text, {', '.join(sorted(missing))} is missing")
    name, text = table["name"], table["text"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(f"{where}.name: expected up to 64 letters, digits, - or _, a letter first, got {name!r}")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}.text: expected the question, in Markdown, got {text!r}")
    return Question(name, _number(f"{where}.{name}.points", table["points"]), text.strip())


def _limits(table: Any) -> Limits:
    _known("limits", _table("limits", table), _LIMITS)
    values = {}
    for key, value in table.items():
        name, unit = _LIMITS[key]
        values[name] = _number(f"limits.{key}", value) * unit
        if isinstance(unit, int):
            if values[name] % 1:
                raise ValueError(f"limits.{key}: expected a whole number, got {value}")
            values[name] = int(values[name])
    return Limits(**values)


def _roster(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    students: dict[str, dict[str, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            if "id" not in (rows.fieldnames or []):
                raise ValueError(f"expected a column id, found {', '.join(rows.fieldnames or ['nothing'])}")
            for row in rows:
                student = row["id"].strip()
                if not re.fullmatch(r"[^\s./\\][^/\\\x00-\x1f]*", student):
                    raise ValueError(f"line {rows.line_num}: expected an id that can name a folder, got {row['id']!r}")
                if student in students:
                    raise ValueError(f"line {rows.line_num}: the id {student!r} appears twice")
                students[student] = {key: (row.get(key) or "").strip() for key in COLUMNS[1:]}
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from error
    return students


def _known(where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{_nearest(key, known)}; expected {', '.join(known)}")


def _one_of(where: str, name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: {name!r} is not {what}{_nearest(name, known)}; expected one of {', '.join(known)}")


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _table(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a table of keys and values, got {value!r}")
    return value


def _strings(where: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{where}: expected a list of names, got {value!r}")
    if len(set(value)) < len(value):
        raise ValueError(f"{where}: expected each name once, got {', '.join(value)}")


def _number(where: str, value: Any, most: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most or value == math.inf:
        limit = "" if most == math.inf else f", at most {most:g}"
        raise ValueError(f"{where}: expected a number above 0{limit}, got {value!r}")
    return float(value)
