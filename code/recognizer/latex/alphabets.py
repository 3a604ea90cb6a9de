r"""Alphabets and words: which symbols look otherwise in them, and what of their spellings is one.

`\mathrm{[W/(mK)]}`, `[\mathrm{W}/(\mathrm{mK})]` and `[\mathrm W/(\mathrm m\mathrm K)]` are one picture: brackets,
signs and roman digits are the same inside and outside. So an alphabet holds runs of what it changes, as long as they
get; roman words with a gap between them are a text.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import synonyms as table
from .boxes import Box, emit, is_tall, trim
from .delimiters import emit_stretched
from .parser import Kind
from .tokenizer import CONTROL_SPACE

ROMAN, TEXT = r"\mathrm", r"\text"
_FONTS = table.ALPHABETS.union(text for text, _ in table.TEXT_FONTS.values())


def in_alphabet(alphabet: str, boxes: list[Box]) -> list[Box]:
    r"""What `alphabet{boxes}` looks like; gaps at its ends stand outside, and the names of operators have commands."""
    core = trim(boxes, leading=True)
    if not core:
        return boxes
    start = boxes.index(core[0])
    return [*boxes[:start], *_inside(alphabet, core), *boxes[start + len(core) :]]


def _inside(alphabet: str, core: list[Box]) -> list[Box]:
    if alphabet == r"\boldsymbol" and all(box.is_plain(table.UPRIGHT) and not box.has_script() for box in core):
        alphabet = r"\mathbf"
    if alphabet not in table.CHANGED_IN:
        return core if len(core) == 1 and _has_its_own(core[0], alphabet) else _group(alphabet, core)
    boxes: list[Box] = []
    run: list[Box] = []
    for box in core:
        scripts = _scripts_in(alphabet, box)
        stands_outside = _is_the_same(alphabet, box)
        if scripts is None or not (stands_outside or box.has_script()):
            run.append(box)
            continue
        bare = Box(box.kind, box.tokens, box.tall)
        boxes += [*_group(alphabet, run), bare] if stands_outside else _group(alphabet, [*run, bare])
        boxes[-1].sub, boxes[-1].sup = scripts
        run = []
    return [*boxes, *_group(alphabet, run)]


def _has_its_own(box: Box, alphabet: str) -> bool:
    r"""Whether a box is in an alphabet or a text already, and the innermost counts; `\boldsymbol` adds to others."""
    name = box.tokens[0]
    return name in _FONTS and r"\boldsymbol" not in (name, alphabet)


def _is_the_same(alphabet: str, box: Box) -> bool:
    """Whether a box looks the same outside, and can stand there."""
    if box.kind is not Kind.ATOM or box.tokens == ["{", "}"] or _has_its_own(box, alphabet):
        return True
    token = box.tokens[0]
    return len(box.tokens) == 1 and _is_symbol(token) and not _is_changed(alphabet, token)


def _is_changed(alphabet: str, token: str) -> bool:
    """`ü` and `я` slant in a formula, as letters of ASCII do; what has no two cases (`中`) doesn't."""
    foreign = len(token) == 1 and not token.isascii() and token.lower() != token.upper()
    return foreign or token in table.CHANGED_IN[alphabet]


def _is_symbol(token: str) -> bool:
    return (len(token) == 1 and token not in "{}^_") or token in table.SYMBOLS


def _scripts_in(alphabet: str, box: Box) -> tuple[list[str], list[str]] | None:
    """Subscript and superscript of a box as they are written outside of the alphabet; None if that can't be said."""
    grouped = box.has_script() and box.tokens[:1] == ["{"] and len(box.tokens) > 2
    if grouped or not all(map(_is_symbol, (*box.sub, *box.sup))):
        return None
    sub, sup = (
        emit(join(in_alphabet(alphabet, [Box(Kind.ATOM, [token]) for token in script])))
        for script in (box.sub, box.sup)
    )
    return sub, sup


def _group(alphabet: str, boxes: list[Box]) -> list[Box]:
    if not boxes:
        return []
    tokens = emit_stretched(boxes)
    return [_named(alphabet, tokens, is_tall(boxes))] if tokens else []


def _named(alphabet: str, tokens: list[str], tall: bool) -> Box:
    name = "\\" + "".join(tokens).lstrip("\\")
    if alphabet == ROMAN and name in table.OPERATORS:
        return Box(Kind.ATOM, [name])
    return Box(Kind.ATOM, [alphabet, "{", *tokens, "}"], tall)


def join(boxes: Iterable[Box]) -> list[Box]:
    """The boxes of a line, those side by side in one alphabet as one, roman words with gaps between them as a text."""
    joined: list[Box] = []
    for box in boxes:
        if box.kind is Kind.GAP and joined and joined[-1].kind is Kind.GAP:
            continue
        with_gap = len(joined) > 1 and joined[-1].kind is Kind.GAP
        before = joined[-2] if with_gap else joined[-1] if joined else None
        one = _together(before, box, with_gap) if before is not None else None
        if one is None:
            joined.append(box)
        else:
            joined[-2 if with_gap else -1 :] = [one]
    return joined


def _together(left: Box, right: Box, with_gap: bool) -> Box | None:
    """Two neighbours as one, which has the scripts of the second; None if they stay two."""
    if left.kind is not Kind.ATOM or right.kind is not Kind.ATOM or left.has_script():
        return None
    names = [box.tokens[0] for box in (left, right) if len(box.tokens) > 3]  # those that hold something
    if len(names) < 2:
        return None
    inside = [*left.tokens[2:-1], *([CONTROL_SPACE] if with_gap else []), *right.tokens[2:-1]]
    if not with_gap and names[0] == names[1] and names[0] in table.CHANGED_IN and right.tokens[2] != "{":
        one = _named(names[0], inside, left.tall or right.tall)
    elif (with_gap or TEXT in names) and _is_words(left) and _is_words(right):
        one = Box(Kind.ATOM, [TEXT, "{", *inside, "}"])
    else:
        return None
    one.sub, one.sup = right.sub, right.sup
    return one


def _is_words(box: Box) -> bool:
    name, inside = box.tokens[0], box.tokens[2:-1]
    return name == TEXT or (name == ROMAN and all(len(token) == 1 and token.isalnum() for token in inside))
