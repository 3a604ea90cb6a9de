r"""What a folded formula consists of before it is written: a row of boxes, and the tokens that they are."""

from __future__ import annotations

from collections.abc import Iterable

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


def emit(boxes: list[Box]) -> list[str]:
    """Boxes, their delimiters stretched already -> canonical tokens; gaps side by side are one."""
    tokens: list[str] = []
    pending_gap = False
    for box in boxes:
        if box.kind is Kind.GAP:
            pending_gap = True
            continue
        if pending_gap:
            tokens.append(CONTROL_SPACE)
            pending_gap = False
        prefix = FENCES.get(box.kind)
        tokens += [prefix + box.tokens[0]] if prefix else box.tokens
        if box.sub:
            tokens += ["_", "{", *box.sub, "}"]
        if box.sup:
            tokens += ["^", "{", *box.sup, "}"]
    return tokens
