"""Where data files lie, and how they get there: $COURSE_DATA first, then our own folder, then the network."""

import hashlib
import os
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import torch


def own_folder() -> Path:
    """Where downloads go: `data/` of the course's repository, or a cache folder where course_lib is installed alone.

    The cache is `$XDG_CACHE_HOME/deep-generative-models-course`, by default under `~/.cache`.
    """
    repository = Path(__file__).resolve().parents[2]
    if (repository / "data" / "README.md").exists():
        return repository / "data"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deep-generative-models-course"


def find(path: str, sha256: str) -> Path | None:
    """The file with this checksum under $COURSE_DATA or in our own folder, or None. It is only read.

    Raises:
        ValueError: $COURSE_DATA is not a folder, or holds the file with another checksum.
    """
    if shared := os.environ.get("COURSE_DATA"):
        if not Path(shared).is_dir():
            raise ValueError(f"COURSE_DATA is {shared!r}, which is not a folder; correct it or unset it")
        file = Path(shared) / path
        if file.exists():
            if _sha256(file) != sha256:
                raise ValueError(f"{file} is damaged: its sha256 is not {sha256}; replace it or unset COURSE_DATA")
            return file
    file = own_folder() / path
    return file if file.exists() and _sha256(file) == sha256 else None


def fetch(name: str, path: str, urls: Sequence[str], sha256: str) -> Path:
    """The file with this checksum, found as by `find`, or else downloaded (with a progress bar) into our own folder.

    A download is kept only when its checksum is right: it takes its name after that, never before.

    Args:
        name: the data set's, for the error message.
        path: where the file lies under $COURSE_DATA and in our own folder.
        urls: addresses to try in turn.
        sha256: of the file.

    Raises:
        RuntimeError: no address gave the right file; says what was tried and what to do.
    """
    if file := find(path, sha256):
        return file
    file = own_folder() / path
    file.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256)
            return file
        # OSError: no network, no such address. HTTPException: broken off. RuntimeError: another checksum.
        except (OSError, HTTPException, RuntimeError) as error:
            failures.append(f"\n  {url}: {error}")
    raise RuntimeError(
        f"cannot get the data set {name!r}. Tried:{''.join(failures)}\n"
        f"Without a network, set COURSE_DATA to a folder that holds {path} (data/README.md says how it is laid out), "
        "or use data.digits(), which is always there."
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
