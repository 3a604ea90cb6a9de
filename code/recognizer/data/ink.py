"""Draws pen strokes (CROHME's `[[x, y], ...]`) as a picture, the way a pen on paper would have left them.

Strokes come on grids of very different resolution, so the drawing is scaled by the strokes themselves: the median
stroke gets a given number of pixels. With a random generator each drawing differs, in ways that people's writing
differs: slant, tilt, proportions, the place of single strokes, a smooth warp, pen width, pressure and ink colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Strokes = Sequence[np.ndarray]  # of (N, 2) float32, x to the right and y down

SUPERSAMPLE = 2  # drawn this much larger and averaged down: smooth edges at any pen width
SHIFT = 4  # fractional bits of cv2's coordinates
MAX_SIDE = 3000  # pixels; a longer drawing is scaled down


@dataclass(frozen=True)
class InkStyle:
    """How strokes are drawn. Lengths without a unit are shares of `symbol`, the median stroke's size in pixels."""

    symbol: float = 44.0  # pixels
    pen: float = 0.075
    pressure: float = 0.0  # how much the pen's width varies along a stroke, 0 to 1
    colour: tuple[int, int, int] = (0, 0, 0)
    paper: tuple[int, int, int] = (255, 255, 255)
    margins: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)  # left, top, right, bottom
    slant: float = 0.0  # shear, dx / dy
    tilt: float = 0.0  # radians
    stretch: float = 1.0  # width / height, relative to what was written
    jitter: float = 0.0  # standard deviation of a stroke's displacement
    warp: float = 0.0  # amplitude of the smooth warp


@dataclass(frozen=True)
class InkPicture:
    """Pen strokes as a picture that a sample can load."""

    strokes: tuple[np.ndarray, ...]
    symbols: tuple[tuple[str, tuple[int, ...]], ...] = ()  # LaTeX of single symbols, and which strokes they are

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB; without `rng` always the same."""
        return draw(self.strokes, rng)


def draw(strokes: Strokes, rng: np.random.Generator | None = None) -> np.ndarray:
    """Draw strokes as (H, W, 3) uint8 RGB: plain black on white, or in a random style and hand."""
    style = InkStyle() if rng is None else random_style(rng)
    return draw_in_style(strokes, style, rng or np.random.default_rng(0))


def random_style(rng: np.random.Generator) -> InkStyle:
    """Choose a hand and a pen."""
    left, top, right, bottom = rng.uniform(0.15, 1.2, size=4)
    return InkStyle(
        symbol=float(np.exp(rng.uniform(np.log(22), np.log(56)))),
        pen=float(np.exp(rng.uniform(np.log(0.045), np.log(0.14)))),
        pressure=float(rng.choice([0.0, rng.uniform(0.1, 0.5)])),
        colour=_random_ink(rng),
        paper=_random_paper(rng),
        margins=(left, top, right, bottom),
        slant=float(np.clip(rng.normal(0, 0.12), -0.35, 0.35)),
        tilt=float(np.clip(rng.normal(0, 0.025), -0.08, 0.08)),
        stretch=float(np.exp(np.clip(rng.normal(0, 0.12), -0.3, 0.3))),
        jitter=float(rng.uniform(0, 0.035)),
        warp=float(rng.uniform(0, 0.07)),
    )


def _random_ink(rng: np.random.Generator) -> tuple[int, int, int]:
    """Mostly black or pencil grey, else blue, red or green."""
    kind = rng.choice(["dark", "grey", "blue", "red", "green"], p=[0.45, 0.15, 0.28, 0.06, 0.06])
    low, high = {
        "dark": ((0, 0, 0), (50, 50, 60)),
        "grey": ((60, 60, 60), (125, 125, 130)),
        "blue": ((0, 20, 110), (60, 90, 220)),
        "red": ((150, 0, 0), (220, 60, 60)),
        "green": ((0, 80, 20), (60, 140, 80)),
    }[str(kind)]
    red, green, blue = (int(value) for value in rng.integers(low, np.asarray(high) + 1))
    return red, green, blue


def _random_paper(rng: np.random.Generator) -> tuple[int, int, int]:
    white = rng.integers(225, 256)
    red, green, blue = (int(value) for value in np.clip(white + rng.integers(-8, 9, size=3), 0, 255))
    return red, green, blue


def draw_in_style(strokes: Strokes, style: InkStyle, rng: np.random.Generator) -> np.ndarray:
    """Draw strokes as (H, W, 3) uint8 RGB; `rng` decides jitter, warp and pressure, where the style has them."""
    scale = style.symbol / _symbol_size(strokes)
    moved = _change_hand([stroke * np.float32(scale) for stroke in strokes], style, rng)
    points, (height, width), shrink = _onto_canvas(moved, style)
    pen = max(style.pen * style.symbol, 1.2) * shrink
    ink = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE), dtype=np.uint8)
    for stroke in points:
        _draw_stroke(ink, stroke * SUPERSAMPLE, pen * SUPERSAMPLE, style.pressure, rng)
    density = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.LUT(cv2.merge([density, density, density]), _colour_ramp(style))


def _colour_ramp(style: InkStyle) -> np.ndarray:
    """Return (1, 256, 3) uint8: the colour for each density of ink, from paper to pen."""
    share = np.linspace(0, 1, 256)[:, None]
    colours = share * np.asarray(style.colour) + (1 - share) * np.asarray(style.paper)
    return np.rint(colours).astype(np.uint8)[None]


def _symbol_size(strokes: Strokes) -> float:
    """Size of the median stroke on the strokes' own grid: its box's longer side, dots left out."""
    boxes = np.array([np.ptp(stroke, axis=0) for stroke in strokes])  # (strokes, 2)
    sizes = boxes.max(axis=1)
    extent = max(float(np.ptp(np.concatenate(list(strokes)), axis=0).max()), 1e-3)
    drawn = sizes[sizes > 0.01 * extent]
    return float(np.median(drawn)) if len(drawn) else 10 * extent  # only dots: a tenth of a symbol apart


def _change_hand(strokes: list[np.ndarray], style: InkStyle, rng: np.random.Generator) -> list[np.ndarray]:
    cos, sin = np.cos(style.tilt), np.sin(style.tilt)
    shear = np.array([[1, -style.slant], [0, 1]])
    stretch = np.diag([style.stretch**0.5, style.stretch**-0.5])
    matrix = (np.array([[cos, -sin], [sin, cos]]) @ shear @ stretch).astype(np.float32)
    moved = [stroke @ matrix.T for stroke in strokes]
    if style.jitter:
        moved = [_jitter(stroke, style, rng) for stroke in moved]
    if style.warp:
        moved = _warp(moved, style, rng)
    return moved


def _jitter(stroke: np.ndarray, style: InkStyle, rng: np.random.Generator) -> np.ndarray:
    """Move, turn and scale one stroke a little about its middle; a long one (a bar, a radical) less."""
    size = max(float(np.ptp(stroke, axis=0).max()), 1e-3)
    ease = min(1.0, 1.5 * style.symbol / size)
    angle, growth = rng.normal(0, style.jitter * ease, size=2)
    offset = rng.normal(0, style.jitter * style.symbol, size=2)
    cos, sin = np.cos(angle) * (1 + growth), np.sin(angle) * (1 + growth)
    middle = (stroke.min(axis=0) + stroke.max(axis=0)) / 2
    turned = (stroke - middle) @ np.array([[cos, sin], [-sin, cos]], dtype=np.float32)
    return np.asarray(turned + middle + offset.astype(np.float32), dtype=np.float32)


def _warp(strokes: list[np.ndarray], style: InkStyle, rng: np.random.Generator) -> list[np.ndarray]:
    """Displace points by a few long sine waves, the same field for all strokes, so that what touches still does."""
    waves = 3
    lengths = style.symbol * rng.uniform(2.0, 7.0, size=(waves, 1))
    angles = rng.uniform(0, 2 * np.pi, size=(waves, 1))
    vectors = 2 * np.pi / lengths * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)  # (waves, 2)
    phases = rng.uniform(0, 2 * np.pi, size=waves)
    amplitudes = style.warp * style.symbol * rng.normal(0, 1, size=(waves, 2)) / np.sqrt(waves)
    return [(stroke + np.sin(stroke @ vectors.T + phases) @ amplitudes).astype(np.float32) for stroke in strokes]


def _onto_canvas(strokes: list[np.ndarray], style: InkStyle) -> tuple[list[np.ndarray], tuple[int, int], float]:
    """Shift strokes so that the margins are left free; returns them, (height, width) and the scale applied."""
    points = np.concatenate(strokes)
    left, top, right, bottom = (margin * style.symbol for margin in style.margins)
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low + np.array([left + right, top + bottom])
    shrink = min(1.0, MAX_SIDE / float(size.max()))
    offset = np.array([left, top], dtype=np.float32) - low
    width, height = (max(4, int(np.ceil(side * shrink))) for side in size)
    return [(stroke + offset) * np.float32(shrink) for stroke in strokes], (height, width), shrink


def _draw_stroke(ink: np.ndarray, stroke: np.ndarray, pen: float, pressure: float, rng: np.random.Generator) -> None:
    if len(stroke) == 1:  # a dot
        radius = max(1, round(pen * 0.7))
        x, y = _fixed_point(stroke)[0]
        cv2.circle(ink, (int(x), int(y)), radius << SHIFT, 255, cv2.FILLED, cv2.LINE_AA, SHIFT)
        return
    for run, width in _runs_of_one_width(stroke, pen, pressure, rng):
        cv2.polylines(ink, [_fixed_point(run)], False, 255, width, cv2.LINE_AA, SHIFT)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def _runs_of_one_width(
    stroke: np.ndarray, pen: float, pressure: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, int]]:
    """Cut a stroke where its pen width, a smooth random curve along its length, rounds to another integer."""
    if not pressure:
        return [(stroke, max(1, round(pen)))]
    steps = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)]) / (12 * pen)
    wave = np.sin(along * rng.uniform(0.3, 1.2) + rng.uniform(0, 2 * np.pi))
    widths = np.maximum(1, np.rint(pen * (1 + pressure * wave))).astype(int)
    cuts = np.flatnonzero(np.diff(widths[:-1])) + 1  # a segment has the width of its first point
    starts, ends = [0, *cuts], [*cuts, len(stroke) - 1]
    return [(stroke[start : end + 1], int(widths[start])) for start, end in zip(starts, ends, strict=True)]
