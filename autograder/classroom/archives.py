"""Reads every file of a folder or a zip without trusting it: links are not followed, and everything has a limit.

Nothing is unpacked to disk. A file that cannot or must not be read is listed like any other; reading it says why.
"""

import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

__all__ = ["MAX_FILE", "Found", "Unusable", "is_notebook", "is_zip", "opened", "read_file", "shown", "zipped"]

MIB = 2**20
MAX_FILE = 50 * MIB
MAX_SOURCE, MAX_OWN = 8192 * MIB, 200 * MIB  # all notebooks and zips: in a source, in a student's own zip
MAX_NAME = 255
MAX_FILES, MAX_OWN_NOTEBOOKS = 200_000, 50
MAX_DIRECTORY = 16 * MIB  # a zip's table of contents grows about tenfold in memory
MAX_RATIO = 200  # uncompressed to compressed, above 1 MiB: notebooks reach 20

_LINK = "it is a link, which is not followed"
_IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}
# Browsers and mail programs append an extension that they guess.
_NOTEBOOK = re.compile(r"\.ipynb(\.(txt|json|html?))?$", re.IGNORECASE)


class Unusable(ValueError):
    """Something that was handed in cannot be used; the message says why."""


@dataclass(frozen=True)
class Found:
    """A file in a source.

    Attributes:
        parts: the names of its folders, and its own.
        time: when it was last changed, according to the file system or the zip; None if unknown.
        read: returns its content; raises Unusable.
        problem: why it has no content, if the listing already shows that.
        inside: its path in a student's own zip (`parts` is then the zip's); empty outside such zips.
        inside_time: `time`, according to the student's own zip, and so in the student's hands.
    """

    parts: tuple[str, ...]
    time: datetime | None
    read: Callable[[], bytes]
    problem: str = ""
    inside: tuple[str, ...] = ()
    inside_time: datetime | None = None

    @property
    def name(self) -> str:
        return (self.parts + self.inside or ("",))[-1]

    def below(self) -> "Found":
        """The same file, seen from its outermost folder."""
        return replace(self, parts=self.parts[1:])

    def __str__(self) -> str:
        return shown("/".join(self.parts + self.inside))


@contextmanager
def opened(source: Path) -> Iterator[Iterator[Found]]:
    """List the files of a folder or a zip.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        ValueError: it is neither a folder nor a zip, or a damaged zip.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: expected a folder or a zip")
    if source.is_dir():
        yield _folder(source)
        return
    if not source.is_file():
        raise ValueError(f"expected a folder or a zip, {source} is neither")
    with open(source, "rb") as file:
        try:
            archive = _zip(file)
        except Unusable as error:
            raise ValueError(f"expected a folder or a zip, {source} is neither: {error}") from error
        yield _entries(archive, MAX_SOURCE)


def zipped(found: Found) -> list[Found]:
    """List the files of a student's own zip. Zips inside it are not opened.

    Raises:
        Unusable: it is not a zip, is damaged, or holds too much.
    """
    archive = _own(found.read())
    # The zip does not stay in memory: reading a file opens it again.
    inner = [
        replace(
            found,
            inside=entry.parts,
            inside_time=entry.time,
            read=entry.read if entry.problem else partial(_read_own, found.read, number),
            problem=entry.problem,
        )
        for number, entry in enumerate(_entries(archive, MAX_OWN))
    ]
    notebooks = sum(is_notebook(entry.name) for entry in inner)
    if notebooks > MAX_OWN_NOTEBOOKS:
        raise Unusable(f"a zip of {notebooks} notebooks, more than {MAX_OWN_NOTEBOOKS}")
    return inner


def is_notebook(name: str) -> bool:
    return bool(_NOTEBOOK.search(name))


def is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def read_file(path: Path | str) -> bytes:
    """Read a regular file; links are not followed, and devices and pipes are refused.

    Raises:
        Unusable: it is not a regular file, cannot be read, or is too large.
    """
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            raise Unusable(_LINK)
        if not stat.S_ISREG(kind):
            raise Unusable("it is not a file but a folder, pipe or device")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise Unusable(f"it is larger than {MAX_FILE // MIB} MiB")
    return data


def shown(text: str) -> str:
    """Make a name from outside safe to print and log: short, without control characters."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 200 else f"{text[:98]} ... {text[-98:]}"


def _folder(top: Path) -> Iterator[Found]:
    waiting: list[tuple[tuple[str, ...], str]] = [((), str(top))]
    count = 0
    while waiting:
        names, folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            entries = [entry for entry in entries if not _ignored(entry.name)]
        except OSError as error:
            yield _unusable(names, f"the folder cannot be read: {error.strerror}")
            continue
        if not entries and names:
            yield _unusable(names, "it is an empty folder")
        for entry in entries:
            count += 1
            if count > MAX_FILES:
                yield _unusable((), f"there are more than {MAX_FILES} files; the rest was not read")
                return
            parts = (*names, entry.name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((parts, entry.path))
            elif entry.is_symlink():
                yield _unusable(parts, _LINK)
            else:
                yield Found(parts, _changed(entry), partial(read_file, entry.path))


def _changed(entry: os.DirEntry[str]) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(entry.stat(follow_symlinks=False).st_mtime), UTC)
    except (OSError, ValueError, OverflowError):  # it has vanished, or the time is out of range
        return None


def _zip(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # a broken or hostile file can make zipfile raise anything
        raise Unusable(f"it is not a zip, or a damaged one ({error})") from error


def _own(data: bytes) -> zipfile.ZipFile:
    """Open a student's zip, once its table of contents proves small: a million entries fit in 50 MiB."""
    end = data.rfind(b"PK\5\6", max(0, len(data) - 2**16 - 22))
    if end < 0 or len(data) < end + 22:
        raise Unusable("it is not a zip, or a damaged one (its end is missing)")
    if struct.unpack_from("<L", data, end + 12)[0] > MAX_DIRECTORY:
        raise Unusable("a zip of too many files")
    return _zip(io.BytesIO(data))


def _entries(archive: zipfile.ZipFile, room: int) -> Iterator[Found]:
    for count, info in enumerate(_files_of(archive)):
        if count >= MAX_FILES:
            yield _unusable((), f"there are more than {MAX_FILES} files; the rest was not read")
            return
        name = _name(info)
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if not 0 < len(max(parts, key=len, default="")) <= MAX_NAME:
            yield _unusable((), f"{shown(name)!r}: no file has such a name")
            continue
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:/", name):
            yield _unusable((), f"{shown(name)}: its path leads out of the zip")
            continue
        if is_notebook(name) or is_zip(name):
            room -= info.file_size
        if room < 0:
            yield _unusable(parts, "the zip holds too much in all")
        else:
            yield Found(parts, _time(info), partial(_read_entry, archive, info))


def _files_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    names = ((info, _name(info)) for info in archive.infolist())
    # ZipInfo.is_dir() fails on an empty name.
    return [info for info, name in names if not name.endswith("/") and not any(map(_ignored, name.split("/")))]


def _read_own(read: Callable[[], bytes], number: int) -> bytes:
    archive = _own(read())
    return _read_entry(archive, _files_of(archive)[number])


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise Unusable(_LINK if kind == stat.S_IFLNK else "it is a special file")
    if info.flag_bits & 1:
        raise Unusable("it is encrypted: ask for it without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unusable(f"it uses an unusual compression method (number {info.compress_type}): ask for a plain zip")
    if info.file_size > MAX_FILE:
        raise Unusable(f"it is larger than {MAX_FILE // MIB} MiB")
    if info.file_size > MIB and info.file_size > MAX_RATIO * info.compress_size:
        raise Unusable(f"it unpacks to more than {MAX_RATIO} times its size, as no notebook does")
    try:
        with archive.open(info) as file:
            return file.read(MAX_FILE)
    except Exception as error:  # as in _zip
        raise Unusable(f"the zip is damaged there ({shown(str(error))})") from error


def _name(info: zipfile.ZipInfo) -> str:
    """An entry's path, with slashes. Many programs write UTF-8 without declaring it; Windows writes backslashes."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/")


def _time(info: zipfile.ZipInfo) -> datetime | None:
    """When an entry was last changed: in UTC if the zip has that, else local time, assumed to be this machine's."""
    extra = info.extra
    try:
        while len(extra) >= 4:
            kind, size = struct.unpack_from("<HH", extra)
            if kind == 0x5455 and extra[4] & 1:
                return datetime.fromtimestamp(struct.unpack_from("<L", extra, 5)[0], UTC)
            extra = extra[4 + size :]
        # Zip dates begin in 1980, which therefore means an unknown time.
        return datetime(*info.date_time).astimezone(UTC) if info.date_time[0] > 1980 else None
    except (ValueError, OverflowError, IndexError, struct.error):
        return None


def _ignored(name: str) -> bool:
    """Files that systems and programs leave behind; `.ipynb_checkpoints` and `._name` begin with a dot.

    A student's name may begin with a dot as well: Moodle makes a folder of it.
    """
    hidden = name.startswith(".") and name.strip(".") != "" and "_assignsubmission_" not in name
    return hidden or name.lower() in _IGNORED


def _unusable(parts: tuple[str, ...], reason: str) -> Found:
    def read() -> bytes:
        raise Unusable(reason)

    return Found(parts, None, read, reason)
