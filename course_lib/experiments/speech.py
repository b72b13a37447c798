"""Three spoken digits, drawn from a WaveNet of ours and saved, so that a lesson can play them without the recordings.

`python -m course_lib.experiments.speech` trains the model on the Free Spoken Digit Dataset, in about 20 minutes on one
CPU core, prints its cost on the test recordings (4.620 ± 0.061 bits per sample), draws the digits and writes `FILE`. An
interrupted training continues from build/speech.safetensors.
"""

import math
import wave
from pathlib import Path

import numpy as np
import torch

from course_lib import data, metrics
from course_lib.companding import mu_law_decode
from course_lib.data.sound import RATE, SPEAKERS
from course_lib.models import WaveNet
from course_lib.training import fit

__all__ = ["CREDIT", "DIGITS", "FILE", "SPEAKER", "build", "draw", "save", "saved"]

FILE = Path(data.__file__).with_name("wavenet_digits.wav")
CREDIT = "a WaveNet's, trained on the Free Spoken Digit Dataset, Zohar Jackson and contributors, CC BY-SA 4.0"
DIGITS, SPEAKER = (4, 0, 7), "jackson"
LENGTH = 3000  # samples of each digit: as much as the model was trained on
TRAINING = dict(epochs=10, batch_size=3, lr=4e-3, lr_decay=0.9994, average=0.999)


def build() -> WaveNet:
    """The model, untrained: its receptive field is 256 ms, and it is given digit and speaker."""
    return WaveNet(LENGTH, 256, 32, [2**i for i in range(11)], skip=64, classes=(10, len(SPEAKERS)))


def draw(model: WaveNet, length: int = LENGTH) -> torch.Tensor:
    """The digits one after another, in real numbers: (3 length,). Each is the model's first draw, not a choice."""
    labels = torch.tensor([[digit, SPEAKERS.index(SPEAKER)] for digit in DIGITS])
    levels = model.sample(len(DIGITS), length=length, labels=labels, generator=torch.Generator().manual_seed(0))
    return mu_law_decode(levels).flatten()


def saved() -> torch.Tensor:
    """What `draw` gave, from `FILE`: (9000,) real numbers in -1..1, at 8,000 per second. Credit it by `CREDIT`.

    >>> saved().shape
    torch.Size([9000])
    """
    with wave.open(str(FILE)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return torch.from_numpy(sound.astype(np.float32) / 32767)


def save(sound: torch.Tensor, path: Path) -> None:
    """Write a sound in -1..1 as a file of 16 bits per sample."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).round().numpy().astype("<i2").tobytes())


def main() -> None:
    recordings = data.spoken_digits(length=LENGTH)
    torch.manual_seed(0)  # the initial weights
    model = build()
    checkpoint = Path("build", "speech.safetensors")
    print(fit(model, recordings, labels=True, checkpoint=checkpoint, **TRAINING), flush=True)
    cost = metrics.nll(model, recordings.test.x, labels=recordings.test.y, batch_size=10) / (LENGTH * math.log(2))
    print(f"test: {cost} bits per sample")
    save(draw(model), FILE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
