r"""Short pieces of real formulas, `x`, `2n`, `f(x)`: what is cropped out of a text, with symbols that are common.

Every symbol by itself, as often as any other, teaches a reader what each looks like, and that an `s` is as likely to be
`\mathcal{S}`. Alone in a picture, small letters and capitals, and an alphabet and another, often look alike, as there
is no size to compare: then what is common is what is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recognizer.latex.synonyms import ARGUMENTS, BINARY, OPTIONAL
from recognizer.synth.layouts import RELATIONS
from recognizer.synth.repetition import alike
from recognizer.synth.variations import ARROWS, PAIRS, end_of_group

TERMS = (0.45, 0.2, 0.25, 0.1)  # how often an excerpt has one, two, three and four terms
CHANGED_SHARE = 0.3  # of the excerpts, in which a letter or two are changed for any others
_SCRIPTS = frozenset(["^", "_", "'"])
_BETWEEN = RELATIONS | (BINARY - {"-"}) | {"+", ",", ";", ".", ":", "\\|", *ARROWS.split()}
_CLOSING = frozenset(PAIRS.values())
_NEVER = frozenset(["&", "\\\\", "\\ ", "\\quad", "\\qquad"])


def excerpt(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One to four terms of a formula that stand side by side; empty if those that were chosen are nothing whole."""
    terms = [list(term) for term in _terms(tokens)]
    count = 1 + int(rng.choice(len(TERMS), p=TERMS))
    if len(terms) < count:
        return []
    start = int(rng.integers(len(terms) - count + 1))
    chosen = terms[start : start + count]
    if not _is_whole(chosen):
        return []
    said = [token for term in chosen for token in term]
    return alike(said, rng) if rng.random() < CHANGED_SHARE else said


def _terms(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """What stands side by side: symbols and commands, each with its arguments and its indices."""
    place = 0
    while place < len(tokens):
        start = place
        place = _behind(tokens, place)
        while place < len(tokens) and tokens[place] in _SCRIPTS:
            place = _behind(tokens, place + 1) if tokens[place] != "'" else place + 1
        yield tokens[start:place]


def _behind(tokens: Sequence[str], place: int) -> int:
    """The place behind a symbol, a group, or a command and its arguments."""
    if place >= len(tokens):
        return place
    name = tokens[place]
    if name == "{" or name.startswith("\\begin"):
        return end_of_group(tokens, place)
    place += 1
    if name in OPTIONAL and list(tokens[place : place + 1]) == ["["]:
        place = list(tokens).index("]", place) + 1 if "]" in tokens[place:] else len(tokens)
    for _ in range(ARGUMENTS.get(name, 0)):
        place = _behind(tokens, place)
    return place


def _is_whole(terms: Sequence[Sequence[str]]) -> bool:
    """Whether the terms begin and end with one that can, and their brackets close each other."""
    heads = [term[0] for term in terms]
    if heads[0] in _BETWEEN or heads[-1] in _BETWEEN or heads[-1] == "-" or not _NEVER.isdisjoint(heads):
        return False
    opened: list[str] = []
    for head in heads:
        if head in PAIRS:
            opened.append(PAIRS[head])
        elif head in _CLOSING and (not opened or opened.pop() != head):
            return False
    return not opened and not any(head.startswith(("\\begin", "\\left", "\\right")) for head in heads)
