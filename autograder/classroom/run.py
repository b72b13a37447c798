"""A class from submissions to grades: Dask workers judge, and one process does all the writing.

The coordinator sends each submission out as bytes and gets bytes (JSON) back; it writes the graded notebook, then the
gradebook, and the ledger last. So even after a crash, a ledger means that everything else is there, and the next run
takes up the submissions without one. `autograder.classroom.directory` lists the files of a class directory. It also
holds

    course.toml          the class's settings (`autograder.classroom.settings`)
    nbgrader_config.py   makes nbgrader's own commands, run there, do what the functions here do
    status.json          the outcome of every submission
"""

import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from autograder.classroom import directory
from autograder.classroom.cluster import Workers, trusted
from autograder.classroom.files import write
from autograder.classroom.job import Job, Status
from autograder.classroom.settings import Settings, load
from autograder.gradebook.write import Gradebook
from autograder.grading.handed_in import HandedIn
from autograder.grading.remote import pack, unpack
from autograder.grading.submission import FORMAT, GraderFailed

__all__ = ["Run", "grade"]

STATUS = "status.json"
MAX_NAME = 128  # bytes of a student's id, which nbgrader's gradebook limits
MAX_WORKER_DEATHS = 3  # after that the submission itself is blamed


def grade(
    folder: Path,
    *,
    students: Collection[str] | None = None,
    lessons: Collection[str] | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    regrade: bool = False,
    unsafe: bool = False,
) -> Iterator[Status]:
    """Grade a class's submissions in parallel; yield each status as soon as it is known.

    Args:
        folder: the class directory.
        students, lessons: only these; None for all.
        scheduler: the address of a Dask scheduler; None for a cluster on this machine.
        workers: the number of worker processes on this machine; None for one per core.
        regrade: judge submissions again that an earlier run has judged.
        unsafe: run without a sandbox.

    Raises:
        FileNotFoundError: there is no class; `create` makes one.
        ValueError: the settings, an argument or the class's build is invalid.
        NoSandbox: students' code cannot be confined where it would run.
        GradebookError, OSError: a grade cannot be written; a later run resumes there.
        RuntimeError: the Dask cluster cannot be reached, or has gone.
    """
    if not (folder / directory.FILE).exists():
        raise FileNotFoundError(f"{folder} holds no class: make one with `python -m autograder new-class`")
    settings = load(folder)
    for name in lessons or ():
        if name not in settings.lessons:
            raise ValueError(f"{name} is not a lesson of this class; the lessons are {', '.join(settings.lessons)}")
    address = scheduler and trusted(scheduler)
    with directory.locked(folder), Gradebook(settings.db_url, directory.nbgrader_settings(folder)) as book:
        book.enrol(settings.roster)
        wanted = [
            (student, lesson)
            for student, lesson in _everything(settings)
            if (students is None or student in students) and (lessons is None or lesson in lessons)
        ]
        earlier = _earlier(folder)
        with Workers(address, workers) as cluster:
            for status in Run(settings, book, regrade, unsafe).grade(wanted, cluster):
                earlier[status.student, status.lesson] = status.to_dict()
                yield status
        current = set(_everything(settings))
        listed = [earlier[names] for names in sorted(earlier) if names in current]
        write(folder / STATUS, json.dumps({"format": FORMAT, "submissions": listed}, indent=1))


class Run:
    """One run over a class: it finds what must be judged, and writes the results."""

    def __init__(self, settings: Settings, book: Gradebook, regrade: bool, unsafe: bool):
        self.settings, self.book, self.regrade, self.unsafe = settings, book, regrade, unsafe
        self.secret = directory.class_secret(settings.folder)
        self.known = book.graded()
        self.packages = functools.cache(self._package)
        self.digests = {name: lesson.digest() for name, lesson in settings.lessons.items()}

    def grade(self, wanted: list[tuple[str, str]], workers: Workers) -> Iterator[Status]:
        """Judge what must be judged, holding only as many submissions in memory as keep the workers busy."""
        todo, suspects = iter(wanted), []
        while True:
            while workers.have_room() and (names := next(todo, None)):
                opened = self._open(*names)
                if isinstance(opened, Status):
                    yield opened
                else:
                    workers.send(opened, self.packages(opened.lesson))
            if not workers.busy and suspects:
                # One of the suspects kills its worker. Judged alone, it harms no other.
                job = suspects.pop()
                workers.send(job, self.packages(job.lesson))
            elif not workers.busy:
                return
            for job, result in workers.finished():
                if result is not None:
                    yield self._close(job, result)
                elif (deaths := job.deaths + 1) < MAX_WORKER_DEATHS:
                    suspects.append(dataclasses.replace(job, deaths=deaths))
                else:
                    yield job.failed(f"judging it ended the grader's own process {MAX_WORKER_DEATHS} times")

    def _open(self, student: str, lesson: str) -> Status | Job:
        """Read a submission; if it must be judged, delete its earlier results."""
        folder = self.settings.folder
        odd = ["not on the roster"] if self.settings.roster and student not in self.settings.roster else []
        job = Job(student, lesson, HandedIn(b""), tuple(odd))
        try:
            _check_names(self.settings, student, lesson)
        except ValueError as error:
            return job.failed(str(error))
        if not os.path.lexists(folder / "submitted" / student / lesson):
            return Status(student, lesson, "missing")
        try:
            _check_place(folder, student, lesson)
            self.packages(lesson)
        except ValueError as error:
            self._forget(job)
            return job.failed(str(error))
        handed_in, strange = directory.take(folder, student, lesson)
        job = dataclasses.replace(job, handed_in=handed_in, notes=(*odd, *([strange] if strange else [])))
        ledger = directory.load_ledger(folder, student, lesson)
        now = {"format": FORMAT, "submission": handed_in.digest, "timestamp": handed_in.timestamp}
        if not self.regrade and (student, lesson) in self.known and ledger and now.items() <= ledger.items():
            self.book.penalise(student, lesson)
            status = "unchanged" if ledger["checks"] == self.digests[lesson] else "outdated"
            return Status(student, lesson, status, ledger, notes=job.notes)
        self._forget(job)
        return job

    def _forget(self, job: Job) -> None:
        directory.forget(self.settings.folder, job.student, job.lesson)
        if (job.student, job.lesson) in self.known:
            self.book.clear(job.student, job.lesson)

    def _close(self, job: Job, result: bytes) -> Status:
        """Write a worker's result; the ledger comes last, since it vouches for the rest."""
        try:
            graded = unpack(result)
        except GraderFailed as error:
            return job.failed(str(error))
        folder, names = self.settings.folder, (job.student, job.lesson)
        write(directory.autograded(folder, *names), graded.notebook)
        self.book.write(*names, job.handed_in.timestamp, graded.scores, graded.unanswered)
        directory.write_ledger(folder, graded.ledger)
        return Status(*names, "graded", graded.ledger, notes=job.notes)

    def _package(self, name: str) -> bytes:
        """Pack everything that workers need for a lesson.

        Raises:
            ValueError: its build does not match the settings.
        """
        lesson = self.settings.lessons[name]
        self.book.check(lesson)
        master = directory.master(self.settings.folder, name)
        return pack(lesson, master, self.secret, self.settings.limits, self.unsafe)


def _everything(settings: Settings) -> list[tuple[str, str]]:
    """(student, lesson) of everything that was handed in or should have been."""
    return sorted({*directory.submissions(settings.folder), *itertools.product(settings.roster, settings.lessons)})


def _check_names(settings: Settings, student: str, lesson: str) -> None:
    try:
        if len(student.encode()) > MAX_NAME:
            raise ValueError(f"expected a student's id of at most {MAX_NAME} characters as the folder's name")
    except UnicodeEncodeError:
        raise ValueError("expected a student's id in UTF-8 as the folder's name") from None
    if lesson not in settings.lessons:
        raise ValueError(f"{lesson} is not a lesson of this class; the lessons are {', '.join(settings.lessons)}")


def _check_place(folder: Path, student: str, lesson: str) -> None:
    path = directory.handed_in(folder, student, lesson)
    for place in (path.parent.parent, path.parent):
        if place.is_symlink():
            raise ValueError(f"{place.relative_to(folder)} is a link, which is not followed")
    if not os.path.lexists(path):
        names = ", ".join(sorted(os.listdir(path.parent))[:3]) or "nothing"
        raise ValueError(f"expected the file {path.name}, found {names}: rename it")


def _earlier(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The statuses of earlier runs, for the submissions that this one does not touch."""
    try:
        listed = json.loads((folder / STATUS).read_text(encoding="utf-8"))["submissions"]
    except FileNotFoundError:
        return {}
    return {(status["student"], status["lesson"]): status for status in listed}
