r"""LaTeX -> MathML, which browsers draw by themselves: how the web page shows an answer as a formula.

latex2mathml does it. Here are the few words of our vocabulary that it doesn't know, and what keeps its answer well
formed and harmless inside a page.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from container.serve.errors import ServeError

# \sim would come out as the tilde of a keyboard.
_RESPELLED = {
    "AA": "Å",
    "O": "Ø",
    "P": "¶",
    "arg": r"\operatorname{arg}",
    "csch": r"\operatorname{csch}",
    "mathrm": r"\mathrm ",  # without the blank one letter is italic
    "sech": r"\operatorname{sech}",
    "overarc": r"\overset{\frown}",
    "sim": r"\thicksim",
}
_WORD = re.compile(r"\\(\\|[A-Za-z]+)")  # with the line break, so that `\\sim` isn't taken for `\sim`
# A `[` that begins a matrix is none of an option, which latex2mathml would look for.
_BRACKET_FIRST = re.compile(r"(\\begin\{(?:\w?matrix|smallmatrix|cases)\})\s*\[")
# The first `}` ends the text for it, also that of a group within.
_GROUP_IN_TEXT = re.compile(r"(\\text(?:it|bf|tt|sf|sc)?\{(?:\\.|[^}\\])*)\{((?:\\.|[^{}\\])*)\}")
_ESCAPED = re.compile(r"\\([\xa0%&#$_])")  # characters of text, a blank among them, that it leaves with a backslash
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # characters that XML forbids
_ACTIVE = frozenset(["href", "style", "class", "id"])  # what \href, \style and their like set
_FACE = re.compile("((?:BOLD|ITALIC|SCRIPT|FRAKTUR|BLACK-LETTER|DOUBLE-STRUCK|SANS-SERIF|MONOSPACE| )+) ")
_STROKE = "\u0338"  # goes through the character before it
# What carries its limits below and above, in a line of its own
_WITH_LIMITS = {*"\u2210\u22c0\u22c1\u22c2\u22c3\u2a00\u2a01\u2a02\u2a04\u2a06"} | {
    *("lim", "sup", "inf", "max", "min", "det", "gcd", "Pr", "lim\u2006sup", "lim\u2006inf")
}
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def to_mathml(latex: str) -> str:
    r"""The formula as one `<math>` element in display style, well-formed XML.

    Raises:
        ServeError: 422 `not_typesettable`, for a formula such as `\frac` without its arguments.
    """
    respelled = _WORD.sub(lambda word: _RESPELLED.get(word[1], word[0]), latex)
    respelled = _BRACKET_FIRST.sub(r"\1{[}", respelled)
    replaced = 1
    while replaced:  # the innermost groups first
        respelled, replaced = _GROUP_IN_TEXT.subn(r"\1\2", respelled)
    try:
        math = convert_to_element(respelled, display="block")
    except Exception as error:  # of many kinds, RecursionError among them
        raise ServeError(422, "not_typesettable", f"no formula can be drawn from this LaTeX: {_words(error)}") from None
    for element in math.iter():
        _tidy(element)
    for element in math.iter():
        _strike_through(element)
        _place_limits(element)
        _stretch_arrow(element)
    return ElementTree.tostring(math, encoding="unicode")


def _words(error: Exception) -> str:
    """`NoAvailableTokensError()` -> `no available tokens`: the converter says it by the name of the class."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or re.sub("(?<!^)([A-Z])", r" \1", type(error).__name__.removesuffix("Error")).lower()


def _tidy(element: ElementTree.Element) -> None:
    for name in _ACTIVE & element.attrib.keys():
        del element.attrib[name]
    text = _NO_XML.sub("", html.unescape(element.text or ""))  # it has `&#x003B1;` as nine characters
    if element.tag == "mtext":
        text = _ESCAPED.sub(r"\1", text)
    face = element.attrib.pop("mathvariant", "")
    element.text = "".join(_faces().get((face, letter), letter) for letter in text)
    if face == "normal" or (element.tag == "mi" and "Α" <= text <= "Ω" and not face):  # capital Greek is upright in TeX
        element.set("mathvariant", "normal")
    elif element.tag == "mo" and text == "*":
        element.text = "∗"  # that of the keyboard stands high


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
