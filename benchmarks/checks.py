"""The time of the checks to judge every right answer in each lesson's bank once. The goal is about 3 s per lesson."""

import time

import torch

from banks import all_banks


def measure() -> list[tuple[str, int, float, str, float]]:
    """Per lesson: its name, the number of right answers, their total seconds, the slowest one, and its seconds."""
    rows = []
    torch.func.grad(torch.sum)(torch.ones(2))  # a process's first gradient imports 500 modules
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
