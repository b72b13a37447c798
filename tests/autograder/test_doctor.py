"""The examination of a machine and a class: it reports everything missing, with the remedy."""

from collections import namedtuple

import pytest

from autograder import doctor
from autograder.doctor import Finding


@pytest.fixture(autouse=True)
def without_the_sandbox(monkeypatch):
    """Stub the examination of the sandbox, which has its own tests."""
    monkeypatch.setattr(doctor, "examine_sandbox", lambda limits: [Finding(True, f"contained: {limits.check:g} s")])


def wrong(folder=None) -> dict[str, str]:
    return {finding.what: finding.remedy for finding in doctor.examine(folder) if not finding.ok}


def test_a_good_machine_and_class(made_toy):
    found = list(doctor.examine(made_toy.folder))
    assert all(finding.ok for finding in found), found
    told = "\n".join(finding.what for finding in found)
    assert "Python 3." in told and "torch 2." in told and "gradebook sqlite:///" in told and "lessons built" in told
    assert "contained: 5 s" in told  # the limits are the class's
    assert [finding.ok for finding in doctor.examine()] == [True] * 5


def test_no_class(tmp_path):
    (what,) = wrong(tmp_path / "none")
    assert what.endswith("none does not exist")
    assert "new-class" in wrong(tmp_path / "none")[what]


def test_what_a_class_can_lack(made_toy, tmp_path):
    toy = made_toy.copy(tmp_path)
    (toy.folder / "release" / "01_toy" / "01_toy.ipynb").unlink()
    (toy.folder / "gradebook.db").rename(toy.folder / "elsewhere.db")
    (toy.folder / "secret").chmod(0o644)
    found = wrong(toy.folder)
    assert found.pop("not built: 01_toy") == f"Run: python -m autograder new-class {toy.folder}"
    assert found.pop(f"there is no gradebook {toy.folder}/gradebook.db").startswith("Run: python -m autograder")
    assert found.pop(f"others can read {toy.folder}/secret") == f"Run: chmod 600 {toy.folder}/secret"
    assert found == {}
    (toy.folder / "gradebook.db").write_text("no database")
    (what,) = (what for what in wrong(toy.folder) if "gradebook" in what)
    assert "cannot be opened" in what
    (toy.folder / "course.toml").write_text("late = 3")
    (what,) = (what for what in wrong(toy.folder) if "settings" in what)
    assert "late: expected a table" in what


def test_a_database_server_that_does_not_answer(made_toy, tmp_path):
    toy = made_toy.copy(tmp_path)
    path = toy.folder / "course.toml"
    path.write_text('db_url = "postgresql://ann:s3cret@127.0.0.1:1/class"\n' + path.read_text())
    (what,) = (what for what in wrong(toy.folder) if "gradebook" in what)
    assert "cannot be opened" in what and "s3cret" not in what


def test_a_machine_that_is_too_small(made_toy, monkeypatch):
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory(2**29))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: namedtuple("usage", "free")(2**28))
    found = wrong(made_toy.folder)
    assert "of memory free" in " ".join(found) and "one submission may use 3 GiB" in " ".join(found)
    assert found["0.2 GiB of disk free"] == "Free at least 2.0 GiB."


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", "nothing at all")
    assert "make env" in wrong()["packages missing: no-such-package (nothing at all)"]
