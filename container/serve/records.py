"""A body with a record on each line (JSON Lines, CSV), a window of records at a time: memory is bounded by a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

RECORD_MB = 25  # a picture as large as a request may be by default
RECORD_BYTES = RECORD_MB * 1024 * 1024
WINDOW_BYTES = 4 * 1024 * 1024  # a window with so many is full


def windows(body: IO[bytes], count: int) -> Iterator[list[bytes | None]]:
    """Up to `count` records at a time, without line ends; None in the place of one that is over RECORD_BYTES.

    Blank lines are no records. A body without any gives one empty window.
    """
    window: list[bytes | None] = []
    size, is_first = 0, True
    for record in _records(body):
        window.append(record)
        size += len(record or b"")
        if len(window) == count or size >= WINDOW_BYTES:
            yield window
            window, size, is_first = [], 0, False
    if window or is_first:
        yield window


def _records(body: IO[bytes]) -> Iterator[bytes | None]:
    while line := body.readline(RECORD_BYTES + len(b"\r\n")):
        if len(line.rstrip(b"\r\n")) > RECORD_BYTES:
            while not line.endswith(b"\n") and (line := body.readline(WINDOW_BYTES)):
                pass
            yield None
        else:
            yield from (record for record in line.splitlines() if record.strip())  # as input_fn divides lines
