r"""New training pictures put together from others: formulas side by side, and lines below one another.

Data sets show one formula a picture; people send what else stands on the sheet. Parts are reduced to their ink by the
server's own preprocessing, so that neither paper nor shadow nor polarity shows where one ends, and scaled to one glyph
height. A wide gap within a line is labelled by the control space, a narrow one by nothing; lines are rows of a matrix.
Which parts a picture has depends on the seed and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

import inference
from recognizer.data.measure import PictureCache
from recognizer.data.sample import Sample
from recognizer.latex import CONTROL_SPACE, normalize, tokenize
from recognizer.latex.lines import BEGIN, stack

Kind = Literal["joined", "stacked"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Gaps = tuple[bool, ...]  # for each gap whether it is wide

FEWEST_TOKENS = 3  # a symbol alone doesn't tell how large the others beside it would be
SIZES: dict[Kind, tuple[tuple[tuple[int, int], float], ...]] = {  # how many parts, from and to, and how often
    "joined": (((2, 2), 0.7), ((3, 3), 0.3)),
    "stacked": (((2, 2), 0.5), ((3, 5), 0.35), ((6, 10), 0.15)),  # up to what a column of a page shows
}
DRAWS = 40  # of parts that may not fit, before a picture is left with those that it has
COARSEST, FINEST = 16.0, 40.0  # pixels: glyph height of a composed picture, that of its coarsest part if between
# In glyph heights:
THIN, APART = 0.85, 0.45  # ink less high, so far above or below the rest, is the cut-off edge of a neighbouring line
BORDER = 0.15  # paper kept around a part's ink
NARROW, WIDE = (0.15, 0.5), (1.6, 4.5)  # between formulas of a line; TeX has about 0.5 beside a relation, 2 in \quad
LEADING = (0.5, 1.6)  # between the ink of two lines
INDENT = 3.0  # of a line, at most, where lines begin anywhere
MARGIN = (0.3, 1.5)  # around all


@dataclass(frozen=True)
class ComposedPicture:
    """Samples beside or below one another that a sample can load: without `rng` always the same picture."""

    kind: Kind
    parts: tuple[Sample, ...]
    gaps: Gaps  # between the parts of a line
    cache: PictureCache
    seed: int

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB, black on white.

        Raises:
            DataError: a part can't be read; names the file and line of its label.
        """
        looks = rng or np.random.default_rng(self.seed)
        pieces, glyph = _pieces([self.cache.load(part, rng) for part in self.parts], looks)
        ink = _line(pieces, glyph, self.gaps, looks) if self.kind == "joined" else _column(pieces, glyph, looks)
        white = np.rint(255 * (1 - ink)).astype(np.uint8)
        return np.repeat(white[:, :, None], 3, axis=2)


def composed_samples(
    kind: Kind, samples: Sequence[Sample], count: int, seed: int, max_tokens: int, cache: PictureCache
) -> list[Sample]:
    """`count` new samples of parts that have one source; fewer where hardly any labels together are short enough.

    Args:
        kind: "joined" puts two or three formulas into a line, "stacked" two to ten lines below one another.
        max_tokens: every label is shorter.
        cache: where the parts' pictures may be kept.
    """
    usable = [s for s in samples if len(s.tokens) >= FEWEST_TOKENS and (kind == "joined" or _is_line(s.tokens))]
    by_source: dict[str, list[Sample]] = {}
    for sample in usable:
        by_source.setdefault(sample.source, []).append(sample)
    composed: list[Sample] = []
    for number in range(count if usable else 0):
        rng = np.random.default_rng((seed, KINDS.index(kind), number))
        first = usable[int(rng.integers(len(usable)))]
        parts, gaps = _chosen(kind, first, by_source[first.source], max_tokens, rng)
        if gaps:
            name, picture = f"{kind}/{number}", ComposedPicture(kind, parts, gaps, cache, seed * 1_000_003 + number)
            tokens = _label(kind, parts, gaps)
            composed.append(Sample(name, tokens, picture, source=first.source, dataset=kind, origin=name))
    return composed


def _chosen(
    kind: Kind, first: Sample, others: Sequence[Sample], max_tokens: int, rng: np.random.Generator
) -> tuple[tuple[Sample, ...], Gaps]:
    """The parts of a picture and the gaps between them; one part and no gap if nothing fits to the first."""
    ranges, shares = zip(*SIZES[kind], strict=True)
    low, high = ranges[int(rng.choice(len(ranges), p=shares))]
    wanted = int(rng.integers(low, high + 1))
    parts: tuple[Sample, ...] = (first,)
    gaps: Gaps = ()
    for _ in range(DRAWS):
        if len(parts) == wanted:
            break
        more = (*parts, others[int(rng.integers(len(others)))])
        more_gaps = (*gaps, bool(rng.random() < 0.5))
        tokens = _label(kind, more, more_gaps)
        if len(tokens) < max_tokens and _is_normal(tokens):
            parts, gaps = more, more_gaps
    return parts, gaps


def _label(kind: Kind, parts: Sequence[Sample], gaps: Gaps) -> tuple[str, ...]:
    if kind == "stacked":
        return stack([part.tokens for part in parts])
    tokens = list(parts[0].tokens)
    for part, is_wide in zip(parts[1:], gaps, strict=True):
        tokens += [CONTROL_SPACE] if is_wide else []
        tokens += part.tokens
    return tuple(tokens)


def _is_line(tokens: Sequence[str]) -> bool:
    """Whether no table stands there without brackets: its rows would look like further lines."""
    return all(
        before.startswith(r"\left") for before, token in zip(("", *tokens), tokens, strict=False) if token == BEGIN
    )


def _is_normal(tokens: Sequence[str]) -> bool:
    """Whether the label says what the picture shows: brackets of two formulas, say, may not become a pair."""
    return tokenize(normalize(" ".join(tokens))) == list(tokens)


# --------------------------------------------------------------------------------------------------- drawing


@dataclass(frozen=True)
class _Piece:
    """A part's ink (h, w) float32 in 0..1, and the row of its axis: where a fraction's bar or a minus would be."""

    ink: np.ndarray
    axis: int


def _pieces(pictures: Sequence[np.ndarray], looks: np.random.Generator) -> tuple[list[_Piece], float]:
    """Pictures (H, W, 3) uint8 RGB cropped to their ink, scaled to one glyph height, and that height in pixels."""
    inks = [inference.extract_ink(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) for picture in pictures]
    measured = [inference.measure_ink(ink) for ink in inks]
    common = float(np.clip(min(glyph for _, glyph in measured), COARSEST, FINEST))
    pieces = []
    for ink, ((top, bottom, left, right), glyph) in zip(inks, measured, strict=True):
        top, bottom = _own_rows(ink[:, left:right], top, bottom, glyph)
        border = math.ceil(BORDER * glyph)
        cropped = ink[max(0, top - border) : bottom + border, max(0, left - border) : right + border]
        factor = common / glyph * float(np.exp(looks.normal(0, 0.05)))
        scaled = inference.resize(cropped, factor, cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        pieces.append(_Piece(scaled, _axis(scaled)))
    return pieces, common


def _own_rows(ink: np.ndarray, top: int, bottom: int, glyph: float) -> tuple[int, int]:
    """The rows without lines that are cut off at the picture's edge: in a column they would seem to be lines."""
    inked = np.flatnonzero((ink[top:bottom] > 0.5).any(axis=1)) + top
    bands = np.split(inked, np.flatnonzero(np.diff(inked) > APART * glyph) + 1)
    heights = [float(np.ptp(band)) if len(band) else 0.0 for band in bands]
    while len(bands) > 1 and min(heights[0], heights[-1]) < THIN * glyph and max(heights) >= THIN * glyph:
        place = 0 if heights[0] < heights[-1] else -1
        del bands[place], heights[place]
    return (int(bands[0][0]), int(bands[-1][-1]) + 1) if len(inked) else (top, bottom)


def _axis(ink: np.ndarray) -> int:
    """The row that half of the ink has its connected components' middles above, so that scripts hardly count."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((ink > 0.5).astype(np.uint8), connectivity=8)
    _, top, _, high, area = stats[1:].T  # the first is the paper
    if not len(area):
        return ink.shape[0] // 2
    order = np.argsort(middle := top + high / 2)
    weights = area[order].cumsum()
    return int(middle[order][np.searchsorted(weights, weights[-1] / 2)])


def _line(pieces: Sequence[_Piece], glyph: float, gaps: Gaps, looks: np.random.Generator) -> np.ndarray:
    """Pieces from left to right on one axis, more or less."""
    places, x = [], 0
    for piece, is_wide in zip(pieces, (*gaps, False), strict=True):
        places.append((round(looks.normal(0, 0.05) * glyph) - piece.axis, x))
        low, high = WIDE if is_wide else NARROW
        # The border of both pieces is a part of the gap.
        x += piece.ink.shape[1] + round(glyph * (looks.uniform(low, high) - 2 * BORDER))
    return _pasted(pieces, places, glyph, looks)


def _column(pieces: Sequence[_Piece], glyph: float, looks: np.random.Generator) -> np.ndarray:
    """Pieces from top to bottom, centred, flush left, or each with an indent of its own."""
    leading, style = looks.uniform(*LEADING), looks.integers(3)
    widest = max(piece.ink.shape[1] for piece in pieces)
    places, y = [], 0
    for piece in pieces:
        free = widest - piece.ink.shape[1]
        places.append((y, (free // 2, 0, round(min(free, looks.uniform(0, INDENT) * glyph)))[style]))
        y += piece.ink.shape[0] + round(glyph * (leading * looks.uniform(0.85, 1.15) - 2 * BORDER))
    return _pasted(pieces, places, glyph, looks)


def _pasted(
    pieces: Sequence[_Piece], places: Sequence[tuple[int, int]], glyph: float, looks: np.random.Generator
) -> np.ndarray:
    """Ink (H, W) float32 of pieces whose upper left corners are at (row, column), with a margin around all."""
    left, top, right, bottom = (round(glyph * looks.uniform(*MARGIN)) for _ in range(4))
    rows, columns = (np.array(each) - min(each) for each in zip(*places, strict=True))
    height = max(row + piece.ink.shape[0] for row, piece in zip(rows, pieces, strict=True))
    width = max(column + piece.ink.shape[1] for column, piece in zip(columns, pieces, strict=True))
    canvas = np.zeros((top + height + bottom, left + width + right), np.float32)
    for piece, row, column in zip(pieces, rows + top, columns + left, strict=True):
        target = canvas[row : row + piece.ink.shape[0], column : column + piece.ink.shape[1]]
        np.maximum(target, piece.ink, out=target)
    return canvas
