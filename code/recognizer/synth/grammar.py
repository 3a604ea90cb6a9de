"""Seeded generator of formulas, by level: what the embedded data set writes.

Levels: 1 school arithmetic and geometry, 2 algebra, 3 calculus, 4 linear algebra, physics and statistics, 5 sets, logic
and maps. A formula is one of the kinds of its level (a textbook's identities and exercises with their own letters and
numbers), a relation between recursive expressions, or something very short (users cut out single symbols too).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recognizer.latex import normalize
from recognizer.synth.expressions import Expressions
from recognizer.synth.school import School
from recognizer.synth.symbols import (
    ARROWS,
    CAPITAL_GREEK,
    DIGITS,
    GREEK,
    LOWER,
    RELATIONS,
    SCHOOL_RELATIONS,
    UPPER,
    Draw,
)
from recognizer.synth.university import University

LEVELS = (1, 2, 3, 4, 5)
MAX_TOKENS = 80

Kinds = list[tuple[float, Callable[[], str]]]


def generate_source(rng: np.random.Generator, level: int) -> str:
    """One formula as an author would type it: growing fences, thin spaces.

    Args:
        rng: the only source of chance; the same state gives the same formula.
        level: 1 to 5.

    Raises:
        ValueError: the level is none of 1 to 5.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {LEVELS}, got {level!r}")
    while True:
        source = _draw_formula(Draw(rng), level)
        if 0 < len(normalize(source).split()) <= MAX_TOKENS:
            return source


def generate_formula(rng: np.random.Generator, level: int) -> str:
    """One formula as canonical tokens joined by single spaces: a fixed point of `normalize`.

    Arguments and errors as for `generate_source`.
    """
    return normalize(generate_source(rng, level))


def _draw_formula(draw: Draw, level: int) -> str:
    share = draw.rng.random()
    if share < 0.06:
        return _short(draw, level)
    if share < 0.30:
        return _relation(draw, level)
    kinds = _kinds(draw, level)
    point = draw.rng.random() * sum(weight for weight, _ in kinds)
    for weight, kind in kinds:
        point -= weight
        if point < 0:
            return kind()
    return kinds[-1][1]()


def _short(draw: Draw, level: int) -> str:
    """One to four symbols: what a user cuts out of running text."""
    if level == 1:
        return draw.one((draw.one(DIGITS), draw.number(4), draw.decimal(), draw.one(LOWER), draw.one(UPPER)))
    symbol = draw.one((draw.letter(), draw.one(UPPER), draw.weighted(GREEK), draw.weighted(CAPITAL_GREEK), draw.one(DIGITS)))
    if level == 5 and draw.chance(0.3):
        return draw.weighted(ARROWS)
    return draw.one((
        symbol, f"{symbol}_{{{draw.index()}}}", f"{symbol}^{{{draw.index()}}}", f"{symbol}'", f"{draw.variable()} = {symbol}",
        f"({symbol})", f"{symbol}({draw.variable()})", f"-{symbol}", f"{symbol}, {draw.variable()}", f"\\frac{{{symbol}}}{{{draw.number(1)}}}",
    ))  # fmt: skip


def _relation(draw: Draw, level: int) -> str:
    """Two or three expressions with relations between them; the lengths follow a log-normal law."""
    make = Expressions(draw, level)
    budget = int(min(max(draw.rng.lognormal(2.4, 0.6), 3), 45))
    table = SCHOOL_RELATIONS if level <= 2 else RELATIONS
    left = draw.integer(1, max(1, budget // 2))
    text = f"{make.expression(left)} {draw.weighted(table)} {make.expression(max(1, budget - left))}"
    if draw.chance(0.12):
        text += f" {draw.weighted(table)} {make.expression(draw.integer(1, max(1, budget // 2)))}"
    return text if draw.chance(0.85) else make.expression(budget)


def _kinds(draw: Draw, level: int) -> Kinds:
    school, university = School(draw, level), University(draw, level)
    if level == 1:
        return [
            (4, school.calculation), (2, school.parenthesised), (3, school.fractions), (1, school.simple_fraction), (2, school.comparison),
            (1, school.ratio), (1, school.percent), (3, school.angle), (2, school.segment), (2, school.area), (1.5, school.powers),
            (1, school.listing), (0.7, school.column),
        ]  # fmt: skip
    if level == 2:
        return [
            (1, school.polynomial), (3, school.equation), (2, school.factored), (2, school.solution), (2, school.system), (2, school.function),
            (1, school.piecewise), (2, school.roots), (2.5, school.exponents), (1, school.absolute), (2, school.sequence), (2, school.combinatorics),
            (2.5, school.trigonometry), (2, school.coordinates), (2.5, school.rational), (1, school.complex_number),
        ]  # fmt: skip
    if level == 3:
        return [
            (2.5, university.limit), (3, university.derivative), (4, university.integral), (2.5, university.series),
            (2, university.function_identity), (2.5, university.physics),
        ]  # fmt: skip
    if level == 4:
        return [
            (2, university.matrix), (2, university.matrix_equation), (4, university.linear_algebra), (2, university.statistics),
            (2, university.indexed), (1, university.physics),
        ]  # fmt: skip
    return [(4, university.sets), (4, university.logic), (4, university.maps), (1, university.indexed)]
