"""How long the checks take: every right answer of each lesson's bank, judged once. About 3 s a lesson is the aim."""

import time

import torch

from banks import all_banks


def measure() -> list[tuple[str, int, float, str, float]]:
    """For each lesson: its name, the number of right answers, their seconds in all, the slowest, and its seconds."""
    rows = []
    torch.func.grad(torch.sum)(torch.ones(2))  # the first gradient of a process imports 500 modules
    for bank in all_banks():
        seconds = {}
        for entry in bank.entries:
            if entry.is_right:
                start = time.perf_counter()
                bank.checks[entry.exercise].run(entry.function)
                seconds[entry.name] = time.perf_counter() - start
        slowest = max(seconds, key=seconds.get)
        rows.append((bank.lesson, len(seconds), sum(seconds.values()), slowest, seconds[slowest]))
    return rows
