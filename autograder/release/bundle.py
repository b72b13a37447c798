"""The student bundle: `make student` writes `build/student` and `build/student.zip`.

It holds the student notebooks, the library, and those parts of the autograder that a check in a notebook needs: nothing
that solves, tests or grades.
"""

import shutil
import sys
import zipfile
from pathlib import Path

from autograder.release.build import ROOT

__all__ = ["CONTENTS", "make"]

CONTENTS = (
    "notebooks/*/*.ipynb",
    "course_lib/**/*.py",
    "course_lib/data/*.wav",
    "course_lib/data/*.safetensors",
    "course_lib/data/*.json",
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


def make(folder: Path) -> Path:
    """Write the bundle to an empty folder, and its zip beside it.

    Returns:
        The zip's path.

    Raises:
        FileNotFoundError: nothing in the repository matches one of `CONTENTS`.
    """
    for pattern in CONTENTS:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"the bundle needs {pattern}, but there is no such file")
        for path in paths:
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copyfile(README, folder / "README.md")
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            out.write(path, Path("deep-generative-models") / path.relative_to(folder))
    return archive


def main() -> int:
    folder = ROOT / "build" / "student"
    shutil.rmtree(folder, ignore_errors=True)
    archive = make(folder)
    size = archive.stat().st_size / 1e6
    print(f"{folder.relative_to(ROOT)}/ and {archive.relative_to(ROOT)} ({size:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
