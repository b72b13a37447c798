"""The student bundle: `make student` writes `build/student` and `build/student.zip`; a class has its own.

It holds the student notebooks, the library, and those parts of the autograder that a check in a notebook needs: nothing
that solves, tests or grades. Students work on copies outside `notebooks/` (`course_lib.lab`): a newer bundle may be
unpacked over an older one.
"""

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from autograder.classroom.settings import Settings
from autograder.release.build import NOTEBOOKS, ROOT

__all__ = ["CONTENTS", "make", "make_for_class"]

CONTENTS = (
    "course_lib/**/*.py",
    "course_lib/data/*.wav",
    "course_lib/data/*.safetensors",
    "course_lib/data/*.json",
    "course_lib/weights/*.safetensors",
    "autograder/__init__.py",
    "autograder/given.py",
    "autograder/checks/*.py",
    "autograder/checking/*.py",
    "autograder/inside/__init__.py",
    "autograder/inside/codec.py",
    "autograder/inside/responder.py",
    "data/README.md",
    "environment.yml",
    "pyproject.toml",
    "LICENSE",
)
README = ROOT / "tools" / "student.md"  # becomes the bundle's README.md


def make(folder: Path, released: Path = NOTEBOOKS, name: str = "deep-generative-models") -> Path:
    """Write the bundle to an empty folder, and its zip beside it.

    Args:
        released: the lessons, a folder for each; lesson 00 is added where it is not among them.
        name: of the folder in the zip.

    Returns:
        The zip's path.

    Raises:
        FileNotFoundError: nothing in the repository matches one of `CONTENTS`, or there are no lessons.
    """
    for pattern in CONTENTS:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"the bundle needs {pattern}, but there is no such file")
        for path in paths:
            _copy(path, folder / path.relative_to(ROOT))
    lessons = sorted(path for path in released.glob("[0-9][0-9]_*/*") if path.suffix in (".ipynb", ".py"))
    if not lessons:
        raise FileNotFoundError(f"there are no lessons in {released}")
    for path in [*sorted(NOTEBOOKS.glob("00_*/*.ipynb")), *lessons]:
        _copy(path, folder / "notebooks" / path.parent.name / path.name)
    _copy(README, folder / "README.md")
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            out.write(path, Path(name) / path.relative_to(folder))
    return archive


def make_for_class(settings: Settings) -> Path:
    """Write the zip for the students of a class into its directory: the course, with the class's own lessons.

    Returns:
        The zip's path, `COURSE_ID.zip`. An older one is replaced.

    Raises:
        FileNotFoundError: the class has no release yet.
    """
    target = settings.folder / f"{settings.course_id}.zip"
    with tempfile.TemporaryDirectory(dir=settings.folder, prefix=".bundle-") as folder:
        archive = make(Path(folder) / "bundle", settings.folder / "release", settings.course_id)
        os.replace(archive, target)
    return target


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def main() -> int:
    folder = ROOT / "build" / "student"
    shutil.rmtree(folder, ignore_errors=True)
    archive = make(folder)
    size = archive.stat().st_size / 1e6
    print(f"{folder.relative_to(ROOT)}/ and {archive.relative_to(ROOT)} ({size:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
