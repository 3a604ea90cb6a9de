r"""LaTeX -> MathML, which browsers draw by themselves: how the web page shows an answer as a formula.

latex2mathml does it. Here are the few words of our vocabulary that it doesn't know, and what keeps its answer well
formed and harmless inside a page.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from itertools import pairwise, takewhile
from xml.etree import ElementTree

from latex2mathml.converter import Converter
from latex2mathml.walker import Node

from container.serve.errors import ServeError

# Rules of a table that it counts wrongly or leaves out: it passes these characters on, and we draw what they stand for.
_RULE, _LEFT, _RIGHT = _MARKS = "\ue000", "\ue001", "\ue002"
# \sim would come out as the tilde of a keyboard.
_RESPELLED = {
    "AA": "Å",
    "O": "Ø",
    "P": "¶",
    "arg": r"\operatorname{arg}",
    "csch": r"\operatorname{csch}",
    "hline": _RULE,
    "mathrm": r"\mathrm ",  # without the blank one letter is italic
    "sech": r"\operatorname{sech}",
    "overarc": r"\overset{\frown}",
    "sim": r"\thicksim",
}
_WORD = re.compile(r"\\(\\|[A-Za-z]+)")  # with the line break, so that `\\sim` isn't taken for `\sim`
_UNKNOWN = {"aligned": "split", "gathered": "matrix"}  # environments, and what it has that looks alike
_ENVIRONMENT = re.compile(rf"\\(begin|end)\{{({'|'.join(_UNKNOWN)})\}}")
_COLUMNS = re.compile(r"\\begin\{array\}\s*\{([^{}]*)\}")
# Where a cell begins with a script: it would take the `&` before for the base. Else something escaped, `\&` say.
_SCRIPT_FIRST = re.compile(rf"(\\\\|\\begin\{{(?:array\}}\{{[^{{}}]*|\w+)\}}|[&{''.join(_MARKS)}])\s*(?=[\^_'])|\\.")
# A `[` that begins a matrix is none of an option, which latex2mathml would look for.
_BRACKET_FIRST = re.compile(r"(\\begin\{(?:\w?matrix|smallmatrix|cases)\})\s*\[")
# The first `}` ends the text for it, also that of a group within.
_GROUP_IN_TEXT = re.compile(r"(\\text(?:it|bf|tt|sf|sc)?\{(?:\\.|[^}\\])*)\{((?:\\.|[^{}\\])*)\}")
_ESCAPED = re.compile(r"\\([\xa0%&#$_])")  # characters of text, a blank among them, that it leaves with a backslash
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303"}
_ACCENTED = re.compile(r"\\(['`^\"~])([^\W\d_])")  # in text
# Characters that XML forbids, and marks out of their place
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue003-\\ufffd\\U00010000-\\U0010ffff]")
_ACTIVE = frozenset(["href", "style", "class", "id"])  # what \href, \style and their like set
_FACE = re.compile("((?:BOLD|ITALIC|SCRIPT|FRAKTUR|BLACK-LETTER|DOUBLE-STRUCK|SANS-SERIF|MONOSPACE| )+) ")
_STROKE = "\u0338"  # goes through the character before it
# What carries its limits below and above, in a line of its own
_WITH_LIMITS = {*"\u2210\u22c0\u22c1\u22c2\u22c3\u2a00\u2a01\u2a02\u2a04\u2a06"} | {
    *("lim", "sup", "inf", "max", "min", "det", "gcd", "Pr", "lim\u2006sup", "lim\u2006inf")
}
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_SCRIPTED = {*_LIMITS, *_LIMITS.values()}
_ROWS = frozenset(["mrow", "mtd", "mstyle", "mpadded", "msqrt", "menclose", "mphantom"])  # of any number of elements
_THIN = "0.167em"
_BARS = frozenset("|‖")
_CLOSING = frozenset(")]}!⟩⌋⌉")
_SIGNS_OF_NUMBERS = frozenset("+−-±∓")
_VALUES = frozenset("∞∂∇∅′∘")  # signs behind which a minus is a difference


class _Converter(Converter):
    r"""latex2mathml, but each command is one element: a script on `\binom` is one on the whole, with its brackets."""

    def _convert_command(
        self, node: Node, parent: ElementTree.Element, font: dict[str, str | None] | None = None
    ) -> None:
        before = len(parent)
        super()._convert_command(node, parent, font)
        if len(parent) > before + 1:
            row = ElementTree.Element("mrow")
            row.extend(parent[before:])
            parent[before:] = [row]


def to_mathml(latex: str) -> str:
    r"""The formula as one `<math>` element in display style, well-formed XML.

    Raises:
        ServeError: 422 `not_typesettable`, for a formula such as `\frac` without its arguments.
    """
    try:
        math = _Converter(display="block").convert_to_element(_respell(latex))
    except Exception as error:  # of many kinds, RecursionError among them
        raise ServeError(422, "not_typesettable", f"no formula can be drawn from this LaTeX: {_words(error)}") from None
    for element in list(math.iter()):
        _rule_tables(element)
    for element in math.iter():
        _tidy(element)
    for element in math.iter():
        _strike_through(element)
        _place_limits(element)
        _stretch_arrow(element)
    for element in list(math.iter()):
        _close_up_minus(element)
        _space_names(element)
    return ElementTree.tostring(math, encoding="unicode")


def _respell(latex: str) -> str:
    respelled = _WORD.sub(lambda word: _RESPELLED.get(word[1], word[0]), latex)
    respelled = _ENVIRONMENT.sub(lambda found: rf"\{found[1]}{{{_UNKNOWN[found[2]]}}}", respelled)
    respelled = _BRACKET_FIRST.sub(r"\1{[}", respelled)
    respelled = _COLUMNS.sub(lambda found: _mark_sides(found[1].replace(" ", "")), respelled)
    respelled = _SCRIPT_FIRST.sub(lambda found: found[1] + "{}" if found[1] else found[0], respelled)
    replaced = 1
    while replaced:  # the innermost groups first
        respelled, replaced = _GROUP_IN_TEXT.subn(r"\1\2", respelled)
    return respelled


def _mark_sides(columns: str) -> str:
    """The beginning of an array that has only single lines between its columns, with marks for those beside it."""
    between = re.sub(r"\|+", "|", columns.strip("|"))
    sides = _LEFT * columns.startswith("|") + _RIGHT * columns.endswith("|")
    return rf"\begin{{array}}{{{between}}}{sides}"


def _words(error: Exception) -> str:
    """`NoAvailableTokensError()` -> `no available tokens`: the converter says it by the name of the class."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or re.sub("(?<!^)([A-Z])", r" \1", type(error).__name__.removesuffix("Error")).lower()


def _rule_tables(parent: ElementTree.Element) -> None:
    for place, table in enumerate(parent):
        if table.tag == "mtable" and (sides := _take_rules(table)):
            parent[place] = ElementTree.Element("menclose", notation=" ".join(sides))
            parent[place].append(table)


def _take_rules(table: ElementTree.Element) -> list[str]:
    """Makes lines between the rows of the marks in them; gives the sides of the table that have a line too."""
    above = [_take_marks(row[0]) for row in table]
    sides = [side for side, mark in (("left", _LEFT), ("right", _RIGHT), ("top", _RULE)) if above and mark in above[0]]
    if len(table) > 1 and above[-1] and not any(list(cell) for cell in table[-1]):  # \\\hline at the end
        table.remove(table[-1])
        sides.append("bottom")
    lines = ["solid" if _RULE in marks else "none" for marks in above[1 : len(table)]]
    if "solid" in lines:
        table.set("rowlines", " ".join(lines))
    return sides


def _take_marks(cell: ElementTree.Element) -> set[str | None]:
    marks = list(takewhile(lambda element: element.text in _MARKS, cell))
    for mark in marks:
        cell.remove(mark)
    return {mark.text for mark in marks}


def _tidy(element: ElementTree.Element) -> None:
    for name in _ACTIVE & element.attrib.keys():
        del element.attrib[name]
    text = _NO_XML.sub("", html.unescape(element.text or ""))  # it has `&#x003B1;` as nine characters
    if element.tag == "mtext":
        text = _ACCENTED.sub(lambda found: found[2] + _ACCENTS[found[1]], text)
        text = _ESCAPED.sub(r"\1", text)
    face = element.attrib.pop("mathvariant", "")
    element.text = "".join(_faces().get((face, letter), letter) for letter in text)
    if face == "normal" or (element.tag == "mi" and "Α" <= text <= "Ω" and not face):  # capital Greek is upright in TeX
        element.set("mathvariant", "normal")
    elif element.tag == "mo" and text == "*":
        element.text = "∗"  # that of the keyboard stands high
    elif element.tag == "mo" and text in _BARS and element.get("stretchy") != "true":
        element.attrib |= {"lspace": "0em", "rspace": "0em"}  # browsers take it for the sign of a relation
    elif element.tag == "mtext":  # one character for letter and accent where there is one; of other faces there is none
        element.text = unicodedata.normalize("NFC", element.text)


@cache
def _faces() -> dict[tuple[str, str], str]:
    """Letters and digits by face and plain letter: characters, as browsers draw no `mathvariant` but normal."""
    letters = map(chr, [*range(0x2100, 0x2140), *range(0x1D400, 0x1D800)])
    named = ((letter, _FACE.match(unicodedata.name(letter, "").removeprefix("MATHEMATICAL "))) for letter in letters)
    faces = {}
    for letter, found in named:
        kind, _, plain = unicodedata.decomposition(letter).partition(" ")
        if found and kind == "<font>":
            face = found[1].lower().replace(" ", "-").replace("black-letter", "fraktur")
            faces[face, chr(int(plain, 16))] = letter
    return faces


def _strike_through(parent: ElementTree.Element) -> None:
    r"""`\not`, a slash without a width, becomes part of the sign after it: fonts draw it beside that, or not at all."""
    for slash, sign in pairwise(list(parent)):
        if slash.tag == "mpadded" and "".join(slash.itertext()) == "⧸" and sign.text:
            sign.text = unicodedata.normalize("NFC", sign.text[0] + _STROKE) + sign.text[1:]
            parent.remove(slash)


def _place_limits(element: ElementTree.Element) -> None:
    """Limits below and above, where TeX has them too; in a fraction's small print the browser moves them beside."""
    if element.tag in _LIMITS and len(element) and element[0].text in _WITH_LIMITS:
        element.tag, element[0].tag = _LIMITS[element.tag], "mo"
        element[0].set("movablelimits", "true")


def _stretch_arrow(element: ElementTree.Element) -> None:
    r"""`\xrightarrow{text}`: alone in a group the arrow isn't as long as the text, which sizes with a sign move."""
    if element.tag in _LIMITS.values() and element[0].tag == "mstyle" and len(element[0]) == 1:
        element[0] = element[0][0]
        element[0].set("stretchy", "true")
        for text in element[1:]:
            text.tag, text.attrib = "mrow", {}
            text.insert(0, ElementTree.Element("mspace", width="0.5em"))
            text.append(ElementTree.Element("mspace", width="0.7em"))  # below the head, too


def _space_names(row: ElementTree.Element) -> None:
    r"""The thin spaces that TeX has around `\sin` and `\lim`; none before a bracket, and signs bring their own."""
    kinds = [_kind(element) for element in row]
    for place in reversed(range(1, len(kinds) if row.tag in _ROWS else 0)):
        before, after = kinds[place - 1 : place + 1]
        if (before == "name" and after in ("name", "plain")) or (after == "name" and before in ("plain", "closing")):
            row.insert(place, ElementTree.Element("mspace", width=_THIN))
    if _kind(row) == "name" and row.tag == "mo":
        row.attrib |= {"lspace": "0em", "rspace": "0em"}  # a browser's own, which are the same before a bracket


def _close_up_minus(row: ElementTree.Element) -> None:
    """A minus behind a bracket, a relation or a comma belongs to what follows; a browser knows that of the first."""
    if row.tag not in _ROWS:
        return
    for before, sign in pairwise(element for element in row if _kind(element) != "space"):
        is_free = _kind(before) in ("sign", "name") and _base(before).text not in _BARS | _VALUES
        if sign.tag == "mo" and sign.text in _SIGNS_OF_NUMBERS and is_free:
            sign.set("form", "prefix")


def _base(element: ElementTree.Element) -> ElementTree.Element:
    """What the scripts are on, if there are any."""
    while element.tag in _SCRIPTED and len(element):
        element = element[0]
    return element


def _kind(element: ElementTree.Element) -> str:
    """What spaces before and after an element depend on: "name", "space", "closing", "sign" or "plain"."""
    element = _base(element)
    text = element.text or ""
    if element.tag == "mspace" or text.isspace():
        return "space"
    if element.tag in ("mi", "mo") and (element.tag == "mo" or len(text) > 1) and "".join(text.split()).isalpha():
        return "sign" if text == "mod" else "name"
    if element.tag == "mo":
        return "closing" if text in _CLOSING else "sign"
    return "plain"
