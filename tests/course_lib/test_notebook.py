"""What a notebook's cells do while an exercise is unsolved, with a guess, and with a sound."""

import base64
import io
import re
import wave

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from course_lib.notebook import guess, outcome, play, player, waits_for


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


def heard(shown: dict[str, str]) -> tuple[int, np.ndarray]:
    """Rate and samples of a player."""
    (sound,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', shown["text/html"])
    with wave.open(io.BytesIO(base64.b64decode(sound))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_a_player_holds_the_sound_and_says_what_is_heard_and_who_made_it():
    x = torch.tensor([0.0, 0.5, -1.0, 1.0])
    shown = player(x, 8000, alt='A "click" & <silence>.', credit="Zohar Jackson, CC BY-SA 4.0")
    rate, samples = heard(shown)
    assert rate == 8000 and samples.tolist() == [0, 16384, -32767, 32767]
    assert shown["text/plain"] == 'A "click" & <silence>. Sound: Zohar Jackson, CC BY-SA 4.0.'
    assert 'aria-label="A &quot;click&quot; &amp; &lt;silence&gt;."' in shown["text/html"]
    assert "<figcaption>A &quot;click&quot; &amp; &lt;silence&gt;. Sound: Zohar Jackson" in shown["text/html"]
    assert player(x, 8000, alt="A click.")["text/plain"] == "A click."


def test_a_long_sound_is_refused_in_words():
    longest = torch.zeros(14_978)
    assert len(player(longest, 8000, alt="Silence.")["text/html"]) < 41_000
    with pytest.raises(ValueError, match=r"would take 43 kB .* at most 40 kB, which is 1.9 s at 8000 Hz. Play a short"):
        player(torch.zeros(16_000), 8000, alt="Silence.")


@pytest.mark.parametrize(
    ("x", "alt", "message"),
    [
        (torch.zeros(2, 9), "A sound.", r"shape \(T,\); got torch.float32, \(2, 9\)"),
        (torch.zeros(9).long(), "A sound.", "got torch.int64.*mu_law_decode"),
        (torch.zeros(0), "A sound.", "expected one sound"),
        ([0.0, 0.1], "A sound.", "expected one sound.*got list"),
        (torch.tensor([0.0, 1.5]), "A sound.", "x must lie in -1..1; got 0 to 1.5"),
        (torch.tensor([0.0, torch.nan]), "A sound.", "x must lie in -1..1"),
        (torch.zeros(9), " ", "alt is empty"),
    ],
)
def test_what_cannot_be_played_is_refused(x, alt, message):
    with pytest.raises(ValueError, match=message):
        play(x, 8000, alt=alt)


def test_a_player_stays_in_a_saved_notebook():
    code = "import torch\nfrom course_lib.notebook import play\nplay(torch.zeros(80), 8000, alt='Silence.')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120).execute()
    (output,) = nbformat.reads(nbformat.writes(notebook), as_version=4).cells[0].outputs
    assert heard(output.data)[1].tolist() == [0] * 80 and output.data["text/plain"] == "Silence."
