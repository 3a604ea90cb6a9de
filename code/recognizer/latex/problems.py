r"""Say what is wrong with a row of tokens: for the reader of a data set and for the server's answer."""

from __future__ import annotations

from collections.abc import Sequence

from . import synonyms as table
from .parser import defined

_NEEDED = {**table.ARGUMENTS, "_": 1, "^": 1}


def problems(tokens: Sequence[str]) -> list[str]:
    r"""What keeps the tokens from being LaTeX, in words; an empty list if nothing does.

    Looks for unbalanced braces, environments and ``\left``/``\right``, for missing arguments of the commands that are
    known (``\frac``, ``^``), and for what only the whole document could tell: definitions and references. Each is
    named with the place (from 1) of its token.
    """
    found: list[str] = []
    open_tokens: list[tuple[str, int]] = []
    verbatim_to = 0
    for place, token in enumerate(tokens, start=1):
        if place <= verbatim_to:
            continue
        if token in table.VERBATIM and tokens[place : place + 1] == ["{"]:
            verbatim_to = _end(tokens, place, "}")
            continue
        if token in table.REFERENCES:
            found.append(f"token {place}: {token} doesn't say what it draws; write what the picture shows")
        elif token in table.DEFINITIONS and defined(tokens, place) not in table.STRETCHES:
            found.append(f"token {place}: {token} defines a macro; write the formula with its macros expanded")
        opener = _opener(token)
        if _opens(token):
            open_tokens.append((token, place))
        elif opener is not None:
            if open_tokens and _matches(open_tokens[-1][0], opener):
                open_tokens.pop()
            elif any(_matches(other, opener) for other, _ in open_tokens):
                while not _matches(open_tokens[-1][0], opener):
                    found.append(_unclosed(*open_tokens.pop()))
                open_tokens.pop()
            else:
                found.append(f"token {place}: {token} closes nothing")
        if token in _NEEDED:
            missing = _NEEDED[token] - _count_arguments(tokens, place, _NEEDED[token])
            if missing:
                what = "an argument" if missing == 1 else f"{missing} arguments"
                found.append(f"token {place}: {token} lacks {what}")
    return found + [_unclosed(*opened) for opened in open_tokens]


def _opens(token: str) -> bool:
    return token == "{" or token.startswith(r"\begin{") or _is_fence(token, r"\left")


def _opener(token: str) -> str | None:
    """What must have been open for a closing token."""
    if token == "}":
        return "{"
    if token.startswith(r"\end{"):
        return r"\begin{" + token[5:]
    return r"\left" if _is_fence(token, r"\right") else None


def _matches(opened: str, opener: str) -> bool:
    return _is_fence(opened, opener) if opener == r"\left" else opened == opener


def _is_fence(token: str, command: str) -> bool:
    return token.startswith(command) and not token[len(command) : len(command) + 1].isalpha() and token != command


def _unclosed(token: str, place: int) -> str:
    return f"token {place}: {token} is never closed"


def _count_arguments(tokens: Sequence[str], place: int, wanted: int) -> int:
    """How many of the wanted arguments stand at `place`, each a group or a single token."""
    if tokens[place - 1] in table.OPTIONAL and place < len(tokens) and tokens[place] == "[":
        place = _end(tokens, place, "]")
    count = 0
    while count < wanted and place < len(tokens) and tokens[place] not in _NO_ARGUMENT:
        if tokens[place].startswith(r"\end{"):
            break
        place = _end(tokens, place, "}") if tokens[place] == "{" else place + 1
        count += 1
    return count


_NO_ARGUMENT = frozenset(["}", "&", r"\\", "_", "^"])


def _end(tokens: Sequence[str], place: int, closing: str) -> int:
    """The place behind the closing token that belongs to the opening one at `place`."""
    depth = 0
    for at in range(place + 1, len(tokens)):
        if depth == 0 and tokens[at] == closing:
            return at + 1
        depth += (tokens[at] == "{") - (tokens[at] == "}")
    return len(tokens)
