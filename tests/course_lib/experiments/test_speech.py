"""The saved digits: the file that the lesson plays, and how a sound is written and read."""

import pytest
import torch

from course_lib.data.sound import RATE
from course_lib.experiments import speech
from course_lib.models import WaveNet
from course_lib.notebook import player


def test_the_saved_digits_are_short_and_can_be_played_with_their_credit():
    sound = speech.saved()
    assert sound.shape == (len(speech.DIGITS) * speech.LENGTH,) and speech.FILE.stat().st_size <= 40_000
    assert 0.05 < sound.abs().max() <= 1
    shown = player(sound, RATE, alt="Three digits.", credit=speech.CREDIT)
    assert "CC BY-SA 4.0" in shown["text/html"]


def test_what_is_written_is_read(tmp_path, monkeypatch):
    sound = torch.tensor([0.0, 1.0, -1.0, 0.25])
    speech.save(sound, tmp_path / "sound.wav")
    monkeypatch.setattr(speech, "FILE", tmp_path / "sound.wav")
    torch.testing.assert_close(speech.saved(), sound, atol=1 / 32767, rtol=0)


def test_digits_follow_each_other_in_one_voice(monkeypatch):
    torch.manual_seed(0)
    model = WaveNet(20, 256, 4, [1, 2], skip=8, classes=(10, 6)).eval()
    asked = []
    monkeypatch.setattr(
        WaveNet, "sample", lambda self, n, **settings: asked.append(settings["labels"]) or torch.full((n, 20), 255)
    )
    assert torch.equal(speech.draw(model, 20), torch.ones(60))
    assert asked[0].tolist() == [[digit, 1] for digit in speech.DIGITS]


def test_the_model_hears_a_quarter_of_a_second():
    assert speech.build().receptive_milliseconds(RATE) == pytest.approx(256)
