"""Grading: a class run against stock nbgrader on the same submissions, and its overhead beyond checks and answers.

Both grade one submission at a time. The time per submission is measured between the first graded notebook and the
last, which excludes the start of either program.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import psutil
from nbgrader.utils import is_grade

from autograder.classroom import run
from autograder.classroom.settings import SOLUTIONS, Settings, load
from autograder.lesson import checks_of
from autograder.release.build import ROOT, build_source
from autograder.release.for_class import create
from benchmarks import Comparison

LESSON, TRIVIAL = "03_made_masks", "01_trivial"
OURS, STOCK = 8, 2  # numbers of submissions
TRIVIAL_SOURCE = """# %% [markdown]
# # Two trivial functions

# %% setup=true
import torch

# %%
from autograder.checks import trivial as checks

# %% exercise="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% check="double"

# %% exercise="cube"
def cube(x):
    ### BEGIN SOLUTION
    return x**3
    ### END SOLUTION

# %% check="cube"
"""
TRIVIAL_CHECKS = '''from autograder.checking.check import check, holds


@check(points={"doubles": 2}, hints=["a", "b", "c"])
def double(student, rng):
    """Twice."""
    yield holds("doubles", student.call(3) == 6, because="double(3) is 6")


@check(points={"cubes": 2}, hints=["a", "b", "c"])
def cube(student, rng):
    """Cube."""
    yield holds("cubes", student.call(3) == 27, because="cube(3) is 27")
'''
BUDGET = "COURSE_BUDGET=smoke"  # else stock nbgrader would train for minutes
# The settings of any nbgrader class, except that a cell may take as long as it needs.
STOCK_CONFIG = """c = get_config()
c.CourseDirectory.course_id = "stock"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.Execute.timeout = 1800
"""


@dataclass(frozen=True)
class ProcessorTime:
    """CPU seconds of a class run over right answers.

    Attributes:
        alone: per submission, for its answers and their checks alone, in one warm process.
        whole: per submission, for everything that the run does.
        start: once, for the run's own start: Dask, the sandbox, imports.
    """

    alone: float
    whole: float
    start: float

    @property
    def overhead(self) -> float:
        """The cost per submission of rebuilding, the sandbox, the pipe, Dask and the gradebook."""
        return self.whole - self.alone


def measure() -> Iterator[Comparison]:
    """Compare the time per submission in a class run and with stock nbgrader."""
    text = (SOLUTIONS / f"{LESSON}.py").read_text()
    cases = (
        (f"{LESSON}, trained as at {BUDGET}", LESSON, {f"solutions/{LESSON}.py": text}),
        ("the same, exercises alone", LESSON, {f"solutions/{LESSON}.py": exercises_alone(text)}),
        (
            "import torch and two trivial functions",
            TRIVIAL,
            {f"solutions/{TRIVIAL}.py": TRIVIAL_SOURCE, "checks/trivial.py": TRIVIAL_CHECKS},
        ),
    )
    for what, lesson, files in cases:
        with tempfile.TemporaryDirectory() as folder:
            settings = make(Path(folder) / "class", lesson, files)
            fast, slow = ours(settings, lesson), stock(settings, lesson, Path(folder) / "stock")
            yield Comparison(what, "class run", "stock nbgrader", fast, slow)


def processor_time(count: int = 34, warm: int = 4) -> ProcessorTime:
    """Measure a run over `count` submissions, where the first few warm it up."""
    alone = [answers_and_checks()]
    with tempfile.TemporaryDirectory() as folder:
        settings = make(Path(folder), LESSON, {})
        submit(settings, LESSON, count)
        before, spent = processor_seconds(), []
        for _ in run.grade(settings.folder, workers=1):
            spent.append(processor_seconds())
    alone.append(answers_and_checks())
    whole = (spent[-1] - spent[warm - 1]) / (count - warm)
    return ProcessorTime(sum(alone) / 2, whole, spent[warm - 1] - before - warm * whole)


def answers_and_checks(repetitions: int = 5) -> float:
    """Measure the CPU time of the solution's cells and their checks, without any sandbox."""
    notebook = build_source(SOLUTIONS / f"{LESSON}.py")
    cells = [cell.source for cell in notebook.cells if cell.metadata.get("nbgrader") and not is_grade(cell)]
    for repetition in range(repetitions + 1):
        if repetition == 1:  # repetition 0 warms up
            start = time.process_time()
        namespace: dict = {}
        for source in cells:
            exec(source, namespace)
        for name, check in checks_of(LESSON).items():
            if check.run(namespace[name], seed=f"benchmark {repetition}").lost:
                raise RuntimeError(f"the solution of {name} does not earn everything")
    return (time.process_time() - start) / repetitions


def processor_seconds() -> float:
    """CPU time of this process and everything that it started, including ended children that were waited for."""
    here = psutil.Process()
    ended = {here.pid: here.cpu_times()[:2]}  # earlier children of this process do not count
    for process in here.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended, and its parent counts it
            ended[process.pid] = process.cpu_times()[:4]
    return sum(map(sum, ended.values()))


def exercises_alone(text: str) -> str:
    """Strip a lesson's source of the cells that show or train something."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells = [
        cell for cell in notebook.cells if "tags" not in cell.metadata or "from autograder.checks" in cell.source
    ]
    return jupytext.writes(notebook, fmt="py:percent")


def make(folder: Path, lesson: str, files: Mapping[str, str]) -> Settings:
    """A class of one lesson."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "course.toml").write_text(f'lessons = ["{lesson}"]\n')
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    create(folder)
    return load(folder)


def submit(settings: Settings, lesson: str, count: int, folder: Path | None = None) -> None:
    """Hand in the solution, each time with another first line: no two files are the same."""
    source = settings.folder / "source" / lesson / f"{lesson}.ipynb"
    for number in range(count):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells[0].source += f"\n# {number}"
        path = (folder or settings.folder) / "submitted" / f"student-{number}" / lesson / source.name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)


def ours(settings: Settings, lesson: str) -> float:
    submit(settings, lesson, OURS)
    times = []
    for status in run.grade(settings.folder, workers=1):
        if status.status != "graded" or status.ledger["points"] < status.ledger["max_points"]:
            raise RuntimeError(f"the solution of {lesson} does not earn everything: {status}")
        times.append(time.perf_counter())
    return (times[-1] - times[0]) / (OURS - 1)


def stock(settings: Settings, lesson: str, folder: Path) -> float:
    """nbgrader as it comes, on the same notebooks."""
    source = folder / "source" / lesson
    source.mkdir(parents=True)
    for path in (settings.folder / "source" / lesson).iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    (folder / "nbgrader_config.py").write_text(STOCK_CONFIG)
    submit(settings, lesson, STOCK, folder)
    programs = Path(sys.executable).parent
    environment = (
        os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)} | dict([BUDGET.split("=")])
    )
    for command in ("generate_assignment", "autograde"):
        subprocess.run(
            [programs / "nbgrader", command, lesson], cwd=folder, env=environment, check=True, capture_output=True
        )
    notebooks = [folder / "autograded" / f"student-{number}" / lesson / f"{lesson}.ipynb" for number in range(STOCK)]
    for path in notebooks:
        for cell in json.loads(path.read_text())["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade"):
                earned = [output["data"]["text/plain"] for output in cell["outputs"] if "data" in output]
                if [float("".join(text)) for text in earned] != [cell["metadata"]["nbgrader"]["points"]]:
                    raise RuntimeError(f"stock nbgrader does not give everything for {cell['source']}")
    times = sorted(path.stat().st_mtime for path in notebooks)
    return (times[-1] - times[0]) / (STOCK - 1)
