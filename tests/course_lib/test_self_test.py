"""Lesson 00's self-test: right answers in any form pass, others are told what to read."""

import math

import pytest
import torch

from course_lib.self_test import self_test

RIGHT = dict(log_sum_exp=-999.307, bayes=9 / 13, broadcasting=(5, 4, 3), gather=[1, 0, 1])


def verdicts(capsys, **answers) -> list[str]:
    self_test(**RIGHT | answers)
    return [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]


def test_the_answers_are_those_of_torch(capsys):
    terms, rows = torch.full((2,), -1000.0, dtype=torch.float64), torch.arange(6.0).view(3, 2)
    answers = dict(
        log_sum_exp=terms.logsumexp(0).item(),
        broadcasting=(torch.zeros(5, 1, 3) + torch.zeros(4, 1)).shape,
        gather=(rows.gather(1, torch.tensor([1, 0, 1])[:, None])[:, 0] - rows[:, 0]).int().tolist(),
    )
    assert verdicts(capsys, **answers) == ["right"] * 4


@pytest.mark.parametrize(
    "name, answer",
    [
        ("log_sum_exp", -math.inf),
        ("log_sum_exp", "a number"),
        ("bayes", 0.9),
        ("broadcasting", (5, 1, 3)),
        ("broadcasting", 3),
        ("gather", [0, 1, 0]),
        ("gather", "1, 0, 1"),
    ],
)
def test_a_wrong_answer_is_told_what_to_read(capsys, name, answer):
    lines = verdicts(capsys, **{name: answer})
    assert lines.count("right") == 3
    assert "Read " in lines[list(RIGHT).index(name)]


def test_no_answer_yet_stops_nothing(capsys):
    assert verdicts(capsys, log_sum_exp=..., bayes=..., broadcasting=(...,), gather=[...]) == ["no answer yet"] * 4
