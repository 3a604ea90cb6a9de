"""Symbol tables of the formula generator, and the seeded drawing of single symbols.

The tables say how often a symbol comes up. Real formulas are very uneven (a `\\sum` in every tenth, a `\\upsilon` in
none), and a recognizer can't read what it has never seen: so each draw mixes the natural weights with a flat share.

Relations are spelt `\\lt` and `\\gt`, since `<` and `>` mark placeholders in templates.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate

import numpy as np

# The share of draws that ignore the natural weights: it lifts the rarest symbol of a table of 30 to about 0.5 %.
FLAT_SHARE = 0.15


def _weights(table: str) -> Mapping[str, float]:
    r"""`\alpha 10 \beta 9` -> weights by symbol."""
    words = table.split()
    return dict(zip(words[::2], map(float, words[1::2]), strict=True))


def _names(row: str) -> tuple[str, ...]:
    return tuple(row.split())


def _rows(table: str) -> Sequence[tuple[str, ...]]:
    return [_names(row) for row in table.split(";")]


DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Letters that stand together in one text: unknowns, coefficients, indices.
THEMES = _rows(
    r"""
    x y z; x a b; a b c; x t s; u v w; p q r; m n k; x y t; r \theta \phi; \alpha \beta \gamma; z w c; x
    \lambda \mu; i j n; f g h; A B C; X Y Z; P Q R; d e l; o s x; V I R; E m v; S T U; G H K; F M N; L J D;
    \omega t W; \sigma \rho O
    """
)

GREEK = _weights(
    r"""
    \alpha 10 \beta 9 \gamma 6 \delta 6 \epsilon 4 \varepsilon 3 \zeta 2 \eta 3 \theta 10 \iota 0.5 \kappa 2
    \lambda 9 \mu 8 \nu 3 \xi 3 \pi 8 \rho 5 \varrho 0.5 \sigma 7 \tau 4 \upsilon 0.5 \phi 5 \varphi 4 \chi 2
    \psi 4 \omega 6
    """
)
CAPITAL_GREEK = _weights(r"\Gamma 5 \Delta 8 \Theta 2 \Lambda 4 \Xi 1 \Pi 2 \Sigma 5 \Phi 5 \Psi 4 \Omega 6")
SCHOOL_RELATIONS = _weights(
    r"""
    = 60 \lt 8 \gt 8 \leq 7 \geq 7 \neq 6 \approx 4 \fallingdotseq 1 \doteq 1 \leqq 2 \geqq 2
    """
)
RELATIONS = _weights(
    r"""
    = 50 \lt 6 \gt 6 \leq 6 \geq 6 \neq 4 \approx 4 \equiv 4 \sim 3 \cong 2 \simeq 2 \propto 2 \ll 1 \gg 1
    """
)
SCHOOL_OPERATORS = _weights(r"+ 10 - 10 \times 8 \div 5 \pm 1 \cdot 2")
OPERATORS = _weights(r"+ 20 - 20 \cdot 6 \times 3 \pm 3 \mp 1.5 \circ 1 * 1 / 2")
ALGEBRA_OPERATORS = _weights(r"\oplus 5 \otimes 6 \times 4 \circ 4 \odot 1.5 \ominus 1 * 2 \wedge 3 \vee 2")
SET_OPERATORS = _weights(r"\cup 8 \cap 8 \setminus 3 \times 3 \triangle 1")
SET_RELATIONS = _weights(
    r"""
    \subset 6 \subseteq 5 \supset 3 \supseteq 2 \subsetneq 1.5 \supsetneq 1.5 \nsubseteq 1 = 6 \neq 2
    """
)
MEMBERSHIP = _weights(r"\in 10 \notin 3 \ni 1.5")
LOGIC = _weights(r"\wedge 6 \vee 6 \Rightarrow 6 \Leftrightarrow 4 \rightarrow 4 \leftrightarrow 2")
ARROWS = _weights(
    r"""
    \rightarrow 10 \leftarrow 3 \Rightarrow 5 \Leftrightarrow 3 \leftrightarrow 3 \mapsto 4 \rightleftarrows 1
    \rightharpoonup 1 \uparrow 2 \downarrow 2 \searrow 1 \nearrow 1
    """
)
TRIG = _weights(r"\sin 12 \cos 12 \tan 7 \cot 2 \sec 2 \csc 2")
FUNCTIONS = _weights(
    r"""
    \sin 9 \cos 9 \tan 5 \log 6 \ln 7 \exp 4 \cot 1.5 \sec 1.5 \csc 1.5 \sinh 2 \cosh 2 \tanh 2 \coth 1
    \arcsin 1 \arccos 1 \arctan 1.5
    """
)
ACCENTS = _weights(r"\hat 6 \bar 6 \tilde 4 \vec 6 \dot 4 \ddot 2 \overline 4 \widehat 2 \widetilde 2")
DOTS = _weights(r"\cdots 8 \ldots 5")
ALPHABETS = _weights(r"\mathbf 6 \mathcal 5 \mathbb 3 \mathrm 2 \mathfrak 1")
NUMBER_SETS = _weights(r"\mathbb{R} 12 \mathbb{N} 6 \mathbb{Z} 7 \mathbb{Q} 4 \mathbb{C} 6 R 4 N 3 Z 3")

# Symbols that hardly any template uses but that vocabularies have.
RARE = _names(
    r"""
    \backslash \ominus \odot \frown \smile \bullet \star \prec \succ \preceq \succeq \asymp \uplus \leqslant
    \geqslant \ll \gg \lesssim \gtrsim \Longrightarrow \longrightarrow \Longleftrightarrow \leftarrow \Leftarrow
    \rightharpoonup \rightleftharpoons \searrow \dagger \lor \land \nmid \parallel \perp \supsetneq \subsetneq
    \nsubseteq \sec \csch \sech \cosec \coth \varsigma \vartheta \ddots \vdots \Re \Im \ell \top \square ! ? ;
    \& \# \aleph \iota \Xi \models \notin \supset \supseteq \uparrow \downarrow \nearrow \triangle
    \fallingdotseq \doteq \leqq \geqq \because \angle \upsilon \varrho \rightleftarrows
    """
)


@cache
def _cumulated(items: tuple[tuple[str, float], ...]) -> tuple[tuple[str, ...], list[float]]:
    total = sum(weight for _, weight in items)
    mixed = [(1 - FLAT_SHARE) * weight / total + FLAT_SHARE / len(items) for _, weight in items]
    return tuple(name for name, _ in items), list(accumulate(mixed))


class Draw:
    """Draws symbols and numbers for one formula, with letters that belong together.

    Args:
        rng: the only source of chance.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.theme = THEMES[int(rng.integers(len(THEMES)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def one(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def weighted(self, table: Mapping[str, float]) -> str:
        names, cumulated = _cumulated(tuple(table.items()))
        return names[min(bisect(cumulated, self.rng.random()), len(names) - 1)]

    def number(self, digits: int = 3) -> str:
        """A whole number of at most `digits` digits, short ones more often."""
        length = min(int(self.rng.geometric(0.6)), digits)
        first = "0" if length == 1 and self.chance(0.05) else self.one(DIGITS[1:])
        return first + "".join(self.one(DIGITS) for _ in range(length - 1))

    def decimal(self) -> str:
        return f"{self.number(2)}.{''.join(self.one(DIGITS) for _ in range(self.integer(1, 2)))}"

    def letter(self) -> str:
        return self.one(LOWER if self.chance(0.65) else UPPER)

    def greek(self) -> str:
        return self.weighted(GREEK if self.chance(0.8) else CAPITAL_GREEK)

    def variable(self) -> str:
        """Mostly a letter of this formula's theme, sometimes any other."""
        share = self.rng.random()
        if share < 0.76:
            return self.theme[min(int(self.rng.geometric(0.5)) - 1, 2)]
        return self.letter() if share < 0.93 else self.greek()

    def index(self) -> str:
        return self.one(("i", "j", "k", "n", "m", "1", "2", "0", "3")) if self.chance(0.9) else self.letter()
