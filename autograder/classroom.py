"""A class from submissions to grades: one process that alone writes, and Dask workers that judge.

The coordinator hands each submission out as bytes, and takes bytes back (JSON); it writes the graded notebook, the
gradebook, and last the ledger. So whatever happens to it, a ledger means that all the rest is there, and a run after
an interrupted one takes up what has none. `autograder.directory` names the files of a class directory; besides those,

    course.toml          the class's settings (`autograder.course`)
    nbgrader_config.py   plain nbgrader commands run there do the same as the functions here
    status.json          what became of every submission
"""

import contextlib
import dataclasses
import functools
import ipaddress
import itertools
import json
import logging
import os
import shutil
import warnings
from collections.abc import Collection, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autograder import directory
from autograder.assembly import build
from autograder.course import SETTINGS, TEMPLATE, Course, load
from autograder.files import write
from autograder.gradebook import Gradebook
from autograder.nbgrader_config import CONFIG, FILE, nbgrader_settings
from autograder.submission import FORMAT, MAX_RESULT, GraderFailed, HandedIn, pack, unpack, work

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Status", "create", "grade", "trusted"]

STATUS = "status.json"
MAX_NAME = 128  # of a student's id in nbgrader's gradebook
DEATHS = 3  # of workers: then the submission is taken for the cause
PATIENCE = 60  # seconds without a result, after which a look is taken whether the cluster is there
DASK = {
    "distributed.scheduler.allowed-failures": 0,  # a submission whose worker ended comes back here at once
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],  # nobody looks over a network
    "distributed.worker.http.routes": [],
    # What Dask measures of itself would cost more than a submission's grade.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "10s",
    # A worker keeps no results. One that a huge submission made large has to go on, or to be started anew.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.admin.large-graph-warning-threshold": f"{2 * MAX_RESULT}B",
    # Workers on this machine are copies of one process, in which torch and the checks are imported once.
    "distributed.worker.multiprocessing-method": "forkserver",
}
PRE_SPAWN = "distributed.nanny.pre-spawn-environ"
IMPORTED_ONCE = ["distributed", "autograder.submission", "autograder.checks.common"]


@dataclass(frozen=True)
class Status:
    """What became of one student's work on one lesson.

    Attributes:
        status: "graded" now; "unchanged": graded by an earlier run; "outdated": graded by an earlier run with checks
            or points that were others then; "failed": not graded, `error` says why; "missing": nothing was handed in.
        ledger: what was judged (`autograder.submission.grade`), where there is a grade.
        notes: what the instructor should know, and the student need not.
    """

    student: str
    lesson: str
    status: str
    ledger: dict[str, Any] | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, without the reports."""
        points = {key: self.ledger[key] if self.ledger else None for key in ("points", "max_points")}
        about = {key: getattr(self, key) for key in ("student", "lesson", "status", "error")}
        return about | points | {"notes": [*(self.ledger["notes"] if self.ledger else []), *self.notes]}


def create(folder: Path) -> None:
    """Make a class directory, or bring one up to date with its settings and the course.

    Raises:
        ValueError, RuntimeError: as `autograder.assembly.build`.
    """
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)  # grades and students' names are nobody else's business
    if not (folder / SETTINGS).exists():
        shutil.copyfile(TEMPLATE, folder / SETTINGS)
    if not (folder / FILE).exists():
        (folder / FILE).write_text(CONFIG)
    directory.class_secret(folder)
    build(load(folder))


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
    """Grade what a class handed in, in parallel; each status comes as soon as it is known.

    Args:
        folder: the class directory.
        students, lessons: only these; everything where None.
        scheduler: the address of a Dask scheduler; a cluster on this machine where None.
        workers: processes of the cluster on this machine; one for each core where None.
        regrade: judge again what an earlier run has judged.
        unsafe: without a sandbox.

    Raises:
        FileNotFoundError: there is no class: `create` makes it.
        ValueError: the settings, an argument, or the class's build is not as it should be.
        NoSandbox: students' code cannot be contained where it would run.
        GradebookError, OSError: what was graded cannot be written; a later run goes on from there.
        RuntimeError: the Dask cluster cannot be reached or has gone.
    """
    if not (folder / FILE).exists():
        raise FileNotFoundError(f"{folder} holds no class: make one with `python -m autograder new-class`")
    course = load(folder)
    for name in lessons or ():
        if name not in course.lessons:
            raise ValueError(f"{name} is no lesson of this class; there are {', '.join(course.lessons)}")
    address = scheduler and trusted(scheduler)
    with directory.locked(folder), Gradebook(course.db_url, nbgrader_settings(folder)) as book:
        book.enrol(course.roster)
        wanted = [
            (student, lesson)
            for student, lesson in _everything(course)
            if (students is None or student in students) and (lessons is None or lesson in lessons)
        ]
        told = _told(folder)
        with Workers(address, workers) as cluster:
            for status in Run(course, book, regrade, unsafe).grade(wanted, cluster):
                told[status.student, status.lesson] = status.to_dict()
                yield status
        still = set(_everything(course))
        listed = [told[names] for names in sorted(told) if names in still]
        write(folder / STATUS, json.dumps({"format": FORMAT, "submissions": listed}, indent=1))


class Run:
    """One run over a class: what of it has to be judged, and the writing of what was."""

    def __init__(self, course: Course, book: Gradebook, regrade: bool, unsafe: bool):
        self.course, self.book, self.regrade, self.unsafe = course, book, regrade, unsafe
        self.secret = directory.class_secret(course.folder)
        self.known = book.graded()
        self.packages = functools.cache(self._package)
        self.digests = {name: lesson.digest() for name, lesson in course.lessons.items()}

    def grade(self, wanted: list[tuple[str, str]], workers: "Workers") -> Iterator[Status]:
        """Judge what has to be judged. As many submissions as keep the workers busy are held in memory, not more."""
        todo, suspects = iter(wanted), []
        while True:
            while workers.have_room() and (names := next(todo, None)):
                found = self._open(*names)
                if isinstance(found, Status):
                    yield found
                else:
                    workers.send(found, self.packages(found.lesson))
            if not workers.busy and suspects:
                # One of them ends its worker. Alone, it takes no other with it.
                job = suspects.pop()
                workers.send(job, self.packages(job.lesson))
            elif not workers.busy:
                return
            for job, result in workers.finished():
                if result is not None:
                    yield self._close(job, result)
                elif (deaths := job.deaths + 1) < DEATHS:
                    suspects.append(dataclasses.replace(job, deaths=deaths))
                else:
                    yield job.failed(f"to judge it ended the grader's own process {DEATHS} times")

    def _open(self, student: str, lesson: str) -> "Status | Job":
        """Read a submission and, where it has to be judged, take away what was made of it before."""
        folder = self.course.folder
        odd = ["not on the roster"] if self.course.roster and student not in self.course.roster else []
        job = Job(student, lesson, HandedIn(b""), tuple(odd))
        try:
            _check_names(self.course, student, lesson)
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

    def _forget(self, job: "Job") -> None:
        directory.forget(self.course.folder, job.student, job.lesson)
        if (job.student, job.lesson) in self.known:
            self.book.clear(job.student, job.lesson)

    def _close(self, job: "Job", result: bytes) -> Status:
        """Write what a worker found; the ledger comes last, since it says that the rest is there."""
        try:
            graded = unpack(result)
        except GraderFailed as error:
            return job.failed(str(error))
        folder, names = self.course.folder, (job.student, job.lesson)
        write(directory.autograded(folder, *names), graded.notebook)
        self.book.write(*names, job.handed_in.timestamp, graded.scores, graded.unanswered)
        directory.write_ledger(folder, graded.ledger)
        return Status(*names, "graded", graded.ledger, notes=job.notes)

    def _package(self, name: str) -> bytes:
        """What the workers have to know of a lesson.

        Raises:
            ValueError: it is not built as the settings have it now.
        """
        lesson = self.course.lessons[name]
        self.book.check(lesson)
        master = directory.master(self.course.folder, name)
        return pack(lesson, master, self.secret, self.course.limits, self.unsafe)


@dataclass(frozen=True)
class Job:
    """A submission on its way through a worker."""

    student: str
    lesson: str
    handed_in: HandedIn
    notes: tuple[str, ...]
    deaths: int = 0

    def failed(self, error: str) -> Status:
        return Status(self.student, self.lesson, "failed", error=error, notes=self.notes)


class Workers:
    """A Dask cluster, started when the first submission comes; a context manager.

    Args:
        address: of a scheduler; None for a cluster on this machine.
        count: processes of the cluster on this machine.
    """

    def __init__(self, address: str | None, count: int | None):
        self._address, self._count = address, count or len(os.sched_getaffinity(0))
        self._stack = contextlib.ExitStack()
        self._client: Client | None = None
        self._running: dict[Future, Job] = {}
        self._numbers = itertools.count()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def have_room(self) -> bool:
        """Whether another submission would be under way soon."""
        return self._client is None or len(self._running) < 2 * max(1, sum(self._client.nthreads().values()))

    def send(self, job: Job, package: bytes) -> None:
        """Have a submission judged."""
        if self._client is None:
            self._start()
        about = {"student": job.student, "refused": job.handed_in.refused, "timestamp": job.handed_in.timestamp}
        # Names of one group: the scheduler remembers groups for good.
        future = self._client.submit(
            work, package, json.dumps(about).encode(), job.handed_in.data, key=("judge", next(self._numbers))
        )
        self._running[future] = job

    def finished(self) -> Iterator[tuple[Job, bytes | None]]:
        """Wait for the next; a result of None says that the worker ended.

        Raises:
            RuntimeError: the cluster has gone.
        """
        from distributed import KilledWorker, TimeoutError, wait

        gone = f"the Dask cluster {self._address or 'on this machine'} has gone; what is graded stays graded"
        try:
            done = wait(list(self._running), timeout=PATIENCE, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if not self._client.nthreads():
                raise RuntimeError(f"{gone}: it has no worker") from None
            return
        except (OSError, CancelledError) as error:
            raise RuntimeError(f"{gone}: {type(error).__name__} {error}") from error
        for future in done:
            job = self._running.pop(future)
            if future.status == "finished":
                yield job, future.result()
                continue
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise RuntimeError(f"a Dask worker cannot judge; has it this course installed? {error!r}") from error
            yield job, None

    def _start(self) -> None:
        import dask
        from distributed import Client, LocalCluster, Security

        self._stack.enter_context(dask.config.set(DASK))
        if self._address is None:
            secured = {"protocol": "tls://", "host": "127.0.0.1", "security": Security.temporary()}
            quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
            _start_forkserver()
            with warnings.catch_warnings():
                # Of its web page, on which there is nothing.
                warnings.filterwarnings("ignore", "(?s).*Port .* is already in use")
                cluster = LocalCluster(n_workers=self._count, threads_per_worker=1, **secured, **quiet)
            self._client = self._stack.enter_context(Client(self._stack.enter_context(cluster)))
            return
        try:
            client = Client(self._address, timeout=PATIENCE)
            self._client = self._stack.enter_context(client)
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TypeError, ValueError) as error:
            raise RuntimeError(
                f"the Dask scheduler {self._address} cannot be used: {error}. It has to run, with at least one worker; "
                "for tls:// Dask's settings (distributed.comm.tls) name the certificates"
            ) from error


def _start_forkserver() -> None:
    """Start the process whose copies Dask's workers will be; its imports go on while Dask starts."""
    import dask
    from distributed.utils import get_mp_context

    # Libraries read how many threads they may have when they are imported.
    os.environ.update({name: str(value) for name, value in dask.config.get(PRE_SPAWN).items()})
    get_mp_context().set_forkserver_preload(IMPORTED_ONCE)  # in place of all packages that Dask knows
    forkserver.ensure_running()


def trusted(scheduler: str) -> str:
    """The address of a scheduler to which a class's secret and work may be sent.

    Raises:
        ValueError: anyone on the network could listen, or answer in its place.
    """
    url = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if url.scheme == "tls" or url.scheme == "tcp" and _loopback(url.hostname or ""):
        return url.geturl()
    raise ValueError(
        f"expected a scheduler at tls://HOST:PORT, or at tcp://127.0.0.1:PORT of this machine, got {scheduler}: start "
        "scheduler and workers with --tls-ca-file, --tls-cert and --tls-key"
    )


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _everything(course: Course) -> list[tuple[str, str]]:
    """(student, lesson) of all that was handed in, and of all that should have been."""
    return sorted({*directory.submissions(course.folder), *itertools.product(course.roster, course.lessons)})


def _check_names(course: Course, student: str, lesson: str) -> None:
    try:
        if len(student.encode()) > MAX_NAME:
            raise ValueError(f"expected a student's id of at most {MAX_NAME} characters as the folder's name")
    except UnicodeEncodeError:
        raise ValueError("expected a student's id in UTF-8 as the folder's name") from None
    if lesson not in course.lessons:
        raise ValueError(f"{lesson} is no lesson of this class; there are {', '.join(course.lessons)}")


def _check_place(folder: Path, student: str, lesson: str) -> None:
    path = directory.handed_in(folder, student, lesson)
    for place in (path.parent.parent, path.parent):
        if place.is_symlink():
            raise ValueError(f"{place.relative_to(folder)} is a link, which is not followed")
    if not os.path.lexists(path):
        found = ", ".join(sorted(os.listdir(path.parent))[:3]) or "nothing"
        raise ValueError(f"expected the file {path.name}, found {found}: rename it")


def _told(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What earlier runs said, for the submissions that this one does not look at."""
    try:
        listed = json.loads((folder / STATUS).read_text(encoding="utf-8"))["submissions"]
    except FileNotFoundError:
        return {}
    return {(status["student"], status["lesson"]): status for status in listed}
