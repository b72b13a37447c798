"""Feedback: one self-contained page per graded submission, for its student.

`make` renders a whole class with one exporter and a few queries; `nbgrader generate_feedback` makes the same pages,
through the same template and `ShowGrades`. A page shows what the student typed and printed as text, never as markup. It
is rendered from the autograded notebook, which holds only text and pictures from a submission.
"""

import secrets
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets.config import Config

from autograder.classroom import directory
from autograder.classroom.files import write
from autograder.classroom.settings import Settings
from autograder.gradebook import read
from autograder.gradebook.read import Marks
from autograder.lesson import FURTHER_ID

__all__ = ["Made", "ShowGrades", "exporter", "make", "markdown", "page"]

TEMPLATES = Path(__file__).parents[1] / "templates"
MAX_SHOWN = 50_000  # characters of an answer: syntax highlighting multiplies its size


@dataclass(frozen=True)
class Made:
    """One page, or the reason why there is none."""

    student: str
    lesson: str
    path: Path
    error: str = ""


def make(settings: Settings, students: Collection[str] = (), lessons: Collection[str] = ()) -> Iterator[Made]:
    """Write CLASS/feedback/STUDENT/LESSON/LESSON.html for every graded submission, and yield each page once written.

    Pages of submissions that are no longer graded (a newer one could not be) are deleted.

    Args:
        students, lessons: only these; empty for all.
    """
    renderer = exporter()
    with Gradebook(settings.db_url) as gradebook:
        book = read.read(gradebook)
    graded = directory.ledgers(settings.folder)
    for student, lesson in graded:
        if (students and student not in students) or (lessons and lesson not in lessons):
            continue
        path = settings.folder / "feedback" / student / lesson / f"{lesson}.html"
        notebook = directory.autograded(settings.folder, student, lesson)
        try:
            # nbformat.read would spend time on validating the grader's own file.
            text = page(renderer, nbformat.v4.reads(notebook.read_text(encoding="utf-8")), book[student, lesson])
        except (OSError, ValueError, KeyError, AttributeError) as error:
            why = "not in the gradebook" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            yield Made(student, lesson, path, f"{why}: grade this submission again with --regrade")
            continue
        write(path, text)
        _prepare_exchange(notebook.parent, path.parent)
        yield Made(student, lesson, path)
    for path in sorted((settings.folder / "feedback").glob("*/*/*.html")):
        if path.parts[-3:-1] not in graded:
            path.unlink()


def _prepare_exchange(graded: Path, feedback: Path) -> None:
    """Write the files beside each page that `nbgrader release_feedback` needs: it stops at the first student without.

    Work from outside nbgrader's exchange gets a secret that nobody knows, so nobody finds its page there.
    """
    for name, otherwise in (("timestamp.txt", "unknown"), (directory.EXCHANGE_SECRET, secrets.token_hex(32))):
        source, target = graded / name, feedback / name
        if not target.exists():  # grading a newer submission deletes the folder
            write(target, source.read_bytes() if source.exists() else otherwise)


def page(renderer: HTMLExporter, notebook: NotebookNode, marks: Marks) -> str:
    """Render one page.

    Args:
        renderer: from `exporter`; one is enough for a whole class.
        notebook: the autograded notebook; it is modified.
        marks: the submission in the gradebook.
    """
    resources = ResourcesDict(nbgrader={"student": marks.student, "assignment": marks.lesson, "notebook": marks.lesson})
    show(notebook, resources, marks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert warns about odd notebooks
        return renderer.from_notebook_node(notebook, resources=resources)[0]


def show(notebook: NotebookNode, resources: dict[str, Any], marks: Marks) -> None:
    """Put the gradebook's points and comments where the template looks for them."""
    part, parts = "core path", {}
    for cell in notebook.cells:
        if cell.get("id") == FURTHER_ID:
            part = "going further"
        graded = cell.metadata.get("nbgrader", {})
        name = graded.get("grade_id", "").removesuffix("-check")
        if graded.get("solution"):
            graded.comment = marks.comments.get(name, "")
            cell.source = _cut(cell.source)
        if graded.get("grade") and name in marks.marks:
            mark = marks.marks[name]
            graded.part = "questions" if graded.solution else part
            graded.update(score=mark.points, points=mark.max_points, waits=mark.waits, by_hand=mark.manual)
            earned, most = parts.get(graded.part, (0.0, 0.0))
            parts[graded.part] = earned + mark.points, most + mark.max_points
    totals = {"score": marks.points, "max_score": marks.max_points, "late_penalty": marks.penalty, "waits": marks.waits}
    # A lesson that does not go further is not divided.
    resources["nbgrader"].update(totals, parts=parts if part == "going further" else {})


class ShowGrades(NbGraderPreprocessor):
    """Replaces nbgrader's own GetGrades in `nbgrader generate_feedback`."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            book = read.read(gradebook, names["student"], names["assignment"])
        show(nb, resources, book[names["student"], names["assignment"]])
        return nb, resources


def markdown(source: str) -> str:
    """Render Markdown as HTML with all markup escaped, for Formgrader, where an instructor reads students' text.

    nbconvert's own filter lets markup through, and Formgrader's page may do anything that the instructor may.
    """
    renderer = IPythonRenderer(escape=True, allow_harmful_protocols=False)
    return MarkdownWithMath(renderer=renderer).render(source.replace("\\href", "\\ href"))  # MathJax would make a link


def exporter() -> HTMLExporter:
    """nbconvert's exporter with the feedback template."""
    config = Config()
    config.Exporter.default_preprocessors = []
    config.HTMLExporter.template_name = "feedback"
    config.HTMLExporter.extra_template_basedirs = [str(TEMPLATES)]
    return HTMLExporter(config=config)


def _cut(source: str) -> str:
    left = len(source) - MAX_SHOWN
    return source if left <= 0 else f"{source[:MAX_SHOWN]}\n# ({left} more characters)"
