r"""Formulas that say nearly the same several times, and long names: where a reader loses its place.

`P(a)/P(b) = \sum P(a) / \sum P(b)`, six rows of a matrix that differ in a digit, 0.0031308, `compressionBufferSize`:
what was just read looks like what comes next. Collections of real formulas have few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recognizer.synth.layouts import by_share, one_of, pool
from recognizer.synth.symbols import DIGITS, GREEK, LOWER, UPPER
from recognizer.synth.variations import CLASSES, number, other, words_of

PART = 3, 24  # tokens of what is said again, at least and at most
JOINTS = ("=", "=", "+", "-", "+", ",", r"\leq", r"\cdot", r"\rightarrow", r"\ ", "/", "<")
BEFORE = ("", "", "", r"\log", r"\exp", r"\max", "f", "2")
FENCES = (("", ""), ("(", ")"), (r"\left(", r"\right)"), (r"\left[", r"\right]"), (r"\left|", r"\right|"))
# Of programs and their manuals; the words of the collection are added.
NAMES = """argmin argmax diag minimize maximize rank trace sign size value source dest index buffer length count
    width height left right first last next order kernel scale offset step time rate max min norm avg sum total err"""
STYLES = ("", "", r"\mathrm", r"\mathrm", r"\mathit", r"\mathbf", r"\texttt", r"\text")
ACCENTS = (r"\dot", r"\dot", r"\tilde", r"\bar", r"\hat")


@dataclass(frozen=True)
class Material:
    """What is said again, and the words that names are made of."""

    parts: Sequence[Sequence[str]]
    words: Sequence[str]


def material(formulas: Sequence[Sequence[str]]) -> Material:
    """Those of the formulas that can be a part of another one, and their words beside NAMES."""
    parts = [tokens for tokens in pool(formulas).lines if PART[0] <= len(tokens) <= PART[1]]
    return Material(parts, [*NAMES.split(), *words_of(formulas)])


def repetitive(given: Material, rng: np.random.Generator) -> str:
    """LaTeX of a formula of which the parts are alike. Its label is to be normalised from it."""
    kinds: dict[Callable[[Material, np.random.Generator], str], float] = {
        _chain: 0.24,
        _ratio: 0.16,
        _rows: 0.2,
        _numbers: 0.12,
        _names: 0.14,
        _indices: 0.14,
    }
    return by_share(kinds, rng)(given, rng)


def alike(tokens: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The same again, with none, one or two of its letters and digits changed."""
    changed = list(tokens)
    places = [place for place, token in enumerate(tokens) if any(token in each for each in CLASSES)]
    for place in rng.permutation(places)[: int(rng.integers(0, 3))].astype(int).tolist():
        changed[place] = other(changed[place], rng)
    return changed


def _chain(given: Material, rng: np.random.Generator) -> str:
    """A = A' = A'', each perhaps in brackets."""
    part, joint = one_of(given.parts, rng), one_of(JOINTS, rng)
    said = [_fenced(alike(part, rng), rng) for _ in range(int(rng.integers(2, 4)))]
    return f" {joint} ".join(said)


def _ratio(given: Material, rng: np.random.Generator) -> str:
    r"""`A = \log(A' / A'')`, each with something before it."""
    part = one_of(given.parts, rng)

    def side() -> str:
        return f"{one_of(BEFORE, rng)} {_fenced(alike(part, rng), rng)}"

    left, right = one_of(FENCES, rng)
    fraction = rf"{one_of(BEFORE, rng)} {left} \frac {{ {side()} }} {{ {side()} }} {right}"
    return fraction if rng.random() < 0.4 else f"{side()} = {fraction}"


def _rows(given: Material, rng: np.random.Generator) -> str:
    """Rows that differ in little: `V_1 & = & 2 A` and `V_2 & = & 3 A'`, or cells of a matrix."""
    part = list(one_of(given.parts, rng))
    if rng.random() < 0.4:
        part = [*number(rng), *part]
    terms = int(rng.integers(1, 4)) if len(part) < 8 else 1
    sign = one_of(("+", "-", r"\ "), rng)
    said = [f" {sign} ".join(" ".join(alike(part, rng)) for _ in range(terms)) for _ in range(int(rng.integers(2, 5)))]
    if rng.random() < 0.3:
        return rf"\left( \begin{{matrix}} {' & '.join(said[:2])} \\ {' & '.join(said[-2:])} \end{{matrix}} \right)"
    letter, equal = one_of(LOWER + UPPER, rng), one_of(("& = &", "= &", "& ="), rng)
    lines = [f"{letter} _ {{ {row} }} {equal} {text}" for row, text in enumerate(said, start=1)]
    columns = "{rcl}" if equal == "& = &" else "{rl}"
    return rf"\begin{{array}}{columns} " + r" \\ ".join(lines) + r" \end{array}"


def _numbers(_: Material, rng: np.random.Generator) -> str:
    """Long numbers in a row, with digits that come twice: `0.2999 R + 1.0055 G`."""
    letters = rng.permutation(list(UPPER))[: int(rng.integers(1, 5))].tolist()
    behind = letters if rng.random() < 0.6 else [""] * len(letters)
    joint = one_of(("+", "-", ",", r"\ ", "&", "<"), rng)
    said = f" {joint} ".join(f"{_long_number(rng)} {letter}" for letter in behind)
    if joint == "&":
        rows = " \\\\ ".join([said, " & ".join(f"{_long_number(rng)} {letter}" for letter in behind)])
        return rf"\left[ \begin{{matrix}} {rows} \end{{matrix}} \right]"
    return said if rng.random() < 0.5 else f"{one_of(LOWER + UPPER, rng)} = {said}"


def _long_number(rng: np.random.Generator) -> str:
    digits = rng.choice(list(DIGITS), size=int(rng.integers(2, 9))).tolist()
    for place in range(1, len(digits)):
        if rng.random() < 0.3:
            digits[place] = digits[place - 1]
    if rng.random() < 0.7:
        digits.insert(int(rng.integers(1, min(len(digits), 4))), ".")
    return " ".join(digits)


def _names(given: Material, rng: np.random.Generator) -> str:
    r"""`dist(bs\_pos(i), ms\_pos)`, `\mathrm{argmin}`: names of programs, in an equation or a call."""
    left, right, other = (_name(given.words, rng) for _ in range(3))
    letter = one_of(LOWER, rng)
    kind = rng.random()
    if kind < 0.25:
        return left
    if kind < 0.45:
        return f"{left} = {right} ( {letter} )"
    if kind < 0.65:
        return f"{left} ( {letter} ) = {right} ( {other} ( {letter} ) )"
    if kind < 0.8:
        return f"{left} ( {' '.join(one_of(given.parts, rng))} )"
    if kind < 0.9:
        return f"{letter} _ {{ {left} }} = {right} _ {{ {letter} , {other} }}"
    return rf"\frac {{ {left} - {right} }} {{ {other} - {right} }}"


def _name(words: Sequence[str], rng: np.random.Generator) -> str:
    """One to three words as one name, in any style."""
    style, spelt = one_of(STYLES, rng), [one_of(words, rng) for _ in range(int(rng.choice(3, p=(0.5, 0.35, 0.15))) + 1)]
    joint = rng.random()
    if joint < 0.5:
        spelt = [spelt[0], *(word.capitalize() for word in spelt[1:])]
        text = " ".join("".join(spelt))
    else:
        text = (r" \_ " if joint < 0.8 else " ").join(" ".join(word) for word in spelt)
    if style in (r"\texttt", r"\text"):
        return rf"{style}{{{text.replace(' ', '')}}}"
    return f"{style} {{ {text} }}" if style else text


def _indices(_: Material, rng: np.random.Generator) -> str:
    r"""Tensors with many indices, some of them dotted: `\tilde{Q}_{\dot{\alpha}}^{i} v^{\alpha\dot{\alpha}}`."""
    letters = rng.permutation(list(GREEK) if rng.random() < 0.6 else list(LOWER))[:3].tolist()
    accent = one_of(ACCENTS, rng)

    def index() -> str:
        letter = one_of(letters, rng)
        return f"{accent} {{ {letter} }}" if rng.random() < 0.45 else letter

    def tensor() -> str:
        name = one_of([*LOWER, *UPPER, *GREEK], rng)
        name = f"{one_of(ACCENTS, rng)} {{ {name} }}" if rng.random() < 0.35 else name
        below, above = (
            " ".join(index() for _ in range(int(rng.choice(4, p=(0.25, 0.35, 0.3, 0.1))))) for _ in range(2)
        )
        return name + (f" _ {{ {below} }}" if below else "") + (f" ^ {{ {above} }}" if above else "")

    said = [tensor() for _ in range(int(rng.integers(1, 6)))]
    joints = ["", *(one_of(("", "", "=", "+", "-", ","), rng) for _ in said[1:])]
    return " ".join(f"{joint} {text}" for joint, text in zip(joints, said, strict=True))


def _fenced(tokens: Sequence[str], rng: np.random.Generator) -> str:
    left, right = one_of(FENCES, rng)
    return f"{left} {' '.join(tokens)} {right}"
