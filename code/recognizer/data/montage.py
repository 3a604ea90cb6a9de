r"""Formulas that stand in pictures of their own, drawn together into one.

Pictures are reduced to their ink by the server's own preprocessing, so that neither paper nor shadow nor polarity shows
where one ends, and scaled to one size of type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

import inference
from recognizer.data.type_size import type_size

Part = tuple[np.ndarray, Sequence[str]]  # a picture (H, W, 3) uint8 RGB and its label

COARSEST, FINEST = 16.0, 40.0  # pixels: a digit of a composed picture, as high as in its coarsest part if between
# In heights of a glyph as `measure_ink` finds it:
THIN, APART = 0.85, 0.45  # less high, so far above or below the rest, ink may be the edge of a neighbouring line
ACROSS = 0.4  # of all ink's width: such an edge is as wide; a denominator or a limit is not
SLOPES = np.linspace(-0.1, 0.1, 21)  # of a tilted line
# In heights of a digit:
BORDER = 0.15  # paper kept around a part's ink
NARROW, WIDE = (0.15, 0.5), (1.6, 4.5)  # between formulas of a line; TeX has about 0.5 beside a relation, 2 in \quad
LEADING = (0.5, 1.6)  # between the ink of two lines
INDENT = 3.0  # of a line, at most, where lines begin anywhere
MARGIN = (0.3, 1.5)  # around all


def montage(lines: Sequence[Sequence[Part]], gaps: Sequence[Sequence[bool]], looks: np.random.Generator) -> np.ndarray:
    """Parts beside one another in lines below one another.

    Args:
        gaps: for each line which of the gaps between its parts are wide.
        looks: chooses sizes, gaps, margins and indents.

    Returns:
        (H, W, 3) uint8 RGB, black on white.
    """
    pieces, size = _pieces([part for line in lines for part in line], looks)
    rest = iter(pieces)
    drawn = [_line([next(rest) for _ in line], size, wide, looks) for line, wide in zip(lines, gaps, strict=True)]
    ink = _column(drawn, size, looks) if len(drawn) > 1 else drawn[0]
    top, bottom, left, right = (round(size * looks.uniform(*MARGIN)) for _ in range(4))
    ink = np.pad(ink, ((top, bottom), (left, right)))
    return np.repeat(np.rint(255 * (1 - ink)).astype(np.uint8)[:, :, None], 3, axis=2)


@dataclass(frozen=True)
class _Piece:
    """A part's ink (h, w) float32 in 0..1, and the row of its axis: where a fraction's bar or a minus would be."""

    ink: np.ndarray
    axis: int


def _pieces(parts: Sequence[Part], looks: np.random.Generator) -> tuple[list[_Piece], float]:
    """Parts cropped to their ink and scaled to type of one size, and that size in pixels."""
    cropped = [_cropped(rgb, tokens) for rgb, tokens in parts]
    common = float(np.clip(min(size for _, size in cropped), COARSEST, FINEST))
    pieces = []
    for ink, size in cropped:
        factor = common / size * float(np.exp(looks.normal(0, 0.05)))
        scaled = inference.resize(ink, factor, cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        pieces.append(_Piece(scaled, _axis(scaled)))
    return pieces, common


def _cropped(rgb: np.ndarray, tokens: Sequence[str]) -> tuple[np.ndarray, float]:
    """A picture's own ink (h, w) with a little paper around, and the size of its type in pixels."""
    ink, (top, bottom, left, right), glyph = inference.find_ink(rgb, r"\boxed" in tokens)
    within = np.zeros_like(ink)
    within[top:bottom, left:right] = ink[top:bottom, left:right]
    own = _without_neighbours(within, glyph)
    rows, columns = (np.flatnonzero((own > 0.5).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return within, glyph
    size = type_size(own, tokens, glyph)
    border = math.ceil(BORDER * size)
    top, left = (max(0, each[0] - border) for each in (rows, columns))
    return own[top : rows[-1] + 1 + border, left : columns[-1] + 1 + border], size


def _without_neighbours(ink: np.ndarray, glyph: float) -> np.ndarray:
    """Without lines that are cut off at the picture's edge, tilted or not: in a column they would seem to be lines."""
    _, labels, stats, middles = cv2.connectedComponentsWithStats((ink > 0.5).astype(np.uint8), connectivity=8)
    tops, heights = stats[1:, cv2.CC_STAT_TOP], stats[1:, cv2.CC_STAT_HEIGHT]  # the first is the paper
    levels = [tops - slope * middles[1:, 0] for slope in SLOPES]  # where they began if the picture lay straight
    bands = max((_bands(level, level + heights, glyph) for level in levels), key=lambda found: found[1])[0]
    own = max((heights[band].max() for band in bands if len(band)), default=0) >= THIN * glyph
    for band in (bands[0], bands[-1]) if own and len(bands) > 1 else ():
        if heights[band].max() < THIN * glyph and np.ptp(middles[1 + band, 0]) > ACROSS * np.ptp(middles[1:, 0]):
            ink = np.where(cv2.dilate(np.isin(labels, 1 + band).astype(np.uint8), np.ones((5, 5))), 0, ink)
    return ink


def _bands(tops: np.ndarray, bottoms: np.ndarray, glyph: float) -> tuple[list[np.ndarray], float]:
    """Components, by number, in bands with a gap of APART glyph heights or more between, and the gaps' sum."""
    order = np.argsort(tops)
    gaps = tops[order][1:] - np.maximum.accumulate(bottoms[order])[:-1]
    wide = gaps > APART * glyph
    return np.split(order, np.flatnonzero(wide) + 1), float(gaps[wide].sum())


def _axis(ink: np.ndarray) -> int:
    """The row that half of the ink has its connected components' middles above, so that scripts hardly count."""
    _, top, _, high, area = inference.ink_boxes(ink).T
    if not len(area):
        return ink.shape[0] // 2
    order = np.argsort(middle := top + high / 2)
    weights = area[order].cumsum()
    return int(middle[order][np.searchsorted(weights, weights[-1] / 2)])


def _line(pieces: Sequence[_Piece], size: float, gaps: Sequence[bool], looks: np.random.Generator) -> np.ndarray:
    """Pieces from left to right on one axis, more or less."""
    places, x = [], 0
    for piece, is_wide in zip(pieces, (*gaps, False), strict=True):
        places.append((round(looks.normal(0, 0.05) * size) - piece.axis, x))
        low, high = WIDE if is_wide else NARROW
        # The border of both pieces is a part of the gap.
        x += piece.ink.shape[1] + round(size * (looks.uniform(low, high) - 2 * BORDER))
    return _pasted([piece.ink for piece in pieces], places)


def _column(lines: Sequence[np.ndarray], size: float, looks: np.random.Generator) -> np.ndarray:
    """Lines from top to bottom, centred, flush left, or each with an indent of its own."""
    leading, style = looks.uniform(*LEADING), looks.integers(3)
    widest = max(line.shape[1] for line in lines)
    places, y = [], 0
    for line in lines:
        free = widest - line.shape[1]
        places.append((y, (free // 2, 0, round(min(free, looks.uniform(0, INDENT) * size)))[style]))
        y += line.shape[0] + round(size * (leading * looks.uniform(0.85, 1.15) - 2 * BORDER))
    return _pasted(lines, places)


def _pasted(inks: Sequence[np.ndarray], places: Sequence[tuple[int, int]]) -> np.ndarray:
    """Ink (H, W) float32 of parts (h, w) whose upper left corners are at (row, column), no larger than they need."""
    rows, columns = (np.array(each) - min(each) for each in zip(*places, strict=True))
    height = max(row + ink.shape[0] for row, ink in zip(rows, inks, strict=True))
    width = max(column + ink.shape[1] for column, ink in zip(columns, inks, strict=True))
    canvas = np.zeros((height, width), np.float32)
    for ink, row, column in zip(inks, rows, columns, strict=True):
        target = canvas[row : row + ink.shape[0], column : column + ink.shape[1]]
        np.maximum(target, ink, out=target)
    return canvas
