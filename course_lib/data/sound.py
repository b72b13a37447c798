"""Sound at 8,000 samples per second: synthetic tones, and spoken digits.

A sound is a vector of T samples. They are integers in one of two forms:

* 8 bits, K = 256: levels of mu-law companding. `course_lib.companding.mu_law_decode` makes them sound.
* 16 bits, K = 65,536: x / 32768 - 1 is the sound, as in most files.
"""

import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from course_lib.companding import mu_law_encode
from course_lib.data import files
from course_lib.data.dataset import Dataset, Split

RATE = 8000
TONES = dict(train=240, valid=60, test=60)
TONE_LENGTH = 2000
NOISE = 0.005
SCALE = {"C4": 0, "D4": 2, "E4": 4, "F4": 5, "G4": 7, "A4": 9, "B4": 11, "C5": 12}  # semitones above C4
C4 = 440 * 2 ** (-9 / 12)  # Hz; A4 is 440 Hz
FORMS = {"note": 1, "chord": 1, "melody": 4}  # how many tones follow each other
SPEAKERS = "george", "jackson", "lucas", "nicolas", "theo", "yweweler"
FSDD = "FSDD/recordings"
FSDD_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
FSDD_ARCHIVE = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{FSDD_COMMIT}.tar.gz"
FSDD_SUM = "1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959"  # see files.sum_of_sums


@dataclass(frozen=True)
class Sounds(Dataset):
    """A data set of sounds: x holds (n, T) integers, y (n, kinds) labels.

    Attributes:
        rate: samples per second, in Hz.
        labels: for each kind of label its classes, in words; column by column of y.
        credit: to whom thanks are due, and the licence, wherever the sounds are played or shown; empty if nobody asks
            for it.
    """

    rate: int = RATE
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    credit: str = ""

    @property
    def classes(self) -> tuple[int, ...]:
        """The number of classes of each kind of label, as a conditional model takes it."""
        return tuple(map(len, self.labels.values()))


def tones(bits: int = 8) -> Sounds:
    """A quarter of a second of music: 240 sounds for training, 60 for validation, 60 for testing, computed in a moment.

    A tone is the sum of three harmonics of falling strength, each at a random phase; it sets in within 2 ms and dies
    away. A *note* is one tone; a *chord* a major triad of three; a *melody* four tones, one after the other. The
    pitches are those of the scale of C major from C4 to C5 (262 to 523 Hz). All have white noise of standard deviation
    0.005, so that no model can foretell a sample exactly. The sounds are the same every time.

    Labels are the form (note, chord, melody) and the pitch of the first tone, in a chord the lowest one. The context,
    (n, 1, 2000), is the pitch at each sample, in octaves above C4.

    Args:
        bits: 8 or 16, see above.

    Raises:
        ValueError: bits is another number.

    >>> ds = tones()
    >>> ds.train.x.shape, ds.train.y.shape, ds.train.context.shape, ds.levels
    (torch.Size([240, 2000]), torch.Size([240, 2]), torch.Size([240, 1, 2000]), 256)
    >>> form, pitch = ds.test.y[2]
    >>> ds.labels["form"][form], ds.labels["pitch"][pitch]
    ('melody', 'C4')
    """
    _check_bits(bits)
    rng = np.random.RandomState(0)  # its stream is frozen (NEP 19)
    labels = {"form": tuple(FORMS), "pitch": tuple(SCALE)}
    parts = {part: _tones(n, bits, rng) for part, n in TONES.items()}
    return Sounds("tones" + _suffix(bits), (TONE_LENGTH,), 2**bits, **parts, labels=labels)


def spoken_digits(bits: int = 8, *, length: int = 2000) -> Sounds:
    """Speech: the digits zero to nine from six speakers, of the Free Spoken Digit Dataset. uint8, or int32 for 16 bits.

    A recording begins where the voice does, and lasts 0.14 to 2.28 s. Each sound is the beginning of one recording;
    recordings that are too short are left out. With the default, a quarter of a second, 2,836 of 3,000 remain: 2,284
    for training, 277 for validation, 275 for testing.

    The test set is the source's own: the recordings with numbers 0 to 4 of each digit and speaker. We set those with
    numbers 5 to 9 aside for validation. All six speakers are in every part.

    Labels are the digit and the speaker.

    The recordings are by Zohar Jackson and the contributors of github.com/Jakobovski/free-spoken-digit-dataset, under
    the licence CC BY-SA 4.0 (creativecommons.org/licenses/by-sa/4.0): say so wherever they are played or shown, as
    `credit` does, and pass on what you make of them under the same licence. They are found in the folder that
    COURSE_DATA names, or else downloaded once.

    Args:
        bits: 8 or 16, see above.
        length: T, the number of samples.

    Raises:
        ValueError: bits or length is out of range, or as in `files.find_folder`.
        RuntimeError: as in `files.fetch_folder`.
    """
    _check_bits(bits)
    if not 1 <= length <= 18262:
        raise ValueError(f"length must be 1 to 18262 samples, the length of the longest recording; got {length}")
    recordings = files.fetch_folder("spoken_digits", FSDD, [FSDD_ARCHIVE], FSDD_SUM)
    rows = {"train": [], "valid": [], "test": []}
    for name in sorted(recordings):
        digit, speaker, number = name.removesuffix(".wav").split("_")
        with wave.open(io.BytesIO(recordings[name])) as file:
            sound = np.frombuffer(file.readframes(length), "<i2")
        if len(sound) == length:
            part = "test" if int(number) < 5 else "valid" if int(number) < 10 else "train"
            rows[part].append((sound, (int(digit), SPEAKERS.index(speaker))))
    parts = {}
    for part, chosen in rows.items():
        sounds, labels = zip(*chosen, strict=True)
        x = _levels(torch.from_numpy(np.stack(sounds).astype(np.float32)) / 2**15, bits)
        parts[part] = Split(x.to(torch.uint8 if bits == 8 else torch.int32), torch.tensor(labels))
    names = {"digit": tuple("0123456789"), "speaker": SPEAKERS}
    credit = "Free Spoken Digit Dataset, Zohar Jackson and contributors, CC BY-SA 4.0"
    return Sounds("spoken digits" + _suffix(bits), (length,), 2**bits, **parts, labels=names, credit=credit)


def harmonic_share(pieces: torch.Tensor, pitch: torch.Tensor | float) -> torch.Tensor:
    """The share of a sound's power that lies within 30 Hz of the first three harmonics of a pitch.

    Args:
        pieces: (..., T) real numbers, RATE per second; each piece is weighted by a Hann window.
        pitch: in Hz, one for all pieces, or of a shape that broadcasts with theirs without T.

    Returns:
        (...), from 0 to 1.

    >>> sine = torch.sin(2 * torch.pi * 440 * torch.arange(400) / RATE)
    >>> harmonic_share(sine, 440.0) > 0.99, harmonic_share(sine, 600.0) < 0.01
    (tensor(True), tensor(True))
    """
    width = pieces.shape[-1]
    power = torch.fft.rfft(pieces * torch.hann_window(width)).abs().square()
    frequency = torch.arange(power.shape[-1]) * RATE / width
    harmonics = torch.as_tensor(pitch)[..., None, None] * torch.arange(1, 4)[:, None]
    near = ((frequency - harmonics).abs() <= 30).any(-2)
    return (power * near).sum(-1) / power.sum(-1)


def has_spoken_digits() -> bool:
    """Whether the recordings of `spoken_digits` are at hand, without a download."""
    return files.find_folder(FSDD, FSDD_SUM) is not None


def _tones(n: int, bits: int, rng: np.random.RandomState) -> Split:
    """n sounds, of each form in turn."""
    semitones = np.array(list(SCALE.values()))
    sounds, labels, pitches = np.empty((n, TONE_LENGTH)), [], np.empty((n, 1, TONE_LENGTH))
    for i in range(n):
        form = i % len(FORMS)
        count = list(FORMS.values())[form]
        places = rng.randint(len(semitones), size=count)
        chord = [0, 4, 7] if form == 1 else [0]
        parts = [sum(_tone(semitones[k] + s, TONE_LENGTH // count, rng) for s in chord) for k in places]
        sound = np.concatenate(parts)
        sounds[i] = rng.uniform(0.2, 0.9) * sound / np.abs(sound).max() + NOISE * rng.randn(TONE_LENGTH)
        labels.append((form, places[0]))
        pitches[i, 0] = np.repeat(semitones[places] / 12, TONE_LENGTH // count)
    x = _levels(torch.from_numpy(sounds), bits)
    return Split(x, torch.tensor(np.array(labels)), torch.from_numpy(pitches).float())


def _tone(semitone: int, length: int, rng: np.random.RandomState) -> np.ndarray:
    """One tone, so many semitones above C4: (length,)."""
    seconds = np.arange(length) / RATE
    turns = C4 * 2 ** (semitone / 12) * seconds
    harmonics = sum(np.sin(2 * np.pi * (k * turns + rng.uniform())) / k for k in (1, 2, 3))
    return harmonics * np.minimum(seconds / 0.002, 1) * np.exp(-seconds / 0.2)


def _levels(sound: torch.Tensor, bits: int) -> torch.Tensor:
    """A sound in -1..1 as integers of 8 or 16 bits."""
    return mu_law_encode(sound) if bits == 8 else (sound * 2**15).round().long().clamp_max(2**15 - 1) + 2**15


def _check_bits(bits: int) -> None:
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8, for levels of mu-law companding, or 16; got {bits}")


def _suffix(bits: int) -> str:
    return "" if bits == 8 else ", 16 bits"
