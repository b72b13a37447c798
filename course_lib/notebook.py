"""A small courtesy for notebooks."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["waits_for"]


@contextmanager
def waits_for(name: str) -> Iterator[None]:
    """Show the reader's own function at work; while it is still unwritten, say so in place of an error.

    Only the `NotImplementedError` of an unsolved exercise is caught: any other error of the reader's code is shown as it is.

    >>> def answer():
    ...     raise NotImplementedError
    >>> with waits_for("answer"):
    ...     print(answer())
    This cell puts your own `answer` to work. Write it above, then run this cell again.
    """
    try:
        yield
    except NotImplementedError:
        print(f"This cell puts your own `{name}` to work. Write it above, then run this cell again.")
