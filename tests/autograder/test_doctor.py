"""The examination of a machine and a class: each thing that can be missing is found, with its remedy."""

from collections import namedtuple

import pytest

from autograder import doctor, sandbox
from autograder.sandbox import Finding


@pytest.fixture(autouse=True)
def without_the_box(monkeypatch):
    """The sandbox is examined by its own tests."""
    monkeypatch.setattr(sandbox, "examine", lambda limits=None: [Finding(True, f"contained: {limits.check:g} s")])


def wrong(folder=None) -> dict[str, str]:
    return {finding.what: finding.remedy for finding in doctor.examine(folder) if not finding.ok}


def test_a_good_machine_and_class(made_course):
    found = list(doctor.examine(made_course.folder))
    assert all(finding.ok for finding in found), found
    told = "\n".join(finding.what for finding in found)
    assert "Python 3." in told and "torch 2." in told and "gradebook sqlite:///" in told and "lessons built" in told
    assert "contained: 5 s" in told  # the limits are the class's
    assert [finding.ok for finding in doctor.examine()] == [True] * 5


def test_no_class(tmp_path):
    (what,) = wrong(tmp_path / "none")
    assert what.endswith("none does not exist")
    assert "new-class" in wrong(tmp_path / "none")[what]


def test_what_a_class_can_lack(made_course, tmp_path):
    course = made_course.copy(tmp_path)
    (course.folder / "release" / "01_toy" / "01_toy.ipynb").unlink()
    (course.folder / "gradebook.db").rename(course.folder / "elsewhere.db")
    (course.folder / "secret").chmod(0o644)
    found = wrong(course.folder)
    assert found.pop("not built: 01_toy") == f"Run: python -m autograder new-class {course.folder}"
    assert found.pop(f"there is no gradebook {course.folder}/gradebook.db").startswith("Run: python -m autograder")
    assert found.pop(f"others can read {course.folder}/secret") == f"Run: chmod 600 {course.folder}/secret"
    assert found == {}
    (course.folder / "gradebook.db").write_text("no database")
    (what,) = (what for what in wrong(course.folder) if "gradebook" in what)
    assert "cannot be opened" in what
    (course.folder / "course.toml").write_text("late = 3")
    (what,) = (what for what in wrong(course.folder) if "settings" in what)
    assert "late: expected a table" in what


def test_a_database_server_that_does_not_answer(made_course, tmp_path):
    course = made_course.copy(tmp_path)
    path = course.folder / "course.toml"
    path.write_text('db_url = "postgresql://ann:s3cret@127.0.0.1:1/class"\n' + path.read_text())
    (what,) = (what for what in wrong(course.folder) if "gradebook" in what)
    assert "cannot be opened" in what and "s3cret" not in what


def test_a_machine_that_is_too_small(made_course, monkeypatch):
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory(2**29))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: namedtuple("usage", "free")(2**28))
    found = wrong(made_course.folder)
    assert "of memory free" in " ".join(found) and "one submission may use 3 GiB" in " ".join(found)
    assert found["0.2 GiB of disk free"] == "Make room: 2.0 GiB."


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", "nothing at all")
    assert "make env" in wrong()["packages missing: no-such-package (nothing at all)"]
