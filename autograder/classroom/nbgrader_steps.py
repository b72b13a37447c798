"""The steps through which plain `nbgrader autograde` and formgrader reach the judge.

`nbgrader_config` installs them: the exporter reads whatever was handed in; `Judge`, the only sanitizing step, replaces
it with the judged notebook; nbgrader's own steps then write the gradebook; and `KeepLedger` comes last, as in a class
run.
"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import parse_utc

from autograder.classroom import directory
from autograder.classroom.settings import load, load_gradebook
from autograder.gradebook.write import Gradebook
from autograder.grading.submission import grade
from autograder.sandbox.server import shared

__all__ = ["AnyFile", "Judge", "KeepLedger", "Submissions", "clear"]

UNSAFE = "UNSAFE_NO_SANDBOX"  # an environment variable: set for each run, never read from a file of the course


class Submissions(CourseDirectory):
    """nbgrader's folders, reduced to the notebook: nbgrader would copy every other file, even links."""

    def __init__(self, folders: CourseDirectory):
        kept = {name: getattr(folders, name) for name in CourseDirectory.class_trait_names(config=True)}
        super().__init__(**kept | {"ignore": ["*", ".*"]})

    def get_existing_timestamp(self, dest_path: str) -> datetime | None:
        time, odd = directory.time_in(Path(dest_path))
        if odd:
            self.log.warning("%s: %s", dest_path, odd)
        return parse_utc(time)


class AnyFile(NotebookExporter):
    """Leaves reading the submission to `Judge`, so that a broken file never ends the run."""

    def __init__(self, parent: Any = None, **kw: Any):
        super().__init__(parent=parent, **kw)
        if not isinstance(parent.coursedir, Submissions):
            parent.coursedir = Submissions(parent.coursedir)
        self.ledger: dict[str, Any] = {}

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[str, ResourcesDict]:
        # nbgrader converts twice: first the submission, then the result of that.
        judged = os.path.dirname(filename) == self.parent.writer.build_directory
        notebook = nbformat.read(filename, as_version=4) if judged else nbformat.v4.new_notebook()
        return self.from_notebook_node(notebook, resources=resources, **kw)


class Judge(NbGraderPreprocessor):
    """Replaces the submission with the judged notebook."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        student, name = resources["nbgrader"]["student"], resources["nbgrader"]["assignment"]
        settings = load(Path(self.parent.parent.coursedir.root))
        lesson = settings.lessons.get(name)
        if lesson is None:
            raise ValueError(f"{name} is not a lesson of this class; the lessons are {', '.join(settings.lessons)}")
        with Gradebook(settings.db_url) as book:
            book.check(lesson)
        master = json.loads(directory.master(settings.folder, name))
        handed_in, _ = directory.take(settings.folder, student, name)
        server = shared(settings.limits, unsafe=os.environ.get(UNSAFE) == "1")
        graded = grade(lesson, master, handed_in, directory.class_secret(settings.folder), server, student)
        for note in graded.ledger["notes"]:
            self.log.warning("%s: %s", student, note)
        for report in graded.ledger["exercises"]:
            if report["fault"]:
                self.log.error("%s, %s: the check failed: %s", student, report["exercise"], report["fault"])
        self.parent.ledger = graded.ledger
        return nbformat.from_dict(json.loads(graded.notebook)), resources


class KeepLedger(NbGraderPreprocessor):
    """Writes the judge's reports to the ledger, once the gradebook has the points."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        ledger, folder = self.parent.ledger, Path(self.parent.parent.coursedir.root)
        directory.write_ledger(folder, ledger)
        return nb, resources


def clear(folder: Path, *, assignment: str, student: str, notebooks: list[str]) -> None:
    """nbgrader's pre-convert hook: delete the old grade first, so that it never passes for the new submission's."""
    *_, student, lesson, _ = Path(notebooks[0]).parts
    directory.forget(folder, student, lesson)
    with Gradebook(load_gradebook(folder).db_url) as book:
        book.clear(student, lesson)
