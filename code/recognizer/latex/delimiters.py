r"""Which delimiters are stretched: exactly those around something higher than a line.

How an author made a delimiter large, by ``\left`` or ``\Bigl`` or not at all, doesn't decide it, since a reader can't
tell the first two apart and people draw any bracket as high as what it holds.
"""

from __future__ import annotations

from . import synonyms as table
from .boxes import FENCES, Box, emit, is_tall, join_signs, trim
from .parser import Kind

_MAY_STRETCH = table.OPENING | table.CLOSING | table.BARS


def stretch(boxes: list[Box]) -> list[Box]:
    """Stretch the delimiters around what is tall, and only those. What looks like one sign becomes one."""
    join_signs(boxes)
    fences = any(box.kind in FENCES for box in boxes)
    if not fences and not (is_tall(boxes) and any(box.is_plain(_MAY_STRETCH) for box in boxes)):
        return boxes
    changed = True
    while changed:  # a pair that is plain now may close one that was open
        changed = unstretch(boxes)
        changed = join_signs(boxes) or changed
        changed = _stretch_plain(boxes) or changed
    return boxes


def emit_stretched(boxes: list[Box]) -> list[str]:
    """Boxes without the gaps at their ends -> canonical tokens."""
    return emit(stretch(trim(boxes, leading=True)))


def unstretch(boxes: list[Box]) -> bool:
    r"""Make ``\left`` and ``\right`` plain where they have no partner or hold nothing tall."""
    pairs: list[tuple[int, int]] = []
    open_at: list[int] = []
    for at, box in enumerate(boxes):
        if box.kind is Kind.LEFT:
            open_at.append(at)
        elif box.kind is Kind.RIGHT and open_at:
            pairs.append((open_at.pop(), at))
    kept = {at for pair in pairs if is_tall(boxes[pair[0] : pair[1]]) and _is_drawn(boxes, *pair) for at in pair}
    level, changed = 0, False
    for at, box in enumerate(boxes):
        level += (at in kept) * ((box.kind is Kind.LEFT) - (box.kind is Kind.RIGHT))
        if box.kind in FENCES and at not in kept and not (box.kind is Kind.MIDDLE and level):
            box.kind = Kind.ATOM
            if box.tokens == ["."]:
                box.tokens = ["{", "}"] if box.has_script() else []
            changed = True
    return changed


def _is_drawn(boxes: list[Box], start: int, end: int) -> bool:
    r"""Whether there is anything to be seen of a pair: not of ``\left.`` and ``\right.`` alone."""
    has_ink = any(boxes[at].tokens != ["."] or boxes[at].has_script() for at in (start, end))
    return has_ink or any(box.kind is Kind.MIDDLE for box in boxes[start:end])


def _stretch_plain(boxes: list[Box]) -> bool:
    r"""Turn pairs of plain delimiters around something tall into ``\left`` and ``\right``."""
    frames = [_Frame(-1)]
    stretched: list[tuple[int, int]] = []
    for at, box in enumerate(boxes):
        plain = box.kind is Kind.ATOM and len(box.tokens) == 1
        if box.kind is Kind.LEFT or (plain and box.tokens[0] in table.OPENING and not box.has_script()):
            frames.append(_Frame(at))
        elif box.kind is Kind.RIGHT:
            while boxes[frames[-1].start].kind is not Kind.LEFT:
                _leave_open(frames)
            stretched += frames.pop().bars(boxes)
        elif plain and box.tokens[0] in table.CLOSING:
            start = frames[-1].start
            if start >= 0 and boxes[start].kind is Kind.ATOM:
                stretched += [(start, at), *frames.pop().bars(boxes)]
        elif plain and box.tokens[0] in table.BARS:
            frames[-1].bar_positions.append(at)
    while len(frames) > 1:
        _leave_open(frames)
    stretched += frames.pop().bars(boxes)
    stretched = [(start, end) for start, end in stretched if is_tall(boxes[start:end])]
    for start, end in stretched:
        boxes[start].kind, boxes[end].kind = Kind.LEFT, Kind.RIGHT
    return bool(stretched)


class _Frame:
    """What stands inside one pair of delimiters; bars don't tell left from right, so two make a pair."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.bar_positions: list[int] = []

    def bars(self, boxes: list[Box]) -> list[tuple[int, int]]:
        if len(self.bar_positions) != 2:
            return []
        first, second = self.bar_positions
        alike = boxes[first].tokens == boxes[second].tokens and not boxes[first].has_script()
        return [(first, second)] if alike else []


def _leave_open(frames: list[_Frame]) -> None:
    """The innermost delimiter has no partner: what it holds belongs to the frame around it."""
    inner = frames.pop()
    frames[-1].bar_positions += inner.bar_positions


def fence_around(boxes: list[Box], at: int) -> tuple[int, int]:
    r"""The part between the ``\left`` and ``\right`` that are next around a place, which groups as braces do."""
    start, end = 0, len(boxes)
    depth = 0
    for index in range(at - 1, -1, -1):
        depth += (boxes[index].kind is Kind.LEFT) - (boxes[index].kind is Kind.RIGHT)
        if depth > 0:
            start = index + 1
            break
    depth = 0
    for index in range(at + 1, len(boxes)):
        depth += (boxes[index].kind is Kind.RIGHT) - (boxes[index].kind is Kind.LEFT)
        if depth > 0:
            end = index
            break
    return start, end
