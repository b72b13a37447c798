"""Every right answer of the banks earns everything, every wrong one loses exactly what it says, on every seed.

COURSE_SEEDS sets the number of seeds (1, or 200 in `make soak`).
"""

import ast
import inspect
import os
import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import cycle, product
from typing import Any

import numpy as np
import pytest
import torch

from autograder.checking.answers import entries, parts, real, real_list
from autograder.checking.check import Check
from autograder.checking.report import Report
from autograder.checking.samplers import p_value
from autograder.checking.student import InProcess, Student
from autograder.inside.codec import decode, encode
from autograder.release import build
from banks import Bank, Entry, all_banks

pytestmark = pytest.mark.filterwarnings("ignore")  # an answer may warn, and most wrong ones do
SEEDS = range(int(os.environ.get("COURSE_SEEDS", "1")))
BANKS = all_banks()
ENTRIES = [
    pytest.param(bank.checks[entry.exercise], entry, id=f"{bank.lesson}-{entry.exercise}-{entry.name}")
    for bank in BANKS
    for entry in bank.entries
]
EXERCISES = [pytest.param(bank, name, id=f"{bank.lesson}-{name}") for bank in BANKS for name in bank.checks]


def _paired(values: Iterable, settings: Iterable) -> Iterable[tuple]:
    """Each value with one of the settings, in turn; in `make soak` with all of them."""
    return product(values, settings) if len(SEEDS) > 1 else zip(values, cycle(settings))


@pytest.mark.soak
@pytest.mark.parametrize("check, entry", ENTRIES)
def test_each_answer_loses_exactly_what_it_says(check: Check, entry: Entry, bank_lines: dict[str, set[str]]):
    """And the first report is concrete, and holds no solution."""
    for seed in SEEDS:
        report = check.run(entry.function, seed=seed)
        got = (report.failed, report.kind, report.lost, report.fault)
        assert got == (entry.shows, entry.raises, entry.loses, ""), f"seed {seed}\n{report}"
        assert (report.points == report.max_points) == entry.is_right
        if seed == SEEDS[0]:
            _expect_concrete(report)
            told = " ".join([str(report), *check.hints])
            assert not [line for line in bank_lines[check.name] if line in told]


def _expect_concrete(report: Report) -> None:
    for verdict in report.verdicts:
        if verdict.because:
            assert re.search(r"\d|None|nan|inf", verdict.because), verdict.because
            assert len(verdict.because) < 600, verdict.because
            for should, got in re.findall(r"(?:is|be|has|gives|adds up to) ([^;]+); got ([^;]+)", verdict.because):
                assert should.strip(" .") != got.strip(" ."), verdict.because
            assert "array(" not in verdict.because and "tensor(" not in verdict.because, verdict.because


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_the_bank_is_large_enough(bank: Bank, exercise: str):
    check = bank.checks[exercise]
    assert len(bank.of(exercise, right=True)) >= 3
    wrong = bank.of(exercise, right=False)
    assert len(wrong) >= 6
    assert set().union(*(entry.shows for entry in wrong)) == {*check.gates, *check.points}


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_trivial_answers_earn_nothing(bank: Bank, exercise: str):
    right = _right(bank, exercise)

    def filled(number: float):
        """The right answer's shape and dtype, with one number everywhere."""

        def answer(*args: Any, **kwargs: Any) -> Any:
            try:
                return _fill(right(*args, **kwargs), number)
            except ValueError:
                return number

        return answer

    constants = [(f"{number} everywhere", filled(number)) for number in CONSTANTS]
    arguments = [(f"argument {i}", lambda *args, i=i: args[min(i, len(args) - 1)]) for i in range(5)]
    others = [("all arguments", lambda *args: args), ("the first one's copy", lambda *args: _copy(args[0]))]
    for what, answer in constants + arguments + others:
        report = bank.checks[exercise].run(answer, seed=1)
        assert report.points == 0 and not report.fault, f"{what}\n{report}"


CONSTANTS = (0.0, 1.0, 0.5, -1.0, 1e-9, 1.7e308, np.inf, np.nan)

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


@pytest.mark.soak
@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_hostile_results_get_a_reason_and_never_a_fault(bank: Bank, exercise: str):
    check, right = bank.checks[exercise], _right(bank, exercise)
    for (what, value), turn in _paired(HOSTILE.items(), (1, 4)):
        report = check.run(lambda *args, value=value: value)
        assert not report.points and not report.fault, f"{what}\n{report}"
        assert report.error or report.failed, f"{what}\n{report}"
        calls = 0

        def later(*args: Any, turn: int = turn, value: Any = value) -> Any:
            """Right at first."""
            nonlocal calls
            calls += 1
            return right(*args) if calls <= turn else value

        report = check.run(later)
        assert (report.lost or calls <= turn) and not report.fault, f"{what} after {turn} calls\n{report}"


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_nothing_within_a_right_answer_may_be_spoilt(bank: Bank, exercise: str):
    """One bad number in an otherwise right result is seen, and never makes a fault."""
    right = _right(bank, exercise)
    for bad in (np.nan, np.inf, -np.inf, 1e300):
        report = bank.checks[exercise].run(lambda *args, bad=bad: _spoil(right(*args), bad))
        assert report.lost and not report.fault, f"{bad}\n{report}"


def _right(bank: Bank, exercise: str) -> Callable[..., Any]:
    return bank.of(exercise, right=True)[0].function


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same result, with every number and tensor within changed."""
    if isinstance(value, list | tuple):
        return type(value)(_each(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return change(value)


def _key(args: tuple, whole: bool = True) -> bytes:
    """The arguments of a call; without `whole` only shapes and dtypes of the tensors among them."""
    kept = _each(list(args), lambda x: x if whole or not isinstance(x, torch.Tensor) else [*x.shape, str(x.dtype)])
    return encode(kept, lambda value: ("callback", 0) if callable(value) else None)


# What spoils a right answer: each takes the function and returns another, which has to lose something.


def _changes_an_argument(right: Callable) -> Callable:
    def answer(*args: Any) -> Any:
        result = _each(right(*args), lambda x: x.clone() if isinstance(x, torch.Tensor) else x)
        for tensor in _tensors(args):
            if tensor.numel():
                tensor.view(-1)[-1] = ~tensor.view(-1)[-1] if tensor.dtype == torch.bool else 3
        return result

    return answer


def _leaves_gradients_on(right: Callable) -> Callable:
    def answer(*args: Any) -> Any:
        result = right(*args)
        for tensor in _tensors(args):
            if tensor.is_floating_point():
                tensor.requires_grad_()
        return result

    return answer


def _uses_one_buffer(right: Callable) -> Callable:
    buffers: dict[tuple, torch.Tensor] = {}

    def into_buffer(x: Any) -> Any:
        x = torch.as_tensor(x)
        return buffers.setdefault((x.dtype, x.shape), torch.empty_like(x.detach())).copy_(x.detach())

    def answer(*args: Any) -> Any:
        return _each(right(*args), into_buffer)

    return answer


def _caches_by_shape(right: Callable) -> Callable:
    cache: dict[bytes, Any] = {}

    def answer(*args: Any) -> Any:
        key = _key(args, whole=False)
        if key not in cache:
            cache[key] = right(*args)
        return cache[key]

    return answer


def _counts_its_calls(right: Callable) -> Callable:
    seen: set[bytes] = set()

    def answer(*args: Any) -> Any:
        result, key = right(*args), _key(args)
        if key in seen:
            return _each(result, lambda x: x + 1 if not _is_bool(x) else ~torch.as_tensor(x))
        seen.add(key)
        return result

    return answer


def _is_off_by_a_ten_thousandth(right: Callable) -> Callable:
    return lambda *args: _each(right(*args), lambda x: x * (1 + 1e-4) if _is_real(x) else x)


def _asks_once_too_often(right: Callable) -> Callable:
    def answer(*args: Any) -> Any:
        asked: list[tuple] = []

        def recording(function: Callable) -> Callable:
            def ask(*given: Any) -> Any:
                asked.append((function, given))
                return function(*given)

            return ask

        result = right(*(recording(arg) if callable(arg) else arg for arg in args))
        for function, given in asked[:1]:
            function(*given)
        return result

    return answer


def _is_real(x: Any) -> bool:
    return x.is_floating_point() if isinstance(x, torch.Tensor) else isinstance(x, float | np.floating)


def _is_bool(x: Any) -> bool:
    return x.dtype == torch.bool if isinstance(x, torch.Tensor) else isinstance(x, bool)


SPOILT = (
    _changes_an_argument,
    _leaves_gradients_on,
    _uses_one_buffer,
    _caches_by_shape,
    _counts_its_calls,
    _is_off_by_a_ten_thousandth,
    _asks_once_too_often,
)
# Whether a way of spoiling says something about an exercise, told from the arguments and the result of one call.
APPLIES = {
    _changes_an_argument: lambda args, result: any(tensor.numel() for tensor in _tensors(args)),
    _leaves_gradients_on: lambda args, result: any(tensor.is_floating_point() for tensor in _tensors(args)),
    _caches_by_shape: lambda args, result: bool(_tensors(args)),
    _is_off_by_a_ten_thousandth: lambda args, result: _is_real(_first(result)),
    # A given network, unlike a `Callback`, may be called as often as one likes.
    _asks_once_too_often: lambda args, result: any(
        callable(arg) and not isinstance(arg, torch.nn.Module) for arg in args
    ),
}


def _first(value: Any) -> Any:
    while isinstance(value, list | tuple | dict):
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


@cache
def _one_call(check: Check, right: Callable) -> tuple[tuple, Any]:
    """The arguments and the result of the first call of a check."""
    calls: list[tuple[tuple, Any]] = []

    def recording(*args: Any) -> Any:
        result = right(*args)
        calls.append((args, result))
        return result

    check.run(recording, seed=1)
    return calls[0]


FUNCTIONS = [param for param in EXERCISES if inspect.isfunction(_right(*param.values))]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__.strip("_"))
@pytest.mark.parametrize("bank, exercise", FUNCTIONS)
def test_a_right_answer_that_is_spoilt_loses_something(bank: Bank, exercise: str, spoil: Callable):
    check, right = bank.checks[exercise], _right(bank, exercise)
    if APPLIES.get(spoil, lambda *_: True)(*_one_call(check, right)):
        for seed in ("practice", 1):
            report = check.run(spoil(right), seed=seed)
            assert report.lost and not report.fault, f"seed {seed}\n{report}"


# Other forms of a right result, which have to earn everything.


def _other_strides(x: Any) -> Any:
    if not isinstance(x, torch.Tensor) or x.ndim == 0:
        return x
    wide = torch.stack([x.detach(), torch.zeros_like(x.detach())], -1)
    return wide[..., 0]


FORMS = {
    "numpy": lambda x: x.detach().numpy() if isinstance(x, torch.Tensor) else x,
    "other strides": _other_strides,
    "takes part in gradients": lambda x: x.detach().clone().requires_grad_() if _is_tensor_of_reals(x) else x,
    "float32": lambda x: x.float() if _is_tensor_of_reals(x) else x,
}
FLOAT64 = {"normalise", "generator_grads"}  # exercises about the last digits of float64


def _is_tensor_of_reals(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bank, exercise", FUNCTIONS)
def test_the_form_of_a_right_result_costs_nothing(bank: Bank, exercise: str, form: str):
    check, right = bank.checks[exercise], _right(bank, exercise)
    wants_gradients = re.search("vjp|asking_gradients", inspect.getsource(check.function))
    if wants_gradients or (form == "float32" and exercise in FLOAT64):
        return  # these want a tensor that gradients flow through, or all digits
    for seed in ("practice", 1):
        report = check.run(lambda *args: _each(right(*args), FORMS[form]), seed=seed)
        assert not report.lost, f"seed {seed}\n{report}"


@pytest.mark.soak
@pytest.mark.parametrize("bank, exercise", FUNCTIONS)
def test_the_practice_cases_by_heart_earn_nothing_with_another_seed(bank: Bank, exercise: str):
    """A table of what the public seed asks, and one number for all else."""
    check, right = bank.checks[exercise], _right(bank, exercise)
    table: dict[bytes, Any] = {}

    def learns(*args: Any) -> Any:
        key, result = _key(args), right(*args)
        table[key] = result
        return result

    assert not check.run(learns).lost
    for number, seed in _paired((*CONSTANTS, 2.0), (1, 2)):

        def recalls(*args: Any, number: float = number) -> Any:
            try:
                return table.get(_key(args), _fill(right(*args), number))
            except ValueError:
                return number

        report = check.run(recalls, seed=seed)
        assert report.points == 0, f"{number} everywhere else, seed {seed}\n{report}"


class _Recorder(InProcess):
    """A channel that remembers the last request, with the making of its object and what was set there."""

    made = b""

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        asked = decode(frame, lambda *_: None)
        if asked["verb"] == "set":
            self.made += frame
        elif asked.get("keep"):
            self.made = frame
        self.frame = self.made + frame
        return super().request(frame, serve)


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_each_property_has_a_case_that_the_seed_draws(bank: Bank, exercise: str):
    check = bank.checks[exercise]

    def cases(seed: int) -> dict[str, set[bytes]]:
        channel, found = _Recorder(_right(bank, exercise)), {}
        for outcome in check.function(Student(channel, exercise), np.random.default_rng(seed)):
            found.setdefault(outcome.name, set()).add(channel.frame)
        return found

    one, other = cases(1), cases(2)
    assert not [name for name in check.points if not one[name] - other[name]]


@pytest.mark.parametrize("bank, exercise", EXERCISES)
def test_an_error_is_shown_with_the_case(bank: Bank, exercise: str):
    """The case is said before the error: sizes at least."""

    class answer:
        def __init__(self, *args: Any):
            raise IndexError("out of range")

    report = bank.checks[exercise].run(answer)
    assert re.search(r"\d.*: your code raised IndexError: out of range", report.error), report.error


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
        values = np.array([p_value(rng.multinomial(2000, table), table) for _ in range(4000)])
        assert abs((values < 0.1).mean() - 0.1) < 0.025 and abs((values < 0.01).mean() - 0.01) < 0.008

    def test_p_value_sees_another_table(self):
        rng = np.random.default_rng(0)
        assert p_value(rng.multinomial(4000, [0.3, 0.7]), np.array([0.4, 0.6])) < 1e-8

    def test_what_never_happens_must_not_happen(self):
        assert p_value(np.array([1, 999]), np.array([0.0, 1.0])) == 0
        assert p_value(np.array([0, 1000]), np.array([0.0, 1.0])) == 1

    @pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
    def test_reading_never_raises(self, value: Any):
        for shape in ((), (2,), (3, 4)):
            array, why = real(value, shape)
            assert (array is None) == bool(why)
            assert array is None or array.dtype == np.float64
        for read, why in (
            parts(value, ("a", "b")),
            entries(value, ("a", "b")),
            real_list(value, [(), (2,)], "entry {}"),
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
    def filled(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            x = x.numpy()
        if isinstance(x, np.ndarray):
            whole = x.dtype.kind in "iu" and not np.isfinite(number)
            return np.full(x.shape, 0 if whole else number).astype(x.dtype)
        return number

    return _each(value, filled)


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
