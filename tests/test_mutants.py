"""The mutants of right answers: what is changed, what counts as explained, and that survivors are found."""

import pytest
import torch

from autograder.checking.check import check, holds
from banks import Bank, all_banks
from tests import mutants as tool
from tests.mutants import mutants, survivors


@check(points={"any": 1}, hints=["", "", ""])
def sees_nothing(student, rng):
    """A check with a hole."""
    student.call(torch.ones(2, 3))
    yield holds("any", True, because="")


def changes(line: str) -> set[str]:
    """What the line may become."""
    found = mutants(f"def f(x, w, n):\n    {line}\n    return x\n")
    return {change.removeprefix(f"{line} -> ") for change, _ in found if change.startswith(line)}


@pytest.mark.parametrize(
    "line, some",
    [
        ("x = x < n", ["x = x <= n", "pass"]),
        ("x = w @ x + 1.0", ["x = w @ x - 1.0", "x = w @ x + 2.0", "x = w @ x + 0.5"]),
        ("x = -x / w", ["x = x / w", "x = -x * w", "x = -x / (w + 1e-08)"]),
        ("x = x.sum(1, keepdim=True)", ["x = x.sum(2, keepdim=True)", "x = x.sum(1, keepdim=False)", "x = x.sum(1)"]),
        ("x = torch.exp(x)", ["x = torch.exp(torch.as_tensor(x).clamp(-5, 5))", "x = x"]),
        ("x = x.log()", ["x = torch.as_tensor(x).clamp(min=1e-06).log()", "x = (x + 1e-08).log()"]),
        ("x = x[:n]", ["x = x[:n + 1]", "x = x[:n - 1]"]),
        ("x = x.to(torch.float64)", ["x = x.to(torch.float16)"]),
        ("x = torch.where(n, x, w)", ["x = torch.where(x, n, w)"]),
        ("x = range(n)", ["x = range(n - 1)", "x = range(1, n)"]),
    ],
)  # fmt: skip
def test_what_a_line_may_become(line, some):
    assert set(some) <= changes(line)


@pytest.mark.parametrize(
    "line", ["import torch", '"""Words."""', "raise ValueError(1 + 1)", "x = zip(x, w, strict=True)"]
)
def test_what_nobody_gets_wrong_is_left_alone(line):
    assert not changes(line) - {"x = zip(w, x, strict=True)", "x = x", "pass"}


def test_a_mutant_runs_and_differs_in_one_place():
    source = "def f(x):\n    y = x + 1\n    return y * 2\n"
    for change, text in mutants(source):
        namespace = {}
        exec(text, namespace)
        assert change.count(" -> ") == 1 and text != source


def test_an_explanation_is_an_edit_of_the_line():
    bank = Bank("start_here")
    bank.equivalent("normalise", "x.clone()", "x", "a copy is made anyway")
    assert tool._explained(bank, "normalise", "y = x.clone() + 1 -> y = x + 1") == ("x.clone()", "x")
    assert tool._explained(bank, "normalise", "y = x.clone() + 1 -> y = x.clone() - 1") is None
    assert tool._explained(bank, "other", "y = x.clone() + 1 -> y = x + 1") is None


def test_what_a_check_does_not_see_survives():
    (bank,) = [bank for bank in all_banks() if bank.lesson == "start_here"]
    entry = bank.of("normalise", right=True)[0]
    count, left = survivors(bank, entry)
    assert count >= 3 and not [change for change in left if not tool._explained(bank, entry.exercise, change)]
    blind = Bank("start_here")
    blind.checks["normalise"] = sees_nothing
    assert "return weights / weights.sum(1, keepdim=True) -> return weights / weights" in survivors(blind, entry)[1]


def test_a_mutant_that_never_ends_is_caught(monkeypatch):
    monkeypatch.setattr(tool, "MAX_SECONDS", 0.2)
    (bank,) = [bank for bank in all_banks() if bank.lesson == "start_here"]
    assert tool._loses(bank, "normalise", "def normalise(weights):\n    while True:\n        pass\n", 1)
