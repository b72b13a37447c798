"""Gradescope: a zip whose `run_autograder` grades one submission in a container, with the same judge.

`bundle` makes the zip for one lesson of a class; `main` runs in Gradescope's container. `results.json` has one test per
gate and property.

Gradescope starts one container per submission and runs the grader in it as root. If the container allows bubblewrap,
the grader uses it. Otherwise the student's code runs as another user, behind a filter that refuses the network among
other system calls; that user cannot read the folders with the secret, the submission and the results. The container
holds no other student's work.
"""

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.classroom.archives import Unusable, read_file
from autograder.classroom.settings import Settings
from autograder.grading.handed_in import HandedIn
from autograder.grading.submission import grade
from autograder.lesson import Lesson
from autograder.sandbox.limits import Limits
from autograder.sandbox.remedies import NoSandbox
from autograder.sandbox.server import Server

__all__ = ["bundle", "main", "results"]

CODE = ("autograder/**/*.py", "course_lib/**/*.py")
SCRIPTS = Path(__file__).with_name("templates") / "gradescope"  # setup.sh, run_autograder
# The packages that the grader imports; the lock gives their versions.
PACKAGES = [
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "tqdm",
    "ipython",
    "jupytext",
    "nbformat",
    "psutil",
    "pyseccomp",
]
JOB, MASTER, VERSIONS = "job.json", "master.ipynb", "versions.txt"
STUDENT = 64999  # a user id that nobody in the container has


def bundle(settings: Settings, name: str) -> Path:
    """Make CLASS/gradescope/LESSON.zip, for upload as the autograder of one Gradescope assignment.

    Raises:
        ValueError: the class has no such lesson, or has not built it.
    """
    root = Path(__file__).parents[1]
    if name not in settings.lessons:
        raise ValueError(f"{name} is not a lesson of this class; the lessons are {', '.join(settings.lessons)}")
    release = settings.folder / "release" / name / f"{name}.ipynb"
    if not release.exists():
        raise ValueError(f"{release} does not exist: run `python -m autograder new-class {settings.folder}` first")
    # The zip has its own secret, so that a leaked zip does not reveal the class's.
    secret = hashlib.sha256(f"{(settings.folder / 'secret').read_text().strip()}/gradescope".encode()).hexdigest()
    job = {"lesson": settings.lessons[name].to_json(), "limits": vars(settings.limits), "secret": secret}
    path = settings.folder / "gradescope" / f"{name}.zip"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in CODE:
            for source in sorted(root.glob(pattern)):
                archive.write(source, source.relative_to(root))
        for script in sorted(SCRIPTS.iterdir()):
            entry = zipfile.ZipInfo(script.name)
            entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, script.read_bytes())
        archive.write(release, MASTER)
        archive.writestr("packages.txt", "".join(f"{package}\n" for package in PACKAGES))
        archive.writestr(VERSIONS, "".join(_versions(root / "requirements.lock")))
        archive.writestr(JOB, json.dumps(job))
    path.chmod(0o600)
    return path


def main(root: Path = Path("/autograder")) -> int:
    """Grade the submission in this container.

    Returns:
        The exit status. If the grader itself fails, there is no `results.json`: Gradescope then says that the
        autograder failed, and gives no points rather than wrong ones.
    """
    source, output = root / "source", root / "results" / "results.json"
    output.unlink(missing_ok=True)
    for name in ("source", "submission", "results", "submission_metadata.json"):
        if (root / name).exists():
            (root / name).chmod(0o700)
    job = json.loads((source / JOB).read_bytes())
    lesson, limits = Lesson.from_json(job["lesson"]), Limits(**job["limits"])
    handed_in, odd = _handed_in(root / "submission", lesson.name)
    master = json.loads((source / MASTER).read_bytes())
    with _server(limits) as server:
        print(f"Sandbox: {server.stamp}")
        graded = grade(lesson, master, handed_in, job["secret"], server, "")
    for report in graded.ledger["exercises"]:
        if report["fault"]:
            print(f"The check of {report['exercise']} failed on this answer: {report['fault']}")
    text = json.dumps(results(lesson, graded.ledger, odd), indent=1)
    output.parent.mkdir(exist_ok=True)
    output.write_text(text, encoding="utf-8")
    return 0


def results(lesson: Lesson, ledger: Mapping[str, Any], odd: tuple[str, ...] = ()) -> dict[str, Any]:
    """Convert a ledger to Gradescope's format: one test per gate and property, with all text shown as plain text."""
    notes = [*odd, *ledger["notes"]]
    if lesson.questions:
        by_hand = ", ".join(f"{question.name} ({question.points:g})" for question in lesson.questions)
        notes.append(f"Graded by a person: {by_hand}")
    return {
        "output": "\n".join(notes),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {key: ledger[key] for key in ("sandbox", "submission", "checks")},
        "tests": [
            test for number, report in enumerate(ledger["exercises"], start=1) for test in _tests(number, report)
        ],
    }


def _tests(number: int, report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    # An exercise earns nothing if a gate failed; the gate's test gives the reason.
    nothing = any(verdict["gate"] and not verdict["held"] for verdict in report["verdicts"])
    for place, verdict in enumerate(report["verdicts"], start=1):
        why = verdict["because"] or ("" if verdict["held"] else report["error"] or "not tested to the end")
        notes = report["notes"] if place == 1 else []
        yield {
            "number": f"{number}.{place}",
            "name": f"{report['exercise']}: {verdict['name']}",
            "score": 0.0 if nothing or not verdict["held"] else verdict["points"],
            "max_score": verdict["points"],
            "status": "passed" if verdict["held"] else "failed",
            "output": "\n".join([*([why] if why else []), *notes]),
            "output_format": "text",
            "visibility": "visible",
        }


def _server(limits: Limits) -> Server:
    try:
        return Server(limits)
    except NoSandbox as missing:
        print(f"No bubblewrap in this container: {missing.reason}")
        return Server(limits, user=STUDENT)


def _handed_in(folder: Path, lesson: str) -> tuple[HandedIn, tuple[str, ...]]:
    """The submitted notebook, and what is odd about it."""
    paths = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    named = [path for path in paths if path.stem == lesson] or paths
    if len(named) == 1:
        odd = () if named[0].stem == lesson else (f"The file is not named {lesson}.ipynb; it was graded anyway.",)
        try:
            return HandedIn(read_file(named[0])), odd
        except Unusable as error:
            return HandedIn(b"", str(error)), odd
    listed = ", ".join(str(path.relative_to(folder)) for path in named[:9]) or "no notebook"
    return HandedIn(b"", f"expected one notebook {lesson}.ipynb, found {listed}"), ()


def _versions(lock: Path) -> Iterator[str]:
    """The lock without its hashes, which differ for torch's CPU build: Gradescope's machines have no GPU."""
    for line in lock.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            yield line.removesuffix("\\").strip() + "\n"


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("AUTOGRADER", "/autograder"))))
