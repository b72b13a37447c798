"""What a notebook's cells do with what its reader has written, or not written yet: open exercises, and guesses.

Also a player for sound, which stays in a saved notebook.
"""

import base64
import html
import io
import sys
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import EllipsisType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["guess", "outcome", "play", "waits_for"]

# Five of the longest players fill what a notebook may hold of sound, 200 kB.
MAX_PLAYER = 40_000

_guesses: dict[str, float | str] = {}  # by name, in this kernel


@contextmanager
def waits_for(*names: str) -> Iterator[None]:
    """Put the reader's own functions to work; while one is still unwritten, say so in place of an error.

    Only the `NotImplementedError` of an open exercise is caught. Any other error of the reader's code shows as it is.

    Args:
        names: of the functions that the cell calls.

    >>> def answer():
    ...     raise NotImplementedError
    >>> with waits_for("answer"):
    ...     print(answer())
    This cell puts your own `answer` to work. Write it above, then run this cell again.
    """
    try:
        yield
    except NotImplementedError:
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close("all")  # a figure begun before the error would be shown half drawn
        own = " and ".join(f"`{name}`" for name in names)
        print(f"This cell puts your own {own} to work. Write it above, then run this cell again.")


def guess(name: str, value: float | str | EllipsisType = ..., *, choices: Sequence[str] = ()) -> None:
    """Keep the reader's guess, which `outcome` shows beside what came out. It is never graded.

    Args:
        name: what is guessed, in words; the same as for `outcome`.
        value: the guess; dots for none yet, which stops nothing.
        choices: what the value may be; without them it is a number.

    Raises:
        ValueError: the value is not a number, or none of the choices.

    >>> guess("total mass of the wide autoencoder", ...)
    total mass of the wide autoencoder: no guess yet. Replace the dots by a number, and run this cell again.
    >>> guess("total mass of the wide autoencoder", 1)
    total mass of the wide autoencoder: your guess is 1.
    >>> outcome("total mass of the wide autoencoder", 63914.25)
    total mass of the wide autoencoder: 63,914.2. Your guess was 1.
    """
    wanted = f"one of {', '.join(map(repr, choices))}" if choices else "a number"
    _guesses.pop(name, None)
    if value is ...:
        print(f"{name}: no guess yet. Replace the dots by {wanted}, and run this cell again.")
        return
    try:
        kept = value if choices else float(value)
    except (TypeError, ValueError):
        kept = None
    if kept is None or choices and kept not in choices:
        raise ValueError(f"the guess of {name!r} is {value!r}; expected {wanted}, or the dots for no guess")
    _guesses[name] = kept
    print(f"{name}: your guess is {_in_words(kept)}.")


def outcome(name: str, value: float | str) -> None:
    """Print what came out, and the guess that the reader made of it.

    Args:
        name: as for `guess`.
        value: a number, or one of the choices.

    >>> guess("which one is a distribution", "the bottleneck", choices=["the bottleneck", "neither"])
    which one is a distribution: your guess is the bottleneck.
    >>> outcome("which one is a distribution", "neither")
    which one is a distribution: neither. Your guess was the bottleneck.
    """
    guessed = f"Your guess was {_in_words(_guesses[name])}." if name in _guesses else "You made no guess."
    print(f"{name}: {_in_words(value)}. {guessed}")


def play(x: "torch.Tensor", rate: int, *, alt: str, credit: str = "") -> None:
    """Show a player for a sound, with a text alternative, and with the credit if there is one.

    The sound is part of the notebook, so it can still be played from a saved one. It takes 16 bits per sample, which
    the notebook's format makes 21.3: at 8,000 samples per second, a player holds at most 1.87 s. Without a notebook
    nothing is shown.

    Args:
        x: (T,) real numbers in -1..1.
        rate: samples per second, in Hz.
        alt: what is to be heard, for those who cannot hear it; also shown below the player.
        credit: whom the sound is from, and its licence, such as `credit` of a data set. Recordings of spoken digits,
            and what is made from them, need one.

    Raises:
        ValueError: x is not one real sound in -1..1, it is too long, or alt is empty.

    >>> import torch
    >>> play(torch.zeros(800), 8000, alt="A tenth of a second of silence.")
    """
    data = player(x, rate, alt=alt, credit=credit)
    ipython = sys.modules.get("IPython")
    if ipython and ipython.get_ipython():
        ipython.display.display(data, raw=True)


def player(x: "torch.Tensor", rate: int, *, alt: str, credit: str = "") -> dict[str, str]:
    """The player that `play` shows, as Jupyter displays it: the data by MIME type."""
    if not alt.strip():
        raise ValueError("alt is empty: say in a sentence what is to be heard, for those who cannot hear it")
    from course_lib.plots import as_sound  # not before it is needed: it loads matplotlib

    samples = as_sound(x, rate)
    if not (abs(samples) <= 1).all():  # also where a sample is nan
        low, high = samples.min(), samples.max()
        raise ValueError(f"x must lie in -1..1; got {low:.4g} to {high:.4g}. Divide it by its largest magnitude")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples * 32767).round().astype("<i2").tobytes())
    sound = base64.b64encode(file.getvalue()).decode()
    if len(sound) > MAX_PLAYER:
        seconds = MAX_PLAYER * 0.75 / 2 / rate
        raise ValueError(
            f"this sound would take {len(sound) / 1000:.0f} kB of the notebook; a player holds at most "
            f"{MAX_PLAYER // 1000} kB, which is {seconds:.1f} s at {rate} Hz. Play a shorter piece"
        )
    words = " ".join(filter(None, (alt, credit and f"Sound: {credit}.")))
    source = f'<audio controls aria-label="{html.escape(alt)}" src="data:audio/wav;base64,{sound}"></audio>'
    return {"text/html": f"<figure>{source}<figcaption>{html.escape(words)}</figcaption></figure>", "text/plain": words}


def _in_words(value: float | str) -> str:
    return value if isinstance(value, str) else f"{float(value):,.6g}"
