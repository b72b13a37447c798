"""A large class in one run: `python -m benchmarks.load`. It takes minutes.

The notebooks mix right and wrong answers from lesson 03's bank, and hold the outputs of a whole session.
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

EARLY = 50  # after so many submissions, the coordinator's memory should no longer grow


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--workers", type=int, help="default: one per core")
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
    print(f"{number} submissions of {LESSON}: {seconds:.0f} s, {spent / number:.2f} s of CPU time per submission")
    early, late = memory[EARLY] / 2**20, memory[number] / 2**20
    print(f"coordinator: {early:.0f} MiB after {EARLY}, {late:.0f} MiB after {number}: {late / early:.3f} times")
    print("\n".join(wrong) or "every grade is as deserved")


def hand_in(settings: Settings, students: int) -> dict[str, dict[str, float]]:
    """Hand in one session's notebook per student, with answers dealt from the bank.

    Returns:
        The points that each student's exercises deserve.
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
    """Describe where a grade differs from the deserved one."""
    if status.ledger is None:
        return [f"{status.student}: {status.status} {status.error}"]
    earned = {report["exercise"]: report["points"] for report in status.ledger["exercises"]}
    return [
        f"{status.student}, {name}: deserves {points:g} points, got {earned[name]:g}"
        for name, points in deserved.items()
        if not math.isclose(earned[name], points, abs_tol=1e-9)
    ]


if __name__ == "__main__":
    main()
