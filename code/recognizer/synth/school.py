"""Formulas of levels 1 and 2: school arithmetic and geometry, and algebra, as in textbooks and homework."""

from __future__ import annotations

from recognizer.synth.expressions import Expressions, fence
from recognizer.synth.symbols import DOTS, SCHOOL_OPERATORS, SCHOOL_RELATIONS, TRIG, Draw

SAME_SHAPE = ("\\equiv", "\\sim", "\\cong", "\\backsim")
BELOW = ("<", "\\leq", "\\leqq")
ABOVE = (">", "\\geq", "\\geqq")
SIGNS = ("+", "-", "\\pm")


class School:
    """Draws formulas in the manner of schoolbooks; each public method is one kind of formula."""

    def __init__(self, draw: Draw, level: int) -> None:
        self.draw = draw
        self.make = Expressions(draw, level)

    # Level 1

    def calculation(self) -> str:
        """`37 + 45 - 8 = 74`, with or without its result, chains of two to four numbers."""
        draw = self.draw
        number = draw.decimal if draw.chance(0.2) else draw.number
        text = number()
        for _ in range(draw.integer(1, 3)):
            operator = draw.weighted(SCHOOL_OPERATORS)
            text += f" {operator} {f'({operator} {number()})' if draw.chance(0.08) and operator in '+-' else number()}"
        ending = draw.rng.random()
        if ending < 0.5:
            return f"{text} = {number()}"
        return f"{text} = \\square" if ending < 0.62 else f"{text} =" if ending < 0.7 else text

    def parenthesised(self) -> str:
        draw = self.draw
        inner = f"{draw.number()} {draw.weighted(SCHOOL_OPERATORS)} {draw.number()}"
        text = f"({inner}) {draw.weighted(SCHOOL_OPERATORS)} {draw.number()}"
        if draw.chance(0.35):
            left, right = ("\\{", "\\}") if draw.chance(0.7) else ("[", "]")
            text = f"{draw.number()} {draw.weighted(SCHOOL_OPERATORS)} {left} {text} {right}"
        return f"{text} = {draw.number()}" if draw.chance(0.5) else text

    def simple_fraction(self) -> str:
        mixed = self.draw.number(1) if self.draw.chance(0.2) else ""
        return f"{mixed}\\frac{{{self.draw.number(2)}}}{{{self.draw.number(2)}}}"

    def fractions(self) -> str:
        draw = self.draw
        text = self.simple_fraction()
        for _ in range(draw.integer(1, 2)):
            term = self.simple_fraction() if draw.chance(0.75) else draw.number(2)
            text += f" {draw.weighted(SCHOOL_OPERATORS)} {term}"
        return f"{text} = {self.simple_fraction()}" if draw.chance(0.6) else text

    def comparison(self) -> str:
        draw = self.draw
        return f"{self.make.expression(draw.integer(1, 5))} {draw.weighted(SCHOOL_RELATIONS)} {draw.number()}"

    def ratio(self) -> str:
        draw = self.draw
        text = f"{draw.number(2)} : {draw.number(2)}"
        ending = draw.rng.random()
        if ending < 0.5:
            return f"{text} = {draw.number(2)} : {draw.variable() if draw.chance(0.4) else draw.number(2)}"
        return f"{text} : {draw.number(2)}" if ending < 0.65 else text

    def percent(self) -> str:
        draw = self.draw
        return draw.one((
            f"{draw.number(3)} \\times \\frac{{{draw.number(2)}}}{{100}} = {draw.number(3)}",
            f"{draw.number(3)} \\times {draw.number(2)} \\% = {draw.number(3)}",
            f"{draw.decimal()} \\%",
            f"\\$ {draw.number(3)} - \\$ {draw.decimal()} = \\$ {draw.number(3)}",
            f"\\frac{{{draw.number(2)}}}{{{draw.number(3)}}} \\times 100 = {draw.number(2)} (\\%)",
        ))  # fmt: skip

    def angle(self) -> str:
        draw = self.draw
        first = draw.one(("A", "P", "D", "O", "X", "L"))
        three = f"{first} {draw.one('BQEMKY')} {draw.one('CRFNHZ')}"
        degrees = f"{draw.integer(1, 18)}{draw.one('050')}^{{\\circ}}"
        name = f"\\angle {three if draw.chance(0.6) else first}"
        return draw.one((
            f"{name} = {degrees}",
            f"{name} = {draw.number(2)}^{{\\circ}} + {draw.number(2)}^{{\\circ}} = {degrees}",
            f"\\therefore {name} = \\angle {draw.one('BCQRS')}",
            f"180^{{\\circ}} - {degrees} = {draw.number(3)}^{{\\circ}}",
            f"\\because {name} = {degrees}, \\angle {draw.one('BQE')} = {draw.variable()}",
            f"\\triangle {three} {draw.one(SAME_SHAPE)} \\triangle {draw.one('DESX')} {draw.one('EFTY')} {draw.one('FGUZ')}",
            f"\\angle {draw.variable()} = {draw.number(2)}^{{\\circ}}",
        ))  # fmt: skip

    def segment(self) -> str:
        draw = self.draw
        pair = f"{draw.one('APMOB')} {draw.one('BQNCD')}"
        other = f"{draw.one('CRXES')} {draw.one('DSYFT')}"
        mark = "\\overline" if draw.chance(0.75) else draw.one(("\\overrightarrow", "\\overleftrightarrow"))
        return draw.one((
            f"{mark}{{{pair}}} = {draw.number(2)} c m",
            f"{mark}{{{pair}}} \\perp {mark}{{{other}}}",
            f"{mark}{{{pair}}} // {mark}{{{other}}}",
            f"{mark}{{{pair}}} : {mark}{{{other}}} = {draw.number(1)} : {draw.number(1)}",
            f"{mark}{{{pair}}} = {mark}{{{other}}}",
            f"{mark}{{{pair}}}^{{2}} + {mark}{{{other}}}^{{2}} = {draw.number(3)}",
            f"\\overset{{\\frown}}{{{pair}}} = {draw.number(1)} c m",
        ))  # fmt: skip

    def area(self) -> str:
        draw = self.draw
        unit = draw.one(("c m", "m", "k m", "m m"))
        power = draw.one(("2", "3"))
        return draw.one((
            f"{draw.number(2)} \\times {draw.number(2)} \\times \\frac{{1}}{{2}} = {draw.number(3)} ({unit}^{{{power}}})",
            f"\\pi \\times {draw.digit()}^{{2}} = {draw.number(2)} \\pi ({unit}^{{2}})",
            f"2 \\pi r = {draw.number(2)} \\pi",
            f"{draw.number(2)} \\times 3.14 = {draw.decimal()}",
            "S = \\pi r^{2}", "V = \\frac{4}{3} \\pi r^{3}", "S = \\frac{1}{2} a h",
            f"{draw.number(3)} {unit} = {draw.number(3)} {draw.one(('c m', 'm', 'g', 'k g'))}",
        ))  # fmt: skip

    def powers(self) -> str:
        draw = self.draw
        base = draw.digit()
        factors = " \\times ".join([base] * draw.integer(2, 4))
        return draw.one((
            f"{base}^{{{draw.integer(2, 9)}}} = {factors}",
            f"{draw.number(2)} = {draw.digit()}^{{{draw.integer(2, 5)}}} \\times {draw.digit()}",
            f"\\sqrt{{{draw.number(3)}}} = {draw.number(2)}",
            f"{factors} = {draw.number(4)}",
            f"{draw.decimal()} \\times 10^{{{draw.one(('', '-'))}{draw.number(2)}}}",
        ))  # fmt: skip

    def listing(self) -> str:
        draw = self.draw
        items = ", ".join(draw.number(2) for _ in range(draw.integer(2, 5)))
        ending = draw.rng.random()
        if ending < 0.35:
            return f"{items}, {draw.weighted(DOTS)}"
        return f"({items})" if ending < 0.6 else items if ending < 0.8 else f"{items}, \\square, {draw.number(2)}"

    def column(self) -> str:
        """A sum set out in lines."""
        draw = self.draw
        operator = draw.one(("+", "-", "\\times"))
        return f"\\begin{{matrix}} {draw.number(3)} \\\\ {operator} {draw.number(3)} \\end{{matrix}}"

    # Level 2

    def polynomial(self, variable: str = "", terms: int = 0) -> str:
        draw = self.draw
        variable = variable or draw.variable()
        terms = terms or draw.integer(2, 4)
        powers = sorted({draw.integer(1, 5 if draw.chance(0.3) else 3) for _ in range(terms)}, reverse=True)
        text = ""
        for power in powers:
            coefficient = "" if draw.chance(0.3) else draw.number(2) if draw.chance(0.75) else draw.one("abckm")
            body = f"{coefficient} {variable}" + (f"^{{{power}}}" if power > 1 else "")
            text += f" {draw.one('+-')} {body}" if text else f"{'-' if draw.chance(0.15) else ''}{body}"
        return f"{text} {draw.one('+-')} {draw.number(2)}" if draw.chance(0.75) else text

    def equation(self) -> str:
        draw = self.draw
        variable = draw.variable()
        right = "0" if draw.chance(0.4) else self.polynomial(variable, 1)
        return f"{self.polynomial(variable)} {draw.weighted(SCHOOL_RELATIONS)} {right}"

    def factored(self) -> str:
        draw = self.draw
        variable = draw.variable()
        first, second = (f"({variable} {draw.one('+-')} {draw.number(1)})" for _ in range(2))
        product = f"{first}^{{2}}" if draw.chance(0.3) else f"{first}{second}"
        lead = draw.number(1) if draw.chance(0.2) else ""
        return f"{self.polynomial(variable)} = {lead}{product}" if draw.chance(0.6) else f"{lead}{product} = 0"

    def solution(self) -> str:
        draw = self.draw
        x = draw.variable()
        one, two = draw.number(1), draw.number(2)
        return draw.one((
            f"{x} = \\frac{{-b \\pm \\sqrt{{b^{{2}} - 4 a c}}}}{{2 a}}",
            f"{x} = \\frac{{{'-' if draw.chance(0.5) else ''}{one} \\pm \\sqrt{{{two}}}}}{{{draw.number(1)}}}",
            f"{x} = {one} \\pm {draw.number(1)} \\sqrt{{{two}}}",
            f"{x} = {one}, {x} = {two}",
            f"\\therefore {x} = {two}",
            f"{x}_{{1}} = {one}, {x}_{{2}} = -{two}",
            f"{x} = \\pm \\frac{{\\sqrt{{{two}}}}}{{{draw.number(1)}}}",
            f"{one} {draw.one(BELOW)} {x} {draw.one(BELOW)} {two}",
            f"D = b^{{2}} - 4 a c {draw.one('<>=')} 0",
            f"{x} > {one}, {x} < -{two}",
        ))  # fmt: skip

    def system(self) -> str:
        """Two or three equations behind a brace."""
        draw = self.draw
        x, y = draw.theme[0], draw.theme[1]
        rows = [
            f"{draw.number(1)} {x} {draw.one('+-')} {draw.number(1)} {y} = {draw.number(2)}"
            for _ in range(2 if draw.chance(0.85) else 3)
        ]
        if draw.chance(0.2):
            rows[-1] = f"{y} = {self.polynomial(x, 1)}"
        body = " \\\\ ".join(rows)
        if draw.chance(0.7):
            return f"\\left\\{{ \\begin{{matrix}} {body} \\end{{matrix}} \\right."
        return f"\\begin{{cases}} {body} \\end{{cases}}"

    def function(self) -> str:
        draw = self.draw
        name = draw.one(("f", "g", "h", "y", "P", "F"))
        variable = draw.one(("x", "x", "t", "n", "s"))
        head = "y" if name == "y" else f"{name}({variable})"
        body = self.polynomial(variable) if draw.chance(0.5) else self.make.expression(draw.integer(3, 9))
        return f"{head} = {body}"

    def piecewise(self) -> str:
        draw = self.draw
        name, x = draw.one("fghu"), draw.one("xtn")
        limit = draw.number(1)
        rows = [
            f"{self.polynomial(x, draw.integer(1, 2))} & ({x} < {limit})",
            f"{self.make.expression(draw.integer(1, 5))} & ({x} {draw.one(ABOVE)} {limit})",
        ]
        body = " \\\\ ".join(rows)
        if draw.chance(0.4):
            return f"{name}({x}) = \\begin{{cases}} {body} \\end{{cases}}"
        return f"{name}({x}) = \\left\\{{ \\begin{{matrix}} {body} \\end{{matrix}} \\right."

    def roots(self) -> str:
        draw = self.draw
        two = draw.number(2)
        return draw.one((
            f"\\sqrt{{{two}}} {draw.weighted(SCHOOL_OPERATORS)} {draw.number(1)} \\sqrt{{{draw.number(2)}}} = {draw.number(1)} \\sqrt{{{two}}}",
            f"\\frac{{{draw.number(1)}}}{{\\sqrt{{{two}}}}} = \\frac{{{draw.number(1)} \\sqrt{{{two}}}}}{{{two}}}",
            f"\\sqrt[{draw.integer(3, 6)}]{{{draw.number(3)}}} = {draw.number(1)}",
            f"\\sqrt{{{draw.variable()}^{{2}} + {draw.variable()}^{{2}}}}",
            f"\\frac{{\\sqrt{{{two}}} + \\sqrt{{{draw.number(1)}}}}}{{\\sqrt{{{two}}} - \\sqrt{{{draw.number(1)}}}}}",
            f"(\\sqrt{{{two}}})^{{2}} = {two}",
        ))  # fmt: skip

    def exponents(self) -> str:
        draw = self.draw
        a, m, n = draw.variable(), draw.one("mnkp2345"), draw.one("nqr3456")
        return draw.one((
            f"{a}^{{{m}}} {a}^{{{n}}} = {a}^{{{m}+{n}}}", f"({a}^{{{m}}})^{{{n}}} = {a}^{{{m} {n}}}",
            f"{a}^{{-{n}}} = \\frac{{1}}{{{a}^{{{n}}}}}", f"{a}^{{\\frac{{{m}}}{{{n}}}}} = \\sqrt[{n}]{{{a}^{{{m}}}}}",
            f"{draw.number(1)}^{{{self.polynomial(a, 1)}}} {draw.weighted(SCHOOL_RELATIONS)} {draw.number(2)}",
            f"\\log_{{{draw.digit()}}} {draw.number(2)} {draw.one('+-')} \\log_{{{draw.digit()}}} {draw.number(2)}",
            f"\\log_{{a}} {a} = \\frac{{\\log {a}}}{{\\log a}}", f"\\log_{{a}} {m} {n} = \\log_{{a}} {m} + \\log_{{a}} {n}",
            f"\\log_{{{draw.digit()}}} ({self.polynomial(a, 1)}) = {draw.number(1)}",
        ))  # fmt: skip

    def absolute(self) -> str:
        draw = self.draw
        inner = self.polynomial("", draw.integer(1, 2))
        return f"|{inner}| {draw.weighted(SCHOOL_RELATIONS)} {draw.number(2)}"

    def sequence(self) -> str:
        draw = self.draw
        a, n, d = draw.one("abSpu"), draw.one("nk"), draw.number(1)
        return draw.one((
            f"{a}_{{{n}+1}} = {draw.number(1)} {a}_{{{n}}} {draw.one('+-')} {d}", f"{a}_{{{n}}} = {d} {n} {draw.one('+-')} {draw.number(1)}",
            f"{a}_{{{n}}} = {a}_{{1}} r^{{{n}-1}}", f"{a}_{{1}}, {a}_{{2}}, {draw.weighted(DOTS)}, {a}_{{{n}}}",
            f"S_{{{n}}} = \\frac{{{n}({a}+l)}}{{2}}", f"S_{{{n}}} = \\frac{{a(1-r^{{{n}}})}}{{1-r}}",
            f"\\sum_{{k=1}}^{{{n}}} k^{{{draw.digit()}}} = \\frac{{{n}({n}+1)(2{n}+1)}}{{6}}",
            f"\\sum_{{i={draw.digit()}}}^{{{draw.number(2)}}} {self.polynomial('i', 1)}",
            f"1 + {d} + {draw.number(2)} + {draw.weighted(DOTS)} + {draw.number(3)}",
            f"{a}_{{{draw.number(2)}}} = {draw.number(3)}",
        ))  # fmt: skip

    def combinatorics(self) -> str:
        draw = self.draw
        n, r = draw.number(1), draw.number(1)
        return draw.one((
            f"_{{{n}}} C_{{{r}}} = \\frac{{{n}!}}{{{r}!({n}-{r})!}}", f"_{{{n}}} P_{{{r}}} = {draw.number(2)}", "_{n} C_{r}",
            "_{n} C_{r} = _{n} C_{n-r}", "\\binom{n}{k} = \\frac{n!}{k!(n-k)!}",
            f"{n}! = {n} \\times {r} \\times {draw.number(1)}", "P(A \\cap B) = P(A) P(B)", "P(A|B) = \\frac{P(A \\cap B)}{P(B)}",
            f"_{{{n}}} H_{{{r}}} = _{{{draw.number(1)}}} C_{{{r}}}", "_{n} \\Pi_{r} = n^{r}",
            f"P(A) = \\frac{{{draw.number(1)}}}{{{draw.number(2)}}}", f"\\frac{{{n}!}}{{{r}! {draw.digit()}!}} = {draw.number(3)}",
        ))  # fmt: skip

    def trigonometry(self) -> str:
        draw = self.draw
        angle = draw.one(("\\theta", "x", "\\alpha", "A", "\\beta", "B", "\\phi"))
        name, other = draw.weighted(TRIG), draw.weighted(TRIG)
        return draw.one((
            f"\\sin^{{2}} {angle} + \\cos^{{2}} {angle} = 1", f"{name} {angle} = \\frac{{{draw.number(1)}}}{{{draw.number(2)}}}",
            f"{name} {draw.number(2)}^{{\\circ}} = \\frac{{\\sqrt{{{draw.digit()}}}}}{{2}}", f"\\tan {angle} = \\frac{{\\sin {angle}}}{{\\cos {angle}}}",
            "\\frac{a}{\\sin A} = \\frac{b}{\\sin B} = 2 R", "a^{2} = b^{2} + c^{2} - 2 b c \\cos A",
            f"{name} 2 {angle} = 2 {name} {angle} {other} {angle}", f"{name} ({angle} {draw.one(SIGNS)} {draw.variable()})",
            f"y = {draw.number(1)} {name} ({draw.number(1)} x {draw.one('+-')} \\frac{{\\pi}}{{{draw.digit()}}})",
            f"{name} \\frac{{\\pi}}{{{draw.digit()}}} = {draw.number(1)}", f"1 + \\tan^{{2}} {angle} = \\sec^{{2}} {angle}",
        ))  # fmt: skip

    def coordinates(self) -> str:
        draw = self.draw
        point = f"({self._coordinate()}, {self._coordinate()})"
        name = draw.one("APQBCO")
        return draw.one((
            f"{name} {point}", point, f"(x - {draw.number(1)})^{{2}} + (y {draw.one('+-')} {draw.number(1)})^{{2}} = {draw.number(2)}",
            f"y - {draw.number(1)} = {draw.number(1)} (x + {draw.number(1)})", f"\\frac{{x^{{2}}}}{{{draw.number(2)}}} {draw.one('+-')} \\frac{{y^{{2}}}}{{{draw.number(2)}}} = 1",
            "y = a (x - p)^{2} + q", "d = \\sqrt{(x_{2} - x_{1})^{2} + (y_{2} - y_{1})^{2}}",
            "y^{2} = 4 p x", "\\frac{y_{2} - y_{1}}{x_{2} - x_{1}}", f"\\frac{{x}}{{{draw.number(1)}}} = \\frac{{y}}{{{draw.number(1)}}}",
        ))  # fmt: skip

    def _coordinate(self) -> str:
        draw = self.draw
        sign = "-" if draw.chance(0.3) else ""
        return sign + (draw.number(2) if draw.chance(0.75) else draw.variable())

    def rational(self) -> str:
        draw = self.draw
        make = self.make.expression
        fraction = f"\\frac{{{make(draw.integer(1, 5))}}}{{{make(draw.integer(1, 5))}}}"
        other = f"\\frac{{{make(draw.integer(1, 3))}}}{{{make(draw.integer(1, 3))}}}"
        return draw.one((
            f"{fraction} {draw.one('+-')} {other}", f"{fraction} = {other}", f"{fence(fraction)}^{{{draw.digit()}}}",
            f"\\frac{{{fraction}}}{{{other}}}", f"{draw.variable()} = {fraction}",
        ))  # fmt: skip

    def complex_number(self) -> str:
        draw = self.draw
        a, b = draw.number(1), draw.number(1)
        return draw.one((
            f"z = {a} {draw.one('+-')} {b} i", f"({a} + {b} i)({draw.number(1)} - i)", "i^{2} = -1", "|z| = \\sqrt{a^{2} + b^{2}}",
            f"\\overline{{z}} = {a} - {b} i", f"\\frac{{{a} + i}}{{{b} - i}}", "\\alpha + \\beta = -\\frac{b}{a}", "\\alpha \\beta = \\frac{c}{a}",
        ))  # fmt: skip
