r"""Formulas around what textbooks know and collections of real formulas hardly have: `\iint`, `{}_{2}F_{1}`, braces.

Of 265,000 real formulas 35 have a double integral and five an index before its letter. What is put into these
constructs are pieces of the real ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recognizer.synth.layouts import RELATIONS, by_share, one_of
from recognizer.synth.repetition import Material, alike
from recognizer.synth.symbols import CAPITAL_GREEK, DIGITS, LOWER, UPPER
from recognizer.synth.variations import ACCENTS, ARROWS, GREEK_LETTERS
from recognizer.synth.variations import RELATIONS as RELATION_SIGNS

SHORT = 8  # tokens of what stands in a fraction, a brace, an index
MORE = (0.45, 0.35, 0.2)  # how often a formula has one, two and three constructs
JOINTS = ("=", "=", "=", "+", "-", ",", r"\leq", r"\cdot", r"\rightarrow", r"\approx", "")
INTEGRALS = (r"\iint", r"\iint", r"\iint", r"\iiint", r"\iiint", r"\iiiint", r"\oint", r"\int")
ELEMENTS = ("A", "V", "S", r"\mathbf{S}", r"\mathbf{r}", r"\boldsymbol{\ell}")
DOMAINS = (*UPPER, r"\Omega", r"\Sigma", r"\Gamma", r"\partial S", r"\partial \Omega", r"\mathbb{R}^{3}")
SERIES = (r"\sum", r"\prod", r"\bigcup", r"\bigcap", r"\coprod", r"\bigoplus")
LIMITED = (*SERIES, r"\bigotimes", r"\bigvee", r"\bigwedge", r"\bigsqcup", r"\int", r"\oint")
UNDER = (r"\lim", r"\max", r"\min", r"\sup", r"\inf", r"\limsup", r"\liminf", r"\det", r"\gcd")
WIDE = (r"\widehat", r"\widetilde", r"\overline", r"\underline", r"\overrightarrow", r"\overleftarrow")
FENCES = (
    (r"\langle", r"\rangle"), (r"\lfloor", r"\rfloor"), (r"\lceil", r"\rceil"), (r"\|", r"\|"), ("|", "|"),
    ("[", "]"), ("(", ")"), (r"\{", r"\}"), (".", "|"), ("[", ")"), ("(", "]"),
)  # fmt: skip
SCRIPTS_UPON_SCRIPTS = (("_", "^"), ("_", "^"), ("_", "^"), ("^", "^"), ("^", "_"), ("_", "_"))
ALPHABETS = (
    r"\mathbf", r"\mathbf", r"\mathfrak", r"\mathcal", r"\mathbb", r"\mathsf", r"\mathrm", r"\mathscr", r"\mathit",
)  # fmt: skip
ONLY_CAPITALS = frozenset([r"\mathcal", r"\mathbb", r"\mathscr"])
LABELLED = (r"\xrightarrow", r"\xrightarrow", r"\xleftarrow")
COUNTED = (r"\text{times}", r"\text{terms}", r"\text{if}", "n", "k", "m", "N")
BOLD = (*GREEK_LETTERS, *CAPITAL_GREEK, r"\ell", r"\nabla", "x", "u")


def construct(given: Material, rng: np.random.Generator) -> str:
    """LaTeX of one to three constructs in a row. Its label is to be normalised from it."""
    kinds: dict[Callable[[Material, np.random.Generator], str], float] = {
        _integral: 0.11,
        _brace: 0.07,
        _scripts_before: 0.08,
        _scripts_behind: 0.08,
        _stacked: 0.08,
        _bold_greek: 0.08,
        _alphabet: 0.09,
        _accents: 0.09,
        _fenced: 0.08,
        _vector: 0.06,
        _fraction: 0.1,
        _limits: 0.04,
        _signs: 0.04,
    }
    count = 1 + int(rng.choice(len(MORE), p=MORE))
    said = [by_share(kinds, rng)(given, rng) for _ in range(count)]
    if rng.random() < 0.3:
        said.insert(int(rng.integers(len(said) + 1)), _piece(given, rng, most=24))
    text = said[0]
    for part in said[1:]:
        text += f" {one_of(JOINTS, rng)} {part}"
    return text


def _piece(given: Material, rng: np.random.Generator, most: int = SHORT) -> str:
    """A piece of a real formula, with none to two letters changed, or just a letter."""
    for _ in range(8):
        part = one_of(given.parts, rng)
        if len(part) <= most:
            return " ".join(alike(part, rng))
    return _letter(rng)


def _term(given: Material, rng: np.random.Generator) -> str:
    """Something that an index, a sign or a brace is put to: without a relation of its own."""
    piece = _piece(given, rng)
    return piece if RELATIONS.isdisjoint(piece.split()) and rng.random() < 0.6 else _letter(rng)


def _letter(rng: np.random.Generator) -> str:
    return one_of(one_of((LOWER, LOWER, UPPER, GREEK_LETTERS), rng), rng)


def _index(rng: np.random.Generator) -> str:
    letter, digit = one_of(LOWER, rng), one_of(DIGITS, rng)
    return one_of((letter, letter, digit, digit, f"{letter} + 1", one_of(GREEK_LETTERS, rng)), rng)


def _integral(given: Material, rng: np.random.Generator) -> str:
    r"""`\iint_{D} f \, d x d y`: the sign, a domain or limits, and what is integrated over."""
    sign = one_of(INTEGRALS, rng)
    domain = one_of(DOMAINS, rng)
    limits = one_of(("", f"_{{{domain}}}", f"_{{{domain}}}", r"\limits_{" + domain + "}"), rng)
    if sign == r"\int":
        limits = one_of((limits, f"_{{{_index(rng)}}}^{{{_index(rng)}}}", r"_{-\infty}^{\infty}"), rng)
    letters = one_of(("xyzt", "uvwt", "rst", "xyz"), rng)
    count = {r"\iint": 2, r"\iiint": 3, r"\iiiint": 4}.get(sign, 1)
    differential = one_of(("d", "d", r"\mathrm{d}", r"\,d"), rng)
    over = f" {differential} ".join(["", *letters[:count]])
    if rng.random() < 0.35:
        over = f"{differential} {one_of(ELEMENTS, rng)}"
    return f"{sign}{limits} {_term(given, rng)} {over}"


def _brace(given: Material, rng: np.random.Generator) -> str:
    name, sign = one_of(((r"\underbrace", "_"), (r"\overbrace", "^")), rng)
    label = one_of((one_of(COUNTED, rng), _piece(given, rng), f"{_letter(rng)} {one_of(COUNTED, rng)}"), rng)
    braced = f"{name}{{{_piece(given, rng, most=16)}}}"
    return braced if rng.random() < 0.2 else f"{braced}{sign}{{{label}}}"


def _scripts_before(given: Material, rng: np.random.Generator) -> str:
    r"""`{}_{2}F_{1}(a, b)`, `{}^{14}_{6}\mathrm{C}`, `{}^{t}A`."""
    kind, letter = rng.random(), one_of(UPPER, rng)
    if kind < 0.35:
        below, behind = one_of(DIGITS + LOWER, rng), one_of(DIGITS + LOWER, rng)
        called = f"({_term(given, rng)})" if rng.random() < 0.5 else ""
        return f"{{}}_{{{below}}}{letter}_{{{behind}}}{called}"
    if kind < 0.75:
        number = str(rng.integers(1, 250))
        element = rf"\mathrm{{{letter}{one_of((*LOWER, '', ''), rng)}}}" if rng.random() < 0.7 else letter
        below = one_of((f"_{{{rng.integers(-1, 100)}}}", f"_{{{rng.integers(-1, 100)}}}", ""), rng)
        return f"{{}}^{{{number}}}{below}{element}"
    above = one_of(("t", r"\mathrm{T}", "*", "2", "L"), rng)
    bold = rf"\mathbf{{{letter}}}"
    return f"{{}}^{{{above}}}" + one_of((letter, bold, f"{letter}_{{{_index(rng)}}}"), rng)


def _scripts_behind(_: Material, rng: np.random.Generator) -> str:
    r"""Scripts upon scripts, `{k_{2}}^{3/2}`; accented letters, accented indices, `\tilde{q}_{\dot{\alpha}}^{i}`."""
    letter = _letter(rng)
    if rng.random() < 0.5:
        inner, outer = one_of(SCRIPTS_UPON_SCRIPTS, rng)
        return f"{{{letter}{inner}{{{_index(rng)}}}}}{outer}{{{one_of((_index(rng), '2', '-1', '1/m', '3/2'), rng)}}}"
    accent, mark = one_of(ACCENTS, rng), one_of(ACCENTS[:6], rng)
    scripts = one_of(("_", "^"), rng) + f"{{{mark}{{{one_of(GREEK_LETTERS, rng)}}}}}"
    if rng.random() < 0.5:
        scripts += f"{'^' if scripts.startswith('_') else '_'}{{{_index(rng)}}}"
    return f"{accent}{{{letter}}}{scripts}"


def _stacked(given: Material, rng: np.random.Generator) -> str:
    kind, piece = rng.random(), _piece(given, rng)
    if kind < 0.4:
        sign = one_of(("=", "=", r"\rightarrow", r"\sim", r"\leq", r"\approx", r"\longrightarrow"), rng)
        above = one_of((piece, r"\text{def}", r"\mathrm{def}", "!", "?", _letter(rng), r"\sim"), rng)
        return rf"{_term(given, rng)} \stackrel{{{above}}}{{{sign}}} {_term(given, rng)}"
    if kind < 0.7:
        below = f"[{_letter(rng)}]" if rng.random() < 0.3 else ""
        return rf"{_letter(rng)} {one_of(LABELLED, rng)}{below}{{{piece}}} {_letter(rng)}"
    if kind < 0.85:
        name = one_of((r"\underset", r"\overset"), rng)
        return f"{name}{{{_letter(rng)}}}{{{_letter(rng)}}}"
    return rf"\stackrel{{\frown}}{{{one_of(UPPER, rng)} {one_of(UPPER, rng)}}}"


def _bold_greek(given: Material, rng: np.random.Generator) -> str:
    letters = rng.choice(BOLD, size=int(rng.choice((1, 1, 1, 2, 5))))
    bold = rf"\boldsymbol{{{' '.join(letters.tolist())}}}"
    behind = one_of(("", f"_{{{_index(rng)}}}", f"^{{T}} {_letter(rng)}", _term(given, rng)), rng)
    return f"{bold} {behind}"


def _alphabet(_: Material, rng: np.random.Generator) -> str:
    """A run of letters, or of digits, in an alphabet of their own."""
    name, count = one_of(ALPHABETS, rng), int(rng.integers(1, 10))
    among = UPPER if name in ONLY_CAPITALS else one_of((UPPER, LOWER, DIGITS if name == r"\mathbf" else UPPER), rng)
    start = int(rng.integers(len(among)))
    run = (list(among) * 2)[start : start + count] if rng.random() < 0.4 else rng.choice(list(among), count).tolist()
    return f"{name}{{{' '.join(run)}}}"


def _accents(given: Material, rng: np.random.Generator) -> str:
    """One letter under several accents, something wide under one, or accents upon accents."""
    kind = rng.random()
    if kind < 0.4:
        letter = _letter(rng)
        marks = [one_of((*ACCENTS, *WIDE[:3]), rng) for _ in range(int(rng.integers(1, 6)))]
        return " , ".join(f"{mark}{{{letter if rng.random() < 0.8 else _letter(rng)}}}" for mark in marks)
    if kind < 0.75:
        letters = " ".join(one_of(UPPER + LOWER, rng) for _ in range(int(rng.integers(1, 4))))
        return f"{one_of(WIDE, rng)}{{{letters if rng.random() < 0.6 else _term(given, rng)}}}"
    accent, alphabet = one_of(ACCENTS[:6], rng), one_of((r"\mathbf", r"\mathcal"), rng)
    return f"{accent}{{{alphabet}{{{one_of(UPPER, rng)}}}}}"


def _fenced(given: Material, rng: np.random.Generator) -> str:
    r"""Something high between brackets of any kind, `\left\langle \frac{a}{b} \right\rangle^{2}`."""
    left, right = one_of(FENCES, rng)
    behind = one_of(("", "", f"^{{{_index(rng)}}}", f"_{{{_index(rng)}}}", f"_{{{_piece(given, rng)}}}"), rng)
    high = _fraction(given, rng) if rng.random() < 0.8 else _piece(given, rng)
    around = rf"\left{left} {_term(given, rng) if rng.random() < 0.3 else ''} {high} \right{right}{behind}"
    return f"{around} {_letter(rng)}" if rng.random() < 0.3 else around


def _vector(given: Material, rng: np.random.Generator) -> str:
    """Small matrices and vectors, with dots in some of them, and something behind."""
    rows, columns = int(rng.integers(1, 5)), int(rng.choice((1, 1, 2, 3)))
    kind, letter = rng.random(), one_of(LOWER, rng)

    def cell(row: int, column: int) -> str:
        if kind < 0.4:
            return ("-" if rng.random() < 0.2 else "") + str(rng.integers(0, 20 if rng.random() < 0.3 else 6))
        if kind < 0.7:
            return f"{letter}_{{{row + 1}{column + 1 if columns > 1 else ''}}}"
        return _letter(rng) if rng.random() < 0.5 else _piece(given, rng)

    cells = [[cell(row, column) for column in range(columns)] for row in range(rows)]
    if rows > 2 and rng.random() < 0.3:
        cells[-2] = [r"\vdots"] * columns
    if columns > 2 and rng.random() < 0.4:
        for row in cells:
            row[-2] = r"\ddots" if row[-2] == r"\vdots" else r"\cdots"
    left, right = one_of((("[", "]"), ("[", "]"), ("(", ")"), ("(", ")"), ("|", "|"), (r"\{", r"\}")), rng)
    body = r" \\ ".join(" & ".join(row) for row in cells)
    behind = one_of(("", "", "^{T}", "^{-1}", _letter(rng), f"e^{{{_letter(rng)}}}"), rng)
    return rf"\left{left} \begin{{matrix}} {body} \end{{matrix}} \right{right} {behind}"


def _fraction(given: Material, rng: np.random.Generator) -> str:
    """Fractions of sums and of fractions, binomials, roots."""
    top, bottom, kind = _piece(given, rng), _piece(given, rng), rng.random()
    if kind < 0.25:
        high = f"{_limited(rng)} {top}"
        return rf"\frac{{{high}}}{{{bottom}}}" if rng.random() < 0.6 else rf"\frac{{{bottom}}}{{{high}}}"
    if kind < 0.45:
        inner = rf"\frac{{{_letter(rng)}}}{{{_term(given, rng)}}}"
        return one_of((rf"\frac{{{inner}}}{{{bottom}}}", rf"\cfrac{{{top}}}{{{_letter(rng)} + {inner}}}"), rng)
    if kind < 0.6:
        return rf"\binom{{{_term(given, rng)}}}{{{_term(given, rng)}}}"
    if kind < 0.75:
        degree = f"[{one_of(('3', '4', 'n', 'm', 'k', '5'), rng)}]" if rng.random() < 0.6 else ""
        inside = top if rng.random() < 0.5 else rf"\frac{{{top}}}{{{bottom}}}"
        return rf"\sqrt{degree}{{{inside}}}"
    return rf"\frac{{{top}}}{{{bottom}}}"


def _limited(rng: np.random.Generator) -> str:
    letter, sign = one_of(LOWER, rng), one_of(LIMITED, rng)
    below = one_of((letter, f"{letter} = {one_of(DIGITS, rng)}", rf"{letter} \in {one_of(UPPER, rng)}"), rng)
    above = one_of((_index(rng), r"\infty", one_of(UPPER, rng)), rng)
    return f"{sign}_{{{below}}}" + (f"^{{{above}}}" if rng.random() < 0.6 else "")


def _limits(given: Material, rng: np.random.Generator) -> str:
    """Signs and names with something under them, in two lines now and then."""
    below = _piece(given, rng)
    if rng.random() < 0.3:
        return rf"{one_of(SERIES, rng)}_{{\substack{{{below} \\ {_piece(given, rng)}}}}} {_term(given, rng)}"
    if rng.random() < 0.5:
        return f"{_limited(rng)} {_limited(rng)} {_term(given, rng)}"
    return f"{one_of(UNDER, rng)}_{{{below}}} {_term(given, rng)}"


def _signs(_: Material, rng: np.random.Generator) -> str:
    """Arrows, or relations, in a row, or one between two letters, struck out now and then."""
    signs = one_of((ARROWS, RELATION_SIGNS), rng).split()
    count = int(rng.integers(1, 5))
    if rng.random() < 0.5:
        joint = one_of((" , ", " ", r" \quad "), rng)
        return joint.join(one_of(signs, rng) for _ in range(count))
    struck = r"\not " if rng.random() < 0.4 else ""
    sign = one_of((r"\approx", r"\equiv", r"\subset", r"\sim", r"\leq"), rng) if struck else one_of(signs, rng)
    return f"{_letter(rng)} {struck}{sign} {_letter(rng)}"
