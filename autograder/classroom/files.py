"""Writing files whole or not at all."""

import os
from pathlib import Path

__all__ = ["sync", "write"]


def write(path: Path, content: str | bytes) -> None:
    """Write a file, and the folders to it; whoever reads sees the old content or the new, never a part.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    try:
        # "x" makes a new file or none: where a student's folder was copied, a link could lie in its place.
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
    """Have a folder's new names on the disk: only then do they outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
