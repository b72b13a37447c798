"""nbgrader's settings for this course.

A class directory holds what a class hands in, the graded work and the gradebook; it lies outside version control
and has a file `nbgrader_config.py` (`CONFIG`), which an instructor may add to.

Every nbgrader command run there then works: generate_assignment, autograde, generate_feedback, export, formgrader.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from traitlets.config import Config, PyFileConfigLoader

from autograder.course import ANSWER, settings

__all__ = ["CONFIG", "configure", "nbgrader_settings"]

FILE = "nbgrader_config.py"
CONFIG = """from pathlib import Path

from autograder.nbgrader_config import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821
"""


def nbgrader_settings(folder: Path) -> Config:
    """nbgrader's settings of a class, the instructor's own among them."""
    return PyFileConfigLoader(FILE, str(folder.resolve())).load_config()


def configure(c: Config, folder: Path = Path()) -> None:
    """Set nbgrader up for a class; what is set afterwards wins.

    Args:
        folder: the class directory, whose `course.toml` names the gradebook and what lateness costs.

    Raises:
        ValueError: `course.toml` is not as it should be.
    """
    # nbgrader starts `alembic` by name when it makes a gradebook.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

    c.CourseDirectory.course_id = "deep-generative-models"
    c.CourseDirectory.root = str(folder.resolve())
    c.CourseDirectory.source_directory = "source"
    c.CourseDirectory.release_directory = "release"
    c.CourseDirectory.db_url, late = settings(folder)
    c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # your answer"}
    c.ClearSolutions.text_stub = ANSWER
    if late:
        c.AssignLatePenalties.plugin_class = "autograder.late.PerDay"
        c.PerDay.per_day, c.PerDay.at_most = late.per_day, late.at_most

    # Only for the feedback: formgrader has a template of its own by the same means.
    c.GenerateFeedback.HTMLExporter.extra_template_basedirs = [str(Path(__file__).with_name("templates"))]
    c.GenerateFeedback.preprocessors = ["autograder.feedback.ShowGrades"]
    c.HTMLExporter.filters = {"markdown2html": "autograder.feedback.markdown"}

    steps = "autograder.nbgrader_steps"
    c.Autograde.exporter_class = f"{steps}.AnyFile"
    c.Autograde.pre_convert_hook = partial(_clear, folder.resolve())
    c.Autograde.sanitize_preprocessors = [f"{steps}.Judge"]
    c.Autograde.autograde_preprocessors = [
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        f"{steps}.KeepLedger",
    ]


def _clear(folder: Path, **names: Any) -> None:
    from autograder.nbgrader_steps import clear

    clear(folder, **names)
