r"""Cut LaTeX into tokens: the one place that says what a token is.

A token is a control sequence (``\alpha``, ``\{``), a single character, or one of three forms that belong
together for a reader and so for a recognizer: ``\begin{matrix}`` / ``\end{matrix}``, a delimiter with its
``\left``, ``\right`` or ``\middle`` (``\left(``), and the numbered ``\roman1`` of the competition's labels.
Blanks are no tokens, except the control space ``\ ``, which is also what a blank within text becomes
(``\text{as above}``).
"""

from __future__ import annotations

import re

from .synonyms import FENCE_NAMES, TEXT_COMMANDS

CONTROL_SPACE = "\\ "
TEXT_DEPTH = 4
"""Braces in text may nest this deep; blanks in deeper ones are lost."""


def _balanced(depth: int) -> str:
    inner = rf"|\{{{_balanced(depth - 1)}\}}" if depth else ""
    return rf"(?:[^{{}}\\]|\\.{inner})*+"


_HIDDEN = {"o": r"(?:\[[^][{}]*\]\s*)*", "m": r"\{[^{}]*\}\s*", "w": r"(?:to[^A-Za-z{}][^{}]*)?"}


def _text_commands() -> str:
    """Each with what stands before its text, as `synonyms` tells it."""
    return "|".join(
        rf"{name}(?![A-Za-z])\s*{''.join(_HIDDEN[each] for each in hidden)}" for name, hidden in TEXT_COMMANDS.items()
    )


_TOKEN = re.compile(
    rf"""
    (?P<text> (?P<head>\\(?:{_text_commands()}))\{{(?P<body>{_balanced(TEXT_DEPTH)})\}} )
  | (?P<env> \\(?:begin|end)\s*\{{\s*[A-Za-z]+\*?\s*\}} )
  | (?P<fence> \\(?:left|right|middle)(?![A-Za-z])\s*+
      (?: \\(?:{"|".join(FENCE_NAMES)})(?![A-Za-z]) | \\[{{}}|] | [][()|/.<>] ) )
  | (?P<roman> \\roman\s*[1-9] )
  | \\[A-Za-z]+ | \\. | \\\Z | \S
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(\\.)|%[^\n]*\n", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_MATH_IN_TEXT = re.compile(r"((?<!\\)(?:\$(?:[^$\\]|\\.)*\$|\\\(.*?\\\)))", re.DOTALL)
_FLAT_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\\\Z|\S", re.DOTALL)
_TEXT_TOKEN = re.compile(r"(\\[A-Za-z]+)\s*|(\\.|\\\Z|\s+|\S)", re.DOTALL)


def tokenize(latex: str) -> list[str]:
    """Cut any string into tokens; never raises. Changes no spelling: that is the work of `normalize`.

    Joining the tokens by single blanks and cutting again gives the same tokens. A ``%`` starts a comment only
    where a line ends after it: in a label of one line it is the sign itself.
    """
    if "%" in latex and "\n" in latex:
        latex = _COMMENT.sub(lambda match: match.group(1) or " ", latex)
    tokens: list[str] = []
    for match in _TOKEN.finditer(latex):
        kind, token = match.lastgroup, match.group()
        if kind is None:
            tokens.append(_control_symbol(token) if len(token) <= 2 else token)
        elif kind == "text":
            tokens += _text(token, match["head"], match["body"])
        else:
            tokens.append(_BLANKS.sub("", token))
    return tokens


def _control_symbol(token: str) -> str:
    r"""A backslash before any blank, or at the very end, is the control space."""
    return CONTROL_SPACE if token == "\\" or (token[0] == "\\" and token[1].isspace()) else token


def _text(source: str, head: str, body: str) -> list[str]:
    r"""``\text{...}``: its blanks show, unless the source is already a row of tokens (``\text { a \  b }``)."""
    row = characters(source)
    if source == " ".join(row):
        return row
    tokens = [*characters(head), "{"]
    for place, part in enumerate(_MATH_IN_TEXT.split(body)):
        if place % 2:
            tokens += characters(part)
        else:
            for word, other in _TEXT_TOKEN.findall(part):
                tokens.append(word or (CONTROL_SPACE if other.isspace() else _control_symbol(other)))
    return [*tokens, "}"]


def characters(source: str) -> list[str]:
    """Tokens as they are within text, where neither environments nor stretched delimiters are one token."""
    return [_control_symbol(token) if len(token) <= 2 else token for token in _FLAT_TOKEN.findall(source)]
