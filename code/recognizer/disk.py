"""What is written to a disk: files that are whole or not there, and the room that they need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LARGER_VOLUME = "give the job a larger volume (--volume-gb)"


class NoRoomError(OSError):
    """The disk hasn't room: for what, how much that needs, and what to do."""


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raises NoRoomError if the folder's disk hasn't so many bytes free."""
    if needed > (free := shutil.disk_usage(folder).free):
        raise NoRoomError(f"{what} needs {needed >> 20} MiB in {folder}, {free >> 20} MiB are free; {LARGER_VOLUME}")


@contextmanager
def written_whole(path: Path, writer: str = "") -> Iterator[BinaryIO]:
    """A file to write, which takes its name when all is written. What is left of a write that was killed is emptied.

    `writer` tells those apart who may write the same file at the same time.
    """
    partial = path.with_name(f".{path.name}.partial{writer}")
    with partial.open("wb") as file:
        yield file
    partial.replace(path)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file so; several processes may write the same one."""
    with written_whole(path, f"-{os.getpid()}") as file:
        file.write(text.encode())
