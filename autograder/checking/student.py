"""The judge's side of the pipe: a student's function as a check sees it, data in and data out."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from autograder.given import Callback, Module
from autograder.inside.codec import ProtocolError, decode, encode
from autograder.inside.responder import Responder

__all__ = ["Channel", "Handle", "InProcess", "Student", "StudentError"]

MAX_NAME, MAX_MESSAGE = 200, 2000  # characters of an error's class name and message
REPEATED = 3  # a check's first calls, which are repeated at its end together with the last one
MAX_REPEATED = 2**20  # bytes; a call with a larger result is not repeated
MAX_ASKED = 8 * 2**20  # bytes of a callback's arguments; its result may be many times as large


class StudentError(Exception):
    """The student's code raised an exception, did not answer, or did not answer with plain data.

    Attributes:
        kind: the class name of the exception ("ValueError"), or "Missing", "TooSlow", "Died", "Unreadable",
            "TooManyCalls".
        message: its text.
        line, text: number and text of the line of the student's cell, where known.
        kinds: the class names of the exception and of all that it inherits from.
        case: the case in words; empty until a check sets it.
    """

    def __init__(
        self, kind: str, message: str, line: int | None = None, text: str | None = None, kinds: Sequence[str] = ()
    ):
        super().__init__(message)
        self.kind, self.message, self.line, self.text, self.kinds = kind, message, line, text, kinds
        self.case = ""

    def __str__(self) -> str:
        where = f", in line {self.line} of the cell: {self.text}" if self.line else ""
        match self.kind:
            case "NotImplementedError":
                return "not answered yet: the cell still raises NotImplementedError"
            case "Missing" | "TooSlow" | "Died":
                return self.message
            case "Unreadable" | "TooManyCalls":
                reason = self.message
            case _:
                reason = f"your code raised {self.kind}: {self.message}{where}"
        return f"{self.case}: {reason}" if self.case else reason


class Channel(Protocol):
    """Carries a request to the student's side and the answer back; `serve` evaluates callbacks meanwhile."""

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes: ...


class InProcess:
    """The channel of a notebook: the responder runs in the same process, and the bytes are the same."""

    def __init__(self, function: Callable[..., Any]):
        self.responder = Responder(lambda name: function)

    def request(self, frame: bytes, serve: Callable[[bytes], bytes]) -> bytes:
        return self.responder.answer(frame, serve)


class Student:
    """One student's answer to one exercise.

    Args:
        channel: where the student's code is.
        name: the exercise, which is also the name of the function or class.

    Attributes:
        may_change: positions of arguments that the function may change in place; none, unless a check sets some.

    >>> student = Student(InProcess(lambda x, y: x + y), "add")
    >>> student.call(1, 2)
    3
    """

    def __init__(self, channel: Channel, name: str):
        self.channel = channel
        self.name = name
        self.requests = self.received = 0  # number of requests; bytes of the last answer
        self.side_effects: list[str] = []
        self.calls: list[tuple[tuple, dict, Any]] = []
        self.may_change: set[int] = set()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the student's function returns, as plain data.

        Raises:
            StudentError: the function raised an exception, or did not return plain data.
        """
        value = self._ask("call", target=self.name, method=None, args=args, kwargs=kwargs, keep=False)
        if self.received <= MAX_REPEATED:
            self.calls = [*self.calls[:REPEATED], (args, kwargs, value)]
        return value

    def vjp(
        self, *args: Any, cotangent: Any, wrt: tuple[int | tuple[int, str], ...] = (0,), **kwargs: Any
    ) -> tuple[Any, list]:
        """The function's value, and the gradients of sum(cotangent * value) with respect to the arguments in `wrt`.

        A pair (position, name) in `wrt` means a parameter of the `Module` at that position.

        If the function returns a tuple, `cotangent` is a tuple as well, and the sums over its entries are added up. An
        entry None leaves that result out; it may be anything, such as integers.
        """
        return self._ask("vjp", target=self.name, method=None, args=args, kwargs=kwargs, cotangent=cotangent, wrt=wrt)

    def build(self, *args: Any, **kwargs: Any) -> "Handle":
        """Call the student's function or class and leave what it returns with the student: a layer, a state."""
        kept = self._ask("call", target=self.name, method=None, args=args, kwargs=kwargs, keep=True)
        if not isinstance(kept, Handle):
            raise StudentError("Unreadable", "the answer cannot be read: expected an object that stays with your code")
        return kept

    def look_back(self) -> None:
        """End a check: compare results with what was returned, and repeat some calls.

        Differences are added to `side_effects`.
        """
        self._ask("look_back")
        for args, kwargs, value in self.calls:
            for arg in args:
                if isinstance(arg, Callback):
                    arg.calls = 0
            try:
                again = self._ask("call", target=self.name, method=None, args=args, kwargs=kwargs, keep=False)
            except StudentError as error:
                again = error
            if not _same(value, again):
                came = f"; now {again}" if isinstance(again, StudentError) else ""
                self._note_effect(
                    "called a 2nd time with the same arguments, your function does not give the same result"
                    f"{came}: it keeps something between calls"
                )

    def _note_effect(self, effect: str) -> None:
        if effect not in self.side_effects:
            self.side_effects.append(effect)

    def _ask(self, verb: str, **request: Any) -> Any:
        callbacks: list[Callback] = []
        self.requests += 1
        frame = encode({"verb": verb, **request}, lambda obj: self._special(obj, callbacks))
        try:
            came = self.channel.request(frame, lambda asked: _serve(asked, callbacks))
            self.received = len(came)
            answer = decode(came, self._handle, torch_as_numpy=True)
            told = {which for which in answer.get("mutated", []) if isinstance(which, int | str)} - self.may_change
            mutated = [
                name for name in (*range(len(request.get("args", ()))), *request.get("kwargs", ())) if name in told
            ]
            overwritten, settings = answer.get("overwritten") is True, answer.get("settings") is True
            error = answer.get("error")
            if error is not None:
                error = _error(error)
        except (ProtocolError, AttributeError, TypeError, LookupError) as broken:
            raise StudentError("Unreadable", f"the answer cannot be read: {broken}") from None
        for callback in callbacks:
            if callback.calls > callback.max_calls:
                times = "once" if callback.max_calls == 1 else f"{callback.max_calls} times"
                raise StudentError("TooManyCalls", f"the given function may be called at most {times} here")
        if error is not None:
            raise error
        for which in mutated:
            self._note_effect(
                f"your function changed its argument {_ordinal(which)} in place: "
                "its caller loses that data; work on a copy"
            )
        if overwritten:
            self._note_effect(
                f"within {self.requests} calls, the result of one was changed by a later one: "
                "return a new tensor each time"
            )
        if settings:
            self._note_effect(
                f"call {self.requests} of your code left torch with another default dtype, or gradients on or off, "
                "for all that runs later"
            )
        return answer.get("value")

    def _special(self, obj: Any, callbacks: list[Callback]) -> tuple[str, Any] | None:
        if isinstance(obj, Callback):
            callbacks.append(obj)
            return "callback", len(callbacks) - 1
        if isinstance(obj, Module):
            return "module", {"layers": obj.layers, "parts": obj.parts, "scalar": obj.scalar}
        if isinstance(obj, _Target):
            return "target", obj.number
        if isinstance(obj, Handle):
            return "handle", obj.number
        return None

    def _handle(self, tag: str, number: Any) -> "Handle":
        if tag != "handle" or not isinstance(number, int):
            raise ProtocolError(f"unknown tag {tag!r}")
        return Handle(self, number)


class Handle:
    """An object that stays with the student; it may be passed to `Student.call` as an argument."""

    def __init__(self, student: Student, number: int):
        self.student, self.number = student, number

    def call(self, *args: Any, method: str | None = None, **kwargs: Any) -> Any:
        """Call the object, or one of its methods."""
        return self.student._ask("call", target=_Target(self), method=method, args=args, kwargs=kwargs, keep=False)

    def vjp(
        self,
        *args: Any,
        cotangent: Any,
        wrt: tuple[int | str, ...] = (0,),
        method: str | None = None,
        **kwargs: Any,
    ) -> tuple[Any, list]:
        """As `Student.vjp`; a string in `wrt` names a parameter of the object."""
        return self.student._ask(
            "vjp", target=_Target(self), method=method, args=args, kwargs=kwargs, cotangent=cotangent, wrt=wrt
        )

    def get(self, name: str) -> Any:
        """An attribute as plain data; dots go deeper ("layer.weight")."""
        return self.student._ask("get", target=_Target(self), name=name)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute; a tensor keeps its identity and takes the values."""
        self.student._ask("set", target=_Target(self), name=name, value=value)

    def release(self) -> None:
        """Let the student's side forget the object."""
        self.student._ask("release", target=_Target(self))


class _Target:
    """The object that a request addresses, as opposed to one that it passes as an argument."""

    def __init__(self, handle: Handle):
        self.number = handle.number


def _error(told: dict) -> StudentError:
    """Read an error from the student's process, shortened."""
    line, text = told.get("line"), told.get("text")
    kinds = [str(name)[:MAX_NAME] for name in told.get("kinds", ())[:MAX_NAME]]
    return StudentError(
        str(told["kind"])[:MAX_NAME],
        str(told["message"])[:MAX_MESSAGE],
        line if isinstance(line, int) else None,
        text[:MAX_NAME] if isinstance(text, str) else None,
        kinds,
    )


def _serve(frame: bytes, callbacks: list[Callback]) -> bytes:
    """Evaluate a callback that the student's code called."""
    asked = decode(frame, torch_as_numpy=True)
    callback = callbacks[asked["callback"]]
    callback.calls += 1
    if callback.calls > callback.max_calls:
        return encode({"error": f"the given function may be called at most {callback.max_calls} times here"})
    if len(frame) > MAX_ASKED:
        return encode({"error": f"the given function cannot take arguments of more than {MAX_ASKED:,} bytes"})
    try:
        return encode({"value": callback.function(*asked["args"])})
    except Exception as error:  # the student's arguments are to blame for any exception
        return encode({"error": f"the given function cannot take these arguments: {error}"})


def _same(a: Any, b: Any) -> bool:
    """Whether two results agree, numbers up to rounding: a sum may be taken in another order."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(map(_same, a.values(), b.values()))
    if type(a) is not type(b) or not isinstance(a, np.ndarray | float):
        return type(a) is type(b) and a == b
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True)


def _ordinal(which: int | str) -> str:
    return f"number {which + 1}" if isinstance(which, int) else repr(which)
