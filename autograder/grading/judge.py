"""The judge: runs a lesson's checks against a student's code that sits in another process, and keeps the ledger.

Points come from the verdicts made here and from nowhere else. Nothing that the student's process prints, raises or
forges can make a verdict; silence is a failure.
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
        lesson: its name; with the secret it seeds the checks' random cases.
        setup: sources of the master's own definition cells (imports), run first.
        cells: for each exercise the source of the student's cell, None where the submission has none.
        secret: seeds the random cases of the checks; never enters the student's process.
        checks: the check of each exercise.
        server: where the student's process comes from, with its limits.

    Returns:
        A report for every check, whatever the submission does.

    Raises:
        NoSandbox: a submission cannot be contained any more.
        ServerEnded: the sandbox ended under the submission, which has to be judged again.
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
            if pipe.lost is not None:  # the check took it for a fault of its own
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
    """Run the cells in a new process; one that ends it or hangs goes to `unfinished` and is left out next time."""
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
