"""Formulas with a structure of their own that templates fill in: polynomials, matrices, terms of sets and of logic."""

from __future__ import annotations

from recognizer.synth.expressions import Expressions, fence
from recognizer.synth.symbols import LOGIC, SET_OPERATORS, Draw

FENCES = (("(", ")"), ("(", ")"), ("[", "]"), ("[", "]"), ("|", "|"), ("", ""), ("\\{", "\\}"), ("\\|", "\\|"))


def polynomial(draw: Draw, variable: str, degree: int = 0) -> str:
    """Falling powers of `variable` with numbers or letters before them, mostly with a constant at the end."""
    highest = degree or draw.integer(2, 5 if draw.chance(0.2) else 3)
    powers = [highest] + [power for power in range(highest - 1, 0, -1) if draw.chance(0.6)]
    text = "-" if draw.chance(0.15) else ""
    for power in powers:
        coefficient = "" if draw.chance(0.35) else draw.number(2) if draw.chance(0.8) else draw.one("abckmp")
        sign = f" {draw.one('+-')} " if power < highest else ""
        text += f"{sign}{coefficient} {variable}" + (f"^{{{power}}}" if power > 1 else "")
    return f"{text} {draw.one('+-')} {draw.number(2)}" if draw.chance(0.8) else text


def matrix(draw: Draw, make: Expressions, rows: int = 0, columns: int = 0) -> str:
    """A matrix of numbers, indexed letters or short expressions, between fences or bare; up to 3 by 3."""
    rows = rows or draw.integer(1, 3)
    columns = columns or draw.integer(2 if rows == 1 else 1, 3)
    kind = draw.rng.random()
    name = draw.one("abcxmtd")

    def cell(row: int, column: int) -> str:
        if kind < 0.15:
            return f"{name}_{{{row + 1} {column + 1}}}"
        if kind < 0.6:
            return ("-" if draw.chance(0.25) else "") + draw.number(2)
        return make.expression(draw.integer(1, 3))

    body = " \\\\ ".join(" & ".join(cell(row, column) for column in range(columns)) for row in range(rows))
    left, right = FENCES[draw.integer(0, len(FENCES) - 1)]
    table = f"\\begin{{matrix}} {body} \\end{{matrix}}"
    return f"\\left{left} {table} \\right{right}" if left else table


def set_term(draw: Draw, size: int) -> str:
    """`size` sets joined by union, intersection and the like."""
    if size <= 1:
        letter = draw.one("ABCDEFGMPSTUVXYZ")
        kind = draw.rng.random()
        if kind < 0.1:
            return draw.one(("\\varnothing", "\\emptyset"))
        if kind < 0.2:
            return f"{letter}^{{{draw.one('cC')}}}"
        return f"{letter}_{{{draw.index()}}}" if kind < 0.28 else letter
    left = draw.integer(1, size - 1)
    first, second = set_term(draw, left), set_term(draw, size - left)
    first = fence(first) if left > 1 else first
    second = fence(second) if size - left > 1 else second
    return f"{first} {draw.weighted(SET_OPERATORS)} {second}"


def proposition(draw: Draw, size: int) -> str:
    """A statement of propositional logic with `size` variables."""
    if size <= 1:
        negation = "\\neg " if draw.chance(0.25) else "\\sim " if draw.chance(0.12) else ""
        return negation + draw.one("pqrPQRstABCx")
    left = draw.integer(1, size - 1)
    first, second = proposition(draw, left), proposition(draw, size - left)
    first = fence(first) if left > 1 else first
    second = fence(second) if size - left > 1 else second
    return f"{first} {draw.weighted(LOGIC)} {second}"
