"""Atomic writes: a file is written completely or not at all."""

import os
from pathlib import Path

__all__ = ["sync", "write"]


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically, and create its folders: readers see the old content or the new, never a part.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    try:
        # "x" creates a new file or fails: a student's folder could hold a link of this name.
        with open(half, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Flush a folder's entries to disk, so that new files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
