"""The student's side of the pipe: holds the student's code, does what a check asks, answers with plain data.

The same `Worker` serves in a notebook, where it sits in the kernel, and in the grader, where it sits in a process
of its own; so a function that passes its check in the notebook gets the very same calls when it is graded.
"""

import linecache
import traceback
from collections.abc import Callable
from typing import Any

from autograder.codec import ProtocolError, decode, encode
from autograder.given import Module

__all__ = ["Missing", "Worker", "describe"]


class Missing(LookupError):
    """There is no function or class of the exercise's name; the message says why."""


class Handle:
    """Stands for an object that stays with the student: only its number travels."""

    def __init__(self, number: int):
        self.number = number


class Worker:
    """Answers requests about one student's code.

    Args:
        resolve: from an exercise's name to the student's function or class; raises `Missing`.
    """

    def __init__(self, resolve: Callable[[str], Callable[..., Any]]):
        self.resolve = resolve
        self.objects: dict[int, Any] = {}
        self.made = 0

    def answer(self, frame: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        """One request in, one answer out; `ask` carries a callback's call to the judge meanwhile."""
        try:
            request = decode(frame, lambda tag, content: self._special(tag, content, ask))
            return encode(getattr(self, "_" + request.pop("verb"))(**request), self._handle_only)
        except ProtocolError as error:
            return encode({"error": {"kind": "Unreadable", "message": f"your answer cannot be read: {error}"}})
        except (Exception, SystemExit) as error:
            return encode({"error": describe(error)})

    # The verbs. Each returns {"value": ...}, and what the student's code changed in place.

    def _call(self, target: Any, method: str | None, args: tuple, kwargs: dict, keep: bool) -> dict:
        function = self._callable(target, method)
        before = self._snapshot(args, kwargs)
        value = function(*args, **kwargs)
        mutated = self._mutated(before, args, kwargs)
        if keep:
            self.made += 1
            self.objects[self.made] = value
            value = Handle(self.made)
        return {"value": value, "mutated": mutated}

    def _vjp(self, target: Any, method: str | None, args: tuple, kwargs: dict, cotangent: Any, wrt: tuple) -> dict:
        import torch

        function, owner = self._callable(target, method), self._object(target)
        args = list(args)
        for position in wrt:
            if isinstance(position, int):
                args[position] = torch.as_tensor(args[position]).clone().requires_grad_()
        # A clone stands in for the leaf, so that a function may work in place on what it is given.
        value = function(*(arg.clone() if position in wrt else arg for position, arg in enumerate(args)), **kwargs)
        if not isinstance(value, torch.Tensor) or not value.requires_grad:
            raise TypeError("expected a torch tensor that gradients can flow through, got " + _kind(value))
        if value.shape != torch.as_tensor(cotangent).shape:
            raise ValueError(
                f"expected a result of shape {tuple(torch.as_tensor(cotangent).shape)}, got {tuple(value.shape)}"
            )
        inputs = [args[key] if isinstance(key, int) else _attribute(owner, key) for key in wrt]
        grads = torch.autograd.grad(value, inputs, torch.as_tensor(cotangent).to(value.dtype), allow_unused=True)
        return {
            "value": (
                value,
                [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)],
            )
        }

    def _get(self, target: Any, name: str) -> dict:
        return {"value": _attribute(self._object(target), name)}

    def _set(self, target: Any, name: str, value: Any) -> dict:
        import torch

        current = _attribute(self._object(target), name)
        if isinstance(current, torch.Tensor):
            with torch.no_grad():
                current.copy_(torch.as_tensor(value))
        else:
            *path, last = name.split(".")
            setattr(_attribute(self._object(target), ".".join(path)), last, value)
        return {"value": None}

    def _release(self, target: Any) -> dict:
        del self.objects[target.number]
        return {"value": None}

    # What the verbs share.

    def _object(self, target: Any) -> Any:
        return self.objects[target.number] if isinstance(target, Handle) else None

    def _callable(self, target: Any, method: str | None) -> Callable[..., Any]:
        found = self.objects[target.number] if isinstance(target, Handle) else self.resolve(target)
        return getattr(found, method) if method else found

    def _special(self, tag: str, content: Any, ask: Callable[[bytes], bytes]) -> Any:
        if tag == "handle":
            return self.objects.get(content, None)
        if tag == "target":
            return Handle(content)
        if tag == "module":
            return Module(content).build()
        if tag == "callback":
            return _Remote(content, ask)
        raise ProtocolError(f"unknown tag {tag!r}")

    @staticmethod
    def _handle_only(obj: Any) -> tuple[str, int] | None:
        return ("handle", obj.number) if isinstance(obj, Handle) else None

    def _snapshot(self, args: tuple, kwargs: dict) -> dict[Any, bytes]:
        """The bytes of every argument; objects that stay with the student may change and count as unchanged."""

        def opaque(obj: Any) -> tuple[str, int] | None:
            return ("opaque", 0) if callable(obj) or any(obj is kept for kept in self.objects.values()) else None

        taken: dict[Any, bytes] = {}
        for name, value in [*enumerate(args), *kwargs.items()]:
            try:
                taken[name] = encode(value, opaque)
            except ProtocolError:
                taken[name] = b""
        return taken

    def _mutated(self, before: dict[Any, bytes], args: tuple, kwargs: dict) -> list:
        after = self._snapshot(args, kwargs)
        return [name for name in before if before[name] != after[name]]


class _Remote:
    """A callback as the student's code sees it: a plain function."""

    def __init__(self, number: int, ask: Callable[[bytes], bytes]):
        self.number, self.ask = number, ask

    def __call__(self, *args: Any) -> Any:
        reply = decode(self.ask(encode({"callback": self.number, "args": args})))
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply["value"]


def describe(error: BaseException) -> dict:
    """An exception of the student's code as plain data: kind, message, and the line of their cell."""
    kinds = [parent.__name__ for parent in type(error).__mro__]
    answer = {"kind": kinds[0], "kinds": kinds, "message": str(error)[:2000], "line": None, "text": None}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_cell(f.filename)]
    if frames:
        answer |= {
            "line": frames[-1].lineno,
            "text": (linecache.getline(frames[-1].filename, frames[-1].lineno or 0)).strip()[:200],
        }
    return answer


def _is_cell(filename: str) -> bool:
    """Whether a frame is of a notebook's cell: IPython names those after itself; `linecache` has their text."""
    return filename.startswith("<ipython-input") or "ipykernel_" in filename


def _attribute(obj: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private")
        obj = getattr(obj, name)
    return obj


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
