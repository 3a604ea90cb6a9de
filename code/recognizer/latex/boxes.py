r"""What a folded formula consists of before it is written: a row of boxes, and the tokens that they are."""

from __future__ import annotations

from collections.abc import Iterable

from . import synonyms as table
from .parser import Kind
from .tokenizer import CONTROL_SPACE

FENCES = {Kind.LEFT: r"\left", Kind.RIGHT: r"\right", Kind.MIDDLE: r"\middle"}


class Box:
    """A folded node: the tokens that it will be, and what its neighbours must know of it.

    Its kind is ATOM for anything with ink, LEFT, RIGHT or MIDDLE for stretched delimiters, GAP, or one of CELL, ROW,
    INFIX and SWITCH, which `normalizer` resolves at the end of each group.
    """

    __slots__ = ("kind", "sub", "sup", "tall", "tokens")

    def __init__(self, kind: Kind, tokens: list[str], tall: bool = False) -> None:
        self.kind = kind
        self.tokens = tokens
        self.tall = tall
        self.sub: list[str] = []
        self.sup: list[str] = []

    def has_script(self) -> bool:
        return bool(self.sub or self.sup)

    def is_plain(self, delimiters: Iterable[str]) -> bool:
        return self.kind is Kind.ATOM and len(self.tokens) == 1 and self.tokens[0] in delimiters


def gap() -> Box:
    return Box(Kind.GAP, [CONTROL_SPACE])


def is_tall(boxes: Iterable[Box]) -> bool:
    return any(box.tall for box in boxes)


def trim(boxes: list[Box], leading: bool = False) -> list[Box]:
    """Without the gaps at the end, and at the start."""
    start, end = 0, len(boxes)
    while end > 0 and boxes[end - 1].kind is Kind.GAP:
        end -= 1
    while leading and start < end and boxes[start].kind is Kind.GAP:
        start += 1
    return boxes[start:end]


def join_signs(boxes: list[Box]) -> bool:
    r"""Three full stops become ``\ldots``, two bars ``\|``, in place; whether there were any.

    Bars only where all of the row stand in twos: ``|a||b|`` has none. Both are wider than the sign by less than a
    reader of a picture sees, and authors write them without system.
    """
    return _join(boxes, ".", 3, r"\ldots") | _join(boxes, "|", 2, r"\|", all_or_none=True)


def _join(boxes: list[Box], part: str, count: int, sign: str, all_or_none: bool = False) -> bool:
    found: list[list[int]] = []  # runs of the part, by place
    for at, box in enumerate(boxes):
        if box.tokens == [part] and box.kind is not Kind.MIDDLE:
            last = found[-1][-1] if found else -1
            joins = found and at == last + 1 and not boxes[last].has_script() and boxes[last].kind is box.kind
            if joins:
                found[-1].append(at)
            else:
                found.append([at])
    whole = [run for run in found if len(run) == count]
    if not whole or (all_or_none and len(whole) < len(found)):
        return False
    for run in reversed(whole):
        boxes[run[-1]].tokens = [sign]
        del boxes[run[0] : run[-1]]
    return True


def _may_be_base(box: Box) -> bool:
    """Whether scripts without a base, behind it, look like its own: it is a letter, a digit or a word without any."""
    first = box.tokens[0] if box.kind is Kind.ATOM and box.tokens else ""
    return not box.has_script() and (first.isalnum() or first in table.ALPHABETS)


def emit(boxes: list[Box]) -> list[str]:
    r"""Boxes, their delimiters stretched already -> canonical tokens; gaps side by side are one.

    Scripts without a base are those of what they stand behind, where they look so: `x{}^2`, `25\,^\circ`.
    """
    tokens: list[str] = []
    pending_gap, may_be_base = False, False
    for box in boxes:
        if box.kind is Kind.GAP:
            pending_gap, may_be_base = True, False
            continue
        if pending_gap:
            tokens.append(CONTROL_SPACE)
            pending_gap = False
        prefix = FENCES.get(box.kind)
        if not (may_be_base and box.tokens == ["{", "}"]):
            tokens += [prefix + box.tokens[0]] if prefix else box.tokens
        may_be_base = _may_be_base(box)
        if box.sub:
            tokens += ["_", "{", *box.sub, "}"]
        if box.sup:
            tokens += ["^", "{", *box.sup, "}"]
    return tokens
