"""Values of a record of JSON Lines: text, pen strokes, a picture's place in a shard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from recognizer.data.ink import InkPicture
from recognizer.data.labels import DOUBLE_THEM
from recognizer.data.lines import BadLineError
from recognizer.data.shards import Shard, ShardPicture

UNKNOWN = "unknown"


def parse(line: str) -> dict[str, Any]:
    """The object of a line. Raises BadLineError if it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = DOUBLE_THEM if "escape" in str(error) else "expected one object a line"
        raise BadLineError(f"not JSON ({error}); {hint}") from error
    if not isinstance(record, dict):
        raise BadLineError(f"a JSON {type(record).__name__}; expected one object a line")
    return record


def text(record: Mapping[str, Any], key: str) -> str:
    """The text under a key. Raises BadLineError if there is none."""
    if key not in record:
        raise BadLineError(f'key "{key}" is missing; the keys there are {sorted(record)}')
    if not isinstance(record[key], str) or not record[key].strip():
        raise BadLineError(f'key "{key}" must be text that isn\'t empty, not {record[key]!r:.60}')
    return str(record[key])


def optional(record: Mapping[str, Any], key: str, default: str = UNKNOWN) -> str:
    """The value under a key as text; the default if it is missing or empty."""
    value = record.get(key)
    return default if value is None or value == "" else str(value)


def read_ink(record: Mapping[str, Any]) -> InkPicture:
    """The picture of a record with the keys "strokes" and, if they are known, "symbols".

    Raises:
        BadLineError: they aren't as expected.
    """
    strokes = _strokes(record["strokes"])
    expected = '"symbols" must be a list of [LaTeX, [numbers of strokes, counted from 0]]'
    try:
        symbols = tuple((str(label), tuple(map(int, numbers))) for label, numbers in record.get("symbols") or ())
    except (TypeError, ValueError) as error:
        raise BadLineError(expected) from error
    if not all(0 <= number < len(strokes) for _, numbers in symbols for number in numbers):
        raise BadLineError(f"{expected}; there are {len(strokes)} strokes")
    return InkPicture(strokes, symbols)


def _strokes(value: Any) -> tuple[np.ndarray, ...]:
    expected = '"strokes" must be a list of strokes, each a list of [x, y] numbers, none of them empty'
    if not isinstance(value, list) or not value:
        raise BadLineError(expected)
    try:
        strokes = tuple(np.asarray(stroke, dtype=np.float32) for stroke in value)
    except (ValueError, TypeError) as error:
        raise BadLineError(expected) from error
    for stroke in strokes:
        if stroke.ndim != 2 or stroke.shape[0] == 0 or stroke.shape[1] != 2 or not np.isfinite(stroke).all():
            raise BadLineError(expected)
    return strokes


def read_member(record: Mapping[str, Any], shard: Shard) -> ShardPicture:
    """The picture of a line of a shard's index. Raises BadLineError if the line isn't as expected."""
    offset, length, crc32 = (_whole(record.get(key), f'key "{key}"') for key in ("offset", "bytes", "crc32"))
    if offset + length > shard.size:
        raise BadLineError(f"bytes {offset} to {offset + length} are beyond the end of {shard.path.name}")
    canvas = record.get("canvas")
    if not isinstance(canvas, list) or len(canvas) != 2:
        raise BadLineError(f'key "canvas" must be [height, width], not {canvas!r:.60}')
    height, width = (_whole(side, 'a side of "canvas"', least=1) for side in canvas)
    return ShardPicture(shard, offset, length, crc32, (height, width))


def _whole(value: Any, what: str, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise BadLineError(f"{what} must be a whole number from {least} on, not {value!r:.60}")
    return value
