"""Random symbols in random layouts: lines, scripts and fractions that mean nothing.

Nobody can guess what comes next in them, so whoever learns from them has to look. And since the symbols are laid out
here, it is known where each one stands.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

import cv2
import numpy as np

from recognizer.synth.glyphs import EM, GlyphBank

DEEPEST = 2  # scripts of scripts, fractions in fractions
SCRIPT_SIZE, FRACTION_SIZE = 0.72, 0.85
AXIS = 0.25  # em: height of a fraction's bar above the baseline
BAR, GAP = 0.05, 0.15  # em: thickness of that bar, and what is free above and below


@dataclass(frozen=True)
class Glyph:
    """One symbol in a layout; x and y are its middle, in pixels."""

    token: str
    ink: np.ndarray  # (h, w) uint8
    y: float
    x: float

    @property
    def top(self) -> float:
        return self.y - self.ink.shape[0] / 2

    @property
    def bottom(self) -> float:
        return self.y + self.ink.shape[0] / 2


@dataclass(frozen=True)
class Strip:
    """A drawn layout: ink (H, W) float32 in 0..1, its label, and its symbols within the picture."""

    ink: np.ndarray
    tokens: tuple[str, ...]
    glyphs: tuple[Glyph, ...]


@dataclass(frozen=True)
class StripPicture:
    """A layout that a sample can load: always the same symbols, and with `rng` other pictures of them."""

    bank: GlyphBank
    structure: Container[str]
    seed: int
    symbols: int

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB, black on white."""
        white = np.rint(255 * (1 - self.strip(rng).ink)).astype(np.uint8)
        return np.repeat(white[:, :, None], 3, axis=2)

    def strip(self, rng: np.random.Generator | None = None) -> Strip:
        layout = np.random.default_rng((self.seed, 0))
        looks = rng or np.random.default_rng((self.seed, 1))
        return draw_strip(self.bank, self.structure, self.symbols, EM, layout, looks)


def draw_strip(
    bank: GlyphBank,
    structure: Container[str],
    symbols: int,
    em: float,
    layout: np.random.Generator,
    looks: np.random.Generator,
) -> Strip:
    """A strip of about so many symbols.

    Args:
        structure: which of `^ _ { } \\frac` the layout may use.
        em: pixels.
        layout: decides which symbols stand where, and so the tokens.
        looks: decides which pictures of them are taken, and all small differences.
    """
    writer = _Writer(bank, structure, em * float(np.exp(looks.normal(0, 0.12))), layout, looks)
    tokens, _ = writer.line(0, 0, 1.0, symbols, 0)
    return _drawn(writer.glyphs, tokens, looks)


class _Writer:
    """Writes symbols one after another; `glyphs` collects them."""

    def __init__(
        self,
        bank: GlyphBank,
        structure: Container[str],
        em: float,
        layout: np.random.Generator,
        looks: np.random.Generator,
    ) -> None:
        self.bank, self.em, self.layout, self.looks = bank, em, layout, looks
        self.hand = bank.hands[int(layout.integers(len(bank.hands)))]
        self.names = sorted(self.hand)
        self.glyphs: list[Glyph] = []
        self.spacing = looks.uniform(0.03, 0.3)  # em, at most
        self.wobble = 0.01 if self.hand is bank.hands[0] else looks.uniform(0, 0.1)
        braces = "{" in structure and "}" in structure
        self.scripts = [script for script in "^_" if script in structure and braces]
        self.fractions = "\\frac" in structure and braces

    def line(self, x: float, y: float, size: float, symbols: int, depth: int) -> tuple[list[str], float]:
        """Symbols from x to the right, on the baseline y; returns their tokens and where they end."""
        tokens: list[str] = []
        while symbols > 0:
            if self.fractions and depth < DEEPEST and symbols > 1 and self.layout.random() < 0.08:
                above = int(self.layout.integers(1, max(2, symbols // 2) + 1))
                below = max(1, min(3, symbols - above))
                part, x = self._fraction(x, y, size, above, below, depth)
                symbols -= above + below
            else:
                part, x = self._symbol(x, y, size)
                symbols -= 1
                if self.scripts and depth < DEEPEST and symbols > 0 and self.layout.random() < 0.25:
                    inner = 1 + int(self.layout.random() < 0.3)
                    script, x = self._script(x, y, size, inner, depth)
                    part, symbols = part + script, symbols - inner
            tokens += part
            x += self.em * size * self.looks.uniform(0.03, 0.05 + self.spacing)
        return tokens, x

    def _symbol(self, x: float, y: float, size: float) -> tuple[list[str], float]:
        token = self.names[int(self.layout.integers(len(self.names)))]
        pictures, box, em = self.hand[token], self.bank.boxes[token], self.em * size
        ink = pictures[int(self.looks.integers(len(pictures)))]
        factor = em / EM * float(np.exp(self.looks.normal(0, self.wobble)))
        height, width = (max(1, round(side * factor)) for side in ink.shape)
        ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
        middle = y + em * ((box.top + box.bottom) / 2 + self.looks.normal(0, self.wobble) / 2)
        self.glyphs.append(Glyph(token, ink, middle, x + width / 2))
        return [token], x + width

    def _script(self, x: float, y: float, size: float, symbols: int, depth: int) -> tuple[list[str], float]:
        script = self.scripts[int(self.layout.integers(len(self.scripts)))]
        shift = -0.42 if script == "^" else 0.22
        tokens, x = self.line(x, y + shift * self.em * size, size * SCRIPT_SIZE, symbols, depth + 1)
        return [script, "{", *tokens, "}"], x

    def _fraction(self, x: float, y: float, size: float, above: int, below: int, depth: int) -> tuple[list[str], float]:
        axis, gap, first = y - AXIS * self.em * size, GAP * self.em * size, len(self.glyphs)
        upper, upper_end = self.line(x, 0, size * FRACTION_SIZE, above, depth + 1)
        second = len(self.glyphs)
        lower, lower_end = self.line(x, 0, size * FRACTION_SIZE, below, depth + 1)
        width = max(upper_end, lower_end) - x
        up = axis - gap - max(glyph.bottom for glyph in self.glyphs[first:second])
        down = axis + gap - min(glyph.top for glyph in self.glyphs[second:])
        self._move(first, second, up, (width - (upper_end - x)) / 2)
        self._move(second, len(self.glyphs), down, (width - (lower_end - x)) / 2)
        bar = np.full((max(1, round(BAR * self.em)), max(2, round(width))), 255, np.uint8)
        self.glyphs.append(Glyph("\\frac", bar, axis, x + width / 2))
        return ["\\frac", "{", *upper, "}", "{", *lower, "}"], x + width

    def _move(self, start: int, end: int, down: float, right: float) -> None:
        self.glyphs[start:end] = [
            replace(glyph, y=glyph.y + down, x=glyph.x + right) for glyph in self.glyphs[start:end]
        ]


def _drawn(glyphs: list[Glyph], tokens: list[str], looks: np.random.Generator) -> Strip:
    """The glyphs on one picture that just holds them, a little blurred or noisy at times."""
    margin = 4 + int(looks.integers(4))
    top = min(glyph.top for glyph in glyphs) - margin
    height = round(max(glyph.bottom for glyph in glyphs) - top) + margin
    width = round(max(glyph.x + glyph.ink.shape[1] / 2 for glyph in glyphs)) + 2 * margin
    ink = np.zeros((height, width), np.uint8)
    placed = []
    for glyph in glyphs:
        moved = replace(glyph, y=glyph.y - top, x=glyph.x + margin)
        row, column = max(0, round(moved.top)), max(0, round(moved.x - moved.ink.shape[1] / 2))
        target = ink[row : row + moved.ink.shape[0], column : column + moved.ink.shape[1]]
        np.maximum(target, moved.ink[: target.shape[0], : target.shape[1]], out=target)
        placed.append(moved)
    values: np.ndarray = ink.astype(np.float32) / 255
    if looks.random() < 0.3:
        values = cv2.GaussianBlur(values, (3, 3), looks.uniform(0.3, 0.8))
    if looks.random() < 0.3:
        noise = looks.normal(0, looks.uniform(0, 0.06), values.shape)
        values = np.clip(values + noise, 0, 1).astype(np.float32)
    return Strip(values, tuple(tokens), tuple(placed))
