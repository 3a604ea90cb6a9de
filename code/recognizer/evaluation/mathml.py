"""What of a formula's MathML is ink: glyphs and their arrangement, without sizes, spaces and grouping.

Two spellings of a formula that draw the same picture have equal skeletons. Deliberately not told apart: the size of
delimiters, widths of spaces (in a double bar and an ellipsis too), how columns are aligned, limits beside or below
their operator, and a script on `{ab}` or on `b` alone (the same place, as long as nothing in the group is higher than a
line). An accent, and what stands above or below anything but an operator, is no script: an arrow over `a` isn't one
beside it, a bar over `ab` not one over `b`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from xml.etree import ElementTree

import inference
from recognizer.synth.mathjax import RenderError, to_mathml

Skeleton = tuple[object, ...]

_TRANSPARENT = frozenset(["math", "mrow", "mstyle", "mpadded", "TeXAtom", "semantics", "mtd"])
_INVISIBLE = frozenset(["mspace", "mphantom", "annotation", "maligngroup", "malignmark"])
_SCRIPTS = frozenset(["msub", "msup", "msubsup"])
_STACKS = frozenset(["munder", "mover", "munderover"])
_MARKS = frozenset("―^~¯ˇ˘´`˙¨\u20db˚→←↔⏞⏟⏜⏝⌢")  # accents, which no operator has for limits
_SLANTS = frozenset(["normal", "italic"])  # which signs and digits hardly have
_SAME_GLYPH = {"∣": "|", "∥": "||", "‖": "||", "…": "...", "⟂": "⊥", "∖": "\\", "∗": "*", "″": "′′", "‴": "′′′",
               "⁗": "′′′′", "≔": ":=", "∶": ":", "◻": "□", "⌢": "⏜"}  # fmt: skip


def renders_same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two formulas, as tokens, draw the same picture; one that MathJax refuses is like no other."""
    if tuple(one) == tuple(other):
        return True
    try:
        first, second = (skeleton(to_mathml(inference.join_tokens(tokens))) for tokens in (one, other))
    except (RenderError, ElementTree.ParseError):  # XML has no place for control characters
        return False
    return first == second


def skeleton(mathml: str) -> Skeleton:
    """MathML -> nested tuples that are equal for formulas that look the same."""
    return _row(ElementTree.fromstring(mathml))


def _row(element: ElementTree.Element) -> Skeleton:
    parts: list[object] = []
    for child in element:
        parts += _parts(child)
    return tuple(parts)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _parts(element: ElementTree.Element) -> Skeleton:
    tag = _tag(element)
    if tag in _INVISIBLE:
        return ()
    if _is_stackrel(element):
        return (("stack", *_around(_tag(element[0]), [_parts(child) for child in element[0]])),)
    if tag in _TRANSPARENT:
        return _row(element)
    if tag in ("mi", "mn", "mo", "mtext", "ms"):
        return _glyphs(element, tag)
    children = [_parts(child) for child in element]
    if tag in _SCRIPTS or (tag in _STACKS and _has_limits(element)):
        return _scripted(*_around(tag, children))
    if tag in _STACKS:
        return (("stack", *_around(tag, children)),)
    if tag == "mfrac":
        if element.get("linethickness", "").startswith("0"):
            return (("table", "", ((children[0],), (children[1],))),)
        return (("frac", *children),)
    if tag == "mtable":
        return _table(element)
    if tag == "menclose":
        return ((tag, element.get("notation", ""), _row(element)),)
    if tag == "msqrt":
        return ((tag, _row(element)),)
    return ((tag, *children),)


def _glyphs(element: ElementTree.Element, tag: str) -> Skeleton:
    text = unicodedata.normalize("NFC", "".join(element.itertext()))
    variant = element.get("mathvariant", "italic" if tag == "mi" and len(text.strip()) == 1 else "normal")
    if "calligraphic" in (own := element.get("data-mjx-variant", "")):  # mathvariant calls \mathscr and \mathcal one
        variant = own
    glyphs: list[object] = []
    for letter in text:
        for glyph in _SAME_GLYPH.get(letter, letter):
            if not glyph.isspace() and unicodedata.category(glyph) != "Cf":
                glyphs.append((glyph, variant) if glyph.isalpha() or variant not in _SLANTS else glyph)
    return tuple(glyphs)


def _around(tag: str, children: Sequence[Skeleton]) -> tuple[Skeleton, Skeleton, Skeleton]:
    """What stands in the middle, below and above."""
    if tag in ("msub", "munder"):
        return children[0], children[1], ()
    if tag in ("msup", "mover"):
        return children[0], (), children[1]
    middle, below, above = children
    return middle, below, above


def _is_stackrel(element: ElementTree.Element) -> bool:
    """MathJax makes an operator of what a `\\stackrel` stands on."""
    return element.get("data-mjx-texclass") == "REL" and [_tag(child) for child in element] == ["mover"]


def _has_limits(stack: ElementTree.Element) -> bool:
    """Whether what stands above and below may stand beside as well: around a sum or a name, if it is no accent."""
    base, *around = stack
    operator = base.get("data-mjx-texclass") == "OP" or (_tag(base) == "mi" and len(_text(base)) > 1)
    return operator and not any(_text(mark) in _MARKS for mark in around)


def _text(element: ElementTree.Element) -> str:
    return "".join(element.itertext()).strip()


def _scripted(base: Skeleton, sub: Skeleton, sup: Skeleton) -> Skeleton:
    if not sub and not sup:
        return base
    match sup:
        case (("script", (), (), tuple(prime)), *rest):  # x^{'}: a script of nothing, in a script
            sup = (*prime, *rest)
    return (*base[:-1], ("script", base[-1:], sub, sup))


def _table(element: ElementTree.Element) -> Skeleton:
    rows: list[Skeleton] = []
    aligned = element.get("displaystyle") == "true"  # lines; their cells are only marks of alignment
    for row in element:
        cells = [_row(cell) for cell in (row[1:] if row.tag.endswith("mlabeledtr") else row)]
        while cells and not cells[-1]:
            cells.pop()
        if aligned:
            cells = [tuple(part for cell in cells for part in cell)]
        if any(cells):
            rows.append(tuple(cells))
    rules = " ".join(element.get(name, "").replace("none", "").strip() for name in ("columnlines", "rowlines"))
    if len(rows) == 1 and len(rows[0]) == 1 and not rules.strip():
        return tuple(rows[0][0])  # type: ignore[arg-type]
    return (("table", rules.strip(), tuple(rows)),)
