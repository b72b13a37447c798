"""A class's own lessons, made from its settings: notebooks with and without solutions, and its gradebook."""

import shutil
import warnings
from pathlib import Path

import nbformat
import nbgrader
from alembic.script import ScriptDirectory
from nbformat import NotebookNode
from nbgrader.api import Base, Gradebook, MissingEntry
from nbgrader.utils import is_grade, is_locked, is_solution
from sqlalchemy import create_engine, inspect, text

from autograder.build import build_source, generate
from autograder.course import Course, Lesson, sources
from autograder.directory import locked
from autograder.nbgrader_config import nbgrader_settings

__all__ = ["build"]


def build(course: Course) -> None:
    """Make the class's `source` (with solutions) and `release` (the students'), and bring its gradebook up to date.

    Points and due dates may change at any time. A lesson that left the settings leaves the gradebook as well, unless it
    has submissions there. A lesson's release is there only when its assignment in the gradebook is complete; where
    this was interrupted, do it again.

    Raises:
        ValueError: a source breaks the pattern of a lesson, or work is graded already and the cells with points
            would become others; nothing is changed then.
        RuntimeError: nbgrader cannot make an assignment; with its words.
    """
    found = sources(course.folder)
    notebooks = {name: build_source(found[name], lesson) for name, lesson in course.lessons.items()}
    config = nbgrader_settings(course.folder)
    with locked(course.folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SQLAlchemy, about nbgrader's gradebook
        _create_gradebook(course.db_url)
        with Gradebook(course.db_url, config.CourseDirectory.course_id) as gradebook:
            for name, notebook in notebooks.items():
                _refuse_other_cells(gradebook, name, notebook)
            for name, lesson in course.lessons.items():
                gradebook.update_or_create_assignment(name, duedate=lesson.due)
            for assignment in gradebook.assignments:
                if assignment.name in found.keys() - notebooks.keys() and not assignment.submissions:
                    gradebook.remove_assignment(assignment.name)
        for name in found.keys() - notebooks.keys():
            for step in ("source", "release"):
                shutil.rmtree(course.folder / step / name, ignore_errors=True)
        for name, notebook in notebooks.items():
            _write_source(course.folder / "source" / name, notebook, course.lessons[name])
        generate(notebooks, config)


def _create_gradebook(db_url: str) -> None:
    """Make nbgrader's tables in one transaction: all of them are there or none, and a second process waits."""
    version = ScriptDirectory(Path(nbgrader.__file__).with_name("alembic")).get_current_head()
    engine = create_engine(db_url)
    lock = "BEGIN IMMEDIATE" if engine.name == "sqlite" else "SELECT pg_advisory_xact_lock(hashtext('nbgrader'))"
    with engine.connect() as connection:
        connection.exec_driver_sql(lock)
        if not inspect(connection).get_table_names():
            Base.metadata.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})
        connection.commit()
    engine.dispose()


def _refuse_other_cells(gradebook: Gradebook, lesson: str, notebook: NotebookNode) -> None:
    """nbgrader's own refusal would come when the old release is gone already."""
    try:
        known = gradebook.find_notebook(lesson, lesson)
    except MissingEntry:
        return
    new = {cell.id for cell in notebook.cells if is_grade(cell) or is_solution(cell) or is_locked(cell)}
    old = {cell.name for cell in known.source_cells}
    if known.submissions and new != old:
        raise ValueError(
            f"{lesson}: there is graded work of {len(known.submissions)} students, and nbgrader lets no cell with "
            f"points come or go then ({', '.join(sorted(new ^ old))}). Expected the exercises and questions as they "
            "were; points and due dates may change. To begin the lesson again, without all its grades: "
            f"`nbgrader db assignment remove {lesson} --force`"
        )


def _write_source(folder: Path, notebook: NotebookNode, lesson: Lesson) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{lesson.name}.ipynb")
    checks = folder / f"{lesson.practice_checks}.py"
    if lesson.check_source is None:
        checks.unlink(missing_ok=True)
    else:
        checks.write_text(lesson.check_source, encoding="utf-8")
