"""The student bundle holds what students need, and no answer."""

import re
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autograder.classroom.settings import SOLUTIONS, load
from autograder.release import bundle
from autograder.release.build import build_source, lessons
from course_lib import lab
from tests.autograder.toy_class import LESSON, SETTINGS, answered

LONG_ENOUGH = 25  # characters; a shorter line (`return p`) occurs in many places and proves nothing
IDIOMS = {  # longer lines that any code may need
    "generator = torch.Generator().manual_seed(seed)",
    'self.register_buffer("mask", mask)',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The bundle as a student unpacks it."""
    place = tmp_path_factory.mktemp("bundle")
    unpack(bundle.make(place / "student"), place / "unpacked")
    return place / "unpacked" / "deep-generative-models"


@pytest.fixture(scope="module")
def python(folder, tmp_path_factory) -> Path:
    """A separate Python with the course from the bundle, and other packages from this environment.

    A folder named in a .pth file is searched, but .pth files inside it are not read: the editable installation of this
    repository stays out of sight.
    """
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(place)}))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed"]
    subprocess.run([python, "-m", "pip", "install", *options, folder], check=True)
    return python


def unpack(archive: Path, place: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        content.extractall(place)


def text_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    return path.read_text(errors="replace")  # of a sound, too


def solution_lines(path: Path) -> set[str]:
    parts = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", path.read_text(), flags=re.DOTALL)
    lines = {line.strip() for part in parts for line in part.splitlines()}
    return {line for line in lines if len(line) >= LONG_ENOUGH and not line.startswith("#")} - IDIOMS


def test_bundle_holds_only_what_students_need(folder):
    parts = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert parts == {
        "LICENSE", "README.md", "autograder", "course_lib", "data", "environment.yml", "notebooks", "pyproject.toml",
    }  # fmt: skip
    assert {path.name for path in (folder / "autograder").iterdir()} == {
        "__init__.py", "checking", "checks", "given.py", "inside",
    }  # fmt: skip
    inside = {path.name for path in (folder / "autograder" / "inside").iterdir()}
    assert inside == {"__init__.py", "codec.py", "responder.py"}
    assert sorted(path.stem for path in folder.glob("notebooks/*/*.ipynb")) == lessons()


@pytest.mark.parametrize("name", lessons())
def test_bundle_holds_no_line_of_a_solution(folder, name):
    answers = solution_lines(SOLUTIONS / f"{name}.py")
    assert answers
    for path in folder.rglob("*"):
        if path.is_file():
            shown = {line.strip() for line in text_of(path).splitlines()}
            assert not answers & shown, f"{path.relative_to(folder)} gives answers away"


def test_a_class_has_its_own_bundle_and_an_update_keeps_what_a_student_wrote(toy, tmp_path):
    """Unpacked over an older one, with a lesson begun in `work/`."""
    toy.set(f'course_id = "dgm-2027"\n{SETTINGS}')
    place = tmp_path / "student"
    unpack(bundle.make_for_class(load(toy.folder)), place)
    folder = place / "dgm-2027"
    assert sorted(path.name for path in (folder / "notebooks").iterdir()) == ["00_start_here", LESSON]
    assert {path.name for path in (folder / "notebooks" / LESSON).iterdir()} == {f"{LESSON}.ipynb", "checks_toy.py"}
    lab.update(folder / "notebooks", folder / "work")
    own = folder / "work" / LESSON / f"{LESSON}.ipynb"
    nbformat.write(answered(nbformat.read(own, as_version=4), double="def double(x):\n    return 2 * x"), own)

    toy.set(f'course_id = "dgm-2027"\n{SETTINGS}[lesson.{LESSON}]\npoints = {{double = 7}}\n')
    unpack(bundle.make_for_class(load(toy.folder)), place)
    assert "updated" in "".join(lab.update(folder / "notebooks", folder / "work"))
    cells = {cell.id: cell for cell in nbformat.read(own, as_version=4).cells}
    assert cells["double"].source == "def double(x):\n    return 2 * x"
    assert cells["double-check"].metadata["nbgrader"]["points"] == 7


def test_a_class_without_release_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no lessons in .*release"):
        bundle.make_for_class(load(tmp_path))


def test_course_comes_from_the_bundle(python):
    script = "import course_lib, autograder; print(course_lib.__file__); print(autograder.__file__)"
    found = subprocess.check_output([python, "-c", script], text=True, cwd=python.parent).splitlines()
    assert all(Path(path).is_relative_to(python.parents[1]) for path in found)


def test_checks_judge_in_the_bundle(folder, python, tmp_path):
    """Released notebooks with the answers filled in earn every point where only the bundle is installed.

    In one kernel, since each one takes seconds to start: that a lesson needs no other is `test_lessons`' matter.
    """
    together = new_notebook(cells=[new_code_cell("import sys; sys.executable")])
    for name in lessons():
        solved = {cell.id: cell.source for cell in build_source(SOLUTIONS / f"{name}.py").cells}
        notebook = nbformat.read(folder / "notebooks" / name / f"{name}.ipynb", as_version=4)
        needed = [cell for cell in notebook.cells if "nbgrader" in cell.metadata or "as checks" in cell.source]
        together.cells += [
            nbformat.from_dict(cell | {"id": f"{name[:2]}-{cell.id}", "source": solved[cell.id]}) for cell in needed
        ]
    nbformat.write(together, tmp_path / "solved.ipynb")
    execute = "from nbclient.cli import main; main()"
    subprocess.run([python, "-c", execute, "--inplace", tmp_path / "solved.ipynb"], check=True)
    first, *cells = nbformat.read(tmp_path / "solved.ipynb", as_version=4).cells
    assert first.outputs[0].data["text/plain"] == repr(str(python))
    graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert {cell.id[:2] for cell in graded} == {name[:2] for name in lessons()}
    for cell in graded:
        assert float(cell.outputs[-1].data["text/plain"]) == cell.metadata.nbgrader.points, f"{cell.id}\n{cell.source}"
