"""`python -m autograder`: what each command says, and its exit status."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from autograder import __main__ as commands
from autograder import doctor
from autograder.classroom import run as class_run
from autograder.classroom.job import Status
from autograder.doctor import Finding
from autograder.gradebook.write import GradebookError
from autograder.release import for_class
from autograder.sandbox.limits import Limits
from autograder.sandbox.remedies import NoSandbox
from tests.autograder.graded_class import EVIL
from tests.autograder.toy_class import LESSON

COMMANDS = (
    "new-class", "bundle", "collect", "grade", "feedback", "export", "report", "doctor", "gradescope", "sample-class",
)  # fmt: skip


def run(*words):
    """Run a command with its output going to a pipe."""
    return CliRunner().invoke(commands.app, [str(word) for word in words], env={"COLUMNS": "80"})


def narrow(text: str) -> bool:
    """Whether text fits 80 columns, apart from paths, which stay whole for copying."""
    return all(len(line) <= 80 or "/" in line for line in text.splitlines())


@pytest.fixture
def toy(graded_toy, tmp_path):
    return graded_toy.copy(tmp_path)


def test_help_lists_the_commands_and_the_exit_statuses():
    result = run("--help")
    assert result.exit_code == 0 and narrow(result.output)
    _, _, listed = result.output.partition("Commands:")
    assert "..." not in listed  # nothing is cut short
    for command in COMMANDS:
        assert f"  {command} " in listed
    assert "3 no sandbox" in " ".join(result.output.split())


def test_bundle_makes_the_zip_for_the_students(toy):
    result = run("bundle", toy.folder)
    assert result.exit_code == 0 and f"{toy.folder}/deep-generative-models.zip" in result.output
    assert (toy.folder / "deep-generative-models.zip").exists()


def test_bundle_of_no_class_is_refused_in_words(tmp_path):
    result = run("bundle", tmp_path)
    assert result.exit_code == 2 and "is not a class directory" in result.stderr


def test_help_comes_without_loading_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from autograder.__main__ import app; "
        "CliRunner().invoke(app, ['grade', '--help']); assert 'torch' not in sys.modules and 'dask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("words", [
    ["grade"], ["feedback"], ["export"], ["report"], ["collect", "{}", "."], ["gradescope", "{}", LESSON],
])  # fmt: skip
def test_a_folder_that_is_no_class_is_told(words, tmp_path):
    words = [word.format(tmp_path) for word in words]
    result = run(*(words if str(tmp_path) in words else [*words, tmp_path]))
    assert result.exit_code == 2
    assert "is not a class directory: make one with `python -m autograder new-class" in result.stderr


@pytest.mark.parametrize("words, said", [
    (["grade", "{}", "--lesson", "02_other"], "02_other is not a lesson of this class"),
    (["collect", "{}", "{}/none"], "none"),
    (["collect", "{}", "{}", "--lesson", "02_other"], "there is no lesson '02_other'"),
    (["gradescope", "{}", "02_other"], "not a lesson of this class"),
    (["grade", "{}", "--scheduler", "tcp://example.org:8786"], "tls://"),
    (["grade", "{}", "--workers", "0"], "workers"),
])  # fmt: skip
def test_wrong_arguments_are_told(toy, words, said):
    result = run(*(word.format(toy.folder) for word in words))
    assert result.exit_code == 2 and said in result.stderr, result.output


def test_wrong_settings_are_told(toy):
    (toy.folder / "course.toml").write_text("lesons = 3")
    for command in ("new-class", "grade", "feedback", "export", "report"):
        result = run(command, toy.folder)
        assert result.exit_code == 2 and "did you mean 'lessons'" in result.stderr


@pytest.mark.parametrize("error, status, said", [
    (NoSandbox("bwrap is not installed.", "Run: sudo apt-get install bubblewrap"), 3, "apt-get install bubblewrap"),
    (GradebookError("the gradebook is locked"), 4, "run the command again to continue"),
    (OSError(28, "No space left on device"), 4, "No space left on device"),
    (RuntimeError("the cluster has gone"), 4, "the cluster has gone"),
    (KeyboardInterrupt(), 130, "run the command again to continue"),
])  # fmt: skip
def test_what_stops_a_run_is_told(toy, monkeypatch, error, status, said):
    def grade(*_, **__):
        yield Status("ada", LESSON, "unchanged")
        raise error

    monkeypatch.setattr(class_run, "grade", grade)
    result = run("grade", toy.folder)
    assert result.exit_code == status and said in result.stderr and "Traceback" not in result.output


def test_new_class(tmp_path, monkeypatch):
    monkeypatch.setattr(for_class, "build", lambda settings: None)
    result = run("new-class", tmp_path / "class")
    assert result.exit_code == 0 and "course.toml" in result.output and "03_made_masks" in result.output
    assert (tmp_path / "class" / "course.toml").exists() and (tmp_path / "class" / "nbgrader_config.py").exists()


def test_grade_again_changes_nothing(toy):
    before = toy.rows()
    result = run("grade", toy.folder, "--workers", "1")
    assert result.exit_code == 0 and narrow(result.output), result.output
    assert "6 unchanged, 1 missing" in result.output
    assert toy.rows() == before


def test_grade_shows_who_lost_what_and_why(toy):
    result = run("grade", toy.folder, "--student", "bob", "--lesson", LESSON, "--regrade", "--workers", "1")
    assert result.exit_code == 0 and narrow(result.output), result.output
    said = " ".join(result.output.replace("─", " ").split())
    assert "bob 01_toy 4.5/5 double -0.5: double(0." in said and "1 graded" in said and f"ada {LESSON}" not in said


def test_grade_without_a_sandbox_says_so(toy):
    result = run("grade", toy.folder, "--student", "dan", "--regrade", "--workers", "1", "--unsafe-no-sandbox")
    assert result.exit_code == 0 and "Graded without a sandbox" in result.output
    assert toy.ledger("dan")["sandbox"].startswith("none")


def test_what_could_not_be_graded_is_told(toy, monkeypatch):
    ledger = toy.ledger("bob")
    ledger["exercises"][1]["fault"] = "KeyError: 'x'"
    statuses = [
        Status("ada", LESSON, "failed", error="judging it ended the [bold]grader's process 3 times"),
        Status("bob", LESSON, "graded", ledger, notes=("timestamp.txt holds no date and time",)),
        Status("dan", LESSON, "outdated", toy.ledger("dan")),
    ]
    monkeypatch.setattr(class_run, "grade", lambda *_, **__: iter(statuses))
    result = run("grade", toy.folder)
    said = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "not graded ada, 01_toy: judging it ended the [bold]grader's process 3 times" in said
    assert "fault of the check bob, 01_toy: ask: KeyError: 'x'" in said and "timestamp.txt holds no date" in said
    assert "--regrade grades them again" in said


def test_of_a_large_class_only_what_is_odd_is_shown(toy, monkeypatch):
    ledger = toy.ledger("bob")
    statuses = [Status(f"student-{number}", LESSON, "graded", ledger) for number in range(commands.SHOWN + 1)]
    monkeypatch.setattr(class_run, "grade", lambda *_, **__: iter(statuses))
    result = run("grade", toy.folder)
    assert (
        result.exit_code == 0 and "student-7" not in result.output and f"{commands.SHOWN + 1} graded" in result.output
    )


def test_collect(toy, tmp_path):
    source = tmp_path / "download"
    for name, text in (("hal/01_toy.ipynb", json.dumps(toy.source())), ("ivy/essay.pdf", "%PDF")):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text(text)
    result = run("collect", toy.folder, source)
    said = " ".join(result.output.split())
    assert "1 submissions in" in said and "1 not used." in said and "not used ivy" in said and "essay.pdf" in said
    assert result.exit_code == 1
    assert (toy.folder / "submitted" / "hal" / LESSON / f"{LESSON}.ipynb").exists()


def test_feedback(toy):
    result = run("feedback", toy.folder)
    assert result.exit_code == 0 and result.output.startswith("6 pages:")
    (toy.folder / "autograded" / "ada" / LESSON / f"{LESSON}.ipynb").unlink()
    result = run("feedback", toy.folder, "--student", "ada")
    assert result.exit_code == 1 and "no page ada, 01_toy" in result.output and "--regrade" in result.output


def test_export(toy):
    result = run("export", toy.folder)
    assert result.exit_code == 0
    assert {line.rpartition("/")[2] for line in result.output.splitlines() if "/" in line} == {
        "grades.csv", "exercises.csv", "grades.json", "canvas.csv", "moodle.csv",
    }  # fmt: skip
    assert "1 not final, a person must grade a part: eve 01_toy" in " ".join(result.output.split())
    (toy.folder / "ledger" / "bob" / f"{LESSON}.json").unlink()
    result = run("export", toy.folder)
    assert result.exit_code == 1 and "1 not graded, and empty in these files: bob 01_toy" in result.output


def test_report(toy):
    result = run("report", toy.folder)
    assert result.exit_code == 0 and narrow(result.output), result.output
    said = " ".join(result.output.replace("─", " ").split())
    assert "01_toy: 6 submissions" in said and "fractions (0.5)" in said and "a number (gate)" in said
    assert (
        "mean 0.75 of 2.5 1 earned all, 3 did not answer" in said and (toy.folder / "exports" / "report.csv").exists()
    )
    assert "Nothing is graded yet" in run("report", toy.folder, "--lesson", "02_other").output


def test_no_text_of_a_student_steers_the_terminal(toy, monkeypatch):
    words = "\x1b]0;title\x07\x1b[2J[red]\u202e\r"
    ledger = toy.ledger("bob") | {"notes": [words]}
    ledger["exercises"][0] |= {"fault": words}
    ledger["exercises"][1] |= {"points": 0.0, "error": words}
    status = Status(words, LESSON, "graded", ledger, notes=(words,))
    monkeypatch.setattr(
        class_run, "grade", lambda *_, **__: iter([status, Status(words, LESSON, "failed", error=words)])
    )
    result = run("grade", toy.folder)
    assert not set(result.output) & set("\x1b\x07\u202e\r") and "[red]" in result.output


def test_doctor(monkeypatch):
    findings = [
        Finding(True, "Python 3.12"),
        Finding(False, "bwrap is missing", "Run:\n  sudo [apt] install " + "x" * 90),
    ]
    monkeypatch.setattr(doctor, "examine", lambda folder: findings)
    result = run("doctor")
    assert result.exit_code == 1
    assert result.output.splitlines()[:3] == ["ok      Python 3.12", "missing bwrap is missing", "        Run:"]
    assert "sudo [apt] install " + "x" * 90 in result.output  # a command is not broken
    monkeypatch.setattr(doctor, "examine", lambda folder: findings[:1])
    assert run("doctor").exit_code == 0


def test_gradescope(toy):
    result = run("gradescope", toy.folder, LESSON)
    assert result.exit_code == 0 and "do not share it" in " ".join(result.output.split())
    assert (toy.folder / "gradescope" / f"{LESSON}.zip").exists()


def test_in_a_terminal_there_is_a_progress_bar(toy, monkeypatch):
    """A student's name is not markup there, either."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(commands, "console", screen)
    statuses = [Status(student, LESSON, "unchanged") for student in ("ada", EVIL, "[red]")]
    monkeypatch.setattr(class_run, "grade", lambda *_, **__: iter(statuses))
    assert run("grade", toy.folder).exit_code == 0
    shown = screen.file.getvalue()
    assert "Grading" in shown and "3/6" in shown and "[red]" in shown


def test_the_probe_of_this_machine_is_the_real_one():
    """`make test` needs a machine that can grade."""
    assert [finding for finding in doctor.examine_sandbox(Limits()) if not finding.ok] == []
