"""What a notebook's cell does while an exercise is unsolved."""

import matplotlib.pyplot as plt

from course_lib.notebook import waits_for


def test_a_figure_begun_before_an_unsolved_exercise_is_not_shown(capsys):
    with waits_for("answer"):
        plt.figure()
        raise NotImplementedError
    assert plt.get_fignums() == []
    assert "`answer`" in capsys.readouterr().out
