"""Checkpoint files: safetensors with JSON records and a checksum, replaced atomically. Reading one runs no code."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["check_writable", "checksum", "read", "size", "write"]


def write(path: Path, tensors: dict[str, Tensor], records: dict[str, Any]) -> None:
    """Write tensors and JSON records, with a checksum of both. A crash leaves the old file or the new one.

    Raises:
        OSError: the file cannot be written.
    """
    # Clones, because safetensors refuses two names for one storage.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    texts = {name: json.dumps(record) for name, record in records.items()}
    texts["checksum"] = str(checksum(tensors, texts))
    with _unfinished(path) as unfinished:
        save_file(tensors, unfinished, metadata=texts)
        os.replace(unfinished, path)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The records and the tensors of a file. Earlier versions of `fit` wrote no checksum.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        records = {name: json.loads(text) for name, text in texts.items()}
    except OSError as error:
        raise OSError(f"cannot read the checkpoint {path} ({error})") from error
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged or not a checkpoint ({error})") from error
    if texts.keys() == {"settings", "history"}:
        return records, tensors
    expected = texts.pop("checksum", None)
    if expected is None:
        raise ValueError(f"{path} is damaged or not a checkpoint (it has no checksum)")
    if expected != str(checksum(tensors, texts)):
        raise ValueError(f"{path} is damaged: its checksum is not that of its content")
    return records, tensors


def check_writable(path: Path) -> None:
    """Raise OSError if `write` could not write this file."""
    with _unfinished(path) as unfinished:
        unfinished.touch()


def checksum(tensors: dict[str, Tensor], texts: dict[str, str] | None = None) -> int:
    """CRC-32 of texts and tensors with their names, shapes and dtypes, whatever the strides."""
    crc = 0
    for name, text in sorted((texts or {}).items()):
        crc = zlib.crc32(f"{name} {text} ".encode(), crc)
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {size(tensor)} ".encode(), crc)
        rows = torch.atleast_1d(tensor.detach())
        # Blocks, because data on a GPU or with strides are copied here.
        for block in rows.split(max(1, 2**22 * len(rows) // max(1, rows.numel()))):
            crc = zlib.crc32(block.cpu().contiguous().view(torch.uint8).numpy(), crc)
    return crc


def size(tensor: Tensor) -> str:
    """Shape and dtype, for messages and records."""
    return f"{tuple(tensor.shape)} {tensor.dtype}"


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A file to write before it becomes the checkpoint. It is deleted in the end if it still exists."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write the checkpoint {path} ({error})") from error
    finally:
        with suppress(OSError):  # the folder does not exist, say
            unfinished.unlink()
