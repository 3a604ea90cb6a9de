"""Looks at a model from a stranger before anything of it is written, read or run: an archive, or a folder (S11).

A model holds plain files of the types below and nothing else: no links and devices, which lead elsewhere; no paths out
of its folder; no pickles, which run code when they are read; no more files and bytes than a model has. What the files
say is checked by who reads them: ONNX Runtime refuses weights outside the folder, numpy is told to read no pickle.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

TYPES = {
    ".json": "model.json, golden samples",
    ".jsonl": "training history",
    ".onnx": "networks",
    ".safetensors": "weights for further training",
    ".npz": "golden samples, arrays only",
    ".png": "golden samples",
    ".py": "code",
    ".txt": "code/requirements.txt, notes",
    ".md": "model card",
}
MAX_FILES = 1000
MAX_MB = 4096  # all files together, unpacked
MAX_ARRAYS_MB = 256  # a .npz, unpacked: golden samples have a few
MAX_HEADER = 1024 * 1024  # bytes that a header of an archive may have tarfile read at once
LEADS_ELSEWHERE = "link, a device or a sparse file"
DAMAGED = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError)


class UnsafeModelError(Exception):
    """Something that no model needs; the message names the file and what was expected."""


class Member(NamedTuple):
    """A file or folder of a model; `kind` is "file", "folder", or what it is instead."""

    name: str
    kind: str
    size: int


def check(members: Iterable[Member], any_type: bool = False) -> dict[str, int]:
    """Bytes of each file by its name, once all have been found harmless.

    Args:
        any_type: whether files of other types than TYPES may be among them, for code that reads its own.

    Raises:
        UnsafeModelError: at the first member that isn't; the iteration ends there, so a bomb isn't unpacked to its end.
    """
    sizes: dict[str, int] = {}
    total = 0
    for count, member in enumerate(members):
        _check_member(member, any_type)
        total += member.size
        if count >= MAX_FILES or total > MAX_MB * 1024 * 1024:
            raise UnsafeModelError(f"{member.name!r}: a model has at most {MAX_FILES} files and {MAX_MB} MB in all")
        if member.kind == "file":
            sizes[str(PurePosixPath(member.name))] = member.size
    return sizes


def _check_member(member: Member, any_type: bool) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or not member.name.isprintable():
        raise UnsafeModelError(f"{member.name!r}: a path within the model's folder was expected")
    if member.kind not in ("file", "folder"):
        raise UnsafeModelError(f"{member.name!r} is a {member.kind}; a model holds plain files and folders only")
    if member.size < 0:
        raise UnsafeModelError(f"{member.name!r} has a size of {member.size} bytes")
    if member.kind == "file" and not any_type and path.suffix.lower() not in TYPES:
        raise UnsafeModelError(f"{member.name!r} is of no type that a model holds: {', '.join(TYPES)}")


def members_of_folder(folder: Path) -> Iterator[Member]:
    """Everything below the folder; links are told, and not followed."""
    for parent, names, files in os.walk(folder):
        for name in (*names, *files):
            path = Path(parent, name)
            status = path.lstat()
            is_file = stat.S_ISREG(status.st_mode)
            kind = "file" if is_file else "folder" if stat.S_ISDIR(status.st_mode) else LEADS_ELSEWHERE
            yield Member(path.relative_to(folder).as_posix(), kind, status.st_size if is_file else 0)


class Archive:
    """A model.tar.gz, opened by `open_archive`."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def members(self) -> Iterator[Member]:
        """Its members as their headers are come across, before their contents are unpacked."""
        for info in self._tar:
            is_file = info.isreg() and not info.issparse()
            kind = "file" if is_file else "folder" if info.isdir() else LEADS_ELSEWHERE
            yield Member(info.name, kind, info.size if is_file else 0)

    def unpack(self, folder: Path) -> None:
        """Writes the members, which must have been checked. Owners, and rights beyond the user's, aren't taken over."""
        self._tar.extractall(folder, filter="data")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens a .tar.gz.

    Raises:
        UnsafeModelError: also within the `with`: it is none, is damaged, or can't be unpacked.
    """
    with path.open("rb") as file, gzip.GzipFile(fileobj=file) as stream:
        try:
            with tarfile.open(fileobj=cast(IO[bytes], _ShortReads(stream)), mode="r:") as tar:
                yield Archive(tar)
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno:  # the disk's fault, not the archive's
                raise
            raise UnsafeModelError(f"{path} is no .tar.gz that can be unpacked: {error}") from error


class _ShortReads:
    """A stream that refuses to hand out much at once: headers may claim any length, and tarfile reads them whole."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise UnsafeModelError(f"the archive has a header of {size} bytes; at most {MAX_HEADER} were expected")
        return self._stream.read(size)


def check_arrays(folder: Path) -> None:
    """Looks how large the .npz files below the folder are when unpacked.

    Raises:
        UnsafeModelError: too large, or no .npz.
    """
    for path in folder.rglob("*.npz"):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(info.file_size for info in archive.infolist())
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise UnsafeModelError(f"{path.relative_to(folder)} is no .npz: {error}") from error
        if size > MAX_ARRAYS_MB * 1024 * 1024:
            raise UnsafeModelError(f"{path.relative_to(folder)} unpacks to {size} bytes, over {MAX_ARRAYS_MB} MB")
