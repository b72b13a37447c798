"""Intake: from whatever a class handed in to `CLASS/submitted/STUDENT/LESSON/LESSON.ipynb`.

A source is a folder or a zip: a learning platform's download (Moodle, Canvas, Gradescope), nbgrader's `submitted/`, or
folders and files named after students. Only what the platform or the instructor wrote, the outermost folder or file
name, decides whose a file is and when it came. Nothing that a student wrote, whether in a notebook or in a zip, can put
work under another name or at another time.

Nothing is lost: what does not go to `submitted/` is kept in `CLASS/collected/STUDENT/LESSON/TIME.ipynb`, or reported.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain, count, islice
from pathlib import Path

import yaml
from nbgrader.utils import parse_utc

from autograder.classroom.archives import Found, Unusable, is_notebook, is_zip, opened, read_file, shown, zipped
from autograder.classroom.files import write
from autograder.classroom.settings import Settings
from autograder.lesson import Lesson

__all__ = ["Collected", "collect"]

SUBMITTED, KEPT = "submitted", "collected"
MAX_NAME = 80  # bytes in the name of a student's folder
TIME = "%Y-%m-%d %H:%M:%S UTC"

# "Jane Doe_12345_assignsubmission_file_", a folder or the start of a file's name. The number belongs to one assignment.
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+(?:_(?P<rest>.*))?$", re.DOTALL)
# "doejane_LATE_12345_67890_name.ipynb": user number, file number; "anon_Ab3dE_67890_name.ipynb".
_CANVAS = re.compile(r"(?P<name>.+?)_(?P<late>LATE_)?(?P<number>\d+)_\d+_(?P<rest>.+)", re.DOTALL)
_CANVAS_ANONYMOUS = re.compile(r"(?P<late>LATE_)?(?P<name>anon_[^_]+)_\d+_(?P<rest>.+)", re.DOTALL)
_RESUBMISSION = re.compile(r"-(\d{1,3})\.\w+$")
_GRADESCOPE = "submission_metadata.yml"
_COPY = re.compile(r"\s*\(\d+\)|^\W*copy of\b", re.IGNORECASE)  # "name (1)", "Copy of name"

# Where a notebook, intact or broken, names its exercises: in nbgrader's and Jupyter's cell ids, and in definitions.
_NAMES = re.compile(rb'"(?:grade_id|id)"\s{0,9}:\s{0,9}"([\w-]{1,99})"|(?:"|\\n)(?:def|class) {1,9}(\w{1,99})')
_STUB = rb"raise NotImplementedError"  # the release's placeholder for an answer
_NAMES_AND_STUBS = re.compile(_NAMES.pattern + b"|" + _STUB)
MAX_NAMES = 100_000

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


@dataclass(frozen=True)
class Collected:
    """The outcome of one student's work on one lesson, or of something that could not be used.

    Attributes:
        student: None if unknown.
        lesson: None if unknown.
        path: the submission in the class directory; None if nothing could be used.
        notes: what is odd about it.
    """

    student: str | None
    lesson: str | None
    path: Path | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Owner:
    """The owner of a file, according to the platform or to the name of a folder or file.

    Attributes:
        names: the roster may know each; those it knows must all mean one student.
        number: the platform's number of the user.
        lasting: the number is the roster's lms_user_id. Otherwise it only distinguishes namesakes.
        rest: the other names of folders and of the file, outermost first: they may name the lesson.
        attempt: the platform's number of the submission.
        time: the platform's time of the submission.
        sure: the evidence is more than the start of a file's name.
        student: the id, once looked up.
        known: the roster has the id.
    """

    names: tuple[str, ...]
    number: str = ""
    lasting: bool = False
    rest: tuple[str, ...] = ()
    attempt: int = 0
    time: datetime | None = None
    sure: bool = True
    student: str = ""
    known: bool = False
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.names[0]} {self.number}".strip()


@dataclass(frozen=True)
class _Work:
    """A usable notebook.

    Attributes:
        answered: how many of its exercises have an answer.
        blank: it has exercises, and none is answered.
    """

    found: Found
    owner: _Owner
    lesson: str
    time: datetime
    answered: int
    blank: bool
    notes: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple:
        """The order of a student's notebooks for one lesson; the last one counts.

        An untouched copy of the release, downloaded again or zipped with the rest, never supersedes real work.
        """
        changed = self.found.inside_time or self.found.time or self.time
        return not self.blank, self.owner.attempt, self.time, changed, self.answered, str(self.found)


class _OtherLesson(Unusable):
    """The file is work, but not on the lesson being collected."""


def collect(settings: Settings, source: Path, lesson: str | None = None) -> list[Collected]:
    """Take in submissions; a second call changes nothing.

    Args:
        source: a folder or a zip.
        lesson: the lesson of the whole source, as when a platform's download is one assignment. Work that names no
            lesson then counts for this one; work on another is left out and reported. None: each file decides.

    Returns:
        One per student and lesson, then one per thing that could not be used.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: the source is neither a folder nor a zip, or the class has no such lesson.
    """
    if lesson is not None and lesson not in settings.lessons:
        raise ValueError(f"there is no lesson {lesson!r} in this class; the lessons are {', '.join(settings.lessons)}")
    works: list[_Work] = []
    unusable: list[Collected] = []
    others: dict[str, list[Found]] = defaultdict(list)  # by student, files that are not notebooks
    with opened(source) as listing:
        for owner, found in _with_owners(list(listing), settings):
            student = owner.student if owner else None
            if found.parts and not is_notebook(found.name) and not is_zip(found.name):
                if student:
                    others[student].append(found)
                continue
            by_name = _lesson_by_name(owner, found, settings.lessons)
            try:
                works.append(_work(settings, source, lesson, owner, found, by_name))
            except _OtherLesson as error:
                others[student].append(replace(found, problem=str(error)))
            except Unusable as error:
                where = f"{found}: " if found.parts else ""
                unusable.append(Collected(student, by_name, None, (f"{where}{error}",)))
        stored = [_store(settings, group) for group in _by_student_and_lesson(works, settings.roster)]
    stored = [_with_left_out(outcome, others) for outcome in stored]
    what = f"notebook for {lesson}" if lesson else "notebook"
    for student in sorted(others.keys() - {outcome.student for outcome in (*stored, *unusable)}):
        names = ", ".join(f"{file} ({file.problem})" if file.problem else str(file) for file in others[student][:3])
        unusable.append(Collected(student, lesson, None, (f"no {what} was handed in, only {names}",)))
    return stored + unusable


def _with_left_out(stored: Collected, others: Mapping[str, list[Found]]) -> Collected:
    """Report work on another lesson even if its student handed in the right one as well."""
    left_out = [f"{file} was left out: {file.problem}" for file in others.get(stored.student, ()) if file.problem]
    return replace(stored, notes=(*stored.notes, *left_out))


def _with_owners(files: list[Found], settings: Settings) -> Iterator[tuple[_Owner | None, Found]]:
    """Every file with its owner, students' zips opened; a group's work comes once per member."""
    roster = _Roster(settings.roster)
    files = _unwrapped(files, roster, settings.lessons)
    groups = _gradescope(files)
    times = {found.parts[:-1]: found for found in files if found.parts[2:] == ("timestamp.txt",)}
    for outer in files:
        contents = _contents(outer)
        members = [replace(member, rest=outer.parts[1:]) for member in groups.get(outer.parts[:1], ())]
        for owner in members or [_owner(outer, roster, settings.lessons, times)]:
            owner = owner and roster.identified(owner)
            yield from ((owner, found) for found in contents)


def _contents(found: Found) -> list[Found]:
    """The file, or the contents of a student's zip."""
    if not is_zip(found.name) or found.problem:
        return [found]
    try:
        return zipped(found)
    except Unusable as error:
        return [replace(found, problem=str(error))]


# ---- Whose it is


def _unwrapped(files: list[Found], roster: "_Roster", lessons: Mapping[str, Lesson]) -> list[Found]:
    """The files without the folders that enclose all students: nbgrader's `submitted`, a download's own folder."""
    if any(found.parts[0] == SUBMITTED for found in files if len(found.parts) > 1):
        files = [found.below() for found in files if found.parts[:1] in ((), (SUBMITTED,))]
    inner = files
    while len(heads := {found.parts[:-1][:1] for found in inner if found.parts}) == 1:
        (head,) = heads
        if not head or _MOODLE.match(head[0]) or roster.find(head[0]):
            break
        # Only the students inside distinguish a folder of students from a student's folder.
        inner = [found.below() for found in inner]
        owners = [owner for found in inner if (owner := _owner(found, roster, lessons, {})) and owner.sure]
        if len({owner.key for owner in owners}) > 1 or any(owner.number for owner in owners):
            files = inner
    return files


def _gradescope(files: list[Found]) -> dict[tuple[str, ...], list[_Owner]]:
    """The owners of each folder, as Gradescope's export lists them."""
    table = next((found for found in files if found.parts == (_GRADESCOPE,)), None)
    if table is None:
        return {}
    owners = {}
    try:
        # A large class has a million lines: use the C parser if there is one.
        entries = yaml.load(table.read(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for folder, entry in entries.items():
            time = entry.get(":created_at")
            people = [[person.get(key) for key in (":sid", ":email", ":name")] for person in entry[":submitters"]]
            owners[(folder,)] = [
                _Owner(tuple(map(str, names)), time=time and _utc(time))
                for person in people
                if (names := list(filter(None, person)))
            ]
    except Exception as error:  # yaml has its own errors, and any key may be missing
        raise ValueError(
            f"{table} is not as Gradescope writes it: {shown(f'{type(error).__name__}: {error}')}"
        ) from error
    return owners


def _owner(
    found: Found, roster: "_Roster", lessons: Mapping[str, Lesson], times: Mapping[tuple[str, ...], Found]
) -> _Owner | None:
    """The owner of a file: from its outermost folder that is not a lesson's, else from its own name; None if unknown.

    Args:
        times: nbgrader's timestamp.txt files, by folder.
    """
    if not found.parts:
        return None
    *folders, name = found.parts
    at = next((at for at, folder in enumerate(folders) if folder not in lessons), len(folders))
    head, before, after = found.parts[at], found.parts[:at], found.parts[at + 1 :]
    if moodle := _MOODLE.match(head):
        blind = _squash(moodle["name"]) == "participant"
        return _Owner((moodle["name"],), moodle["number"], blind, (*before, moodle["rest"] or "", *after))
    if after:
        time = _written_time(times.get(found.parts[: at + 2])) if after[0] in lessons else None
        return _Owner((head,), rest=(*before, *after), time=time)
    if canvas := _CANVAS_ANONYMOUS.match(name) or _CANVAS.match(name):
        late = ("late, according to Canvas",) if canvas["late"] else ()
        again = _RESUBMISSION.search(name)
        attempt = int(again[1]) if again else 0
        number = canvas.groupdict().get("number", "")
        return _Owner((canvas["name"],), number, True, (*before, canvas["rest"]), attempt, notes=late)
    owner = _by_file_name(name, roster, lessons)
    if owner and (owner.sure or found.problem or is_notebook(name) or is_zip(name)):
        return replace(owner, rest=(*before, *owner.rest))
    return None


def _by_file_name(name: str, roster: "_Roster", lessons: Mapping[str, Lesson]) -> _Owner | None:
    """STUDENT_LESSON.ipynb, LESSON_STUDENT.ipynb if the roster has the student, STUDENT_anything.ipynb."""
    stem = _COPY.sub("", re.sub(r"\.(ipynb(\.\w+)?|\w{1,5})$", "", name))
    if span := _lesson_at(stem, lessons):
        _, start, end = span
        texts = [(stem[:start], stem[start:]), (stem[end:], stem[:end])]
    else:
        cuts = [len(stem), *(cut.start() for cut in reversed(list(re.finditer(r"[\s_+-]+", stem))))]
        texts = [(stem[:cut], stem[cut:]) for cut in cuts]
    for text, rest in texts:
        # "03_made_masks-2" does not belong to student number 2.
        if (text == stem[: len(text)] or len(_squash(text)) > 2) and roster.find(text):
            return _Owner((text.strip(" _-+"),), rest=(rest,))
    text, rest = texts[0] if span else texts[-1]
    text = text.strip(" _-+")
    return _Owner((text,), rest=(rest,), sure=bool(span)) if text else None


class _Roster:
    """Finds students by any of their names: id, address, number on the platform, name in either order."""

    def __init__(self, students: Mapping[str, Mapping[str, str]]) -> None:
        self.students = students
        self.called: dict[str, set[str]] = defaultdict(set)
        self.numbers: dict[str, set[str]] = defaultdict(set)
        for student, row in students.items():
            first, last, number = (row.get(key, "") for key in ("first_name", "last_name", "lms_user_id"))
            names = [f"{first} {last}", f"{last} {first}"] if first and last else []
            for text in (student, row.get("email", ""), number, *names):
                for spelling in _spellings(text):
                    self.called[spelling].add(student)
            self.numbers[number].add(student)

    def find(self, text: str) -> set[str]:
        if text in self.students:
            return {text}
        return set().union(*(self.called.get(spelling, ()) for spelling in _spellings(text)))

    def identified(self, owner: _Owner) -> _Owner:
        """The owner with a student's id: the roster's, or else one made from the owner's name."""
        by_names = [students for name in owner.names if (students := self.find(name))]
        by_name = set.intersection(*by_names) if by_names else set()
        by_number = self.numbers.get(owner.number, set()) if owner.number else set()
        if not owner.lasting:
            by_number = by_number & by_name
        candidates = by_number & by_name if by_number and by_names else by_number or by_name
        if len(candidates) == 1:
            return replace(owner, student=candidates.pop(), known=True)
        student = _folder_name(owner.names[0], self.students)
        if not self.students:
            return replace(owner, student=student)
        called, maybe = (
            shown(", ".join((*owner.names, *filter(None, [owner.number])))),
            set().union(*by_names, by_number),
        )
        why = f"could be any of {', '.join(sorted(maybe))}" if maybe else "is not on the roster"
        return replace(owner, student=student, notes=(*owner.notes, f"{called} {why}"))


def _spellings(text: str) -> set[str]:
    """Normal forms of a name, of which two spellings share one: without accents, and with umlauts written out."""
    text = unicodedata.normalize("NFC", text.casefold())
    return {_squash(text), _squash(text.translate(_UMLAUTS))} - {""}


def _squash(text: str) -> str:
    text = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return "".join(letter for letter in text if letter.isalnum())


def _folder_name(text: str, taken: Container[str]) -> str:
    """Turn a text into a safe folder name that is not taken."""
    text = unicodedata.normalize("NFC", text)
    kept = (letter if unicodedata.category(letter)[0] in "LNM" or letter in "._@" else "-" for letter in text)
    name = re.sub("-+", "-", "".join(kept)).strip("-._")
    if name and len(name.encode()) <= MAX_NAME and name not in taken:
        return name
    short = name.encode()[: MAX_NAME - 9].decode(errors="ignore") or "student"
    return f"{short}-{_digest(text)}"


# ---- For which lesson


def _lesson_by_name(owner: _Owner | None, found: Found, lessons: Mapping[str, Lesson]) -> str | None:
    """The lesson that the file's name gives, else that of the innermost folder that names one."""
    names = (*(owner.rest if owner else found.parts), *found.inside)
    return next((span[0] for name in reversed(names) if (span := _lesson_at(name, lessons))), None)


def _lesson_at(text: str, lessons: Mapping[str, Lesson]) -> tuple[str, int, int] | None:
    """The lesson that a text names, with or without number ("03 made-masks final"), and where; None if ambiguous."""
    spans = [(name, *match.span()) for name in lessons if (match := _lesson_pattern(name).search(text))]
    longest = max((end - start for _, start, end in spans), default=0)
    spans = [span for span in spans if span[2] - span[1] == longest]
    return spans[0] if len(spans) == 1 else None


@cache
def _lesson_pattern(name: str) -> re.Pattern[str]:
    number, rest = re.fullmatch(r"(\d*)(.*)", name, re.DOTALL).groups()
    words = r"[\W_]*".join(re.findall(r"[^\W_]+", rest))
    number = rf"(?:0*{int(number)}[\W_]*)?" if number else ""
    return re.compile(rf"(?<![^\W_]){number}{words}(?![^\W\d_])", re.IGNORECASE)


def _work(
    settings: Settings, source: Path, wanted: str | None, owner: _Owner | None, found: Found, by_name: str | None
) -> _Work:
    """A notebook with its lesson. Only its text is searched, so a broken file works as well as an intact one.

    Raises:
        Unusable: it cannot be read, or its student or lesson is unknown.
        _OtherLesson: it is not for the wanted lesson.
    """
    if found.problem:
        raise Unusable(found.problem)
    if owner is None:
        raise Unusable("neither its name nor its folder's says whose it is")
    if is_zip(found.name):
        raise Unusable("a zip inside a zip is not opened")
    data = found.read()
    counts = {name: _exercises(data, known) for name, known in settings.lessons.items()}
    best = [name for name, count in counts.items() if count and count == max(counts.values())]
    by_cells = best[0] if len(best) == 1 else None
    of_source = span[0] if (span := _lesson_at(source.stem, settings.lessons)) else None
    lesson = by_name or by_cells or wanted or of_source
    if lesson is None:
        raise Unusable("neither its name nor its cells say which lesson it is for")
    if wanted not in (None, lesson):
        if by_cells != wanted:
            raise _OtherLesson(f"it is work on {lesson}")
        lesson = wanted
    notes = owner.notes
    if by_cells and not counts[lesson]:
        notes += (f"its name says {lesson}, its cells are those of {by_cells}",)
    # A student's own zip says whatever the student wants; and nothing was handed in tomorrow.
    times = [time for time in (owner.time, found.time) if time and time <= datetime.now(UTC)]
    time = times[0] if times else datetime.fromtimestamp(int(source.stat().st_mtime), UTC)
    answered = _answered(data, settings.lessons[lesson])
    blank = counts[lesson] > 0 >= answered
    return _Work(found, owner, lesson, time.replace(microsecond=0), answered, blank, notes)


def _exercises(data: bytes, lesson: Lesson) -> int:
    """The number of a lesson's exercises in a notebook."""
    named = {match[1] or match[2] for match in islice(_NAMES.finditer(data), MAX_NAMES)}
    return len({name.decode().removesuffix("-check") for name in named}.intersection(lesson.exercises))


def _answered(data: bytes, lesson: Lesson) -> int:
    """The number of those exercises that have an answer, as far as the text shows."""
    name, unanswered = "", set()
    for match in islice(_NAMES_AND_STUBS.finditer(data), MAX_NAMES):
        cell, definition = (found and found.decode() for found in match.groups())
        if cell or definition in lesson.exercises:
            name = cell or definition
        elif not definition:
            lines = data[max(0, match.start() - 300) : match.start()].split(b"\\n")
            # Below an answer that returns, a leftover stub is never reached.
            if not lines[-2:][0].strip(b'", \r\n\t').startswith(b"return"):
                unanswered.add(name)
    return _exercises(data, lesson) - len(unanswered.intersection(lesson.exercises))


# ---- Which of several


def _by_student_and_lesson(works: list[_Work], roster: Container[str]) -> Iterator[list[_Work]]:
    """Each student's works on each lesson, the one that counts last."""
    called: dict[tuple[str, str], set[str]] = defaultdict(set)
    for work in works:
        called[work.owner.student, work.lesson].add(work.owner.key)
    groups: dict[tuple[str, str], list[_Work]] = defaultdict(list)
    for work in works:
        owner = work.owner
        if not owner.known and len(called[owner.student, work.lesson]) > 1:
            # Namesakes, or names that differ only in punctuation.
            student = _folder_name(f"{owner.names[0]} {owner.number or _digest(owner.key)}", roster)
            work = replace(work, owner=replace(owner, student=student))
        groups[work.owner.student, work.lesson].append(work)
    for names in sorted(groups):
        yield sorted(groups[names], key=lambda work: work.rank)


# ---- Stored


def _store(settings: Settings, works: list[_Work]) -> Collected:
    """Submit the last of a student's works; keep the others and the submission that it replaces."""
    *others, work = works
    student, lesson, notes = work.owner.student, work.lesson, list(work.notes)
    kept, home = (settings.folder / top / student / lesson for top in (KEPT, SUBMITTED))
    path = home / f"{lesson}.ipynb"
    if others:
        notes.append(
            f"of {len(works)} notebooks {work.found} was taken, not {', '.join(str(w.found) for w in others[:5])}"
        )
    try:
        for place in (kept.parent, kept, home.parent, home):
            if place.is_symlink():
                raise Unusable(f"{place} is a link, which is not followed: remove it")
        data = work.found.read()
        there = read_file(path) if path.exists() and not path.is_symlink() else None
        since = _submitted_time(home, path) if there is not None else None
        if there is None:
            _submit(path, data, work.time)
        elif there != data:
            # If both have the same time, the one collected last counts.
            older = work.time < since or work.time == since and _is_kept(kept, data)
            if older or work.blank and _answered(there, settings.lessons[lesson]) > 0:
                _keep(kept, data, work.time)
                why = "older than" if older else "nothing in it is answered, unlike in"
                notes.append(f"{why} the submission of {since:{TIME}}: kept in {KEPT}/, not submitted")
            else:
                _keep(kept, there, since)
                _submit(path, data, work.time)
                notes.append(f"replaces the submission of {since:{TIME}}, which is kept in {KEPT}/")
        for other in others:
            if (older := other.found.read()) != data:
                _keep(kept, older, other.time)
    except (Unusable, OSError) as error:
        return Collected(student, lesson, None, (*notes, f"not stored: {shown(str(error))}"))
    return Collected(student, lesson, path, tuple(notes))


def _submit(path: Path, data: bytes, time: datetime) -> None:
    """Write the time first: if interrupted in between, the next run finds the old notebook and carries on."""
    write(path.with_name("timestamp.txt"), f"{time:{TIME}}".encode())
    write(path, data)


def _keep(folder: Path, data: bytes, time: datetime) -> None:
    if _is_kept(folder, data):
        return
    names = (f"{time:%Y-%m-%d_%H-%M-%SZ}{again}.ipynb" for again in chain([""], (f"-{n}" for n in count(2))))
    write(next(folder / name for name in names if not (folder / name).exists()), data)


def _is_kept(folder: Path, data: bytes) -> bool:
    return any(path.stat().st_size == len(data) and path.read_bytes() == data for path in folder.glob("*.ipynb"))


def _submitted_time(home: Path, path: Path) -> datetime:
    written = home / "timestamp.txt"
    found = Found((written.name,), None, partial(read_file, written))
    return _written_time(found) or datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def _written_time(found: Found | None) -> datetime | None:
    """The time in a timestamp.txt; None if there is no file or no time in it."""
    if found is None:
        return None
    try:
        return _utc(parse_utc(found.read()[:100].decode().strip())).replace(microsecond=0)
    except Exception:  # odd text can make dateutil raise anything
        return None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
