"""Every right answer of the banks earns everything, every wrong one loses exactly what it says, on every seed.

COURSE_SEEDS sets the number of seeds (3, or 200 in `make soak`).
"""

import ast
import os
import re
from typing import Any

import numpy as np
import pytest
import torch

from autograder import build
from autograder.check import Check
from autograder.checks import common
from tests.submissions import Bank, Entry, banks

SEEDS = range(int(os.environ.get("COURSE_SEEDS", "3")))
BANKS = banks()
ENTRIES = [
    pytest.param(bank.checks[entry.exercise], entry, id=f"{bank.lesson}-{entry.exercise}-{entry.name}")
    for bank in BANKS
    for entry in bank.entries
]
EXERCISES = [pytest.param(bank, name, id=f"{bank.lesson}-{name}") for bank in BANKS for name in bank.checks]


@pytest.mark.soak
@pytest.mark.parametrize("check, entry", ENTRIES)
def test_each_answer_loses_exactly_what_it_says(check: Check, entry: Entry):
    for seed in SEEDS:
        report = check.run(entry.function, seed=seed)
        got = (report.failed, report.kind, report.lost, report.fault)
        assert got == (entry.shows, entry.raises, entry.loses, ""), f"seed {seed}\n{report}"
        assert (report.points == report.max_points) == entry.is_right


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_the_bank_is_large_enough(bank: Bank, exercise: str):
    check = bank.checks[exercise]
    assert len(bank.of(exercise, right=True)) >= 3
    wrong = bank.of(exercise, right=False)
    assert len(wrong) >= 6
    assert set().union(*(entry.shows for entry in wrong)) == {*check.gates, *check.points}


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_trivial_answers_earn_nothing(bank: Bank, exercise: str):
    right = bank.of(exercise, right=True)[0].function

    def filled(number: float):
        """The right answer's shape and dtype, with one number everywhere."""

        def answer(*args: Any, **kwargs: Any) -> Any:
            try:
                return _fill(right(*args, **kwargs), number)
            except ValueError:
                return number

        return answer

    constants = [(f"{number} everywhere", filled(number)) for number in (0.0, 1.0, 0.5, -1.0, np.inf, np.nan)]
    arguments = [(f"argument {i}", lambda *args, i=i: args[min(i, len(args) - 1)]) for i in range(5)]
    others = [("all arguments", lambda *args: args), ("the first one's copy", lambda *args: _copy(args[0]))]
    for what, answer in constants + arguments + others:
        report = bank.checks[exercise].run(answer, seed=1)
        assert report.points == 0 and not report.fault, f"{what}\n{report}"


HOSTILE = {
    "None": None,
    "a string": "0.5",
    "an empty list": [],
    "a ragged list": [[0.5], [0.5, 0.5]],
    "a list of strings": ["a", "b"],
    "a huge number": 10**400,
    "a complex number": 1j,
    "a complex array": np.ones(2) * 1j,
    "a boolean": True,
    "a dict": {"p": 0.5},
    "a pair of None": (None, None),
    "a pair of nan": (float("nan"), float("nan")),
    "a pair of a list and a number": ([float("nan")] * 2, 0.0),
    "an empty array": np.zeros((0, 3)),
    "a large array": np.zeros((1000, 1000)),
    "many axes": np.zeros((1,) * 30),
    "bytes": b"0.5",
    "an object": object(),
    "a class": int,
    "nested": [[[[[]]]]],
    "a list of arrays": [np.array(0.5), np.array(["a"])],
    "half precision": torch.full((2,), 0.5, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_hostile_results_get_a_reason_and_never_a_fault(bank: Bank, exercise: str):
    check, right = bank.checks[exercise], bank.of(exercise, right=True)[0].function
    for what, value in HOSTILE.items():
        report = check.run(lambda *args, value=value: value)
        assert not report.points and not report.fault, f"{what}\n{report}"
        assert report.error or report.failed, f"{what}\n{report}"
        for turn in (1, 2, 5, 9):  # right at first
            calls = 0

            def later(*args: Any, turn: int = turn, value: Any = value) -> Any:
                nonlocal calls
                calls += 1
                return right(*args) if calls <= turn else value

            report = check.run(later)
            assert (report.lost or calls <= turn) and not report.fault, f"{what} after {turn} calls\n{report}"


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_nothing_within_a_right_answer_may_be_spoilt(bank: Bank, exercise: str):
    """One bad number in an otherwise right result is seen, and never makes a fault."""
    right = bank.of(exercise, right=True)[0].function
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        report = bank.checks[exercise].run(lambda *args, bad=bad: _spoil(right(*args), bad))
        assert report.lost and not report.fault, f"{bad}\n{report}"


@pytest.mark.parametrize("check, entry", [param for param in ENTRIES if not param.values[1].is_right])
def test_messages_are_concrete_and_hold_no_solution(check: Check, entry: Entry, bank_lines: dict[str, set[str]]):
    report = check.run(entry.function, seed=1)
    for verdict in report.verdicts:
        if verdict.because:
            assert re.search(r"\d|None|nan|inf", verdict.because), verdict.because
            assert len(verdict.because) < 600, verdict.because
            assert "array(" not in verdict.because and "tensor(" not in verdict.because, verdict.because
    told = " ".join([str(report), *check.hints])
    assert not [line for line in bank_lines[check.name] if line in told]


@pytest.fixture(scope="module")
def bank_lines() -> dict[str, set[str]]:
    """For each exercise the statements of all right answers, but for the shortest."""
    lines: dict[str, set[str]] = {}
    for bank in BANKS:
        for entry in bank.entries:
            if entry.is_right:
                body = {ast.unparse(node) for node in ast.walk(ast.parse(entry.source)) if isinstance(node, ast.stmt)}
                found = {line.strip() for text in body for line in text.splitlines()}
                lines.setdefault(entry.exercise, set()).update(line for line in found if len(line) >= 20)
    return lines


@pytest.mark.parametrize("name", build.lessons())
def test_the_lesson_and_its_bank_agree(name: str):
    """Each exercise of a lesson has its bank, and the lesson's own solutions earn everything."""
    notebook = build.build_source(build.SOLUTIONS / f"{name}.py")
    (bank,) = [bank for bank in BANKS if bank.lesson == name.lstrip("0123456789_")]
    namespace: dict[str, Any] = {}
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader", {})
        if own.get("solution") or cell.id.startswith("setup"):
            exec(cell.source, namespace)
    for exercise, check in bank.checks.items():
        report = check.run(namespace[exercise], seed=1)
        assert not report.lost, str(report)


def test_lessons_and_banks_match():
    assert sorted(bank.lesson for bank in BANKS) == sorted(name.lstrip("0123456789_") for name in build.lessons())


class TestCommon:
    """What the checks share."""

    def test_p_value_is_uniform_for_samples_of_the_table(self):
        rng = np.random.default_rng(0)
        table = rng.dirichlet(np.ones(12))
        values = np.array([common.p_value(rng.multinomial(2000, table), table) for _ in range(4000)])
        assert abs((values < 0.1).mean() - 0.1) < 0.025 and abs((values < 0.01).mean() - 0.01) < 0.008

    def test_p_value_sees_another_table(self):
        rng = np.random.default_rng(0)
        assert common.p_value(rng.multinomial(4000, [0.3, 0.7]), np.array([0.4, 0.6])) < 1e-8

    def test_what_never_happens_must_not_happen(self):
        assert common.p_value(np.array([1, 999]), np.array([0.0, 1.0])) == 0
        assert common.p_value(np.array([0, 1000]), np.array([0.0, 1.0])) == 1

    @pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
    def test_reading_never_raises(self, value: Any):
        for shape in ((), (2,), (3, 4)):
            array, why = common.real(value, shape)
            assert (array is None) == bool(why)
            assert array is None or array.dtype == np.float64
        for read, why in (
            common.parts(value, ("a", "b")),
            common.entries(value, ("a", "b")),
            common.real_list(value, [(), (2,)], "entry {}"),
        ):
            assert (read is None) == bool(why)


def test_a_bank_refuses_what_cannot_be_right():
    bank = Bank("likelihood")
    with pytest.raises(ValueError, match="expected some of"):
        bank.wrong("kl", loses={"no such property"})
    with pytest.raises(ValueError, match="expected some of"):
        bank.wrong("kl", loses=())

    def answer():
        def kl(p, q):
            return 0.0

        return kl

    bank.right("kl")(answer)
    with pytest.raises(ValueError, match="two answers"):
        bank.right("kl")(answer)


def _fill(value: Any, number: float) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_fill(item, number) for item in value)
    if isinstance(value, dict):
        return {key: _fill(item, number) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        whole = value.dtype.kind in "iu" and not np.isfinite(number)
        return np.full(value.shape, 0 if whole else number).astype(value.dtype)
    return number


def _spoil(value: Any, bad: float) -> Any:
    """The same with its last number replaced."""
    if isinstance(value, list | tuple):
        return type(value)([*value[:-1], _spoil(value[-1], bad)])
    if isinstance(value, dict):
        *_, last = value
        return value | {last: _spoil(value[last], bad)}
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(torch.as_tensor(value).double())
        array.reshape(-1)[-1:] = bad
        return array
    return bad


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
