"""Where data files lie, and how they get there: $COURSE_DATA first, then our own folder, then the network."""

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

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
    if shared := _shared_folder():
        file = shared / path
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

    def download(url: str) -> Path:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256)
        return file

    return _first_of(urls, download, name, path)


def find_folder(path: str, sha256: str) -> dict[str, bytes] | None:
    """The content of every file of a folder by its name, found under $COURSE_DATA or in our own folder, or None.

    Args:
        path: where the folder lies.
        sha256: see `sum_of_sums`.

    Raises:
        ValueError: $COURSE_DATA is not a folder, or holds this folder with other files.
    """
    shared = _shared_folder()
    for root in filter(None, (shared, own_folder())):
        if (root / path).is_dir():
            content = {file.name: file.read_bytes() for file in (root / path).iterdir() if file.is_file()}
            if sum_of_sums(content) == sha256:
                return content
            if root == shared:
                raise ValueError(
                    f"{root / path} is damaged: the sha256 of its list of sums is not {sha256}; replace it or unset "
                    "COURSE_DATA"
                )
    return None


def fetch_folder(name: str, path: str, urls: Sequence[str], sha256: str) -> dict[str, bytes]:
    """The content of every file of a folder, found as by `find_folder`, or else downloaded as part of an archive.

    The files are kept in our own folder only when their checksum is right.

    Args:
        name: the data set's, for the error message.
        path: where the folder lies under $COURSE_DATA and in our own folder.
        urls: addresses of tar archives that have a folder of the same name, one of which is enough.
        sha256: see `sum_of_sums`. An archive may be packed in many ways, so only what is in it has a checksum.

    Raises:
        RuntimeError: no address gave the right files; says what was tried and what to do.
    """
    content = find_folder(path, sha256)
    if content is not None:
        return content
    folder = own_folder() / path
    folder.mkdir(parents=True, exist_ok=True)

    def download(url: str) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as temporary:
            archive = Path(temporary) / "archive"
            torch.hub.download_url_to_file(url, str(archive))
            with tarfile.open(archive) as tar:
                members = [member for member in tar if member.isfile() and Path(member.name).parent.name == folder.name]
                content = {Path(member.name).name: tar.extractfile(member).read() for member in members}
        if sum_of_sums(content) != sha256:
            raise RuntimeError(f"the sha256 of the list of sums of its {len(content)} files is not {sha256}")
        for file, data in content.items():
            (folder / file).write_bytes(data)
        return content

    return _first_of(urls, download, name, path)


def sum_of_sums(content: Mapping[str, bytes]) -> str:
    """The sha256 of the sorted list of checksums that `LC_ALL=C sha256sum *` prints in a folder with these files.

    >>> sum_of_sums({"b": b"", "a": b"1"}) == sum_of_sums({"a": b"1", "b": b""})
    True
    """
    lines = (f"{hashlib.sha256(content[file]).hexdigest()}  {file}\n" for file in sorted(content))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


Found = TypeVar("Found")


def _first_of(urls: Sequence[str], download: Callable[[str], Found], name: str, path: str) -> Found:
    """What the first address gives that works."""
    failures = []
    for url in urls:
        try:
            return download(url)
        # OSError: no network, no such address. HTTPException: broken off. RuntimeError: another checksum.
        except (OSError, HTTPException, RuntimeError, tarfile.TarError) as error:
            failures.append(f"\n  {url}: {error}")
    raise RuntimeError(
        f"cannot get the data set {name!r}. Tried:{''.join(failures)}\n"
        f"Without a network, set COURSE_DATA to a folder that holds {path} (data/README.md says how it is laid out), "
        "or use data.digits() or data.tones(), which are always there."
    )


def _shared_folder() -> Path | None:
    """The folder that $COURSE_DATA names, if it is set."""
    shared = os.environ.get("COURSE_DATA")
    if not shared:
        return None
    if not Path(shared).is_dir():
        raise ValueError(f"COURSE_DATA is {shared!r}, which is not a folder; correct it or unset it")
    return Path(shared)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
