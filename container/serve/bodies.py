"""A request's body: read to its end before anything is answered, so that the status is known, and in bounded memory.

Many clients read no answer before they have sent their whole request; one that was answered meanwhile, row by row,
would wait for us while we wait for it. A large body of records therefore lies in a temporary file until it is read
record by record (records.py).
"""

from __future__ import annotations

import gzip
import logging
import tempfile
import zlib
from functools import cache
from io import BytesIO
from typing import IO, cast

from gunicorn.http.errors import ParseException

from container.serve import errors

IN_MEMORY = 1024 * 1024  # bytes of a body of records that are kept in memory
PIECE = 1024 * 1024

log = logging.getLogger(__name__)


def spool() -> IO[bytes]:
    """Room for a body: in memory, from IN_MEMORY bytes on in an unnamed temporary file.

    It stays in memory, bounded by the payload limit, where no folder can be written to (a read-only root without /tmp).
    """
    return tempfile.SpooledTemporaryFile(IN_MEMORY) if _has_folder() else BytesIO()


def decoded(source: IO[bytes], length: int, encoding: str) -> tuple[IO[bytes], int]:
    """A body as it was before its `Content-Encoding`, and its length (0: unknown).

    Raises:
        ServeError: 415 `unsupported_content_encoding`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return source, length
    if name in ("gzip", "x-gzip"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=source, mode="rb")), 0
    raise errors.ServeError(415, "unsupported_content_encoding", f"content encoding {encoding!r}: send gzip, or none")


def read_into(sink: IO[bytes], source: IO[bytes], length: int, limit_mb: int) -> int:
    """Copies a body of known length (0: chunked, or empty) to `sink`, rewinds that, and returns the bytes copied.

    Flask's own limit isn't used: it cuts a chunked body off at the limit and passes the rest for the whole.

    Raises:
        ServeError: 413 `payload_too_large`, 503 `no_space`, and what `receive` raises.
    """
    limit, size = limit_mb * 1024 * 1024, 0
    if length > limit:
        raise errors.payload_too_large(limit_mb)
    while piece := receive(source, PIECE):
        size += len(piece)
        if size > limit:
            raise errors.payload_too_large(limit_mb)
        try:
            sink.write(piece)
        except OSError as error:
            raise errors.no_space(tempfile.gettempdir(), error) from None
    if size < length:
        raise errors.ServeError(400, "incomplete_body", f"the body ended after {size} bytes")
    sink.seek(0)
    return size


def read_small(source: IO[bytes], limit: int) -> bytes:
    """A whole body of at most `limit` bytes.

    Raises:
        ServeError: 413 `payload_too_large`, and what `receive` raises.
    """
    body = receive(source, limit + 1)
    if len(body) > limit:
        raise errors.ServeError(413, "payload_too_large", f"the body is over {limit} bytes")
    return body


def receive(source: IO[bytes], size: int) -> bytes:
    """Up to `size` bytes, less only at the end.

    Raises:
        ServeError: 408 `body_timeout`, 400 `incomplete_body` or `damaged_body`.
    """
    try:
        return source.read(size)
    except TimeoutError:
        raise errors.late() from None
    except (ParseException, gzip.BadGzipFile, zlib.error) as error:  # of chunks; of what was compressed
        raise errors.ServeError(400, "damaged_body", f"the body can't be read: {error}") from None
    except (OSError, EOFError) as error:
        raise errors.ServeError(400, "incomplete_body", f"the body ended early: {error}") from None


@cache
def _has_folder() -> bool:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        log.warning("large bodies stay in memory: %s", error)
        return False
    return True
