r"""Formulas set in lines, cases and tables: what manuals are full of, and collections of single formulas hardly have.

The lines are formulas of such a collection, so each reads as a real one; only how they stand together is made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from recognizer.synth.symbols import LOWER

_NAMES = r"= < > \leq \geq \neq \in \subset \subseteq \sim \simeq \cong \equiv \approx \to \rightarrow \mapsto"
RELATIONS = frozenset(_NAMES.split())
_OPENS, _CLOSES = re.compile(r"\\left(?![a-zA-Z])"), re.compile(r"\\right(?![a-zA-Z])")
_LAYOUT = frozenset(["&", "\\\\", "\\quad", "\\qquad"])
_ARGUMENT = ("[", "*")  # a line break takes them for its own, and may then never end
CONDITIONS = ("if", "for", "when", "otherwise", "else", "and")
FENCES = (("(", ")"), ("[", "]"), ("|", "|"), ("\\{", "\\}"))
MOST_LINES, MOST_CELLS = 6, 5
SHORT, LONGEST_LINE = 6, 40  # tokens of a table's cell and of a line, at most


class Pool(NamedTuple):
    """Formulas of one line, by what they are used for."""

    lines: Sequence[Sequence[str]]
    cells: Sequence[Sequence[str]]


Thing = TypeVar("Thing")
Maker = Callable[[Pool, np.random.Generator], str]


def pool(formulas: Sequence[Sequence[str]]) -> Pool:
    """Those of the formulas that can be a line or a cell."""
    plain = [tokens for tokens in formulas if len(tokens) <= LONGEST_LINE and not _has_layout(tokens)]
    return Pool(plain, [tokens for tokens in plain if len(tokens) <= SHORT])


def layout(pool: Pool, rng: np.random.Generator) -> str:
    """LaTeX of several formulas of the pool as one. Its label is to be normalised from it."""
    makers: dict[Maker, float] = {_aligned: 0.3, _columns: 0.3, _cases: 0.2, _table: 0.2}
    return by_share(makers, rng)(pool, rng)


def _aligned(pool: Pool, rng: np.random.Generator) -> str:
    """Lines one below the other, at their first relation or centred."""
    name = ("aligned", "gathered")[int(rng.random() < 0.25)]
    mark = "& " if name == "aligned" else ""
    lines = [f"{left} {mark}{sign} {right}" for left, sign, right in map(_at_relation, _lines(pool, rng))]
    return _environment(name, lines)


def _columns(pool: Pool, rng: np.random.Generator) -> str:
    """Left side, relation and right side in columns of their own, as `eqnarray` sets them."""
    style = r"\displaystyle" if rng.random() < 0.8 else ""
    parts = map(_at_relation, _lines(pool, rng))
    return _environment("array", [f"{style} {left} & {sign} & {style} {right}" for left, sign, right in parts], "{rcl}")


def _cases(pool: Pool, rng: np.random.Generator) -> str:
    rows = []
    for value in _lines(pool, rng, most=4):
        word = CONDITIONS[int(rng.integers(len(CONDITIONS)))]
        condition = " ".join(one_of(pool.lines, rng)) if word not in ("otherwise", "else") else ""
        said = rf"\text{{{word}}}\ {condition}" if rng.random() < 0.6 else condition
        comma = "," if rng.random() < 0.4 else ""
        rows.append(f"{' '.join(value)} {comma} & {said}" if rng.random() < 0.9 else " ".join(value))
    before = f"{' '.join(one_of(pool.cells, rng))} = " if rng.random() < 0.8 else ""
    return before + _environment("cases", rows)


def _table(pool: Pool, rng: np.random.Generator) -> str:
    rows, columns = (int(rng.integers(1, MOST_CELLS)) for _ in range(2))
    left, right = FENCES[int(rng.choice(len(FENCES), p=(0.45, 0.4, 0.1, 0.05)))]
    lines = [" & ".join(_cell(pool, rng) for _ in range(columns)) for _ in range(max(rows, 3 - columns))]
    before = f"{' '.join(one_of(pool.cells, rng))} = " if rng.random() < 0.5 else ""
    return rf"{before}\left{left} {_environment('matrix', lines)} \right{right}"


def _cell(pool: Pool, rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.35:
        return str(rng.integers(0, 10))
    if kind < 0.65:
        return f"{rng.choice(list(LOWER))} _ {{ {rng.integers(1, 5)} {rng.integers(1, 5)} }}"
    return " ".join(one_of(pool.cells, rng))


def _lines(pool: Pool, rng: np.random.Generator, most: int = MOST_LINES) -> list[Sequence[str]]:
    return [one_of(pool.lines, rng) for _ in range(int(rng.integers(2, most)))]


def one_of(among: Sequence[Thing], rng: np.random.Generator) -> Thing:
    return among[int(rng.integers(len(among)))]


def by_share(shares: Mapping[Thing, float], rng: np.random.Generator) -> Thing:
    """One of the things, each as often as its share (of 1) says."""
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def _at_relation(tokens: Sequence[str]) -> tuple[str, str, str]:
    """Left side, relation, right side; a formula without a relation outside its groups goes to the right whole."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += bool(token == "{" or _OPENS.match(token)) - bool(token == "}" or _CLOSES.match(token))
        if depth == 0 and token in RELATIONS:
            start = place - (place > 0 and tokens[place - 1] == r"\not")  # which strikes this relation out
            return " ".join(tokens[:start]), " ".join(tokens[start : place + 1]), " ".join(tokens[place + 1 :])
    return "", "", " ".join(tokens)


def _environment(name: str, lines: Sequence[str], columns: str = "") -> str:
    rows = (rf"\relax {line}" if line.lstrip().startswith(_ARGUMENT) else line for line in lines)
    return rf"\begin{{{name}}}{columns} " + r" \\ ".join(rows) + rf" \end{{{name}}}"


def _has_layout(tokens: Sequence[str]) -> bool:
    return any(token in _LAYOUT or token.startswith("\\begin") for token in tokens)
