r"""What programs on the way do to a label, and no reader of the label could tell: HTML, and backslashes.

A string in JSON or Python turns `\frac` into a form feed and `rac` unless its backslash is doubled; a program that
doubles it once too often leaves `\\frac`, which to LaTeX is the end of a line and four letters.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from recognizer.data.lines import BadLineError
from recognizer.latex import synonyms as table

DOUBLE_THEM = r"backslashes must be doubled in JSON (\\frac), and in Python's plain strings"
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d+|#x[0-9A-Fa-f]+);", re.IGNORECASE)
_CONTROL = re.compile(r"([\x00-\x08\x0b\x0c\x0e-\x1f\x7f])([A-Za-z]*)")
_BLANK = re.compile(r"(\\\\ ?)?\r?([\t\n\r])([A-Za-z]*)")  # behind \\ a line may well end
_LETTERS = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}  # \f is a form feed
_DOUBLED = re.compile(r"(?<!\\)(?:\\\\)+([A-Za-z]{2,})")
_SINGLE = re.compile(r"(?<!\\)(?:\\\\)*\\[A-Za-z]")
_SHORT = 2  # letters of a name, which may be chance where nothing else in the label looks like it


def _command_names() -> Iterator[str]:
    tables = (
        *(table.SYNONYMS, table.SYNONYMS.values(), table.EXPANSIONS, table.NEGATIONS.values(), table.SYMBOLS),
        *(table.THIN, table.WIDE, table.NO_INK, table.VANISHING, table.UNWRAPPED, table.LENGTHS, table.ARGUMENTS),
        *(table.SWITCHES, table.INFIX, table.SIZES),
    )
    yield from (token[1:] for tokens in tables for token in tokens if re.fullmatch(r"\\[A-Za-z]{2,}", token))
    yield from (*table.TEXT_COMMANDS, *table.FENCE_NAMES, "dots", "operatorname")


COMMANDS = frozenset(_command_names())
"""Names that are known as LaTeX's, without their backslash."""


def check_label(label: str) -> None:
    """Check that a label is as its author wrote it.

    Raises:
        BadLineError: it holds HTML, bytes that aren't UTF-8, or backslashes that were lost or doubled.
    """
    if (entity := _ENTITY.search(label)) and html.unescape(entity[0]) != entity[0]:
        raise BadLineError(
            f"the label holds {entity[0]!r}, which is HTML; expected LaTeX, as {html.unescape(entity[0])!r}"
        )
    if "\ufffd" in label:
        raise BadLineError("the label holds bytes that aren't UTF-8, or their replacement U+FFFD; correct it")
    check_backslashes(label)
    if doubled := _doubled(label):
        raise BadLineError(
            rf"the label holds \\{doubled}, which is a line's end and letters, where \{doubled} was most likely meant: "
            r"its backslashes are doubled once too often; if a line's end was meant, put a blank behind the \\"
        )


def check_backslashes(label: str) -> None:
    r"""Check that no command has become a control character, as `\times` becomes a tab and `imes`.

    Raises:
        BadLineError: there is one, or a control character that nothing needs.
    """
    if control := _CONTROL.search(label):
        name = _command(*control.groups())
        meant = rf", where \{name} was most likely meant" if name in COMMANDS else ""
        raise BadLineError(f"the label holds the control character {control[0][:20]!r}{meant}: {DOUBLE_THEM}")
    blanks = [(_command(control, letters), row_end) for row_end, control, letters in _BLANK.findall(label.rstrip())]
    long = [name for name, _ in blanks if name in COMMANDS and len(name) > _SHORT]
    others = [name for name, row_end in blanks if not row_end]
    if long or (others and COMMANDS.issuperset(others)):
        meant = (long or others)[0]
        raise BadLineError(
            f"the label holds a tab or a line's end and then {meant[1:]!r}, where \\{meant} was most likely meant: "
            f"{DOUBLE_THEM}; if that blank was meant, put another behind it"
        )


def _command(control: str, letters: str) -> str:
    """The name that a control character with the letters behind it was, if it was one."""
    return _LETTERS.get(control, "") + letters


def _doubled(label: str) -> str | None:
    names = [name for name in _DOUBLED.findall(label) if name in COMMANDS]
    if names and _SINGLE.search(label):
        names = [name for name in names if len(name) > _SHORT]
    return names[0] if names else None
