"""Formulas of levels 3 to 5: calculus, linear algebra and physics, sets and logic, as in university textbooks."""

from __future__ import annotations

from recognizer.synth.expressions import Expressions, fence
from recognizer.synth.symbols import (
    ACCENTS,
    ALGEBRA_OPERATORS,
    ARROWS,
    DOTS,
    FUNCTIONS,
    LOGIC,
    MEMBERSHIP,
    NUMBER_SETS,
    RELATIONS,
    SET_OPERATORS,
    SET_RELATIONS,
    Draw,
)

EXTREMA = ("\\max", "\\min", "\\sup", "\\inf")
MATRIX_FENCES = (("(", ")"), ("(", ")"), ("[", "]"), ("[", "]"), ("|", "|"), ("", ""), ("\\{", "\\}"), ("\\|", "\\|"))
LIMIT_POINTS = ("0", "\\infty", "a", "0", "1", "+0", "-\\infty", "x_{0}", "\\pi", "2", "c")


class University:
    """Draws formulas in the manner of university texts; each public method is one kind of formula."""

    def __init__(self, draw: Draw, level: int) -> None:
        self.draw = draw
        self.make = Expressions(draw, level)

    # Level 3

    def limit(self) -> str:
        draw = self.draw
        x = draw.one(("x", "n", "h", "t", "\\epsilon", "\\Delta x"))
        arrow = "\\to" if draw.chance(0.8) else "\\rightarrow"
        body = self.make.expression(draw.integer(3, 12))
        text = f"\\lim_{{{x} {arrow} {draw.one(LIMIT_POINTS)}}} {body}"
        return f"{text} = {self.make.atom()}" if draw.chance(0.5) else text

    def derivative(self) -> str:
        draw = self.draw
        f, x = draw.one(("f", "y", "u", "g", "\\phi", "s", "v")), draw.one(("x", "t", "s", "\\theta", "z"))
        d = "\\partial" if draw.chance(0.4) else "d"
        value = self.make.expression(draw.integer(2, 9))
        y = draw.one("yztw")
        return draw.one((
            f"\\frac{{{d} {f}}}{{{d} {x}}} = {value}", f"\\frac{{{d}}}{{{d} {x}}} {fence(value)}", f"{f}'({x}) = {value}",
            f"\\frac{{{d}^{{2}} {f}}}{{{d} {x}^{{2}}}} {draw.one('+-=')} {value}", f"{f}'' + {draw.number(1)} {f}' + {draw.number(1)} {f} = {value}",
            f"{f}'({x}) = \\lim_{{h \\to 0}} \\frac{{{f}({x} + h) - {f}({x})}}{{h}}", f"\\dot{{{x}}} = {value}", f"\\ddot{{{x}}} + \\omega^{{2}} {x} = 0",
            f"\\frac{{\\partial^{{2}} {f}}}{{\\partial {x} \\partial {y}}} = \\frac{{\\partial^{{2}} {f}}}{{\\partial {y} \\partial {x}}}",
            f"d {f} = \\frac{{\\partial {f}}}{{\\partial x}} d x + \\frac{{\\partial {f}}}{{\\partial y}} d y", f"{f}^{{({draw.one('n34k')})}}({x})",
            f"\\frac{{\\partial {f}}}{{\\partial t}} = {draw.one(('k', 'c^{2}', 'D', '-'))} \\frac{{\\partial^{{2}} {f}}}{{\\partial x^{{2}}}}",
            "(f g)' = f' g + f g'", f"\\frac{{{d} {y}}}{{{d} t}} = \\frac{{{d} {y}}}{{{d} x}} \\frac{{{d} x}}{{{d} t}}",
        ))  # fmt: skip

    def integral(self) -> str:
        draw = self.draw
        x = draw.one(("x", "t", "u", "\\theta", "r", "z", "s"))
        body = self.make.expression(draw.integer(2, 9))
        limits = self.make.limits()
        value = self.make.expression(draw.integer(1, 6))
        operator = draw.one(("\\int", "\\int", "\\int", "\\int", "\\int", "\\oint"))
        return draw.one((
            f"{operator}{limits} {body} d {x}", f"{operator}{limits} {body} d {x} = {value}", f"{operator}{limits} {body} \\, d {x}",
            f"\\int f'({x}) d {x} = f({x}) + C", f"\\int \\frac{{d {x}}}{{{body}}} = {value} + C", "\\int u d v = u v - \\int v d u",
            f"\\iint_{{{draw.one('DRS')}}} {body} d x d y", f"\\iiint_{{{draw.one('VDE')}}} {body} d x d y d z", f"\\int_{{a}}^{{b}} \\int_{{c}}^{{d}} {body} d y d x",
            f"\\left[ {body} \\right]_{{{draw.number(1)}}}^{{{draw.number(1)}}}", f"\\int_{{-\\infty}}^{{\\infty}} e^{{-{x}^{{2}}}} d {x} = \\sqrt{{\\pi}}",
            "\\frac{1}{2 \\pi i} \\oint_{C} \\frac{f(z)}{z - a} d z", "F(s) = \\int_{0}^{\\infty} f(t) e^{-s t} d t",
        ))  # fmt: skip

    def series(self) -> str:
        draw = self.draw
        n = draw.one(("n", "k", "i", "j", "m"))
        start, end = draw.one("0112"), draw.one(("\\infty", "\\infty", "n", "N", "m"))
        body = self.make.expression(draw.integer(2, 9))
        value = self.make.expression(draw.integer(1, 6))
        return draw.one((
            f"\\sum_{{{n} = {start}}}^{{{end}}} {body}", f"\\sum_{{{n} = {start}}}^{{{end}}} {body} = {value}", f"\\prod_{{{n} = {start}}}^{{{end}}} {body}",
            f"e^{{x}} = \\sum_{{{n} = 0}}^{{\\infty}} \\frac{{x^{{{n}}}}}{{{n}!}}", f"\\sum_{{{n} = 1}}^{{\\infty}} \\frac{{1}}{{{n}^{{2}}}} = \\frac{{\\pi^{{2}}}}{{6}}",
            f"f(x) = \\sum_{{{n} = 0}}^{{\\infty}} \\frac{{f^{{({n})}}(a)}}{{{n}!}} (x - a)^{{{n}}}", f"\\frac{{1}}{{1 - x}} = 1 + x + x^{{2}} + {draw.weighted(DOTS)}",
            f"\\sum_{{{n} = {start}}}^{{{end}}} a_{{{n}}} x^{{{n}}}", f"\\zeta(s) = \\sum_{{{n} = 1}}^{{\\infty}} \\frac{{1}}{{{n}^{{s}}}}", "\\sum_{i, j} a_{i j}",
            f"\\frac{{a_{{0}}}}{{2}} + \\sum_{{{n} = 1}}^{{\\infty}} (a_{{{n}}} \\cos {n} x + b_{{{n}}} \\sin {n} x)",
        ))  # fmt: skip

    def function_identity(self) -> str:
        draw = self.draw
        x = draw.one(("x", "\\theta", "z", "t", "\\alpha"))
        name = draw.weighted(FUNCTIONS)
        return draw.one((
            f"{name} {x} {draw.weighted(RELATIONS)} {self.make.expression(draw.integer(2, 8))}", f"e^{{i {x}}} = \\cos {x} + i \\sin {x}", f"\\cosh^{{2}} {x} - \\sinh^{{2}} {x} = 1",
            f"\\tanh {x} = \\frac{{\\sinh {x}}}{{\\cosh {x}}}", f"{name}^{{-1}} {x}", f"\\ln {x} {draw.one('+-')} \\ln {draw.variable()}",
            f"\\sinh {x} = \\frac{{e^{{{x}}} - e^{{-{x}}}}}{{2}}", f"\\Gamma({x} + 1) = {x} \\Gamma({x})", f"{name} ({draw.number(1)} {x} {draw.one('+-')} {draw.variable()})",
            f"e^{{{self.make.expression(draw.integer(2, 6))}}}", f"\\ln {fence(self.make.expression(draw.integer(3, 7)))}",
        ))  # fmt: skip

    def physics(self) -> str:
        draw = self.draw
        a, b = draw.greek(), draw.variable()
        return draw.one((
            "E = m c^{2}", "F = m a", "F = G \\frac{m_{1} m_{2}}{r^{2}}", "E = h \\nu", "p V = n R T", "v = v_{0} + a t",
            "\\lambda = \\frac{h}{p}", "\\Delta x \\Delta p \\geq \\frac{\\hbar}{2}", "i \\hbar \\frac{\\partial \\psi}{\\partial t} = \\hat{H} \\psi",
            "\\nabla \\times \\vec{E} = -\\frac{\\partial \\vec{B}}{\\partial t}", "\\nabla \\cdot \\vec{D} = \\rho", f"\\nabla^{{2}} {a} = 0",
            f"{a} = \\frac{{{self.make.expression(3)}}}{{{self.make.expression(2)}}}", "T = 2 \\pi \\sqrt{\\frac{l}{g}}", "V = I R",
            f"{a} = {a}_{{0}} e^{{-{draw.greek()} t}}", "\\frac{1}{f} = \\frac{1}{a} + \\frac{1}{b}", "s = v_{0} t + \\frac{1}{2} a t^{2}",
            "Q = m c \\Delta T", "\\omega = \\sqrt{\\frac{k}{m}}", "U = -\\int \\vec{F} \\cdot d \\vec{r}", f"{a} \\propto \\frac{{1}}{{{b}}}",
            "\\oint \\vec{B} \\cdot d \\vec{l} = \\mu_{0} I", "\\sin \\theta_{c} = \\frac{n_{2}}{n_{1}}", "k = \\frac{1}{4 \\pi \\epsilon_{0}}",
        ))  # fmt: skip

    # Level 4

    def matrix(self, rows: int = 0, columns: int = 0, fenced: bool = True) -> str:
        """A matrix of numbers, letters or indexed entries, dots in some."""
        draw = self.draw
        rows, columns = rows or draw.integer(1, 3), columns or draw.integer(1, 3)
        if rows * columns == 1:
            columns = 2
        kind = draw.rng.random()
        name = draw.one("abcxmt")
        if kind < 0.1 and rows * columns >= 4:
            body = (
                f"{name}_{{1 1}} & \\cdots & {name}_{{1 n}} \\\\ \\vdots & \\ddots & \\vdots \\\\ "
                f"{name}_{{m 1}} & \\cdots & {name}_{{m n}}"
            )
        else:
            def cell(i: int, j: int) -> str:
                if kind < 0.25:
                    return f"{name}_{{{i + 1} {j + 1}}}"
                if kind < 0.7:
                    return ("-" if draw.chance(0.25) else "") + draw.number(2)
                return self.make.expression(draw.integer(1, 3))

            body = " \\\\ ".join(" & ".join(cell(i, j) for j in range(columns)) for i in range(rows))
        left, right = MATRIX_FENCES[draw.integer(0, len(MATRIX_FENCES) - 1)] if fenced else ("", "")
        matrix = f"\\begin{{matrix}} {body} \\end{{matrix}}"
        return f"\\left{left} {matrix} \\right{right}" if left else matrix

    def matrix_equation(self) -> str:
        draw = self.draw
        name = draw.one("ABCMPTUX")
        rows, columns = draw.integer(2, 3), draw.integer(1, 3)
        return draw.one((
            f"{name} = {self.matrix()}", f"{name}^{{{draw.one(('-1', 'T', '2', 'n', 'k'))}}} = {self.matrix(2, 2)}", self.matrix(),
            f"{self.matrix(2, 2)} {self.matrix(2, 1)} = {self.matrix(2, 1)}", f"{draw.number(1)} {self.matrix(rows, columns)}",
            f"{self.matrix(2, 2)} {draw.one('+-')} {self.matrix(2, 2)}", "\\left| \\begin{matrix} a & b \\\\ c & d \\end{matrix} \\right| = a d - b c",
        ))  # fmt: skip

    def linear_algebra(self) -> str:
        draw = self.draw
        a, b = draw.one("ABMPQTUV"), draw.one("BCNRSX")
        n, m = draw.one("nmkdN"), draw.one("mnpr")
        v, w = draw.one("uvwxabe"), draw.one("vwyzbf")
        space = draw.weighted(NUMBER_SETS)
        return draw.one((
            f"\\det({a} - \\lambda I) = 0", f"{a} {v} = \\lambda {v}", f"({a} {b})^{{T}} = {b}^{{T}} {a}^{{T}}", f"{a} {a}^{{-1}} = I", f"\\det {a} = {draw.number(2)}",
            f"{a} = P D P^{{-1}}", f"\\operatorname{{rank}} {a} = {n}", f"\\operatorname{{tr}}({a} {b}) = \\operatorname{{tr}}({b} {a})", f"\\dim {a} = {n}", f"\\ker {a}",
            f"\\vec{{{v}}} \\cdot \\vec{{{w}}} = |\\vec{{{v}}}| |\\vec{{{w}}}| \\cos \\theta", f"\\overrightarrow{{{draw.one('AOPM')} {draw.one('BQNC')}}} = \\vec{{{v}}} {draw.one('+-')} \\vec{{{w}}}",
            f"\\| {v} + {w} \\| \\leq \\| {v} \\| + \\| {w} \\|", f"\\langle {v}, {w} \\rangle = {draw.one(('0', '1', self.make.atom()))}", f"{v} = c_{{1}} {v}_{{1}} + {draw.weighted(DOTS)} + c_{{{n}}} {v}_{{{n}}}",
            f"{a} \\in {space}^{{{n} \\times {m}}}", f"T : {space}^{{{n}}} \\rightarrow {space}^{{{m}}}", f"\\mathbf{{{v}}} \\times \\mathbf{{{w}}}", "V = U \\oplus W", f"{a} \\otimes {b}",
            "a_{i j} = a_{j i}", f"\\overline{{{a}}}^{{T}} = {a}", f"{a}_{{{n}}} {draw.weighted(ALGEBRA_OPERATORS)} {b}_{{{m}}}", f"\\vec{{{v}}} \\perp \\vec{{{w}}}", f"{a} \\vec{{x}} = \\vec{{b}}",
            f"\\mathbf{{{v}}} = ({v}_{{1}}, {v}_{{2}}, {draw.weighted(DOTS)}, {v}_{{{n}}})", f"(\\vec{{{v}}}, \\vec{{{w}}}) = \\sum_{{i=1}}^{{{n}}} {v}_{{i}} {w}_{{i}}",
            "\\frac{x - x_{0}}{a} = \\frac{y - y_{0}}{b} = \\frac{z - z_{0}}{c}", f"|\\vec{{{v}}}| = \\sqrt{{{v}_{{1}}^{{2}} + {v}_{{2}}^{{2}}}}",
        ))  # fmt: skip

    def statistics(self) -> str:
        draw = self.draw
        x = draw.one("xXyYzT")
        value = draw.decimal()
        return draw.one((
            f"\\overline{{{x}}} = \\frac{{1}}{{n}} \\sum_{{i=1}}^{{n}} {x}_{{i}}", f"\\sigma^{{2}} = E({x}^{{2}}) - E({x})^{{2}}", f"{x} \\sim N(\\mu, \\sigma^{{2}})", f"V({x}) = {value}",
            f"P({x} \\leq {value}) = {value}", f"Z = \\frac{{{x} - \\mu}}{{\\sigma}}", "f(x) = \\frac{1}{\\sigma \\sqrt{2 \\pi}} e^{-\\frac{(x - \\mu)^{2}}{2 \\sigma^{2}}}",
            f"E({x}) = \\int_{{-\\infty}}^{{\\infty}} x f(x) d x", f"\\hat{{\\theta}} = {value}", "\\rho = \\frac{\\sigma_{x y}}{\\sigma_{x} \\sigma_{y}}", f"\\Pr[{x} > t] \\leq \\frac{{E[{x}]}}{{t}}",
            "\\chi^{2} = \\sum \\frac{(O - E)^{2}}{E}", f"\\hat{{p}} \\pm {value} \\sqrt{{\\frac{{\\hat{{p}} \\hat{{q}}}}{{n}}}}", "\\binom{n}{k} p^{k} (1 - p)^{n - k}", f"\\bar{{{x}}} = {value}",
        ))  # fmt: skip

    def indexed(self) -> str:
        draw = self.draw
        name, other = draw.variable(), draw.variable()
        upper, lower = draw.one(("\\mu", "i", "\\alpha", "a", "n")), draw.one(("\\nu", "j", "\\beta", "b", "m"))
        return draw.one((
            f"{name}_{{{upper} {lower}}} = {other}_{{{lower} {upper}}}", f"{name}^{{{upper}}}_{{{lower}}}", f"\\Gamma^{{\\lambda}}_{{{upper} {lower}}}", f"{name}_{{{upper}}} {other}^{{{upper}}}", f"\\delta_{{{upper} {lower}}}",
            "R_{\\mu \\nu} - \\frac{1}{2} R g_{\\mu \\nu} = \\kappa T_{\\mu \\nu}", f"{draw.weighted(ACCENTS)}{{{name}}}_{{{upper}}} = {self.make.expression(draw.integer(2, 7))}",
            f"\\epsilon_{{i j k}} {name}_{{j}} {other}_{{k}}", f"{draw.one(EXTREMA)}_{{{upper}}} {name}_{{{upper}}}", f"\\underset{{{name}}}{{{draw.one(EXTREMA)}}} f({name})", f"{name} \\stackrel{{{draw.greek()}}}{{\\rightarrow}} {other}",
        ))  # fmt: skip

    # Level 5

    def set_term(self, budget: int) -> str:
        """Sets joined by union, intersection and the like."""
        draw = self.draw
        if budget <= 1:
            kind = draw.rng.random()
            letter = draw.one("ABCDEFGMPSTUVXYZ")
            return letter if kind < 0.72 else "\\varnothing" if kind < 0.8 else f"{letter}^{{c}}" if kind < 0.9 else f"{letter}_{{{draw.index()}}}"
        left = draw.integer(1, budget - 1)
        first, second = self.set_term(left), self.set_term(budget - left)
        first = fence(first) if left > 1 else first
        second = fence(second) if budget - left > 1 else second
        return f"{first} {draw.weighted(SET_OPERATORS)} {second}"

    def sets(self) -> str:
        draw = self.draw
        x, a = draw.variable(), draw.one("ABCSTX")
        space = draw.weighted(NUMBER_SETS)
        items = ", ".join(self.make.atom() for _ in range(draw.integer(1, 4)))
        bar = draw.one(("|", "\\mid", ":"))
        condition = f"{x} {draw.weighted(RELATIONS)} {self.make.expression(draw.integer(1, 4))}"
        return draw.one((
            f"{self.set_term(draw.integer(1, 3))} {draw.weighted(SET_RELATIONS)} {self.set_term(draw.integer(1, 3))}", f"{a} = \\{{ {items} \\}}", f"{a} = \\{{ {x} {bar} {condition} \\}}",
            f"\\{{ {x} \\in {space} {bar} {condition} \\}}", f"{x} {draw.weighted(MEMBERSHIP)} {self.set_term(draw.integer(1, 3))}", "n(A \\cup B) = n(A) + n(B) - n(A \\cap B)", "(A \\cup B)^{c} = A^{c} \\cap B^{c}",
            "\\bigcup_{i \\in I} A_{i}", f"\\bigcap_{{n=1}}^{{\\infty}} {a}_{{n}} = \\varnothing", f"|{a}| = {draw.number(2)}", f"{a} \\times B = \\{{ (a, b) {bar} a \\in {a}, b \\in B \\}}", f"\\emptyset \\subset {a}",
            "\\aleph_{0} < 2^{\\aleph_{0}}", f"{a} \\not\\subset {draw.one('BCDU')}", f"\\overline{{{a}}} = {a} \\cup \\partial {a}",
        ))  # fmt: skip

    def proposition(self, budget: int) -> str:
        """A statement of propositional logic."""
        draw = self.draw
        if budget <= 1:
            negation = "\\neg " if draw.chance(0.25) else "\\sim " if draw.chance(0.12) else ""
            return f"{negation}{draw.one('pqrPQRstABCx')}"
        left = draw.integer(1, budget - 1)
        first, second = self.proposition(left), self.proposition(budget - left)
        first = f"({first})" if left > 1 else first
        second = f"({second})" if budget - left > 1 else second
        return f"{first} {draw.weighted(LOGIC)} {second}"

    def logic(self) -> str:
        draw = self.draw
        x, y = draw.theme[0], draw.theme[1]
        space = draw.weighted(NUMBER_SETS)
        p = f"{draw.one('PQRF')}({x})"
        first, second = self.make.expression(draw.integer(1, 5)), self.make.expression(draw.integer(1, 5))
        return draw.one((
            self.proposition(draw.integer(1, 4)), f"\\forall {x} \\in {space}, {first} {draw.weighted(RELATIONS)} {second}", f"\\exists {x} \\in {space} : {first} {draw.weighted(RELATIONS)} {second}",
            f"\\neg \\forall {x} {p} \\Leftrightarrow \\exists {x} \\neg {p}", "\\forall \\epsilon > 0, \\exists \\delta > 0", f"\\forall {x} \\exists {y} ({p} \\Rightarrow {draw.one('PQR')}({y}))", f"\\nexists {x}, {p}",
            f"{self.proposition(2)} \\equiv {self.proposition(2)}", f"\\because {first} = {second}", f"\\therefore {x} {draw.weighted(RELATIONS)} {first}", f"{first} = {second} \\Leftrightarrow {x} = {draw.number(1)}",
            f"0 < |{x} - a| < \\delta \\Rightarrow |f({x}) - L| < \\epsilon", "p \\vdash q", "A \\models B",
        ))  # fmt: skip

    def maps(self) -> str:
        draw = self.draw
        f = draw.one(("f", "g", "\\phi", "\\varphi", "\\psi", "\\pi", "h", "T"))
        a, b, c = draw.one("AXGMSVR"), draw.one("BYHNTW"), draw.one("CZKP")
        return draw.one((
            f"{f} : {a} \\rightarrow {b}", f"{f} : {a} \\to {b}", f"{f} : x \\mapsto {self.make.expression(draw.integer(2, 6))}", f"{a} {draw.weighted(ARROWS)} {b} {draw.weighted(ARROWS)} {c}", f"{f}^{{-1}}({a} \\cap {b}) \\subseteq {f}^{{-1}}({a})",
            f"g \\circ f : {a} \\rightarrow {c}", f"0 \\rightarrow {a} \\rightarrow {b} \\rightarrow {c} \\rightarrow 0", f"\\operatorname{{Hom}}({a}, {b})", f"{a} / \\ker {f} \\cong \\operatorname{{Im}} {f}", f"H^{{{draw.digit()}}}({a}, \\mathcal{{O}}_{{{a}}}) = 0",
            f"\\pi_{{1}}({a}) \\cong \\mathbb{{Z}}", f"{a} \\simeq {b}", f"{a} {draw.weighted(ALGEBRA_OPERATORS)} {b}", f"\\mathcal{{{a}}} {draw.weighted(ARROWS)} \\mathcal{{{b}}}", f"a \\equiv b \\pmod{{{draw.number(1)}}}", "a \\mid b", f"\\gcd(a, b) = {draw.digit()}",
            f"\\widetilde{{{a}}} \\rightarrow {b}", f"|{a} : {b}| = {draw.digit()}", f"{a} \\triangleleft {b}", f"\\mathfrak{{{draw.one('pmgaqh')}}} \\subset {a}", f"\\lfloor {draw.variable()} \\rfloor", f"\\lceil {self.make.expression(3)} \\rceil", f"\\mathrm{{{draw.one(('Spec', 'Gal', 'Aut', 'GL', 'id'))}}} {a}",
        ))  # fmt: skip
