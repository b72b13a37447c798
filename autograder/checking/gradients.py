"""Gradients of a student's function: asked for by name, and judged by how the function's own results change."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from autograder.checking.answers import Answer, asking, real_parts
from autograder.checking.cases import tensors
from autograder.checking.comparing import close, say
from autograder.checking.student import Handle, Student

__all__ = ["Gradients", "asking_gradients", "foretold", "thousandths"]


class Gradients(NamedTuple):
    """The answer of a function that was asked for gradients.

    Attributes:
        result: the function's value, read like any other.
        by_name: for each argument in `wrt` the gradient of sum(along * result), of the argument's shape.
        moved: for each move the results with the argument moved forth, and moved back.
    """

    result: Any
    by_name: dict[str, np.ndarray]
    moved: list[tuple[Any, Any]]


def asking_gradients(
    student: Student | Handle, wrt: dict[str, int], *, read: Callable[..., tuple[Any, str]], say: Callable[..., str]
) -> Callable[..., Answer]:
    """How one check asks for gradients: `ask(args, along, moves)` gives an `Answer` that holds `Gradients`.

    Args:
        wrt: the names of the arguments whose gradients are asked for, and their positions in `args`. An argument that
            is None in a case has no gradient.
        read: `read(value, *args)`, as in `asking`.
        say: `say(*args)`, as in `asking`.

    The case is made of

        args: the arguments of the call, arrays as tensors.
        along: an array of the result's shape, or a tuple of one array for each of several results.
        moves: for each argument in `wrt` an array of its shape; () if only the gradients are wanted.

    >>> from autograder.checking.answers import real
    >>> from autograder.checking.student import InProcess
    >>> student = Student(InProcess(lambda a, x: a * x**2), "square")
    >>> read = lambda value, a, x: real(value, x.shape)
    >>> ask = asking_gradients(student, {"x": 1}, read=read, say="a = {}, x = {}".format)
    >>> answer = ask((3, np.array([1.0, 2.0])), np.array([1.0, 10.0]), [np.array([0.1, 0.0])])
    >>> answer.got.by_name["x"], answer.got.moved[0][0].round(2)
    (array([  6., 120.]), array([ 3.63, 12.  ]))
    >>> answer.holds("gradient", foretold("x")).ok
    True
    """

    def call(args: Sequence, along: Any, moves: Sequence[np.ndarray]) -> tuple[Any, list, list]:
        positions = [position for position in wrt.values() if args[position] is not None]
        result, gradients = student.vjp(*tensors(args), cotangent=tensors(along), wrt=tuple(positions))
        return result, gradients, [student.call(*tensors(moved)) for moved in _moved(args, positions, moves)]

    def read_all(value: Any, args: Sequence, *_: Any) -> tuple[Gradients | None, str]:
        result, gradients, moved = value
        shapes = {name: np.shape(args[position]) for name, position in wrt.items() if args[position] is not None}
        arrays, why = real_parts(gradients, {f"the gradient of {name}": shape for name, shape in shapes.items()})
        results, reasons = zip(*(read(value, *args) for value in (result, *moved)), strict=True)
        if why := next(filter(None, (*reasons[:1], why, *reasons[1:])), ""):
            return None, why
        pairs = zip(results[1::2], results[2::2], strict=True)
        return Gradients(results[0], dict(zip(shapes, arrays, strict=True)), list(pairs)), ""

    ask = asking(call, give=lambda *case: case, read=read_all, say=lambda args, *_: say(*args))
    return lambda args, along, moves=(): ask(args, along, moves)


def foretold(*needed: str) -> Callable[..., str]:
    """A test: the gradients foretell how the answer's own results change when an argument moves.

    When an argument moves, sum(along * result) must change by sum(gradient * move), whatever the answer computes. So
    the gradients are judged by the answer's own results, within a hundredth, and no mistake costs twice.

    Args:
        needed: the names of the arguments that must have an effect.

    >>> x, forth, back = np.array([1.0, 2.0]), np.array([1.21, 4.0]), np.array([0.81, 4.0])  # of x**2
    >>> got = Gradients(x**2, {"x": x}, [(forth, back)])
    >>> foretold("x")(got, [x], np.ones(2), [np.array([0.1, 0.0])])[40:]
    'your result, summed with factors, changes by 0.4, but its gradient of x foretells 0.2'
    """

    def test(got: Gradients, args: Sequence, along: Any, moves: Sequence[np.ndarray]) -> str:
        factors = _flat(along)
        for (name, gradient), move, pair in zip(got.by_name.items(), moves, got.moved, strict=True):
            forth, back = map(_flat, pair)
            if name in needed and np.array_equal(forth, back):
                return f"the result does not depend on {name}: nothing changes when it moves by {say(move.flat[0])}"
            with np.errstate(all="ignore"):  # the answer's results may be anything
                change = float(np.sum(factors * (forth - back)))
                terms = 2 * gradient * move
                # The change may be a difference of rounded numbers, also where all of it cancels.
                rounded = 1e-5 * min(float(np.sum(np.abs(factors * forth))), 1000.0)
                size = np.abs(terms).sum() + rounded
            if not close(terms.sum(), change, size, tolerance=0.01):
                least, most = say(2 * move.min()), say(2 * move.max())
                moves_by = f"moves by {least}" if least == most else f"moves by {least} to {most}"
                return (
                    f"when each entry of {name} {moves_by}, your result, summed with factors, changes by "
                    f"{change:.4g}, but its gradient of {name} foretells {terms.sum():.4g}"
                )
        return ""

    return test


def thousandths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """How far to move each entry of an argument: a little, and each by its own amount, so that few changes cancel."""
    return rng.integers(50, 151, shape) / 100_000


def _moved(args: Sequence, positions: Sequence[int], moves: Sequence[np.ndarray]) -> Iterator[list]:
    """The arguments with the first one moved forth, then back, then the same for the second, and so on."""
    for position, move in zip(positions, moves, strict=bool(moves)):
        for signed in (move, -move):
            yield [*args[:position], args[position] + signed, *args[position + 1 :]]


def _flat(value: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """All entries of one array or of several, (entries,)."""
    return np.concatenate([np.ravel(array) for array in ([value] if isinstance(value, np.ndarray) else value)])
