r"""Read the transcripts of handwritten formulas, as CROHME's files hold them in the field ``truth``.

They were typed by many hands, against no fixed rules: ``\mbox { n }`` and ``\mathrm d`` for letters that have no
font when written by hand, ``l o g`` for an operator, ``M\ltN`` with the blank lost, dollar signs in the middle.
`normalize_transcript` brings them to what the collection's own corrected captions say.
"""

from __future__ import annotations

import re

from .normalizer import normalize
from .tokenizer import CONTROL_SPACE, tokenize

_GLUED = re.compile(r"\\(lt|gt)(?=[A-Za-z])")
_SPELLED = [("\\" + name, list(name)) for name in ("sin", "cos", "tan", "log", "lim")]
_FONTS = frozenset([r"\mathrm", r"\text", r"\mathbf", r"\mathit", r"\textbf", r"\textit"])


def normalize_transcript(latex: str) -> str:
    """A transcript of handwriting -> canonical tokens, as `normalize` gives them; never raises, idempotent.

    Fonts and gaps are dropped, since pen strokes show neither reliably; a spelled operator becomes its command.
    """
    latex = _GLUED.sub(r"\\\1 ", latex).replace("$", " ")
    tokens = [token for token in tokenize(normalize(latex)) if token not in _FONTS and token != CONTROL_SPACE]
    for operator, letters in _SPELLED:
        tokens = _replace(tokens, letters, operator)
    return normalize(" ".join(tokens))


def _replace(tokens: list[str], old: list[str], new: str) -> list[str]:
    result: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at : at + len(old)] == old:
            result.append(new)
            at += len(old)
        else:
            result.append(tokens[at])
            at += 1
    return result
