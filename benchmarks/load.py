"""A large class in one run: `python -m benchmarks.load`. It takes minutes.

Right and wrong answers of lesson 03's bank are mixed; each notebook holds the outputs of a whole session.
"""

import argparse
import json
import math
import os
import random
import tempfile
import time
from pathlib import Path

import psutil

from autograder.classroom import run as class_run
from autograder.classroom.job import Status
from autograder.classroom.settings import SOLUTIONS, Settings
from autograder.release.build import build_source
from autograder.release.lessons import run
from banks.made_masks import bank
from benchmarks.grading import BUDGET, LESSON, make, processor_seconds

EARLY = 50  # submissions after which the coordinator's memory is what it should stay


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--workers", type=int, help="default: one for each core")
    arguments = parser.parse_args()
    if arguments.students <= EARLY:
        parser.error(f"expected more than {EARLY} students, got {arguments.students}")
    with tempfile.TemporaryDirectory() as folder:
        settings = make(Path(folder), LESSON, {})
        deserved = hand_in(settings, arguments.students)
        coordinator, memory, wrong = psutil.Process(), {}, []
        before, start = processor_seconds(), time.perf_counter()
        for number, status in enumerate(class_run.grade(settings.folder, workers=arguments.workers), start=1):
            memory[number] = coordinator.memory_info().rss
            wrong += differences(status, deserved[status.student])
            spent = processor_seconds() - before
        seconds = time.perf_counter() - start
    print(f"{number} submissions of {LESSON}: {seconds:.0f} s, {spent / number:.2f} s of processor time for each")
    early, late = memory[EARLY] / 2**20, memory[number] / 2**20
    print(f"coordinator: {early:.0f} MiB after {EARLY}, {late:.0f} MiB after {number}: {late / early:.3f} times")
    print("\n".join(wrong) or "every grade is the deserved one")


def hand_in(settings: Settings, students: int) -> dict[str, dict[str, float]]:
    """Hand in a session's notebook for each student, with answers dealt from the bank.

    Returns:
        What each student's exercises deserve.
    """
    os.environ.update([BUDGET.split("=")])
    session = build_source(SOLUTIONS / f"{LESSON}.py")
    run(session)
    deserved = {}
    for number in range(students):
        student, rng = f"student-{number:03d}", random.Random(number)
        dealt = {name: rng.choice(bank.of(name, right=rng.random() < 0.5)) for name in bank.checks}
        for cell in session.cells:
            if cell.id in dealt:
                cell.source = dealt[cell.id].source
        deserved[student] = {
            name: math.fsum(points for part, points in bank.checks[name].points.items() if part not in entry.loses)
            for name, entry in dealt.items()
        }
        path = settings.folder / "submitted" / student / LESSON / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(session))
    return deserved


def differences(status: Status, deserved: dict[str, float]) -> list[str]:
    """Where a grade is not the deserved one, in words."""
    if status.ledger is None:
        return [f"{status.student}: {status.status} {status.error}"]
    found = {report["exercise"]: report["points"] for report in status.ledger["exercises"]}
    return [
        f"{status.student}, {name}: deserves {points:g} points, got {found[name]:g}"
        for name, points in deserved.items()
        if not math.isclose(found[name], points, abs_tol=1e-9)
    ]


if __name__ == "__main__":
    main()
