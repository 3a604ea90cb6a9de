"""Seeded generator of formulas, by level: what the embedded data set writes.

Levels: 1 school arithmetic and geometry, 2 algebra, 3 calculus, 4 linear algebra, statistics and physics, 5 sets, logic
and maps. A formula is a filled-in template of its level, a relation between recursive expressions, or something very
short (users cut out single symbols too).
"""

from __future__ import annotations

import numpy as np

from recognizer.latex import normalize, tokenize
from recognizer.synth.expressions import Expressions
from recognizer.synth.symbols import (
    ARROWS,
    CAPITAL_GREEK,
    DIGITS,
    GREEK,
    LOWER,
    RARE,
    RELATIONS,
    SCHOOL_RELATIONS,
    UPPER,
    Draw,
)
from recognizer.synth.templates import Filler, groups_of_level

LEVELS = (1, 2, 3, 4, 5)
MAX_TOKENS = 80

SHORT_SHARE, RELATION_SHARE, RARE_SHARE, PAIR_SHARE = 0.05, 0.22, 0.05, 0.05
JOINTS = (", ", ", ", ",\\quad ", "\\quad ", "\\qquad ", "\\Rightarrow ")
# A template with few placeholders would come up again and again, and be learnt by heart: letters are exchanged in many.
RENAME_SHARE = 0.4
_GREEK_NAMES = frozenset(GREEK) | frozenset(CAPITAL_GREEK)
# Of these letters `d`, `e`, `i` and `C` have a meaning that goes with their place.
_KEPT_LETTERS = frozenset("deiC")


def generate_formula(rng: np.random.Generator, level: int) -> str:
    """One formula as canonical tokens joined by single spaces: a fixed point of `normalize`, 1 to 80 tokens long.

    Args:
        rng: the only source of chance; the same state gives the same formula.
        level: 1 to 5.

    Raises:
        ValueError: the level is none of 1 to 5.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {LEVELS}, got {level!r}")
    draw = Draw(rng)
    while True:
        tokens = tokenize(normalize(_draw_formula(draw, level)))
        if level > 1 and draw.chance(RENAME_SHARE):
            tokens = _renamed(tokens, draw)
        if 0 < len(tokens) <= MAX_TOKENS:
            return " ".join(tokens)


def _draw_formula(draw: Draw, level: int) -> str:
    share = draw.rng.random()
    if share < SHORT_SHARE:
        return _short(draw, level)
    if share < SHORT_SHARE + RELATION_SHARE:
        return _relation(draw, level)
    if share < SHORT_SHARE + RELATION_SHARE + RARE_SHARE:
        make = Expressions(draw, level)
        parts = [f"{draw.one(RARE)} {make.expression(draw.integer(1, 3))}" for _ in range(draw.integer(1, 3))]
        return f"{make.atom()} {' '.join(parts)}"
    text = _from_template(draw, level)
    if draw.chance(PAIR_SHARE):
        joint = draw.one(JOINTS)
        text += joint + _from_template(draw, level)
    ending = draw.rng.random()
    return f"{text}." if ending < 0.02 else f"{text}," if ending < 0.035 else text


def _from_template(draw: Draw, level: int) -> str:
    groups = groups_of_level(level)
    point = draw.rng.random() * sum(group.weight for group in groups)
    for group in groups:
        point -= group.weight
        if point < 0:
            break
    return Filler(draw, level).fill(draw.one(group.templates))


def _short(draw: Draw, level: int) -> str:
    """One to four symbols: what a user cuts out of running text."""
    if level == 1:
        return draw.one((draw.one(DIGITS), draw.number(4), draw.decimal(), draw.one(LOWER), draw.one(UPPER)))
    if level == 5 and draw.chance(0.2):
        return draw.weighted(ARROWS)
    letters = (draw.letter(), draw.one(UPPER), draw.weighted(GREEK), draw.weighted(CAPITAL_GREEK), draw.one(DIGITS))
    symbol = draw.one(letters)
    other, index = draw.variable(), draw.index()
    forms = (
        "{s}", "{s}", "{s}_{{{i}}}", "{s}^{{{i}}}", "{s}'", "{o} = {s}", "({s})", "{s}({o})", "-{s}", "{s}, {o}",
        "\\frac{{{s}}}{{{o}}}", "\\sqrt{{{s}}}", "{s}_{{{i}}}^{{{o}}}",
    )  # fmt: skip
    return draw.one(forms).format(s=symbol, o=other, i=index)


def _relation(draw: Draw, level: int) -> str:
    """Two or three expressions with relations between them; the lengths follow a log-normal law."""
    make = Expressions(draw, level)
    budget = int(min(max(draw.rng.lognormal(2.55, 0.6), 3), 45))
    if draw.chance(0.15):
        return make.expression(budget)
    table = SCHOOL_RELATIONS if level <= 2 else RELATIONS
    left = draw.integer(1, max(1, budget // 2))
    text = f"{make.expression(left)} {draw.weighted(table)} {make.expression(max(1, budget - left))}"
    if draw.chance(0.12):
        text += f" {draw.weighted(table)} {make.expression(draw.integer(1, max(1, budget // 2)))}"
    return text


def _renamed(tokens: list[str], draw: Draw) -> list[str]:
    """Other letters in place of the variables, the same everywhere; words in upright type stay as they are."""
    names: dict[str, str] = {}
    result = []
    in_word = False
    for position, token in enumerate(tokens):
        if token == "{" and position and tokens[position - 1] == "\\mathrm":
            in_word = True
        elif token == "}":
            in_word = False
        letter = len(token) == 1 and token.isascii() and token.isalpha() and token not in _KEPT_LETTERS
        if not in_word and letter and token not in names:
            names[token] = draw.one(UPPER if token.isupper() else LOWER) if draw.chance(0.6) else token
        elif not in_word and token in _GREEK_NAMES and token not in names:
            names[token] = draw.weighted(GREEK if token in GREEK else CAPITAL_GREEK) if draw.chance(0.5) else token
        result.append(token if in_word else names.get(token, token))
    return result
