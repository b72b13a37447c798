"""The zip for Gradescope: its contents, the output of its `run_autograder`, and what a submission can reach."""

import importlib.metadata
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from autograder import gradescope
from autograder.checking.check import check, holds
from autograder.classroom.settings import load
from autograder.lesson import Lesson, Question
from autograder.sandbox import server as sandbox_server
from tests.autograder.graded_class import WRONG
from tests.autograder.toy_class import LESSON, answered

VISIBLE = {"hidden", "after_due_date", "after_published", "visible"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
TOP = {"score": float, "execution_time": float, "output": str, "output_format": str, "test_output_format": str,
       "test_name_format": str, "visibility": str, "stdout_visibility": str, "extra_data": dict, "tests": list,
       "leaderboard": list}  # fmt: skip
TEST = {"score": float, "max_score": float, "status": str, "name": str, "name_format": str, "number": str,
        "output": str, "output_format": str, "tags": list, "visibility": str, "extra_data": dict}  # fmt: skip


def assert_format(results: dict) -> None:
    """Assert that `results.json` follows Gradescope's specification."""
    assert isinstance(results, dict) and ("score" in results or results["tests"])
    for about, known in [(results, TOP), *((test, TEST) for test in results["tests"])]:
        assert about.keys() <= known.keys()
        for key, value in about.items():
            kinds = (int, float) if known[key] is float else known[key]
            assert isinstance(value, kinds) and not isinstance(value, bool), (key, value)
            if known[key] is float:
                assert math.isfinite(value)
            if key.endswith("visibility"):
                assert value in VISIBLE
            if key.endswith("format"):
                assert value in FORMATS
    for test in results["tests"]:
        assert test["status"] in ("passed", "failed")
        assert 0 <= test["score"] <= test["max_score"]
    numbers = [test["number"] for test in results["tests"]]
    assert len(set(numbers)) == len(numbers)


@pytest.fixture(scope="module")
def container(made_toy, tmp_path_factory):
    """Unpack the zip as Gradescope does: /autograder with its `source`."""
    toy = made_toy.copy(tmp_path_factory.mktemp("gradescope"))
    path = gradescope.bundle(load(toy.folder), LESSON)
    root = tmp_path_factory.mktemp("autograder")
    for name in ("source", "submission", "results"):
        (root / name).mkdir()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(root / "source")
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        for name in ("setup.sh", "run_autograder"):
            (root / "source" / name).chmod(archive.getinfo(name).external_attr >> 16)
    return toy, path, root


def run(container, notebook, *command: str, name: str = f"{LESSON}.ipynb") -> subprocess.CompletedProcess:
    _, _, root = container
    for old in (root / "submission").iterdir():
        old.unlink()
    (root / "submission" / name).write_text(notebook if isinstance(notebook, str) else json.dumps(notebook))
    environment = {
        "AUTOGRADER": str(root),
        "PYTHON": sys.executable,
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    script = [*command, str(root / "source" / "run_autograder")]
    return subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300)


def results(container) -> dict:
    found = json.loads((container[2] / "results" / "results.json").read_text())
    assert_format(found)
    return found


def scores(found: dict) -> dict[str, tuple[float, float]]:
    return {test["name"]: (test["score"], test["max_score"]) for test in found["tests"]}


def test_the_zip_holds_what_grading_takes_and_nothing_more(container):
    toy, path, root = container
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        everything = b"".join(archive.read(name) for name in names)
    assert {"master.ipynb", "job.json", "packages.txt", "versions.txt", "autograder/grading/judge.py"} <= names
    assert not any(name.startswith(("solutions", "banks", "tests", "/", "..")) for name in names)
    assert (toy.folder / "secret").read_text().strip().encode() not in everything
    assert path.stat().st_mode & 0o077 == 0
    source = (root / "source" / "master.ipynb").read_text()
    assert "raise NotImplementedError" in source and "BEGIN SOLUTION" not in source
    versions = (root / "source" / "versions.txt").read_text()
    assert "--hash" not in versions and "://" not in versions
    for package in (root / "source" / "packages.txt").read_text().split():
        assert f"\n{package}==" in f"\n{versions}", package


def test_the_scripts_are_sound(container):
    for name in ("setup.sh", "run_autograder"):
        path = container[2] / "source" / name
        assert os.access(path, os.X_OK) and path.read_bytes().startswith(b"#!/usr/bin/env bash\n")
        assert subprocess.run(["bash", "-n", str(path)]).returncode == 0


def test_a_submission_gets_a_test_for_each_property(container):
    toy, _, root = container
    done = run(container, answered(toy.source(), double=WRONG))
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(container)
    assert scores(found) == {
        "double: a number": (0, 0),
        "double: whole numbers": (2, 2),
        "double: fractions": (0, 0.5),
        "ask: sum": (1, 1),
        "Counter: counts": (1, 1),
        "Counter: apart": (0.5, 0.5),
    }
    (lost,) = [test for test in found["tests"] if test["status"] == "failed"]
    assert "should be" in lost["output"] and lost["number"] == "1.3"
    assert found["output"] == "" and found["extra_data"]["sandbox"] in done.stdout


@pytest.mark.parametrize("name, text, said", [
    (f"{LESSON}.ipynb", "{", "cannot be read as a notebook"),
    ("essay.txt", "{}", f"expected one notebook {LESSON}.ipynb, found no notebook"),
])  # fmt: skip
def test_a_broken_submission_earns_nothing_and_is_told(container, name, text, said):
    assert run(container, text, name=name).returncode == 0
    found = results(container)
    assert said in found["output"] and not any(test["score"] for test in found["tests"])
    assert all(test["output"] for test in found["tests"])


def test_a_file_of_another_name_is_graded(container):
    assert run(container, container[0].source(), name="mine (1).ipynb").returncode == 0
    found = results(container)
    assert f"not named {LESSON}.ipynb" in found["output"]
    assert sum(test["score"] for test in found["tests"]) == 5


def test_a_failure_of_the_grader_leaves_no_results(container):
    """Gradescope then says so; old results would pass for this submission's."""
    toy, _, root = container
    master = root / "source" / "master.ipynb"
    text = master.read_text()
    (root / "results" / "results.json").write_text("{}")
    master.write_text("{")
    try:
        assert run(container, toy.source()).returncode != 0
    finally:
        master.write_text(text)
    assert not (root / "results" / "results.json").exists()


SPY = """def double(x):
    import os
    import socket

    found = [str(os.getuid())]
    for path in ({root!r} + "/source/job.json", {root!r} + "/results/results.json", "/etc/shadow"):
        try:
            found.append(open(path).read()[:20])
        except OSError as error:
            found.append(type(error).__name__)
    try:
        open({root!r} + "/results/results.json", "w").write("forged")
    except OSError as error:
        found.append(type(error).__name__)
    try:
        open(f"/proc/{{os.getppid()}}/mem", "r+b")
        found.append("open")
    except OSError as error:
        found.append(type(error).__name__)
    try:
        socket.create_connection(("127.0.0.1", 9), 1)
    except OSError as error:
        found.append(type(error).__name__)
    try:
        import autograder.checks
    except ImportError as error:
        found.append(type(error).__name__)
    return " ".join(found)
"""


# A container as Docker starts it: root without the right to make namespaces. The interpreter may lie below a closed
# home here, which Gradescope's does not.
CONTAINER = """
import os, sys
from pathlib import Path
import pyseccomp as seccomp
rules = seccomp.SyscallFilter(seccomp.ALLOW)
for name in ("unshare", "setns", "mount", "umount2", "pivot_root"):
    rules.add_rule(seccomp.ERRNO(1), name)
rules.add_rule(seccomp.ERRNO(38), "clone3")
for bit in range(32):
    if 0x7E020080 >> bit & 1:
        rules.add_rule(seccomp.ERRNO(1), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 1 << bit, 1 << bit))
file = os.fdopen(os.memfd_create("filter"), "w+b")
rules.export_bpf(file)
file.flush()
os.lseek(file.fileno(), 0, 0)
os.set_inheritable(file.fileno(), True)
root, *command = sys.argv[1:]
words = ["bwrap", "--bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "--dev", "/dev"]
home, python, course = os.path.expanduser("~"), os.path.realpath(sys.base_prefix), os.path.dirname(sys.prefix)
emptied = ["/tmp"] + [home] * python.startswith(home)
for place in emptied:
    words += ["--perms", "1777" if place == "/tmp" else "0755", "--tmpfs", place]
    for shown in (python, course):
        if shown.startswith(place + "/"):
            for folder in reversed(Path(shown).relative_to(place).parents[:-1]):
                words += ["--perms", "0755", "--dir", f"{place}/{folder}"]
            words += ["--ro-bind", shown, shown]
words += ["--perms", "0755", "--dir", root, "--bind", root, root]
words += ["--cap-drop", "ALL"]
for name in "CHOWN DAC_OVERRIDE FSETID FOWNER SETGID SETUID SETPCAP KILL".split():
    words += ["--cap-add", "CAP_" + name]
os.execvp("bwrap", [*words, "--seccomp", str(file.fileno()), "--die-with-parent", "--", *command])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="as in Gradescope's container, the grader is root")
def test_in_a_container_without_namespaces_the_code_runs_as_another_user(container):
    toy, _, root = container
    spy = SPY.format(root=str(root))
    done = run(container, answered(toy.source(), double=spy), sys.executable, "-c", CONTAINER, str(root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No bubblewrap in this container" in done.stdout
    found = results(container)
    assert found["extra_data"]["sandbox"] == sandbox_server.AS_USER
    assert scores(found)["ask: sum"] == (1, 1) and scores(found)["Counter: apart"] == (0.5, 0.5)
    (gate,) = [test for test in found["tests"] if test["name"] == "double: a number"]
    assert f"{gradescope.STUDENT} {' '.join(['PermissionError'] * 6)} ModuleNotFoundError" in gate["output"]


@check(gates=["a number"], points={"large": 2.5, "even": 0.1}, hints=["a", "b", "c"])
def guess(student, rng):
    """A guess."""
    got = student.call()
    yield holds("a number", isinstance(got, int), because=f"expected a number, got {got!r}")
    yield holds("large", got > 10, because=f"{got} is too small")
    yield holds("even", got % 2 == 0, because="odd")


@pytest.mark.parametrize("answer", [12, 13, 4, 3, "<b>12</b>", None])
def test_scores_add_up_to_what_the_ledger_says(answer):
    report = guess.run(lambda: answer).to_dict()
    ledger = {"exercises": [report], "notes": ["odd"], "sandbox": "s", "submission": "d", "checks": "c"}
    question = Question("explain", 4.0, "Why?")
    lesson = Lesson("01_toy", ("guess",), {"guess": 2.6}, questions=(question,))
    found = gradescope.results(lesson, ledger, ("renamed",))
    assert_format(found)
    assert math.fsum(test["score"] for test in found["tests"]) == report["points"]
    assert math.fsum(test["max_score"] for test in found["tests"]) == report["max_points"]
    assert found["output"] == "renamed\nodd\nGraded by a person: explain (4)"
    assert {test["output_format"] for test in found["tests"]} == {"text"}


def test_a_lesson_that_is_not_there_is_told(made_toy, tmp_path):
    toy = made_toy.copy(tmp_path)
    with pytest.raises(ValueError, match="not a lesson of this class; the lessons are 01_toy"):
        gradescope.bundle(load(toy.folder), "02_other")
    Path(toy.folder, "release", LESSON, f"{LESSON}.ipynb").unlink()
    with pytest.raises(ValueError, match="new-class"):
        gradescope.bundle(load(toy.folder), LESSON)


def test_the_grader_runs_with_the_packages_that_are_installed_there():
    """None that `packages.txt` does not bring is needed."""
    code = (
        "import sys, autograder.gradescope; "
        "print(*{name.partition('.')[0] for name, module in sys.modules.items() if module is not None})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    owners = importlib.metadata.packages_distributions()
    needed = {_normal(owner) for name in loaded for owner in owners.get(name, ())}
    there, todo = set(), [_normal(package) for package in gradescope.PACKAGES]
    while todo:
        if (name := todo.pop()) not in there:
            there.add(name)
            lines = importlib.metadata.requires(name) or ()
            wanted = [Requirement(line) for line in lines]
            todo += [_normal(one.name) for one in wanted if _installed(one)]
    optional = {"cuda-bindings", "cuda-pathfinder", "setuptools", _normal("deep-generative-models-course")}
    assert needed - there - optional == set()


def _installed(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return False
    try:
        importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
