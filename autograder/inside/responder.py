"""The student's side of the pipe: calls the student's code as a check asks, and answers with plain data.

The same `Responder` runs in a notebook's kernel and, when work is graded, in a process of its own. So a function gets
exactly the same calls in the notebook and in the grader.
"""

import contextlib
import linecache
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from autograder.given import Module
from autograder.inside.codec import ProtocolError, decode, encode

__all__ = ["Missing", "Responder", "describe"]

KEPT = 32  # earlier results kept for comparison; the oldest is compared when more follow, the rest on request
MAX_KEPT = 2**16  # bytes; a result with a larger array is not kept


class Missing(LookupError):
    """No function or class has the exercise's name; the message says why."""


class _NotPlain(Exception):
    """A value contains something other than plain data, or too much of it."""


class Handle:
    """Represents an object that stays on the student's side: only its number is sent."""

    def __init__(self, number: int):
        self.number = number


class Responder:
    """Answers requests about one student's code.

    Args:
        resolve: from an exercise's name to the student's function or class; raises `Missing`.
    """

    def __init__(self, resolve: Callable[[str], Callable[..., Any]]):
        self.resolve = resolve
        self.objects: dict[int, Any] = {}
        self.made = 0
        self.exercise = ""
        self.results: deque[tuple[Any, Any]] = deque()  # for the current exercise only

    def answer(self, frame: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        """Answer one request; meanwhile `ask` sends a callback's calls to the judge."""
        try:
            request = decode(frame, lambda tag, content: self._special(tag, content, ask))
            return encode(getattr(self, "_" + request.pop("verb"))(**request), self._handle_only)
        except ProtocolError as error:
            return encode({"error": {"kind": "Unreadable", "message": f"your answer cannot be read: {error}"}})
        except (Exception, SystemExit) as error:
            return encode({"error": describe(error)})

    # The verbs. Each returns {"value": ...}, and reports what the student's code changed in place.

    def _call(self, target: Any, method: str | None, args: tuple, kwargs: dict, keep: bool) -> dict:
        function = self._callable(target, method)
        if isinstance(target, str) and target != self.exercise:
            self.exercise = target
            self.results.clear()
        before, settings = self._snapshot(args, kwargs), _torch_settings()
        value = function(*args, **kwargs)
        effects = {
            "mutated": self._mutated(before, args, kwargs),
            "overwritten": self._overwritten(KEPT),
            "settings": _torch_settings() != settings,
        }
        if keep:
            self.made += 1
            self.objects[self.made] = value
            value = Handle(self.made)
        elif method is None:  # a method such as state_dict may return an object that changes later
            with contextlib.suppress(_NotPlain):
                self.results.append((value, [_image(value, most=MAX_KEPT)]))
        return {"value": value, **effects}

    def _vjp(self, target: Any, method: str | None, args: tuple, kwargs: dict, cotangent: Any, wrt: tuple) -> dict:
        import torch

        function, owner = self._callable(target, method), self._object(target)
        args = list(args)
        for position in wrt:
            if isinstance(position, int):
                args[position] = torch.as_tensor(args[position]).clone().requires_grad_()
        # The function gets a clone of the leaf, so that it may change its argument in place.
        value = function(*(arg.clone() if position in wrt else arg for position, arg in enumerate(args)), **kwargs)
        several = isinstance(cotangent, tuple)
        values, cotangents = (value, cotangent) if several else ((value,), (cotangent,))
        if not isinstance(values, tuple | list) or len(values) != len(cotangents):
            raise TypeError(f"expected a tuple of {len(cotangents)} tensors, got {_kind(value)}")
        pairs = [(one, along) for one, along in zip(values, cotangents, strict=True) if along is not None]
        pairs = [(one, torch.as_tensor(along)) for one, along in pairs]
        for one, along in pairs:
            if not isinstance(one, torch.Tensor) or not one.requires_grad:
                detached = isinstance(one, torch.Tensor)
                got = "one without a gradient: was it detached, or computed under no_grad?" if detached else _kind(one)
                raise TypeError(f"expected a torch tensor that gradients can flow through, got {got}")
            if one.shape != along.shape:
                raise ValueError(f"expected a result of shape {tuple(along.shape)}, got {tuple(one.shape)}")
        inputs = [args[key] if isinstance(key, int) else self._parameter(owner, args, key) for key in wrt]
        # One number: given cotangents, the first call of `grad` would import sympy, which takes seconds.
        total = sum((one * along.to(one.dtype)).sum() for one, along in pairs)
        grads = torch.autograd.grad(total, inputs, allow_unused=True)
        return {
            "value": (
                value,
                [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)],
            )
        }

    def _look_back(self) -> dict:
        return {"value": None, "overwritten": self._overwritten(0)}

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

    @staticmethod
    def _parameter(owner: Any, args: list, key: str | tuple[int, str]) -> Any:
        """A parameter of the object that was called, or, for a pair (position, name), of one of its arguments."""
        return _attribute(owner, key) if isinstance(key, str) else _attribute(args[key[0]], key[1])

    # Helpers that several verbs use.

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
            return Module(**content).build()
        if tag == "callback":
            return _Remote(content, ask)
        raise ProtocolError(f"unknown tag {tag!r}")

    @staticmethod
    def _handle_only(obj: Any) -> tuple[str, int] | None:
        return ("handle", obj.number) if isinstance(obj, Handle) else None

    def _snapshot(self, args: tuple, kwargs: dict) -> dict[Any, Any]:
        """Record what every argument holds, a given network its parameters; objects that stay here may change."""

        def opaque(obj: Any) -> bool:
            return callable(obj) and not _is_network(obj) or any(obj is kept for kept in self.objects.values())

        taken: dict[Any, Any] = {}
        for name, value in [*enumerate(args), *kwargs.items()]:
            with contextlib.suppress(_NotPlain):
                taken[name] = [_image(value, opaque)]
        return taken

    def _mutated(self, before: dict[Any, Any], args: tuple, kwargs: dict) -> list:
        after = self._snapshot(args, kwargs)
        return [name for name in before if before[name] != after.get(name)]

    def _overwritten(self, waiting: int) -> bool:
        """Whether an earlier result has changed since; the last `waiting` results are not compared yet."""
        while len(self.results) > waiting:
            value, image = self.results.popleft()
            try:
                if [_image(value, most=MAX_KEPT)] != image:
                    return True
            except _NotPlain:
                return True
        return False


class _Remote:
    """A callback as the student's code sees it: a plain function."""

    def __init__(self, number: int, ask: Callable[[bytes], bytes]):
        self.number, self.ask = number, ask

    def __call__(self, *args: Any) -> Any:
        reply = decode(self.ask(encode({"callback": self.number, "args": args})))
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply["value"]


def _torch_settings() -> Any:
    """Torch's global settings, which a function must leave as it found them."""
    torch = sys.modules.get("torch")
    return torch and (torch.is_grad_enabled(), torch.get_default_dtype())


def _image(value: Any, opaque: Callable[[Any], bool] = lambda obj: False, most: float = math.inf) -> Any:
    """Record an object's present content for a later comparison: arrays as bytes, tensors with their gradient flags.

    Args:
        opaque: says whether an object may change; it then counts as unchanged.
        most: the largest array that is recorded, in bytes.

    Raises:
        _NotPlain: the object contains a larger array, or a type whose comparison cannot be trusted.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if opaque(value):
        return None
    if _is_network(value):
        return [_image(parameter) for parameter in value.parameters()]
    if kind in (list, tuple):
        return [_image(item, opaque, most) for item in value]
    if kind is dict:
        return [[_image(key, opaque, most), _image(item, opaque, most)] for key, item in value.items()]
    torch, numpy, flags = sys.modules.get("torch"), sys.modules.get("numpy"), None
    try:
        if torch is not None and kind in (torch.Tensor, torch.nn.Parameter):
            flags = value.requires_grad, value.is_leaf and value.grad is not None
            value = value.detach()
            value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and value.nbytes <= most:
            return flags, value.dtype.str, value.shape, value.tobytes()
    except (RuntimeError, TypeError):  # not every tensor is a plain array
        pass
    raise _NotPlain


def _is_network(obj: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def describe(error: BaseException) -> dict:
    """Describe an exception of the student's code as plain data: kind, message, and the line of their cell."""
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
    """Whether a frame belongs to a notebook's cell: IPython names cells after itself; `linecache` has their text."""
    return filename.startswith("<ipython-input") or "ipykernel_" in filename


def _attribute(obj: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is private")
        obj = getattr(obj, name)
    return obj


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
