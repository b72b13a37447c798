"""Plain data as bytes, and back: the only thing that passes between a check and a student's code.

A frame is a JSON tree followed by the raw bytes of its arrays. Nothing is ever unpickled, so decoding a hostile frame
yields plain data or a `ProtocolError`, never an action. NaN, infinities, dtypes and the difference between a tuple and
a list survive.
"""

import json
import math
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ProtocolError", "decode", "encode"]

MAX_BYTES = 64 * 2**20
MAX_TREE = 4 * 2**20  # limit of the JSON part: decoded, one byte can become forty
_KINDS = "biufc"  # bool, int, unsigned, float, complex: an array of objects could hold anything
_DTYPE = re.compile(rf"[<|][{_KINDS}]\d{{1,2}}")  # np.dtype parses far more than type names; only these may reach it
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # JSON has no names for them


class ProtocolError(ValueError):
    """What came through the pipe is not a frame, or a value is not plain data."""


def encode(value: Any, special: Callable[[Any], tuple[str, Any] | None] = lambda obj: None) -> bytes:
    """Write plain data as one frame.

    Plain data are None, bool, int, float, str, numpy arrays and scalars, torch tensors, and tuples, lists and dicts
    (with str or int keys) of them. `special` may turn any other object into a tag and plain data; it returns None
    to decline.

    Raises:
        ProtocolError: the value holds something that is not plain data; the message names it.

    >>> decode(encode({"p": (0.5, float("inf")), "x": np.arange(3)}))
    {'p': (0.5, inf), 'x': array([0, 1, 2])}
    """
    writer = _Writer(special)
    try:
        tree = json.dumps(writer.node(value), allow_nan=False).encode()
    except RecursionError:
        raise ProtocolError("lists inside lists inside lists: too deep, or a list that holds itself") from None
    except ValueError as error:
        raise error if isinstance(error, ProtocolError) else ProtocolError(str(error)) from None
    frame = struct.pack("<I", len(tree)) + tree + b"".join(writer.arrays)
    if len(frame) > MAX_BYTES:
        raise ProtocolError(f"at most {MAX_BYTES:,} bytes may be passed, got {len(frame):,}")
    if len(tree) > MAX_TREE:
        raise ProtocolError(
            f"at most {MAX_TREE:,} bytes of text and lists may be passed, got {len(tree):,}: use arrays"
        )
    return frame


def decode(frame: bytes, special: Callable[[str, Any], Any] | None = None, *, torch_as_numpy: bool = False) -> Any:
    """Read a frame that `encode` wrote.

    `special(tag, data)` rebuilds the objects that `encode`'s own `special` wrote. With `torch_as_numpy` tensors
    arrive as numpy arrays.

    Raises:
        ProtocolError: the bytes are not a whole frame of plain data.
    """
    try:
        (length,) = struct.unpack_from("<I", frame)
        if length > MAX_TREE:
            raise ProtocolError(f"more than {MAX_TREE:,} bytes of text and lists")
        reader = _Reader(frame, 4 + length, special, torch_as_numpy)
        value = reader.value(json.loads(frame[4 : 4 + length]))
    except ProtocolError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        struct.error,
        RecursionError,
        OverflowError,
    ) as error:
        raise ProtocolError(f"not a frame of plain data: {error}") from None
    if reader.position != len(frame):
        raise ProtocolError("bytes left over after the frame")
    return value


class _Writer:
    """Turns a value into a JSON tree, and collects the bytes of its arrays."""

    def __init__(self, special: Callable[[Any], tuple[str, Any] | None]):
        self.special = special
        self.arrays: list[bytes] = []

    def node(self, obj: Any) -> Any:
        if (tagged := self.special(obj)) is not None:
            return {tagged[0]: self.node(tagged[1])}
        if obj is None or isinstance(obj, bool | str):
            return obj
        if isinstance(obj, int):
            return int(obj)
        if isinstance(obj, float):
            return float(obj) if math.isfinite(obj) else {"float": repr(float(obj))}
        if isinstance(obj, list):
            return [self.node(item) for item in obj]
        if isinstance(obj, tuple):
            return {"tuple": [self.node(item) for item in obj]}
        if isinstance(obj, dict):
            if not all(isinstance(key, str | int) for key in obj):
                raise ProtocolError(f"a dict's keys must be str or int, got {_names(obj)}")
            return {"dict": [[self.node(key), self.node(item)] for key, item in obj.items()]}
        return {"array": self.array(obj)}

    def array(self, obj: Any) -> list[Any]:
        library, array = "numpy", obj
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(obj, torch.Tensor):
            library, array = "torch", _tensor_to_numpy(torch, obj)
        if not isinstance(array, np.ndarray | np.generic):
            raise ProtocolError(
                f"expected numbers, strings, arrays, or tuples, lists and dicts of them, got a {type(obj).__name__}"
            )
        array = np.asarray(array)
        if array.dtype.kind not in _KINDS:
            raise ProtocolError(f"expected an array of numbers, got an array of dtype {array.dtype}")
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        self.arrays.append(array.tobytes())
        return [library, array.dtype.str, list(array.shape)]


class _Reader:
    """Rebuilds a value from a frame's JSON tree; the bytes of its arrays follow the tree in the same order."""

    def __init__(self, frame: bytes, position: int, special: Callable[[str, Any], Any] | None, torch_as_numpy: bool):
        self.frame, self.position = frame, position
        self.special, self.torch_as_numpy = special, torch_as_numpy

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((tag, content),) = node.items()
        match tag:
            case "float":
                return _FLOATS[content]
            case "tuple":
                return tuple(self.value(item) for item in content)
            case "dict":
                return {self.value(key): self.value(item) for key, item in content}
            case "array":
                return self.array(*content)
        if self.special is None:
            raise ProtocolError(f"unknown tag {tag!r}")
        return self.special(tag, self.value(content))

    def array(self, library: str, dtype: str, shape: list[int]) -> Any:
        if not _DTYPE.fullmatch(dtype):
            raise ProtocolError("an array of no known type")
        kind, sizes = np.dtype(dtype), [int(size) for size in shape]
        count = math.prod(sizes)
        if min(sizes, default=0) < 0 or count * kind.itemsize > len(self.frame) - self.position:
            raise ProtocolError("an array that is not in the frame")
        array = np.frombuffer(self.frame, kind, count, self.position).reshape(sizes).copy()
        self.position += array.nbytes
        if library == "torch" and not self.torch_as_numpy:
            import torch

            return torch.from_numpy(array)
        return array


def _names(objects: Any) -> str:
    return ", ".join(sorted({type(obj).__name__ for obj in objects}))


def _tensor_to_numpy(torch: Any, tensor: Any) -> np.ndarray:
    try:
        tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    except (RuntimeError, TypeError) as error:
        raise ProtocolError(f"a tensor that cannot become a plain array: {error}") from None
