"""Models in files: `save` keeps a model, and `load` gives it back from its file alone.

    save(model, "nade.safetensors")
    model = load("nade.safetensors")

A file holds the weights and buffers under their names in `state_dict`, and as JSON the class' name, the arguments of
its constructor and a checksum. `load` builds classes of `course_lib.models` by name and runs no other code. It also
reads the checkpoints of `course_lib.training.fit`, and gives the model with the best weights.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import checkpoints, models
from course_lib.models.base import Model

__all__ = ["load", "load_best", "save"]

Module = TypeVar("Module", bound=nn.Module)
_ARGUMENT = "argument."  # begins the names of tensors that are arguments of a constructor


def save(
    model: Model, path: str | os.PathLike, *, compact: bool = False, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a safetensors file, atomically. Every dtype is kept, unless `compact`.

    Args:
        model: of a class of `course_lib.models`, on any device.
        path: the file. A file that exists is replaced.
        compact: round weights and buffers of real numbers to bfloat16, which halves a file of float32: 8 bits of each
            number remain. `load` gives such a model in float32.
        notes: what the file says of the model beside it, as JSON: how it was trained, say.

    Raises:
        ValueError: the class is another one, or an argument of the constructor cannot be written as JSON.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> model = models.NADE(64, hidden=20).bfloat16()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/nade.safetensors")
    ...     loaded = load(f"{folder}/nade.safetensors")
    >>> loaded.event_shape, loaded.W.dtype
    ((64,), torch.bfloat16)
    >>> x = model.sample(3)
    >>> torch.equal(loaded.log_prob(x), model.log_prob(x))
    True
    """
    record, tensors = described(model)
    weights, records = model.state_dict(), {"model": record}
    if compact:
        weights = converted(weights, torch.bfloat16)
        records["compact"] = True
    if notes is not None:
        records["notes"] = dict(notes)
    checkpoints.write(Path(path), weights | tensors, records)


def load(path: str | os.PathLike) -> Model:
    """The model in a file of `save`, or the best one in a checkpoint of `fit`: on the CPU, in eval mode.

    Raises:
        ValueError: the file is damaged or of another kind, or its model is not of `course_lib.models`.
        OSError: the file cannot be read.
    """
    path = Path(path)
    records, tensors = checkpoints.read(path)
    if not records.get("model"):
        if "history" in records:
            raise ValueError(
                f"{path} is a checkpoint of fit that does not say how to build its model, which is of a class of your "
                "own or was trained by an earlier version. Build it as for fit, then call load_best(model, path)"
            )
        raise ValueError(f"{path} holds tensors but not a model: neither save nor fit wrote it")
    try:
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # initial weights are drawn, but not needed
            model = _built(records["model"], tensors)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds a model that this version of course_lib cannot build ({error})") from error
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_ARGUMENT)}
    weights = _best(tensors) if "history" in records else own
    if records.get("compact"):
        weights = converted(weights, torch.float32)
    dtypes = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:  # also the dtype of what is not saved, such as masks that follow from an ordering
        model.to(*dtypes)
    # The file's tensors become the model's: a copy would have the dtype of the initial weights.
    return _with_weights(model, weights, path, assign=True)


def load_best(model: Module, path: str | os.PathLike) -> Module:
    """Copy the best weights in a checkpoint of `fit` into a model of any class, in the model's dtype, on its device.

    Returns:
        The model, in eval mode.

    Raises:
        ValueError: the file is damaged, not a checkpoint of `fit`, or of another model.
        OSError: the file cannot be read.
    """
    path = Path(path)
    records, tensors = checkpoints.read(path)
    if "history" not in records:
        raise ValueError(f"{path} is not a checkpoint of fit. If save wrote it, call load(path)")
    return _with_weights(model, _best(tensors), path, assign=False)


def described(model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What builds a model: a JSON record of class and arguments, and the tensors that it names.

    Raises:
        ValueError: see `save`.
    """
    tensors: dict[str, Tensor] = {}
    return _record(model, tensors), tensors


def _record(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Any]:
    name = type(model).__name__
    if getattr(models, name, None) is not type(model):
        raise ValueError(
            f"{name} is not a class of course_lib.models, so load could not build it. Keep its weights with "
            "safetensors.torch.save_model(model, path); load_model(model, path) reads them into a model that you build"
        )
    arguments = {key: _json(value, f"{key} of {name}", tensors) for key, value in model.arguments.items()}
    return {"class": name, "arguments": arguments}


def _json(value: object, what: str, tensors: dict[str, Tensor]) -> Any:
    """A constructor's argument as JSON. A tensor moves to `tensors`, and a model becomes its own record."""
    if isinstance(value, Tensor):
        name = f"{_ARGUMENT}{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, nn.Module):
        return _record(value, tensors)  # its weights are the outer model's
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return [_json(item, what, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{what} is of type {type(value).__name__}, which JSON cannot hold. Build the model with numbers, strings, "
        "lists or tensors"
    )


def _built(record: dict[str, Any], tensors: dict[str, Tensor]) -> Model:
    """A model of the class and arguments of a record, with weights of its own."""

    def argument(value: Any) -> Any:
        if isinstance(value, list):
            return [argument(item) for item in value]
        if isinstance(value, dict):
            return tensors[value["tensor"]] if "tensor" in value else _built(value, tensors)
        return value

    name = record["class"]
    kind = getattr(models, name) if name in models.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        raise ValueError(f"course_lib.models has no class {name!r}")
    return kind(**{key: argument(value) for key, value in record["arguments"].items()})


def converted(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The same tensors, with real numbers in another dtype."""
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def _best(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "best."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _with_weights(model: Module, weights: dict[str, Tensor], path: Path, *, assign: bool) -> Module:
    try:
        model.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        raise ValueError(f"{path} is a checkpoint of another model: {' '.join(str(error).split())}") from error
    return model.eval()
