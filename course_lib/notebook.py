"""What a notebook's cells do with what its reader has written, or not written yet: open exercises, and guesses."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import EllipsisType

__all__ = ["guess", "outcome", "waits_for"]

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


def _in_words(value: float | str) -> str:
    return value if isinstance(value, str) else f"{float(value):,.6g}"
