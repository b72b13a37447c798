"""nbgrader's settings for this course.

A class directory holds the submissions, the graded work and the gradebook, outside version control. Its file
`nbgrader_config.py` calls `configure`; instructors may add to it.

Every nbgrader command run there then works: generate_assignment, autograde, generate_feedback, export, formgrader.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from traitlets.config import Config

from autograder.classroom.settings import ANSWER, load_gradebook

__all__ = ["configure"]


def configure(c: Config, folder: Path = Path()) -> None:
    """Configure nbgrader for a class; later settings override these.

    Args:
        folder: the class directory, whose `course.toml` gives the course's id, the gradebook and the late penalty.

    Raises:
        ValueError: `course.toml` is invalid.
    """
    # nbgrader runs `alembic` by name to create a gradebook.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

    c.CourseDirectory.root = str(folder.resolve())
    c.CourseDirectory.source_directory = "source"
    c.CourseDirectory.release_directory = "release"
    gradebook = load_gradebook(folder)
    c.CourseDirectory.course_id = gradebook.course_id
    c.CourseDirectory.db_url = gradebook.db_url
    c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # your answer"}
    c.ClearSolutions.text_stub = ANSWER
    if gradebook.late:
        c.AssignLatePenalties.plugin_class = "autograder.gradebook.late.PerDay"
        c.PerDay.per_day, c.PerDay.at_most = gradebook.late.per_day, gradebook.late.at_most

    # Only for the feedback: formgrader sets its own template in the same way.
    c.GenerateFeedback.HTMLExporter.extra_template_basedirs = [str(Path(__file__).with_name("templates"))]
    c.GenerateFeedback.preprocessors = ["autograder.results.feedback.ShowGrades"]
    c.HTMLExporter.filters = {"markdown2html": "autograder.results.feedback.markdown"}

    steps = "autograder.classroom.nbgrader_steps"
    c.Autograde.exporter_class = f"{steps}.AnyFile"
    c.Autograde.pre_convert_hook = partial(_clear, folder.resolve())
    c.Autograde.sanitize_preprocessors = [f"{steps}.Judge"]
    c.Autograde.autograde_preprocessors = [
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        f"{steps}.KeepLedger",
    ]


def _clear(folder: Path, **names: Any) -> None:
    from autograder.classroom.nbgrader_steps import clear

    clear(folder, **names)
