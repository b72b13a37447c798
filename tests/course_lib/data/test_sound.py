"""Tones, and the reader of spoken digits on small files; where COURSE_DATA is set, on the real ones."""

import io
import math
import os
import tarfile
import wave

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import data
from course_lib.companding import expand, mu_law_decode, mu_law_encode
from course_lib.data import files, sound

needs_data = pytest.mark.skipif("COURSE_DATA" not in os.environ, reason="COURSE_DATA is not set")


def spectrum(x):
    """The magnitude at each frequency, in steps of 1 Hz."""
    return np.abs(np.fft.rfft(x * np.hanning(len(x)), sound.RATE))


def test_tones_are_the_same_every_time_and_have_labels_and_pitches():
    first, again = data.tones(), data.tones()
    assert (first.name, first.shape, first.levels, first.rate, first.classes) == ("tones", (2000,), 256, 8000, (3, 8))
    for part, split in first.splits().items():
        other, n = again.splits()[part], sound.TONES[part]
        assert split.x.shape == (n, 2000) and split.context.shape == (n, 1, 2000)
        assert torch.equal(split.x, other.x) and torch.equal(split.y, other.y)
        assert torch.bincount(split.y[:, 0]).tolist() == [n // 3] * 3 and split.y[:, 1].max() == 7
        scale = torch.tensor(list(sound.SCALE.values())) / 12
        torch.testing.assert_close(split.context[:, 0, 0], scale[split.y[:, 1]])
    assert not torch.equal(first.valid.x, first.test.x)


def test_a_tone_sounds_at_its_pitch():
    ds = data.tones()
    for x, (form, _), context in zip(*(each[:12] for each in (ds.test.x, ds.test.y, ds.test.context)), strict=True):
        pieces = 4 if form == 2 else 1
        for piece, octaves in zip(mu_law_decode(x).view(pieces, -1), context.view(pieces, -1), strict=True):
            assert (octaves == octaves[0]).all()
            pitch = sound.C4 * 2 ** octaves[0].item()
            strength = spectrum(piece.numpy())
            for ratio in (1, 2 ** (4 / 12), 2 ** (7 / 12)) if form == 1 else (1,):
                place = round(ratio * pitch)
                peak = strength[place - 8 : place + 9].max()
                assert peak > 0.4 * strength.max(), f"{pitch:.0f} Hz is missing in form {form}"


def test_sixteen_bits_are_the_same_sounds_with_finer_levels():
    coarse, fine = data.tones().test, data.tones(16).test
    assert data.tones(16).levels == 65536 and data.tones(16).name == "tones, 16 bits"
    sounds = fine.x / 2**15 - 1
    assert torch.equal(mu_law_encode(sounds.double()), coarse.x) or (
        (mu_law_encode(sounds.double()) - coarse.x).abs().max() <= 1  # where rounding to 16 bits crosses an edge
    )
    assert torch.equal(fine.y, coarse.y)


def test_the_noise_costs_what_the_readme_says(monkeypatch):
    noisy = [data.tones(bits).test.x for bits in (8, 16)]
    monkeypatch.setattr(sound, "NOISE", 0.0)
    clean = data.tones(16).test.x / 2**15 - 1.0
    half = torch.arange(255) + 0.5
    edges = F.pad(expand(2 * half / 255 - 1, 255), (1, 1), value=torch.inf)
    edges[0] = -torch.inf
    below, above = ((edges[noisy[0] + side] - clean) / 0.005 for side in (0, 1))
    bits = -(torch.special.ndtr(above) - torch.special.ndtr(below)).log2().mean()
    assert bits.item() == pytest.approx(2.44, abs=0.01)
    deviations = (noisy[1] / 2**15 - 1 - clean) / 0.005
    density = deviations**2 / 2 / math.log(2) + math.log2(0.005 * 2**15 * math.sqrt(2 * math.pi))
    assert density.mean().item() == pytest.approx(9.40, abs=0.01)


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """COURSE_DATA with three digits of two speakers, eight recordings each; all samples of a recording are alike."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    folder = tmp_path / "FSDD" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(3):
        for s, speaker in enumerate(("george", "theo")):
            for number in range(12):
                with wave.open(str(folder / f"{digit}_{speaker}_{number}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(8000)
                    value = 1000 * digit + 100 * s + number
                    length = 30 if number != 11 else 19
                    file.writeframes(np.full(length, value - 2000, "<i2").tobytes())
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(sound, "FSDD_SUM", files.sum_of_sums(content))
    return folder


def test_spoken_digits_are_split_by_number_and_the_short_ones_left_out(recordings):
    ds = data.spoken_digits(16, length=20)
    assert (ds.shape, ds.levels, ds.rate, ds.classes) == ((20,), 65536, 8000, (10, 6))
    assert "Zohar Jackson" in ds.credit and "CC BY-SA 4.0" in ds.credit
    for part, numbers in {"test": range(5), "valid": range(5, 10), "train": range(10, 11)}.items():
        split = ds.splits()[part]
        expected = {
            (1000 * digit + 100 * s + number - 2000 + 2**15, digit, speaker)
            for digit in range(3)
            for s, speaker in enumerate((0, 4))
            for number in numbers
        }
        found = {(x[0].item(), *y) for x, y in zip(split.x, split.y.tolist(), strict=True)}
        assert found == expected and (split.x == split.x[:, :1]).all()


def test_eight_bits_are_mu_law_levels(recordings):
    eight, sixteen = data.spoken_digits(length=3).test.x, data.spoken_digits(16, length=3).test.x
    assert eight.dtype == torch.uint8
    assert torch.equal(eight.long(), mu_law_encode(sixteen / 2**15 - 1))


@pytest.mark.parametrize("call", [data.tones, data.spoken_digits])
def test_other_bits_are_refused(call):
    with pytest.raises(ValueError, match="bits must be 8, .* or 16; got 12"):
        call(12)


def test_an_impossible_length_is_refused():
    with pytest.raises(ValueError, match="length must be 1 to 18262"):
        data.spoken_digits(length=0)


def test_a_folder_in_course_data_with_other_files_is_reported(recordings):
    (recordings / "0_theo_3.wav").unlink()
    with pytest.raises(ValueError, match="recordings is damaged.*COURSE_DATA"):
        data.spoken_digits(length=20)


def test_an_archive_is_downloaded_once_and_kept_if_its_files_are_right(recordings, tmp_path, monkeypatch):
    content, right = {file.name: file.read_bytes() for file in recordings.iterdir()}, sound.FSDD_SUM
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, blob in {**content, "README.md": b"words"}.items():
            folder = "free-1/recordings/" if name.endswith("wav") else "free-1/"
            info = tarfile.TarInfo(folder + name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    own = tmp_path / "own"
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(files, "own_folder", lambda: own)
    gone = (tmp_path / "gone").as_uri()
    with pytest.raises(RuntimeError, match="is not 0000"):
        files.fetch_folder("sounds", "FSDD/recordings", [archive.as_uri()], "0000")
    assert files.find_folder("FSDD/recordings", right) is None
    assert files.fetch_folder("sounds", "FSDD/recordings", [gone, archive.as_uri()], right) == content
    archive.unlink()
    assert files.fetch_folder("sounds", "FSDD/recordings", [gone], right) == content
    (own / "FSDD" / "recordings" / "0_theo_3.wav").write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="cannot get the data set 'sounds'") as error:
        files.fetch_folder("sounds", "FSDD/recordings", [gone], right)
    assert gone in str(error.value) and "data.tones()" in str(error.value)


def test_what_is_no_archive_is_thrown_away(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(files, "own_folder", lambda: tmp_path / "own")
    (tmp_path / "page").write_text("moved")
    with pytest.raises(RuntimeError, match="cannot get"):
        files.fetch_folder("sounds", "FSDD/recordings", [(tmp_path / "page").as_uri()], "0000")


@needs_data
def test_the_real_recordings():
    ds = data.spoken_digits()
    assert [len(split) for split in ds.splits().values()] == [2284, 277, 275]
    for split in ds.splits().values():
        assert torch.bincount(split.y[:, 0], minlength=10).min() > 10
        assert torch.bincount(split.y[:, 1], minlength=6).min() > 30
    whole = data.spoken_digits(length=4000)
    short = {tuple(x.tolist()) for x in ds.test.x[:, :2000]}
    assert {tuple(x.tolist()) for x in whole.test.x[:, :2000]} < short
