"""The judge: runs a lesson's checks on a student's code, which runs in another process.

Points come from the verdicts made here and from nowhere else. Nothing that the student's process prints, raises or
forges can produce a verdict; silence is a failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autograder.checking.check import Check
from autograder.checking.report import Report
from autograder.checking.student import StudentError
from autograder.grading.pipe import Pipe
from autograder.sandbox.server import Server

__all__ = ["judge"]


def judge(
    lesson: str,
    setup: Sequence[str],
    cells: Mapping[str, str | None],
    secret: int | str,
    *,
    checks: Mapping[str, Check],
    server: Server,
) -> dict[str, Report]:
    """Judge one submission.

    Args:
        lesson: its name; together with the secret it seeds the checks' random cases.
        setup: sources of the master's own definition cells (imports), run first.
        cells: the source of the student's cell for each exercise; None if the submission has none.
        secret: seeds the random cases of the checks; the student's process never receives it.
        checks: the check of each exercise.
        server: starts the student's process, and holds its limits.

    Returns:
        A report for every check, whatever the submission does.

    Raises:
        NoSandbox: the machine can no longer confine submissions.
        ServerEnded: the sandbox ended meanwhile; the submission has to be judged again.
    """
    limits = server.limits
    reports: dict[str, Report] = {}
    unfinished: dict[str, StudentError] = {}
    pipe: Pipe | None = None
    try:
        for name, check in checks.items():
            if cells.get(name) is None:
                reports[name] = check.refuse("Missing", "the submission has no cell for this exercise")
                continue
            try:
                while pipe is None or pipe.closed:
                    pipe = _fill(Pipe(server), setup, cells, unfinished)
            except StudentError as error:
                reports[name] = check.refuse(error.kind, str(error))
                continue
            if name in unfinished:
                error = unfinished[name]
                reports[name] = check.refuse(error.kind, f"the cell did not run to its end: {error}")
                continue
            pipe.start_clock(limits.check, f"not finished within {limits.check:g} seconds")
            report = check.judge(pipe, f"{secret}/{lesson}")
            if pipe.lost is not None:  # the check has reported it as its own fault
                raise pipe.lost
            if report.kind == "NameError":
                advice = "when graded, only the solution cells are run: put your own imports and helpers inside them"
                report = replace(report, notes=(*report.notes, advice))
            reports[name] = report
    finally:
        if pipe is not None:
            pipe.close()
    return reports


def _fill(
    pipe: Pipe, setup: Sequence[str], cells: Mapping[str, str | None], unfinished: dict[str, StudentError]
) -> Pipe:
    """Run the cells in a new process; a cell that ends it or hangs is noted in `unfinished` and skipped next time."""
    for source in setup:
        pipe.start_clock(
            pipe.limits.start,
            "the lesson's own imports did not finish: the grader's machine is too slow or broken",
        )
        pipe.define("setup", source)
    for name, source in cells.items():
        if source is not None and name not in unfinished:
            pipe.start_clock(pipe.limits.cell, f"not finished within {pipe.limits.cell:g} seconds")
            try:
                pipe.define(name, source)
            except StudentError as error:
                unfinished[name] = error
                break
    return pipe
