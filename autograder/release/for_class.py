"""Creates a class directory and builds the class's lessons from its settings, with and without solutions."""

import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.classroom import directory
from autograder.classroom.settings import SETTINGS, TEMPLATE, Settings, load, sources
from autograder.gradebook.create import update
from autograder.lesson import Lesson
from autograder.release.build import build_source, generate

__all__ = ["build", "create"]


def create(folder: Path) -> None:
    """Create a class directory, or update one to its settings and the course.

    Raises:
        ValueError, RuntimeError: as `build`.
    """
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)  # grades and students' names are private
    if not (folder / SETTINGS).exists():
        shutil.copyfile(TEMPLATE, folder / SETTINGS)
    if not (folder / directory.FILE).exists():
        (folder / directory.FILE).write_text(directory.CONFIG)
    directory.class_secret(folder)
    build(load(folder))


def build(settings: Settings) -> None:
    """Build the class's `source` (with solutions) and `release` (for students), and update its gradebook.

    Points and due dates may change at any time. A lesson removed from the settings also leaves the gradebook, unless it
    has submissions there. A lesson is released only once its assignment in the gradebook is complete; after an
    interruption, call this again.

    Raises:
        ValueError: a source breaks the pattern of a lesson, or work is already graded and the set of cells with points
            would change; nothing is written then.
        RuntimeError: nbgrader cannot make an assignment; the message is its own.
    """
    known = sources(settings.folder)
    notebooks = {name: build_source(known[name], lesson) for name, lesson in settings.lessons.items()}
    config = directory.nbgrader_settings(settings.folder)
    left_out = known.keys() - notebooks.keys()
    with directory.locked(settings.folder):
        update(settings.db_url, config.CourseDirectory.course_id, settings.lessons, notebooks, left_out)
        for name in left_out:
            for step in ("source", "release"):
                shutil.rmtree(settings.folder / step / name, ignore_errors=True)
        for name, notebook in notebooks.items():
            _write_source(settings.folder / "source" / name, notebook, settings.lessons[name])
        generate(notebooks, config)


def _write_source(folder: Path, notebook: NotebookNode, lesson: Lesson) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{lesson.name}.ipynb")
    checks = folder / f"{lesson.practice_checks}.py"
    if lesson.check_source is None:
        checks.unlink(missing_ok=True)
    else:
        checks.write_text(lesson.check_source, encoding="utf-8")
