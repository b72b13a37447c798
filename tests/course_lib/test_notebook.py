"""What a notebook's cells do while an exercise is unsolved, and with a guess."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.notebook import guess, outcome, waits_for


def test_a_figure_begun_before_an_unsolved_exercise_is_not_shown(capsys):
    with waits_for("answer"):
        plt.figure()
        raise NotImplementedError
    assert plt.get_fignums() == []
    assert "`answer`" in capsys.readouterr().out


def test_an_empty_guess_stops_nothing_and_takes_back_an_earlier_one(capsys):
    guess("mass", 3)
    guess("mass", ...)
    outcome("mass", 1.0)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "mass: no guess yet. Replace the dots by a number, and run this cell again.",
        "mass: 1. You made no guess.",
    ]
    guess("who", choices=["NADE", "MADE"])
    assert "Replace the dots by one of 'NADE', 'MADE'," in capsys.readouterr().out


@pytest.mark.parametrize("value", [2, 2.0, "2", np.float32(2), torch.tensor(2)])
def test_a_guess_may_be_any_kind_of_number(capsys, value):
    guess("mass", value)
    outcome("mass", torch.tensor(1 / 3))
    assert capsys.readouterr().out.splitlines()[-1] == "mass: 0.333333. Your guess was 2."


@pytest.mark.parametrize("value, choices", [("much", ()), (None, ()), ("RNADE", ("NADE", "MADE")), (1, ("NADE",))])
def test_a_guess_that_is_none_is_refused(value, choices):
    with pytest.raises(ValueError, match="the guess of 'mass' is .*; expected .*, or the dots for no guess"):
        guess("mass", value, choices=choices)
