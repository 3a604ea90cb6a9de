"""Text files as people save them, record by record with the number of its line: gzipped, with CRLF, as CSV."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from recognizer.data.sample import DataError


class BadLineError(Exception):
    """One line that can't become a sample; the message is without file and line."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the lines that aren't blank, of a file that may be gzipped.

    Raises:
        DataError: it is damaged, or not UTF-8.
    """
    for number, line in _read_whole_lines(path):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, fields) of the rows; a quoted field may have commas and line ends.

    Raises:
        DataError: it is no CSV, or not UTF-8.
    """
    rows = csv.reader((line for _, line in _read_whole_lines(path)), strict=True)
    first = 1
    try:
        for fields in rows:
            if fields:
                yield first, fields
            first = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{first}: not CSV ({error}); quote a field that holds quotes, and double those"
        ) from error


def read_formulas(path: Path) -> list[str]:
    """All lines, blank ones too. Bytes that aren't UTF-8 become U+FFFD: some lines of im2latex-100k have such."""
    text = path.read_bytes().decode("utf-8", "replace").removesuffix("\n")
    return [line.strip(" \r") for line in text.split("\n")]


def _read_whole_lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with path.open("rb") as file, gzip.open(file) if path.suffix.lower() == ".gz" else file as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{number + 1}: damaged gzip file ({error}); copy it again") from error
