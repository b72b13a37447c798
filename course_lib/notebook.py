"""A courtesy for notebooks in which exercises are still open."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["waits_for"]


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
