"""The judge and the process with a student's code: nothing in there makes points or stops the rest."""

import threading
import time

import pytest

from autograder.checking.report import Report
from autograder.checking.student import Student, StudentError
from autograder.grading.judge import judge
from autograder.grading.pipe import Pipe
from autograder.inside.cells import ANSWER, CALLBACK, HEADER
from autograder.inside.codec import encode
from autograder.lesson import checks_of
from autograder.sandbox.limits import Limits
from autograder.sandbox.server import Server, ServerEnded
from banks import all_banks
from tests.autograder.toy_class import LESSON, POINTS

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


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def short():
    """For code that hangs."""
    with Server(Limits(cell=3, check=3)) as server:
        yield server


def reports(server: Server, cells: dict, secret: str = "secret") -> dict[str, Report]:
    return judge(LESSON, SETUP, cells, secret, checks=checks_of(LESSON), server=server)


def points(server: Server, cells: dict) -> dict[str, float]:
    return {name: report.points for name, report in reports(server, cells).items()}


def test_right_answers_earn_everything(toy_checks, server):
    assert points(server, RIGHT) == POINTS


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
        ("while True:\n    pass", "the cell did not run to its end: not finished within 3 seconds"),
        ("import os\nos._exit(0)", "the cell did not run to its end: your code ended the process that ran it"),
        ("import ctypes\nctypes.string_at(0)", "the cell did not run to its end: your code ended the process"),
        ("def double(x):\n    import os\n    os._exit(0)", "your code ended the process"),
        ("import os\n\ndef double(x):\n    os.kill(os.getpid(), 9)", "got None"),  # no signal ends a first process
        ("import ctypes\n\ndef double(x):\n    ctypes.string_at(0)", "a crash (SIGSEGV)"),
        ("def double(x):\n    import sys\n    sys.exit()", "your code raised SystemExit"),
        ("def double(x):\n    raise KeyboardInterrupt", "your code"),
        ("def double(x):\n    return input()", "your code raised"),
    ],
)  # fmt: skip
def test_a_wrong_answer_loses_its_own_points_and_says_why(toy_checks, server, short, double, reason):
    found = reports(short if "seconds" in reason else server, RIGHT | {"double": double})
    assert {name: report.points for name, report in found.items()} == POINTS | {"double": 0}
    assert reason in str(found["double"]) and not found["double"].fault


def test_all_kinds_of_failure_in_one_submission(toy_checks, short):
    hangs = "def ask(f, n):\n    while True:\n        pass"
    cells = {"double": "import os\nos._exit(1)", "ask": hangs, "Counter": COUNTER}
    assert points(short, cells) == POINTS | {"double": 0, "ask": 0}


def test_advice_for_a_name_of_another_cell(toy_checks, server):
    report = reports(server, {"double": "def double(x):\n    return my_helper(x)"})["double"]
    assert "put your own imports and helpers inside them" in str(report)


def test_noise_costs_nothing(toy_checks, server):
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
    assert points(server, RIGHT | {"double": noisy}) == POINTS


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
        HEADER.pack(len(encode({"value": 1e9})), ANSWER, b"") + encode({"value": 1e9}),
        HEADER.pack(len(encode(None)), CALLBACK, b"") + encode(None),
    ],
)
def test_writing_into_the_pipe_makes_no_points(toy_checks, server, frame):
    assert points(server, RIGHT | {"double": FORGED.format(frame=frame)})["double"] == 0


REPEATED = """
import os
import sys

from autograder.inside.cells import HEADER
from autograder.inside.codec import encode

tags = [b"guessed."]


def frame(tag):
    value = encode({{"value": 7}})
    return HEADER.pack(len(value), b"A", tag) + value


def double(x):
    caller = sys._getframe()
    while caller.f_code.co_name != "serve":
        caller = caller.f_back
    tags.append(caller.f_locals["tag"])
    os.write(3, b"".join(map(frame, {which})))
    return 2 * x
"""


@pytest.mark.parametrize("earns, which", [(POINTS["double"], "tags[:-1]"), (0, "tags[-1:]"), (0, "[*tags, tags[-1]]")])
def test_an_answer_that_comes_twice_or_at_another_time_changes_no_other(toy_checks, server, earns, which):
    assert points(server, RIGHT | {"double": REPEATED.format(which=which)}) == POINTS | {"double": earns}


@pytest.mark.parametrize(
    "trick",
    [
        "import builtins\nbuiltins.isinstance = lambda *args: True\n\n\ndef double(x):\n    return 0",
        "from autograder.inside import codec\ncodec.encode = lambda *args: b''\n\n\ndef double(x):\n    return 0",
        "from autograder.checking import report\nreport.Report.points = 99\n\n\ndef double(x):\n    return 0",
        "class Equal(float):\n    __eq__ = lambda *args: True\n\n\ndef double(x):\n    return Equal(x)",
        "class Equal(int):\n    __eq__ = lambda *args: True\n\n\ndef double(x):\n    return Equal(x)",
        "def double(x):\n    import autograder.checks.toy\n    return 2 * x",
    ],
)
def test_patching_makes_no_points(toy_checks, server, trick):
    assert points(server, {"double": trick})["double"] == 0


def test_the_secret_and_the_checks_are_not_in_the_process(toy_checks, server, monkeypatch):
    monkeypatch.setenv("CLASS_SECRET", "s3cret")
    looks = """def double(x):
    import gc
    import os
    import sys

    held = [o for o in gc.get_objects() if isinstance(o, dict)]
    seen = [str(dict(os.environ)), str(sys.argv)]
    seen += [value for o in held for value in list(o.values()) if type(value) is str]
    raise ValueError(("s3" + "cret" in " ".join(seen), "autograder.checks" in sys.modules))
"""
    report = reports(server, {"double": looks}, "s3cret")["double"]
    assert "(False, False)" in report.error


def test_cells_share_one_namespace_as_in_the_notebook(toy_checks, server):
    cells = RIGHT | {"ask": "def ask(f, n):\n    return (double(sum(f(i) for i in range(n))) / 2) ** 0.5"}
    assert points(server, cells) == POINTS


def test_ipython_syntax_runs(toy_checks, server):
    assert points(server, RIGHT | {"double": "%matplotlib inline\n%time x = 1\n!true\n" + DOUBLE}) == POINTS


def test_a_process_that_was_closed_answers_nothing(server):
    box = Pipe(server)
    box.define("double", DOUBLE)
    assert Student(box, "double").call(2) == 4
    box.close()
    with pytest.raises(StudentError, match="had ended"):
        Student(box, "double").call(2)


def test_a_sandbox_that_ends_costs_no_points(toy_checks):
    """The submission must be judged again: no report says that its code failed."""
    with Server() as server:
        waits = "import time\ntime.sleep(600)\n" + DOUBLE

        def end() -> None:
            while not server._live:
                time.sleep(0.01)
            server._process.kill()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(ServerEnded):
            reports(server, RIGHT | {"double": waits})
        thread.join()
        assert points(server, RIGHT) == POINTS


def test_checks_come_in_the_order_of_their_file():
    assert list(checks_of("01_likelihood"))[:2] == ["log_likelihood", "kl"]
    with pytest.raises(ModuleNotFoundError):
        checks_of("99_nothing")


@pytest.mark.parametrize("bank", all_banks(), ids=lambda bank: bank.lesson)
def test_the_pipe_changes_no_verdict(server, bank):
    """Right answers, and a wrong one for each property and kind of error, lose the same as in a notebook."""
    right = [entry for entry in bank.entries if entry.is_right]
    wrong = {(entry.exercise, what): entry for entry in bank.entries for what in (*entry.shows, entry.raises) if what}
    box = Pipe(server)
    try:
        for entry in dict.fromkeys([*right, *wrong.values()]):
            box.start_clock(60, "too slow")
            box.define(entry.exercise, entry.source)
            report = bank.checks[entry.exercise].judge(box, "seed")
            got = report.failed, report.kind, report.lost, report.fault
            assert got == (entry.shows, entry.raises, entry.loses, ""), entry.name
    finally:
        box.close()
