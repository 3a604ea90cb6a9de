"""Expressions of a wanted length: the recursive part of the grammar, shared by all levels.

An expression is built from a budget of tokens, split among its parts. That keeps the length of formulas in hand
without cutting anything off.
"""

from __future__ import annotations

from collections.abc import Callable

from recognizer.synth.symbols import (
    ACCENTS,
    ALPHABETS,
    FUNCTIONS,
    OPERATORS,
    SCHOOL_OPERATORS,
    TRIG,
    Draw,
)


def fence(body: str, left: str = "(", right: str = ")") -> str:
    """`body` between fences that grow with it; `normalize` makes them plain where there is nothing tall."""
    return f"\\left{left} {body} \\right{right}"


def script_base(base: str) -> str:
    """`base` as something that can carry a script: more than one symbol goes into parentheses."""
    single = len(base) == 1 or base.isdigit() or (base.startswith("\\") and base[1:].isalpha())
    return base if single or base.endswith("\\right)") else fence(base)


class Expressions:
    """Draws expressions. One object serves one formula (its letters stay together)."""

    def __init__(self, draw: Draw, level: int) -> None:
        self.draw = draw
        self.level = level

    def atom(self) -> str:
        """A number or a letter, perhaps with a subscript, prime, accent or another alphabet."""
        draw = self.draw
        if draw.chance(0.6 if self.level == 1 else 0.28):
            return draw.number(3 if self.level == 1 else 2)
        letter = draw.variable()
        share = draw.rng.random()
        if self.level >= 2 and share < 0.16:
            return f"{letter}_{{{draw.index()}}}"
        if self.level >= 3 and share < 0.20:
            return f"{letter}'" if draw.chance(0.8) else f"{letter}''"
        if self.level >= 3 and share < 0.27:
            return f"{draw.weighted(ACCENTS)}{{{letter}}}"
        if self.level >= 4 and share < 0.35:
            return f"{draw.weighted(ALPHABETS)}{{{draw.letter().upper()}}}"
        if self.level >= 3 and share < 0.37:
            return draw.one(("\\infty", "\\partial", "\\nabla", "\\hbar", "\\ell", "\\Re", "\\Im"))
        return letter

    def _split(self, budget: int) -> tuple[int, int]:
        left = self.draw.integer(1, max(1, budget - 1))
        return left, max(1, budget - left)

    def expression(self, budget: int) -> str:
        """An expression of roughly `budget` tokens."""
        if budget <= 1:
            return self.atom()
        forms: list[tuple[float, Callable[[int], str]]] = [(3.0, self._product)]
        if budget >= 3:
            forms += [(9.0, self._sum), (3.0, self._power), (1.5 if self.level > 1 else 0.3, self._function)]
        if budget >= 4:
            forms += [(2.0, self._root), (1.0 if self.level > 1 else 0.2, self._application)]
        if budget >= 5:
            forms += [(4.0, self._fraction), (2.5, self._parentheses)]
        if self.level >= 3 and budget >= 8:
            forms += [(1.6, self._sum_with_limits), (1.4, self._integral)]
        weights = [weight for weight, _ in forms]
        point = self.draw.rng.random() * sum(weights)
        for weight, form in forms:
            point -= weight
            if point < 0:
                return form(budget)
        return forms[0][1](budget)

    def argument(self, budget: int) -> str:
        """What a function or an operator is applied to: an atom, or something in parentheses."""
        return self.atom() if budget <= 2 else fence(self.expression(budget - 2))

    def _sum(self, budget: int) -> str:
        left, right = self._split(budget - 1)
        operator = self.draw.weighted(SCHOOL_OPERATORS if self.level == 1 else OPERATORS)
        return f"{self.expression(left)} {operator} {self.expression(right)}"

    def _product(self, budget: int) -> str:
        if self.level == 1:
            return f"{self.expression(budget - 2)} {self.draw.weighted(SCHOOL_OPERATORS)} {self.draw.number()}"
        factor = self.draw.one("23456789") if self.draw.chance(0.5) else self.draw.variable()
        return f"{factor} {self._tail(budget - 1)}"

    def _tail(self, budget: int) -> str:
        """A second factor: never starts with a digit, or `2` times `3` would read as 23."""
        return self.draw.variable() if budget <= 2 else self.argument(budget)

    def _power(self, budget: int) -> str:
        exponent = self.draw.one(("2", "2", "3", "n", "-1", "4", "k", "m")) if self.draw.chance(0.75) else ""
        base = self.draw.variable() if budget < 6 else script_base(self.expression(budget - 4))
        if not exponent:
            exponent = self.expression(min(max(1, budget - 3), 4))
        return f"{base}^{{{exponent}}}"

    def _fraction(self, budget: int) -> str:
        top, bottom = self._split(budget - 3)
        return f"\\frac{{{self.expression(top)}}}{{{self.expression(bottom)}}}"

    def _root(self, budget: int) -> str:
        degree = f"[{self.draw.one(('3', '4', 'n', '5'))}]" if self.draw.chance(0.2) else ""
        return f"\\sqrt{degree}{{{self.expression(budget - 3)}}}"

    def _parentheses(self, budget: int) -> str:
        left, right = tuple(self.draw.one(("()", "()", "()", "[]"))) if self.draw.chance(0.85) else ("\\vert", "\\vert")
        return fence(self.expression(budget - 2), left, right)

    def _function(self, budget: int) -> str:
        name = self.draw.weighted(TRIG if self.level == 2 else FUNCTIONS)
        if name == "\\log" and self.draw.chance(0.5):
            name += f"_{{{self.draw.one(('2', '3', 'a', '1 0', 'e', 'b'))}}}"
        elif self.draw.chance(0.25):
            name += "^{2}"
        return f"{name} {self.argument(budget - 1)}"

    def _application(self, budget: int) -> str:
        name = self.draw.one(("f", "g", "h", "f", "F", "P", "y", "u", "\\phi", "\\psi", "G"))
        return f"{name}({self.expression(budget - 3)})"

    def _sum_with_limits(self, budget: int) -> str:
        operator = self.draw.one(("\\sum", "\\sum", "\\sum", "\\prod"))
        index = self.draw.one(("i", "k", "n", "j", "m"))
        upper = self.draw.one(("n", "\\infty", "N", "m", "\\infty", "k-1"))
        start = self.draw.one(("1", "0", "1", "2"))
        limits = f"_{{{index}={start}}}^{{{upper}}}" if self.draw.chance(0.8) else f"_{{{index}}}"
        return f"{operator}{limits} {self.expression(budget - 7)}"

    def _integral(self, budget: int) -> str:
        operator = self.draw.one(("\\int", "\\int", "\\int", "\\int", "\\oint", "\\iint"))
        variable = self.draw.one(("x", "t", "s", "u", "\\theta", "r", "y", "z", "v"))
        return f"{operator}{self.limits()} {self.expression(max(1, budget - 7))} d {variable}"

    def limits(self) -> str:
        """Limits of an integral, or none."""
        if self.draw.chance(0.35):
            return ""
        if self.draw.chance(0.15):
            domain = self.draw.one(("C", "D", "V", "S", "R", "\\Omega", "E", "\\gamma"))
            return f"_{{{domain}}}"
        low = self.draw.one(("0", "0", "a", "1", "-\\infty", "-1", "-a", "t_{0}", "-\\pi"))
        high = self.draw.one(("1", "\\infty", "b", "\\pi", "x", "2", "2\\pi", "\\frac{\\pi}{2}", "t", "a", "T"))
        return f"_{{{low}}}^{{{high}}}"
