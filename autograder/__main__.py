"""The instructor's commands: `python -m autograder --help`."""

import contextlib
import itertools
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

REASON = 110  # characters of a reason in a table; the feedback has all of it
SHOWN = 60  # up to this many submissions are listed; beyond that, only problems

app = typer.Typer(
    help="Grade a class. docs/instructors.md explains how the commands work together.",
    epilog="Exit status: 0 done. 1 done, but something needs a look. 2 wrong usage or settings. "
    "3 no sandbox on this machine. 4 the gradebook, the disk or the cluster failed: run the command again to continue.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)

Folder = Annotated[Path, typer.Argument(help="the class directory")]
Students = Annotated[list[str] | None, typer.Option("--student", help="only this student (may be repeated)")]
Lessons = Annotated[list[str] | None, typer.Option("--lesson", help="only this lesson (may be repeated)")]


@app.command("new-class")
def new_class(folder: Folder) -> None:
    """Create a class directory, or update one.

    Run it again after every change to the class's course.toml.
    """
    from autograder.classroom.settings import load
    from autograder.release.for_class import create

    with _in_words():
        create(folder)
        settings = load(folder)
    say(f"{folder} is ready. Its settings: {folder}/course.toml")
    say(f"For the students: python -m autograder bundle {folder} ({', '.join(settings.lessons)})")
    say(f"Then: python -m autograder collect {folder} WHAT_THEY_HANDED_IN; python -m autograder grade {folder}")


@app.command()
def bundle(folder: Folder) -> None:
    """Make the zip for the class's students.

    It holds the course with the class's own lessons. Unpacked over an older one, it keeps what students wrote.
    """
    from autograder.release.bundle import make_for_class

    with _in_words():
        path = make_for_class(_settings(folder))
    say(f"{path} ({path.stat().st_size / 1e6:.1f} MB): give it to the students; its README says the rest.")


@app.command()
def collect(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="a folder, or a zip from a learning platform")],
    lesson: Annotated[str | None, typer.Option(help="the lesson of all files (default: decide per file)")] = None,
) -> None:
    """Collect what students handed in. Running it twice changes nothing."""
    from autograder.classroom import intake

    with _in_words():
        collected = intake.collect(_settings(folder), source, lesson)
    unused = [work for work in collected if work.path is None]
    for work in collected:
        if work.notes:
            mark = "[red]not used[/]" if work.path is None else "[yellow]note[/]"
            whose = ", ".join(part for part in (work.student, work.lesson) if part)
            say(f"{mark} {plain(whose)}{': ' if whose else ''}{plain('; '.join(work.notes))}")
    say(f"{len(collected) - len(unused)} submissions in {folder}/submitted, {len(unused)} not used.")
    if unused:
        raise typer.Exit(1)


@app.command()
def grade(
    folder: Folder = Path("class"),
    student: Students = None,
    lesson: Lessons = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes to run here (default: one per core)")] = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a Dask scheduler, tls://HOST:PORT")] = None,
    regrade: Annotated[bool, typer.Option("--regrade", help="also grade again what is already graded")] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="run students' code unconfined; every result says so")
    ] = False,
) -> None:
    """Grade everything not graded yet. An interrupted run resumes where it stopped."""
    with _in_words():
        statuses = _grade(folder, student, lesson, workers, scheduler, regrade, unsafe)
    if any(status.status == "failed" for status in statuses):
        raise typer.Exit(1)


@app.command()
def feedback(folder: Folder = Path("class"), student: Students = None, lesson: Lessons = None) -> None:
    """Make the feedback pages for students.

    They include points and comments given by hand: run it again after manual grading.
    """
    from autograder.results import feedback

    with _in_words():
        settings = _settings(folder)
        with _progress("Feedback", None) as tick:
            made = list(tick(feedback.make(settings, student or (), lesson or ())))
    failed = [page for page in made if page.error]
    for page in failed:
        say(f"[red]no page[/] {plain(page.student)}, {plain(page.lesson)}: {plain(page.error)}")
    say(f"{len(made) - len(failed)} pages: {folder}/feedback/STUDENT/LESSON/LESSON.html")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(folder: Folder = Path("class")) -> None:
    """Export the grades: CSV, JSON, Canvas and Moodle."""
    from autograder.results import exports

    with _in_words():
        written = exports.export(_settings(folder))
    for path in written.paths:
        say(str(path))
    _name("not graded, and empty in these files", written.ungraded)
    _name("not final, a person must grade a part", written.waiting)
    if written.ungraded:
        raise typer.Exit(1)


@app.command()
def report(folder: Folder = Path("class"), lesson: Lessons = None) -> None:
    """Show where the class lost points.

    Losses are listed by exercise and property, with the message that most students saw.
    """
    from autograder.classroom import directory
    from autograder.classroom.files import write
    from autograder.results.losses import losses, to_csv

    with _in_words():
        ledgers = directory.ledgers(_settings(folder).folder)
        exercises = losses(ledger for (_, name), ledger in ledgers.items() if not lesson or name in lesson)
        path = folder / "exports" / "report.csv"
        write(path, to_csv(exercises))
    for name, group in itertools.groupby(exercises, lambda exercise: exercise.lesson):
        console.print(_report(name, list(group)))
    say(str(path) if exercises else f"Nothing is graded yet: python -m autograder grade {folder}")


@app.command()
def doctor(folder: Annotated[Path | None, typer.Argument(help="also examine this class directory")] = None):
    """Check whether this machine can grade.

    It lists what is missing, with the exact remedy.
    """
    from autograder import doctor

    fit = True
    for finding in doctor.examine(folder):
        fit &= finding.ok
        say(f"{'[green]ok[/]     ' if finding.ok else '[red]missing[/]'} {plain(finding.what)}")
        for line in finding.remedy.splitlines():
            # No line breaks: commands are for copying.
            console.print(f"        {plain(line)}", soft_wrap=True)
    if not fit:
        raise typer.Exit(1)


@app.command()
def gradescope(folder: Folder, lesson: Annotated[str, typer.Argument(help="such as 03_made_masks")]) -> None:
    """Make the zip that grades one lesson on Gradescope."""
    from autograder import gradescope

    with _in_words():
        path = gradescope.bundle(_settings(folder), lesson)
    say(f"{path}: upload it as the assignment's autograder. It holds a secret: do not share it.")


@app.command("sample-class")
def sample(folder: Folder = Path("build/class")) -> None:
    """Try every command on a sample class of odd submissions.

    It compares the points with what each submission deserves.
    """
    from autograder import sample_class

    with _in_words():
        first, again = sample_class.rounds(folder, sample_class.create(folder))
        for submissions in (first, again):
            with tempfile.TemporaryDirectory() as source:
                sample_class.hand_in(Path(source), submissions)
                _run(collect, folder, Path(source))
            statuses = _grade(folder, None, None, None, None, False, False)
        for command in (feedback, export, report):
            _run(command, folder)
        wrong = list(sample_class.differences(folder, first, again, statuses))
    for line in wrong:
        say(f"[red]wrong[/] {plain(line)}")
    if wrong:
        raise typer.Exit(1)
    say(f"All {len(first)} submissions got exactly the points that they deserve.")


def say(text: str) -> None:
    """Print text wrapped at word boundaries; paths stay whole, for copying."""
    # Markup counts towards the width, so lines come out a little short; it has no spaces, so no tag is broken.
    lines = textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)
    console.print(lines, soft_wrap=True)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Report errors of the user or the machine in plain words, with the exit status that the help documents."""
    from autograder.sandbox.remedies import NoSandbox

    try:
        yield
    except NoSandbox as missing:
        _fail(f"{missing}\nIf no result matters, --unsafe-no-sandbox runs students' code unconfined.", 3)
    except (ValueError, FileNotFoundError) as error:
        _fail(str(error), 2)
    except (OSError, RuntimeError) as error:
        _fail(f"{error}\nWhat is done stays done: run the command again to continue.", 4)
    except KeyboardInterrupt:
        _fail("Stopped. What is done stays done: run the command again to continue.", 130)


def plain(text: str) -> str:
    """Escape text that may quote a student: no markup, no control characters."""
    return escape("".join(letter if letter.isprintable() else " " if letter == "\n" else "?" for letter in text))


def _fail(message: str, status: int) -> None:
    for line in message.splitlines():
        errors.print(plain(line), soft_wrap=True)
    raise typer.Exit(status)


def _settings(folder: Path) -> Any:
    from autograder.classroom.settings import load

    if not (folder / "nbgrader_config.py").exists():
        raise ValueError(f"{folder} is not a class directory: make one with `python -m autograder new-class {folder}`")
    return load(folder)


def _run(command: Any, *arguments: Any) -> None:
    """Run another command, and carry on even if something needs a look."""
    with contextlib.suppress(typer.Exit):
        command(*arguments)


def _grade(
    folder: Path,
    students: list[str] | None,
    lessons: list[str] | None,
    workers: int | None,
    scheduler: str | None,
    regrade: bool,
    unsafe: bool,
) -> list[Any]:
    """Grade with a progress bar, then print the table and the paths of the results."""
    from autograder.classroom import directory, run

    _settings(folder)
    chosen = {"students": students, "lessons": lessons, "workers": workers, "scheduler": scheduler}
    handed_in = [
        names
        for names in directory.submissions(folder)
        if (not students or names[0] in students) and (not lessons or names[1] in lessons)
    ]
    with _progress("Grading", len(handed_in)) as tick:
        statuses = list(tick(run.grade(folder, **chosen, regrade=regrade, unsafe=unsafe)))
    statuses.sort(key=lambda status: (status.student, status.lesson))
    shown = [status for status in statuses if status.status == "graded"]
    if 0 < len(shown) <= SHOWN:
        console.print(_table(shown))
    for status in statuses:
        for line in _odd(status):
            say(f"{line[0]} {plain(status.student)}, {plain(status.lesson)}: {plain(line[1])}")
    counts = Counter(status.status for status in statuses)
    say(", ".join(f"{count} {name}" for name, count in counts.items()) or f"{folder}/submitted is empty.")
    if counts["outdated"]:
        say("Outdated: graded before the checks or points changed. --regrade grades them again.")
    if any(status.ledger and status.ledger["sandbox"].startswith("none") for status in statuses):
        say("[red]Graded without a sandbox:[/] every result says so.")
    say(f"Status   {folder}/status.json")
    say(f"Reports  {folder}/ledger/STUDENT/LESSON.json")
    say("Next: grade by hand in formgrader where needed, then feedback, export, report")
    return statuses


def _odd(status: Any) -> Iterator[tuple[str, str]]:
    """Everything odd about one submission, for the instructor."""
    if status.status == "failed":
        yield "[red]not graded[/]", status.error
    for note in status.notes:
        yield "[yellow]note[/]", note
    for report in status.ledger["exercises"] if status.ledger else ():
        if report["fault"]:
            yield "[red]fault of the check[/]", f"{report['exercise']}: {report['fault']}"


@contextlib.contextmanager
def _progress(what: str, total: int | None) -> Iterator[Any]:
    """Show a progress bar over an iterator, in a terminal."""
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[name]}")
    with Progress(TextColumn(what), *columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, name="")

        def tick(each: Iterator[Any]) -> Iterator[Any]:
            for item in each:
                progress.update(task, advance=1, name=plain(item.student))
                yield item

        yield tick


def _name(what: str, submissions: tuple[tuple[str, str], ...]) -> None:
    if submissions:
        listed = ", ".join(f"{student} {lesson}" for student, lesson in submissions[:9])
        more = f" and {len(submissions) - 9} more" if len(submissions) > 9 else ""
        say(f"[yellow]{len(submissions)} {what}:[/] {plain(listed)}{more}")


def _table(statuses: list[Any]) -> Table:
    table = Table(box=box.HORIZONTALS, pad_edge=False, show_lines=True)
    table.add_column("student", overflow="fold")
    table.add_column("lesson", overflow="fold")
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("what was lost, and why", ratio=1, overflow="fold")
    for status in statuses:
        points = f"{status.ledger['points']:g}/{status.ledger['max_points']:g}"
        table.add_row(plain(status.student), status.lesson, points, "\n".join(_lost(status.ledger)))
    return table


def _lost(ledger: dict[str, Any]) -> Iterator[str]:
    from autograder.results.exports import reasons

    if ledger["notes"]:
        yield f"[yellow]note[/] {_short('; '.join(ledger['notes']))}"
    lost = [report for report in ledger["exercises"] if report["points"] < report["max_points"]]
    for reason, reports in itertools.groupby(lost, reasons):
        names = ", ".join(f"[bold]{each['exercise']}[/] -{each['max_points'] - each['points']:g}" for each in reports)
        yield f"{names}: {_short(reason)}"


def _report(lesson: str, exercises: list[Any]) -> Table:
    judged = max(exercise.judged for exercise in exercises)
    table = Table(box=box.HORIZONTALS, pad_edge=False, title=f"{lesson}: {judged} submissions", title_justify="left")
    table.add_column("exercise", overflow="fold")
    table.add_column("lost", justify="right", no_wrap=True)
    table.add_column("property", overflow="fold")
    table.add_column("what most of them read", ratio=1, overflow="fold")
    for exercise in exercises:
        mean = f"[dim]mean {exercise.mean:.3g} of {exercise.max_points:g}[/]"
        who = f"[dim]{exercise.full} earned all, {exercise.unanswered} did not answer[/]"
        table.add_row(f"[bold]{exercise.name}[/]", "", mean, who)
        above = ""
        for lost in exercise.properties:
            worth = f" ({lost.points:g})" if lost.points else " (gate)"
            seen = f"[dim]{lost.seen}x[/] " if lost.seen < lost.lost else ""
            message = "[dim]as above[/]" if lost.message == above else _short(lost.message)
            table.add_row("", str(lost.lost), f"{plain(lost.name)}{worth}", f"{seen}{message}")
            above = lost.message
    return table


def _short(text: str) -> str:
    return plain(textwrap.shorten(text, REASON, placeholder=" ..."))


if __name__ == "__main__":
    app(prog_name="python -m autograder")
