"""The judge, and the process that holds a student's code: nothing in there makes points or stops the rest."""

import importlib
import linecache
import time
from pathlib import Path

import pytest

from autograder.codec import encode
from autograder.judge import Box, Limits, checks_of, judge
from autograder.student import Student, StudentError
from tests.autograder.course import LESSON, POINTS
from tests.submissions import Entry, banks

SETUP = ["import math"]
DOUBLE = "def double(x):\n    return 2 * x"
ASK = "def ask(f, n):\n    return math.sqrt(sum(f(i) for i in range(n)))"
COUNTER = """class Counter:
    def __init__(self):
        self.total = 0

    def add(self, k):
        self.total += k
        return self.total
"""
RIGHT = {"double": DOUBLE, "ask": ASK, "Counter": COUNTER}
LIMITS = Limits()
SHORT = Limits(cell=3, check=3)  # for code that hangs


def points(cells: dict, limits: Limits = LIMITS) -> dict[str, float]:
    return {name: report.points for name, report in judge(LESSON, SETUP, cells, "secret", limits).items()}


def test_right_answers_earn_everything(toy_checks):
    assert points(RIGHT) == POINTS


@pytest.mark.parametrize(
    "double, reason",
    [
        (None, "the submission has no cell for this exercise"),
        ("", "the cell does not define a function named double"),
        ("double = 3", "the cell does not define a function named double"),
        ("def twice(x):\n    return 2 * x", "the cell does not define a function named double"),
        ("def double(x:\n    return 2", "the cell did not run: SyntaxError"),
        ("1 / 0\n" + DOUBLE, "the cell did not run: ZeroDivisionError: division by zero, in line 1: 1 / 0"),
        ("raise SystemExit", "the cell did not run: SystemExit"),
        ("def double(x):\n    return y", "your code raised NameError: name 'y' is not defined, in line 2"),
        ("def double(x):\n    raise NotImplementedError", "not answered yet"),
        ("raise NotImplementedError", "not answered yet"),
        ("def double(x):\n    return double(x)", "your code raised RecursionError"),
        ("def double(x):\n    return object()", "your answer cannot be read"),
        ("def double(x):\n    return ['x' * 1000] * 10**5", "at most 67,108,864 bytes"),
        ("def double(x):\n    while True:\n        pass", "not finished within 3 seconds"),
        ("while True:\n    pass", "the cell did not finish within 3 seconds, or ended the process"),
        ("import os\nos._exit(0)", "or ended the process"),
        ("def double(x):\n    import os\n    os._exit(0)", "your code ended the process"),
        ("import os\n\ndef double(x):\n    os.kill(os.getpid(), 9)", "your code ended the process"),
        ("def double(x):\n    import sys\n    sys.exit()", "your code raised SystemExit"),
        ("def double(x):\n    raise KeyboardInterrupt", "your code"),
        ("def double(x):\n    return input()", "your code raised"),
    ],
)  # fmt: skip
def test_a_wrong_answer_loses_its_own_points_and_says_why(toy_checks, double, reason):
    limits = SHORT if "seconds" in reason else LIMITS
    reports = judge(LESSON, SETUP, RIGHT | {"double": double}, "secret", limits)
    assert {name: report.points for name, report in reports.items()} == POINTS | {"double": 0}
    assert reason in str(reports["double"]) and not reports["double"].fault


def test_all_kinds_of_failure_in_one_submission(toy_checks):
    hangs = "def ask(f, n):\n    while True:\n        pass"
    cells = {"double": "import os\nos._exit(1)", "ask": hangs, "Counter": COUNTER}
    assert points(cells, SHORT) == POINTS | {"double": 0, "ask": 0}


def test_advice_for_a_name_of_another_cell(toy_checks):
    report = judge(LESSON, SETUP, {"double": "def double(x):\n    return my_helper(x)"}, "s", LIMITS)["double"]
    assert "put your own imports and helpers inside them" in str(report)


def test_noise_costs_nothing(toy_checks):
    noisy = """
import os
import sys
import warnings

print("x" * 10**6)
warnings.warn("careful")


def double(x):
    print("x" * 10**6)
    print("x" * 10**6, file=sys.stderr)
    os.write(1, b"forged")
    os.write(2, b"forged")
    warnings.warn("careful")
    return 2 * x
"""
    assert points(RIGHT | {"double": noisy}) == POINTS


FORGED = """
import os

ANSWER = {frame!r}


def double(x):
    for descriptor in range(3, 40):
        try:
            os.write(descriptor, ANSWER)
        except OSError:
            pass
"""


@pytest.mark.parametrize(
    "frame",
    [
        b"A" * 100,
        (2**60).to_bytes(8, "little") + b"A",
        b"\0" * 64,
        len(encode({"value": 1e9})).to_bytes(8, "little") + b"A" + encode({"value": 1e9}),
        len(encode(None)).to_bytes(8, "little") + b"C" + encode(None),
    ],
)
def test_writing_into_the_pipe_makes_no_points(toy_checks, frame):
    assert points(RIGHT | {"double": FORGED.format(frame=frame)})["double"] == 0


@pytest.mark.parametrize(
    "trick",
    [
        "import builtins\nbuiltins.isinstance = lambda *args: True\n\n\ndef double(x):\n    return 0",
        "import autograder.codec\nautograder.codec.encode = lambda *args: b''\n\n\ndef double(x):\n    return 0",
        "import autograder.check\nautograder.check.Report.points = 99\n\n\ndef double(x):\n    return 0",
        "class Equal(float):\n    __eq__ = lambda *args: True\n\n\ndef double(x):\n    return Equal(x)",
        "class Equal(int):\n    __eq__ = lambda *args: True\n\n\ndef double(x):\n    return Equal(x)",
        "def double(x):\n    import autograder.checks.toy\n    return 2 * x",
    ],
)
def test_patching_makes_no_points(toy_checks, trick):
    assert points({"double": trick})["double"] == 0


def test_the_secret_and_the_checks_are_not_in_the_process(toy_checks, monkeypatch):
    monkeypatch.setenv("CLASS_SECRET", "s3cret")
    looks = """def double(x):
    import gc
    import os
    import sys

    held = [o for o in gc.get_objects() if isinstance(o, dict)]
    seen = [str(dict(os.environ)), str(sys.argv), open("/proc/self/cmdline").read()]
    seen += [value for o in held for value in list(o.values()) if type(value) is str]
    raise ValueError(("s3" + "cret" in " ".join(seen), "autograder.checks" in sys.modules))
"""
    report = judge(LESSON, SETUP, {"double": looks}, "s3cret", LIMITS)["double"]
    assert "(False, False)" in report.error


def test_cells_share_one_namespace_as_in_the_notebook(toy_checks):
    cells = RIGHT | {"ask": "def ask(f, n):\n    return (double(sum(f(i) for i in range(n))) / 2) ** 0.5"}
    assert points(cells) == POINTS


def test_ipython_syntax_runs(toy_checks):
    assert points(RIGHT | {"double": "%matplotlib inline\n%time x = 1\n!true\n" + DOUBLE}) == POINTS


def test_a_process_that_was_closed_answers_nothing(toy_checks):
    box = Box(LIMITS)
    box.define("double", DOUBLE)
    assert Student(box, "double").call(2) == 4
    box.close()
    with pytest.raises(StudentError, match="had ended"):
        Student(box, "double").call(2)


def test_what_a_student_started_ends_with_them(toy_checks, tmp_path):
    started = f"""import subprocess
import sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
"""
    points({"double": started + DOUBLE})
    pid = (tmp_path / "pid").read_text()
    for _ in range(100):  # a killed process may take a moment to be gone
        if not runs(pid):
            return
        time.sleep(0.1)
    raise AssertionError("still there")


def runs(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie has ended; whoever adopted it has not buried it yet


def test_checks_come_in_the_order_of_their_file():
    assert list(checks_of("01_likelihood"))[:2] == ["log_likelihood", "kl"]
    with pytest.raises(ModuleNotFoundError):
        checks_of("99_nothing")


def as_cell(entry: Entry):
    """The answer from a cell of a notebook, so that an error is told with the cell's line."""
    name = f"<ipython-input-{entry.exercise}-{entry.name}>"
    linecache.cache[name] = (len(entry.source), None, entry.source.splitlines(keepends=True), name)
    namespace = {}
    exec(compile(entry.source, name, "exec"), namespace)
    return namespace[entry.exercise]


@pytest.mark.parametrize("bank", banks(), ids=lambda bank: bank.lesson)
def test_the_pipe_changes_no_verdict(bank):
    """Every answer of the bank gets the same report in a process of its own as in a notebook."""
    box = Box(Limits())
    module = importlib.import_module(f"autograder.checks.{bank.lesson}")
    try:
        for entry in bank.entries:
            check = getattr(module, entry.exercise)
            box.start_clock(60, "too slow")
            box.define(entry.exercise, entry.source)
            there, here = check.judge(box, "seed"), check.run(as_cell(entry), "seed")
            # Not the counter-examples themselves: an answer that seeds itself differs from call to call.
            got, want = ((r.lost, r.failed, r.kind, r.fault, r.notes) for r in (there, here))
            assert got == want, entry.name
    finally:
        box.close()
