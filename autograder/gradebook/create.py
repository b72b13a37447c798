"""Creates a class's gradebook, and keeps its assignments in step with the class's settings."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import nbgrader
from alembic.script import ScriptDirectory
from nbformat import NotebookNode
from nbgrader.api import Base, Gradebook, MissingEntry
from nbgrader.utils import is_grade, is_locked, is_solution
from sqlalchemy import create_engine, inspect, text

from autograder.lesson import Lesson

__all__ = ["create", "update"]


def update(
    db_url: str,
    course_id: str,
    lessons: Mapping[str, Lesson],
    notebooks: Mapping[str, NotebookNode],
    left_out: Collection[str],
) -> None:
    """Create the gradebook if there is none, and update its assignments.

    Args:
        lessons, notebooks: the class's lessons and their notebooks with solutions, by name.
        left_out: names of lessons that are not in the class; the gradebook drops them unless they have submissions.

    Raises:
        ValueError: work is already graded, and the set of cells with points would change; nothing is written then.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy warns about nbgrader's tables
        create(db_url)
        with Gradebook(db_url, course_id) as gradebook:
            for name, notebook in notebooks.items():
                _refuse_other_cells(gradebook, name, notebook)
            for name, lesson in lessons.items():
                gradebook.update_or_create_assignment(name, duedate=lesson.due)
            for assignment in gradebook.assignments:
                if assignment.name in left_out and not assignment.submissions:
                    gradebook.remove_assignment(assignment.name)


def create(db_url: str) -> None:
    """Create nbgrader's tables in one transaction: all or none, and a second process waits."""
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
    """Refuse before nbgrader does, which would already have deleted the old release."""
    try:
        known = gradebook.find_notebook(lesson, lesson)
    except MissingEntry:
        return
    new = {cell.id for cell in notebook.cells if is_grade(cell) or is_solution(cell) or is_locked(cell)}
    old = {cell.name for cell in known.source_cells}
    if known.submissions and new != old:
        raise ValueError(
            f"{lesson}: work of {len(known.submissions)} students is graded, so nbgrader lets nobody add or remove "
            f"cells with points ({', '.join(sorted(new ^ old))}). Keep the exercises and questions as they "
            "were; points and due dates may change. To start the lesson afresh, losing all its grades: "
            f"`nbgrader db assignment remove {lesson} --force`"
        )
