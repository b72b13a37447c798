"""A small class for the tests, with its own lesson of three exercises."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.classroom import run
from autograder.classroom.directory import load_ledger
from autograder.classroom.job import Status
from autograder.classroom.settings import load_gradebook
from autograder.gradebook.write import COURSE_ID
from autograder.release.for_class import create

TOY = Path(__file__).with_name("toy")
LESSON = "01_toy"
POINTS = {"double": 2.5, "ask": 1.0, "Counter": 1.5}
SOURCE = (TOY / f"{LESSON}.py").read_text()
# The lesson in two parts: its last exercise goes further.
TWO_PARTS = SOURCE.replace(
    "# ## Exercise 3 · Count\n",
    "# ## Going further\n#\n# More.\n\n# %% [markdown]\n# ### Counting\n#\n# #### Exercise 3 · Count\n",
)
SETTINGS = f"""
lessons = ["{LESSON}"]
[limits]
check_seconds = 5
"""


@dataclass(frozen=True)
class ToyClass:
    """The class's folders, and what students, graders and nbgrader do there."""

    root: Path

    @classmethod
    def make(cls, root: Path, settings: str = SETTINGS) -> "ToyClass":
        """Create a class directory with the lesson."""
        toy = cls(root)
        for source, place in ((TOY / f"{LESSON}.py", "solutions"), (TOY / "checks" / "toy.py", "checks")):
            (toy.folder / place).mkdir(parents=True)
            shutil.copy(source, toy.folder / place)
        toy.set(settings)
        return toy

    def set(self, settings: str) -> None:
        """Change the class's settings, and rebuild it."""
        (self.folder / "course.toml").write_text(settings)
        create(self.folder)

    def copy(self, root: Path) -> "ToyClass":
        shutil.copytree(self.root, root, dirs_exist_ok=True, symlinks=True)
        return ToyClass(root)

    @property
    def folder(self) -> Path:
        return self.root / "class"

    def source(self) -> NotebookNode:
        """The notebook with its solutions."""
        return nbformat.read(self.folder / "source" / LESSON / f"{LESSON}.ipynb", as_version=4)

    def release(self) -> NotebookNode:
        """The notebook as students get it."""
        return nbformat.read(self.folder / "release" / LESSON / f"{LESSON}.ipynb", as_version=4)

    def grade(self, **options: Any) -> dict[str, Status]:
        """Grade the class with one worker; the status of each student."""
        return {status.student: status for status in run.grade(self.folder, **{"workers": 1} | options)}

    def submit(self, student: str, notebook: NotebookNode | str | bytes) -> Path:
        """Hand in a notebook, or anything in its place."""
        path = self.folder / "submitted" / student / LESSON / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = nbformat.writes(notebook) if isinstance(notebook, NotebookNode) else notebook
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def autograded(self, student: str) -> NotebookNode:
        return nbformat.read(self.folder / "autograded" / student / LESSON / f"{LESSON}.ipynb", as_version=4)

    def feedback(self, student: str) -> Path:
        return self.folder / "feedback" / student / LESSON / f"{LESSON}.html"

    def nbgrader(self, *words: str) -> subprocess.CompletedProcess:
        """Run nbgrader's command line in the class directory."""
        command = [str(Path(sys.executable).with_name("nbgrader")), *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def gradebook(self, student: str) -> dict[str, float | None]:
        """The points of each exercise in nbgrader's gradebook; None if a person must still grade it."""
        from nbgrader.api import Gradebook

        with Gradebook(load_gradebook(self.folder).db_url, COURSE_ID) as book:
            grades = book.find_submission_notebook(LESSON, LESSON, student).grades
            return {grade.cell.name.removesuffix("-check"): grade.auto_score for grade in grades}

    def rows(self) -> dict[str, list[tuple]]:
        """Everything in the gradebook about students and their work, without its generated ids."""
        from nbgrader.api import Gradebook, Student, SubmittedAssignment

        with Gradebook(load_gradebook(self.folder).db_url, COURSE_ID) as book:
            about = ("id", "first_name", "last_name", "email", "lms_user_id")
            students = [tuple(getattr(student, field) for field in about) for student in book.db.query(Student)]
            found: dict[str, list[tuple]] = {name: [] for name in ("submissions", "notebooks", "grades", "comments")}
            for work in book.db.query(SubmittedAssignment):
                who = work.student_id, work.assignment.name
                found["submissions"].append((*who, work.timestamp, work.extension))
                for notebook in work.notebooks:
                    about = notebook.name, notebook.flagged, notebook.late_submission_penalty
                    found["notebooks"].append((*who, *about))
                    for grade in notebook.grades:
                        about = grade.auto_score, grade.manual_score, grade.extra_credit, grade.needs_manual_grade
                        found["grades"].append((*who, grade.cell.name, *about))
                    for comment in notebook.comments:
                        about = comment.cell.name, comment.auto_comment, comment.manual_comment
                        found["comments"].append((*who, *about))
            return {name: sorted(rows, key=repr) for name, rows in (found | {"students": students}).items()}

    def ledger(self, student: str) -> dict[str, Any] | None:
        return load_ledger(self.folder, student, LESSON)


def answered(notebook: NotebookNode, **sources: str) -> NotebookNode:
    """The notebook with these sources in the cells of these exercises."""
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    return notebook
