"""Settings of all tests."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# On CPUs with AMX, oneDNN multiplies bfloat16 matrices with whatever lies in memory behind them, now and then a NaN
# (github.com/uxlfoundation/oneDNN/issues/5717). It reads this before its first product.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

# On a busy machine everything is slow, and no test asserts a time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# The sandbox and the class's files need Linux. Elsewhere the tests of lessons, checks and the library remain.
GRADING = (
    "attacks",
    *(f"autograder/{folder}" for folder in ("classroom", "grading", "gradebook", "inside", "results", "sandbox")),
    *(f"autograder/test_{name}.py" for name in ("commands", "doctor", "gradescope", "parts", "sample_class")),
)


def left_out(platform: str) -> list[str]:
    """The tests that a platform cannot run, as paths below `tests/`."""
    return [] if platform == "linux" else list(GRADING)


collect_ignore = left_out(sys.platform)


# These files take minutes, and pytest-xdist gives a file to one worker. They go first: a run that ends with one of them
# leaves the other workers idle.
LONGEST = ("test_banks.py", "test_browser.py", "test_lessons.py", "test_faults.py", "test_scoreboard.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")  # other tests of this process may have left theirs open
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU, and torch sees none here")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore:
        folder = Path(__file__).parent.name
        names = " ".join(f"{folder}/{name}" for name in collect_ignore)
        terminalreporter.write_line(f"Grading needs Linux; this is {sys.platform}. Left out: {names}", yellow=True)
