"""Checks: their declaration, their points, and the report for the student."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.checking.check import Check, check, holds

HINTS = ["a nudge", "a step", "nearly there"]


@check(gates=["shape"], points={"right": 2, "stable": 0.5}, hints=HINTS)
def answer(student, rng):
    """A check for the tests.

    More about it.
    """
    for case in (1, 2, 3):
        got = student.call(case)
        yield holds("shape", isinstance(got, int), because=f"expected an int, got {got!r}")
        yield holds("right", got == case, because=f"expected {case}, got {got}")
    yield holds("stable", student.call(1000) == 1000, because="1000 is too large for it")


def test_points_and_verdicts():
    report = answer.run(lambda x: x)
    assert (report.points, report.max_points, report.lost, report.error) == (2.5, 2.5, set(), "")
    report = answer.run(lambda x: min(x, 2))
    assert (report.points, report.lost, report.failed) == (0, {"right", "stable"}, {"right", "stable"})
    report = answer.run(lambda x: min(x, 3))
    assert (report.points, report.lost) == (2, {"stable"})


def test_the_first_counter_example_is_what_the_student_reads():
    verdicts = {verdict.name: verdict for verdict in answer.run(lambda x: 7).verdicts}
    assert verdicts["right"].because == "expected 1, got 7"


def test_a_gate_ends_the_check_and_takes_all():
    calls = []
    report = answer.run(lambda x: calls.append(x) or (x if x == 1 else None))
    assert calls == [1, 2]
    assert report.points == 0 and report.lost == {"shape", "right", "stable"} and report.failed == {"shape"}
    assert "not tested to the end: right (2 points), stable (0.5 points)" in str(report)


def test_an_error_at_the_end_loses_all_that_was_not_finished():
    report = answer.run(lambda x: x if x < 9 else 1 / 0)
    assert report.points == 0 and report.lost == {"shape", "right", "stable"} and report.failed == set()
    assert report.kind == "ZeroDivisionError" and "division by zero" in str(report)


def test_a_property_that_no_case_touches_does_not_hold():
    @check(points={"seen": 1, "forgotten": 1}, hints=HINTS)
    def forgetful(student, rng):
        yield holds("seen", True, because="")

    assert forgetful.run(lambda: 0).lost == {"forgotten"}


def test_a_fault_of_the_check_is_no_ones_points():
    @check(points={"any": 1}, hints=HINTS)
    def faulty(student, rng):
        yield holds("any", True, because="")
        raise RuntimeError("a bug")

    report = faulty.run(lambda: 0)
    assert report.points == 0 and report.fault == "RuntimeError: a bug"
    assert "a bug" not in str(report) and "your instructor has been told" in str(report)


def test_an_undeclared_property_is_a_fault():
    @check(points={"any": 1}, hints=HINTS)
    def odd(student, rng):
        yield holds("other", True, because="")

    assert "declares no property 'other'" in odd.run(lambda: 0).fault


@pytest.mark.parametrize(
    "declaration",
    [
        {"points": {}, "hints": HINTS},
        {"points": {"a": 0}, "hints": HINTS},
        {"points": {"a": -1}, "hints": HINTS},
        {"points": {"a": 1}, "gates": ["a"], "hints": HINTS},
        {"points": {"a": 1}, "hints": HINTS[:2]},
    ],
)
def test_declarations_that_make_no_sense(declaration):
    with pytest.raises(ValueError, match="expected"):
        check(**declaration)(lambda student, rng: iter(()))


def test_reasons_are_computed_only_where_needed():
    def never():
        raise AssertionError("asked for a reason")

    assert holds("a", np.True_, because=never).because == ""
    assert holds("a", np.False_, because=lambda: "so").because == "so"


def draws(seed) -> list:
    drawn = []

    @check(points={"any": 1}, hints=HINTS)
    def random(student, rng):
        drawn.append(rng.integers(10**12))
        yield holds("any", True, because="")

    random.run(lambda: 0, seed=seed)
    random.run(lambda: 0, seed=seed)
    return drawn


def test_cases_depend_on_the_seed_alone():
    one, again = draws("secret")
    assert one == again
    assert one not in (draws("other") + draws(0))


def test_title_and_texts():
    assert (answer.title, answer.name, answer.max_points) == ("A check for the tests", "answer", 2.5)
    assert str(answer.run(lambda x: min(x, 3))).splitlines() == [
        "A check for the tests: 2 of 2.5 points",
        "  ok    shape",
        "  ok    right (2 points)",
        "  lost  stable (0.5 points): 1000 is too large for it",
    ]


def test_hints_come_one_by_one(capsys):
    fresh = Check(answer.function, ["shape"], {"right": 2}, HINTS)
    shown = []
    for _ in range(4):
        fresh.hint()
        shown.append(capsys.readouterr().out.splitlines())
    assert [len(lines) for lines in shown] == [1, 2, 3, 3]
    assert shown[2] == ["Hint 1 of 3: a nudge", "Hint 2 of 3: a step", "Hint 3 of 3: nearly there"]


def test_a_passed_check_says_to_go_on_where_there_is_a_cell_below():
    assert "Now run the cell below." in answer(lambda x: x, go_on=True).html()
    assert "Now run" not in answer(lambda x: x).html()
    assert "Now run" not in answer(lambda x: None, go_on=True).html()


def test_in_a_notebook_the_report_is_shown_and_a_hint_offered():
    lost = answer(lambda x: None)
    assert "checks.answer.hint()" in lost.html()
    assert "hint()" not in answer(lambda x: x).html()
    bundle = lost._repr_mimebundle_()
    assert bundle["text/plain"] == "0.0"  # nbgrader reads the points from this
    assert answer(lambda x: min(x, 3))._repr_mimebundle_()["text/plain"] == "2.0"


def test_a_notebook_that_passes_a_result_is_told():
    with pytest.raises(TypeError, match=r"write checks.answer\(answer\)"):
        answer(3)


def test_the_html_holds_no_markup_of_the_student():
    def nasty(x):
        raise ValueError("<script>alert(1)</script>\n<img src=x onerror=alert(2)>&amp;\"'")

    html = answer.run(nasty).html()
    assert set(re.findall(r"</?(\w+)", html)) <= {"div", "b", "br"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;<br>&lt;img" in html and "&amp;amp;" in html


def test_the_ledgers_form_is_plain():
    import json

    for function in (lambda x: x, lambda x: None, lambda x: 1 / 0):
        report = answer.run(function)
        told = json.loads(json.dumps(report.to_dict()))
        assert told["points"] == report.points and told["max_points"] == 2.5
        assert [verdict["gate"] for verdict in told["verdicts"]] == [True, False, False]
        assert {verdict["name"] for verdict in told["verdicts"] if not verdict["held"]} == report.lost


def test_a_refusal_loses_everything_and_says_why():
    report = answer.refuse("Missing", "the submission has no cell for this exercise")
    assert report.points == 0 and report.lost == {"shape", "right", "stable"}
    assert "the submission has no cell" in str(report) and "the submission has no cell" in report.html()


def test_points_cannot_be_lost_in_rounding():
    @check(points={str(i): 0.1 for i in range(10)}, hints=HINTS)
    def tenths(student, rng):
        for i in range(10):
            yield holds(str(i), True, because="")

    assert tenths.run(lambda: 0).points == tenths.max_points == 1.0


def test_a_check_may_be_worth_more_or_less():
    other = answer.worth(5)
    assert (other.points, other.max_points, other.name, other.lesson) == (
        {"right": 4.0, "stable": 1.0},
        5,
        answer.name,
        answer.lesson,
    )
    assert str(other.run(lambda x: min(x, 3))).startswith("A check for the tests: 4 of 5 points")
    assert answer.worth(2.5) is answer and answer.points == {"right": 2, "stable": 0.5}


@given(
    declared=st.lists(st.sampled_from([0.1, 0.3, 0.5, 1, 1.5, 2, 3, 7]), min_size=1, max_size=8),
    points=st.floats(0.01, 1000) | st.integers(1, 100),
)
def test_points_in_another_measure_are_exact_in_sum(declared, points):
    plain = Check(answer.function, ["shape"], {f"property {n}": value for n, value in enumerate(declared)}, HINTS)
    scaled = plain.worth(points)
    assert scaled.max_points == points
    for name, value in plain.points.items():
        assert scaled.points[name] == pytest.approx(value * points / plain.max_points, rel=1e-12)


def test_a_reason_is_bounded_whatever_the_answer_is():
    """It shows the return value of the student's code, which may be megabytes."""
    (verdict, *_) = answer.run(lambda x: "x" * 10**6).verdicts
    assert len(verdict.because) < 2100 and verdict.because.endswith("characters in all)")


def test_half_a_character_in_a_reason_can_be_written():
    def broken(x):
        raise ValueError("\ud800")

    report = answer.run(broken)
    assert "raised ValueError: ?" in report.error
    json.dumps(report.to_dict(), ensure_ascii=False).encode()
