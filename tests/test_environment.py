"""pyproject.toml, environment.yml, requirements.lock and CI name the same packages and versions."""

import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from autograder.release.build import ROOT
from tests.conftest import left_out

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = [Requirement(line.removesuffix(" \\")) for line in LOCK.splitlines() if re.match(r"[a-z0-9]", line)]
EXTRAS = PROJECT["optional-dependencies"]
RANGES = [Requirement(text) for text in PROJECT["dependencies"] + EXTRAS["dev"] + EXTRAS["site"]]
UNLOCKED = [Requirement(text) for extra in ("bench", "inception") for text in EXTRAS[extra]]


def conda_environment() -> tuple[list[str], list[str]]:
    """environment.yml's packages: conda's and pip's."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return [entry for entry in dependencies if isinstance(entry, str)], dependencies[-1]["pip"]


def test_conda_environment_has_pyprojects_packages_and_ranges():
    _, pip = conda_environment()
    assert pip == [*PROJECT["dependencies"], "--editable ."]


def test_python_is_at_least_the_oldest_that_ci_tests():
    """Nothing limits the newest: a student has the Python that the system brings."""
    conda, _ = conda_environment()
    (python,) = [entry.removeprefix("python") for entry in conda if re.match(r"python\W", entry)]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    oldest = min(workflow["jobs"]["test"]["strategy"]["matrix"]["python"], key=Version)
    assert python == PROJECT["requires-python"] == f">={oldest}"


def test_contributing_says_what_each_dependency_is_for():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (table,) = re.findall(r"^\| package \| purpose \|\n(.*?)\n\n", text, flags=re.MULTILINE | re.DOTALL)
    explained = [name for row in table.splitlines()[1:] for name in row.split("|")[1].strip().split(", ")]
    assert sorted(explained) == sorted(wanted.name for wanted in RANGES + UNLOCKED)


def test_one_version_in_all_places():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert citation["version"] == newest[1] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_students_do_not_install_the_website():
    students = {Requirement(text).name for text in PROJECT["dependencies"] + EXTRAS["dev"]}
    assert not students & {Requirement(text).name for text in EXTRAS["site"]}


@pytest.mark.parametrize("wanted", RANGES, ids=str)
def test_lock_satisfies_pyproject(wanted):
    pins = [pin for pin in PINS if pin.name == wanted.name]
    assert pins, f"{wanted.name} is not in requirements.lock: make lock"
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert wanted.specifier.contains(exact.version), f"{pin} is not {wanted}: make lock"


def test_lock_pins_every_package_with_hashes_and_names_no_place():
    entries = re.split(r"\n(?=[a-z0-9])", LOCK)[1:]
    assert len(entries) == len(PINS) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+[ \n]", entry) and "--hash=sha256:" in entry, entry
    assert not re.search(r"://|file:|--(extra-)?index-url|--find-links |(^|[\s@])/\w", LOCK)


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_installed_version_is_the_locked_one(package):
    (pin,) = [pin for pin in PINS if pin.name == package]
    assert pin.specifier.contains(Version(version(package)).public)


def test_torch_and_torchvision_are_a_pair():
    import torch
    from torchvision.ops import nms

    # A compiled operator: it loads only beside the torch that torchvision was built for.
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5).tolist() == [0, 2]


NEEDS = ["venv", "sandbox", "database", "browser"]


def system_packages(folder: Path, path: str, *needs: str, system: str = "Linux") -> subprocess.CompletedProcess:
    """tools/system-packages as an ordinary user of a system, with a folder's programs before those of `path`."""
    for name, prints in {"id": "1000", "uname": system}.items():
        (folder / name).write_text(f"#!/bin/sh\necho {prints}\n")
        (folder / name).chmod(0o755)
    command = [ROOT / "tools" / "system-packages", *needs]
    return subprocess.run(command, env={"PATH": f"{folder}:{path}"}, capture_output=True, text=True)


@pytest.fixture
def bare_path(tmp_path) -> str:
    """A PATH with what the script itself calls, and nothing that it looks for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh", "dirname", "grep", "sed"):
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


def test_what_is_installed_is_not_asked_for_as_an_ordinary_user(tmp_path):
    """Debian gives ordinary users a PATH without /sbin and /usr/sbin."""
    done = system_packages(tmp_path, "/usr/local/bin:/usr/bin:/bin", *NEEDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_everything_missing_is_asked_for_in_one_line(tmp_path, bare_path):
    done = system_packages(tmp_path, bare_path, *NEEDS)
    assert done.returncode == 2
    says, line = done.stderr.splitlines()
    assert "Run this line" in says and "sudo apt-get install -y bubblewrap" in line
    assert "chromium" in line


def test_elsewhere_than_on_linux_nothing_is_asked_for_grading(tmp_path, bare_path):
    done = system_packages(tmp_path, bare_path, "sandbox", "database", system="Darwin")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_need_prints_the_usage(tmp_path, bare_path):
    done = system_packages(tmp_path, bare_path, "printer")
    assert done.returncode == 2 and "system-packages NEED..." in done.stderr


def test_packages_are_compiled():
    """Else a process that may not write beside them compiles torch each time that it starts."""
    assert os.path.exists(importlib.util.cache_from_source(torch.__file__))


def test_only_tests_of_grading_are_left_out_elsewhere_than_on_linux():
    assert left_out("linux") == []
    assert "autograder/sandbox" in left_out("darwin") and "autograder/checks" not in left_out("darwin")
    assert all((ROOT / "tests" / name).exists() for name in left_out("darwin"))
