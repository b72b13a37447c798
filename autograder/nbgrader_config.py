"""nbgrader's settings for this course.

A class directory holds what a class hands in, the graded work and the gradebook; it lies outside version control
and has a file `nbgrader_config.py` of two lines:

    from autograder.nbgrader_config import configure
    configure(get_config())

Every nbgrader command run there then works: generate_assignment, autograde, generate_feedback, export, formgrader.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from traitlets.config import Config

__all__ = ["configure"]

_ROOT = Path(__file__).resolve().parents[1]


def configure(c: Config) -> None:
    """Set nbgrader up for this course; what is set afterwards wins."""
    # nbgrader starts `alembic` by name when it makes a gradebook.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

    c.CourseDirectory.course_id = "deep-generative-models"
    c.CourseDirectory.source_directory = str(_ROOT / "build" / "source")
    c.CourseDirectory.release_directory = str(_ROOT / "notebooks")
    c.CourseDirectory.db_url = "sqlite:///gradebook.db?timeout=60"
    c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # your answer"}

    # Only for the feedback: formgrader has a template of its own by the same means.
    c.GenerateFeedback.HTMLExporter.extra_template_basedirs = [str(Path(__file__).with_name("templates"))]

    steps = "autograder.nbgrader_steps"
    checked = "nbgrader.preprocessors.CheckCellMetadata"
    c.Autograde.exporter_class = f"{steps}.ForgivingExporter"
    c.Autograde.pre_convert_hook = partial(_invalidate, c)
    c.Autograde.sanitize_preprocessors = [
        f"{steps}.Rebuild",
        "nbgrader.preprocessors.OverwriteCells",
        checked,
    ]
    c.Autograde.autograde_preprocessors = [
        f"{steps}.JudgeSubmission",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        checked,
    ]


def _invalidate(c: Config, **names: Any) -> None:
    from autograder.nbgrader_steps import invalidate

    invalidate(c, **names)
