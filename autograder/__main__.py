"""The instructor's commands: `python -m autograder --help`."""

import itertools
import shutil
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from autograder import build, classroom, sample_class
from autograder.classroom import Grade

REASON = 110  # characters of a reason that the table shows; all of it stands in the feedback

app = typer.Typer(
    help="Grade a class.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)

Folder = Annotated[Path, typer.Argument(help="the class directory")]


@app.command("new-class")
def new_class(folder: Folder) -> None:
    """Make a class directory with its gradebook, for all lessons."""
    build.write_sources(build.lessons())
    classroom.create(folder)
    console.print(f"{folder} is ready. Submissions go to {folder}/submitted/STUDENT/LESSON/LESSON.ipynb;")
    console.print(f"then: python -m autograder grade {folder}")


@app.command()
def grade(
    folder: Folder = Path("class"),
    workers: Annotated[int | None, typer.Option(help="submissions at once (default: one for each core)")] = None,
) -> None:
    """Grade every submission of a class; make the feedback and the CSV files."""
    if not (folder / "gradebook.db").exists():
        console.print(f"{folder} is no class directory: make one with `python -m autograder new-class {folder}`")
        raise typer.Exit(2)
    if any(grade.error for grade in _grade(folder, workers)):
        raise typer.Exit(1)


@app.command("sample-class")
def sample(folder: Folder = build.ROOT / "build" / "class") -> None:
    """Make a class of every kind of submission, grade it, and compare the points with what each deserves."""
    from tests.submissions import banks

    names = build.lessons()
    build.write_sources(names)
    shutil.rmtree(folder, ignore_errors=True)
    classroom.create(folder)
    submissions = [
        submission
        for bank in banks()
        for lesson in names
        if lesson.endswith(f"_{bank.lesson}") and not lesson.startswith(classroom.PRACTICE)
        for submission in sample_class.make(lesson, *_notebooks(lesson), bank)
    ]
    sample_class.submit(folder, submissions)
    wrong = list(sample_class.differences(submissions, _grade(folder, None)))
    for line in wrong:
        console.print(f"[bold red]wrong[/] {escape(line)}")
    if wrong:
        raise typer.Exit(1)
    console.print(f"Every one of the {len(submissions)} submissions got exactly the points that it deserves.")


def _notebooks(lesson: str):
    import nbformat

    places = build.SOURCE, build.NOTEBOOKS
    return [nbformat.read(place / lesson / f"{lesson}.ipynb", as_version=4) for place in places]


def _grade(folder: Path, workers: int | None) -> list[Grade]:
    """Grade with a progress bar, then print the table and where everything is."""
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[name]}")
    with Progress(TextColumn("Grading"), *columns, console=console) as progress:
        task = progress.add_task("", total=len(classroom.submissions(folder)), name="")
        grades = []
        for grade in classroom.grade(folder, workers):
            grades.append(grade)
            progress.update(task, advance=1, name=grade.student)
    grades.sort(key=lambda grade: (grade.student, grade.lesson))
    paths = classroom.write_csv(folder, grades)
    console.print(_table(grades))
    for what, path in zip(("Grades", "Exercises"), paths, strict=True):
        console.print(f"{what:<10}{path}", soft_wrap=True)
    console.print(f"Feedback  {folder}/feedback/STUDENT/LESSON/LESSON.html", soft_wrap=True)
    console.print(f"Gradebook {folder}/gradebook.db (`nbgrader` and formgrader work in {folder})", soft_wrap=True)
    return grades


def _table(grades: list[Grade]) -> Table:
    table = Table(box=box.HORIZONTALS, pad_edge=False, show_lines=True)
    table.add_column("student", overflow="fold")
    table.add_column("lesson", overflow="fold")
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("what was lost, and why", ratio=1)
    for grade in grades:
        points = f"{grade.ledger['points']:g}/{grade.ledger['max_points']:g}" if grade.ledger else "-"
        table.add_row(escape(grade.student), grade.lesson, points, "\n".join(_lost(grade)))
    return table


def _lost(grade: Grade):
    if grade.error:
        yield f"[bold red]not graded[/] {escape(grade.error)}" if grade.ledger is None else escape(grade.error)
    if grade.ledger is None:
        return
    if grade.ledger["notes"]:
        yield f"[yellow]note[/] {_short('; '.join(grade.ledger['notes']))}"
    lost = [report for report in grade.ledger["exercises"] if report["points"] < report["max_points"]]
    for reason, reports in itertools.groupby(lost, classroom.why):
        exercises = ", ".join(f"[bold]{r['exercise']}[/] -{r['max_points'] - r['points']:g}" for r in reports)
        yield f"{exercises}: {_short(reason)}"


def _short(text: str) -> str:
    return escape(textwrap.shorten(text, REASON, placeholder=" ..."))


if __name__ == "__main__":
    app(prog_name="python -m autograder")
