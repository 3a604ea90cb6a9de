"""Rows of tables that label pictures: what every format of them comes down to, and what may be called how.

Tables of other people call a picture `image`, `file_name` or `path`, its label `latex`, `formula` or `text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recognizer.data.labels import check_backslashes
from recognizer.data.lines import BadLineError
from recognizer.data.records import UNKNOWN, optional, text

PICTURE = ("image", "filename", "file_name", "file", "path", "image_path", "img")
LABEL = ("latex", "label", "formula", "text", "caption", "tex", "equation", "normalizedlabel")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True)
class Row:
    """One labelled picture as a table has it; `group` is empty where the table says nothing of it."""

    picture: str
    label: str
    source: str = UNKNOWN
    level: str = UNKNOWN
    group: str = ""


def read_row(record: Mapping[str, Any]) -> Row:
    """Make a row of a record with named values.

    Raises:
        BadLineError: no name or two are those of the picture or of the label, or such a value is no text.
    """
    picture, label = (text(record, the_one(record, names)) for names in (PICTURE, LABEL))
    values = {_plain(name): value for name, value in record.items()}
    return Row(
        picture.strip(), label, optional(values, "source"), optional(values, "level"), optional(values, "group", "")
    )


def named(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those of the names that are wanted, in any case of letters."""
    return [name for name in names if _plain(name) in wanted]


def the_one(names: Iterable[str], wanted: tuple[str, ...]) -> str:
    """The only one of the names that is wanted.

    Raises:
        BadLineError: none is, or several are.
    """
    names = list(names)
    found = named(names, wanted)
    if len(found) != 1:
        fault = f"{found} say the same; keep one of them" if found else f"one of {', '.join(wanted)} is missing"
        raise BadLineError(f"{fault}; the names there are {names}")
    return found[0]


def _plain(name: str) -> str:
    return name.strip().lower()


def split_pair(line: str, expected: str) -> tuple[str, str]:
    """Cut `name<TAB>value`, either of them quoted or not.

    Raises:
        BadLineError: there are fewer columns, or more.
    """
    name, tab, value = line.partition("\t")
    if not tab:
        raise BadLineError(f"no tab in {line[:80]!r}; expected {expected}")
    check_backslashes(value)  # before blanks are taken off: a tab may be what is left of \times
    name, value = _unquoted(name.strip(), value.strip())
    if more := value.count("\t"):
        raise BadLineError(f"{2 + more} columns in {line[:80]!r}; expected {expected} and no other tab")
    return name, value


def _unquoted(name: str, value: str) -> tuple[str, str]:
    """Without the quotes of csv's rules: Excel puts them around what has a comma or a quote, other programs around
    everything. A label may have quotes of its own: `"A"` stays."""
    quoted_name, quoted = _QUOTED.fullmatch(name), _QUOTED.fullmatch(value)
    if quoted and (quoted_name or re.search('[,"]', quoted[1])):
        value = quoted[1].replace('""', '"').strip()
    if quoted_name:
        name = quoted_name[1].replace('""', '"')
    return name, value
