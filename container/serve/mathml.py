r"""LaTeX -> MathML, which browsers draw by themselves: how the web page shows an answer as a formula.

latex2mathml does it. Here are the few words of our vocabulary that it doesn't know, and what keeps its answer well
formed and harmless inside a page.
"""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from container.serve.errors import ServeError

# \sim would come out as the tilde of a keyboard.
_RESPELLED = {
    "arg": r"\operatorname{arg}",
    "csch": r"\operatorname{csch}",
    "sech": r"\operatorname{sech}",
    "overarc": r"\overset{\frown}",
    "sim": r"\thicksim",
}
_WORD = re.compile(r"\\(\\|[A-Za-z]+)")  # with the line break, so that `\\sim` isn't taken for `\sim`
# A `[` that begins a matrix is none of an option, which latex2mathml would look for.
_BRACKET_FIRST = re.compile(r"(\\begin\{(?:\w?matrix|smallmatrix|cases)\})\s*\[")
# The first `}` ends the text for it, also that of a group within.
_GROUP_IN_TEXT = re.compile(r"(\\text(?:it|bf|tt|sf|sc)?\{(?:\\.|[^}\\])*)\{((?:\\.|[^{}\\])*)\}")
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # characters that XML forbids
_ACTIVE = frozenset(["href", "style", "class", "id"])  # what \href, \style and their like set


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
        reason = str(error) or type(error).__name__
        raise ServeError(422, "not_typesettable", f"no formula can be drawn from this LaTeX: {reason}") from None
    for element in math.iter():
        _tidy(element)
    return ElementTree.tostring(math, encoding="unicode")


def _tidy(element: ElementTree.Element) -> None:
    for name in _ACTIVE & element.attrib.keys():
        del element.attrib[name]
    text = element.text = _NO_XML.sub("", html.unescape(element.text or ""))  # it has `&#x003B1;` as nine characters
    if element.tag == "mi" and "Α" <= text <= "Ω":  # capital Greek is upright in TeX
        element.set("mathvariant", "normal")
