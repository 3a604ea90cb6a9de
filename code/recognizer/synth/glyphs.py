"""Single symbols as pictures, printed and written by hand, and where LaTeX puts them on the line.

A recognizer has to know symbols before it can learn how formulas are put together, and a symbol alone teaches far
faster than a formula does: it is small, and it is known where it stands. `strips` lays these symbols out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import cv2
import numpy as np

import inference
from recognizer.data.ink import Strokes, draw
from recognizer.latex import SPECIALS
from recognizer.processes import in_processes
from recognizer.synth.mathjax import RenderError, glyph_box
from recognizer.synth.style import random_style, render_any

EM = 25.0  # pixels: height of an em in the bank's pictures
GLYPH_HEIGHT = 16.0  # pixels: height of a typical glyph there
CHUNK = 64  # symbols that a process draws at a time
PRINTED, WRITTEN = 24, 120  # pictures of one symbol, at most
HALF = re.compile(r"\\(begin|end|left|right|middle|not)(?![A-Za-z])")  # what stands for nothing without its partner
LARGEST = (5.0, 6.5)  # em: a picture that is higher or wider isn't one symbol

Job = tuple[str, "Box", Strokes | None, int]  # symbol, its box, the strokes if it is written by hand, seed


@dataclass(frozen=True)
class Box:
    """Where the ink of a symbol is, in em; y points down and the baseline is 0."""

    top: float
    bottom: float
    width: float


@dataclass(frozen=True)
class GlyphBank:
    """Pictures of symbols: uint8 ink (h, w), cropped to it; each hand of `hands` has its symbols."""

    boxes: dict[str, Box]
    hands: tuple[dict[str, list[np.ndarray]], ...]


def make_bank(tokens: Iterable[str], written: Iterable[tuple[str, Strokes]], seed: int, workers: int = 1) -> GlyphBank:
    """Draws each of the tokens that is a symbol of its own (`x`, `\\sum`, `\\sin`, but not `\\frac`).

    Args:
        tokens: what to draw; what can't be drawn alone is left out.
        written: symbols that people wrote, as token and pen strokes.
        workers: processes; the bank is the same for any number.
    """
    boxes = {token: box for token in tokens if (box := symbol_box(token))}
    jobs: list[Job] = [
        (token, box, None, seed * 100_003 + i * PRINTED + k)
        for i, (token, box) in enumerate(boxes.items())
        for k in range(PRINTED)
    ]
    hands = [_draw_all(_printed, jobs, workers)]
    jobs = _written_jobs(boxes, written, seed)
    if jobs:
        hands.append(_draw_all(_written, jobs, workers))
    return GlyphBank(boxes, tuple(hand for hand in hands if hand))


def symbol_box(token: str) -> Box | None:
    """Where LaTeX puts a token, or None if it is no symbol of its own."""
    if token in SPECIALS or token in ("{", "}", "^", "_", "&", "\\\\") or HALF.match(token):
        return None
    try:
        return Box(*glyph_box(token))
    except RenderError:
        return None


def _written_jobs(boxes: dict[str, Box], written: Iterable[tuple[str, Strokes]], seed: int) -> list[Job]:
    counts: dict[str, int] = {}
    jobs: list[Job] = []
    for token, strokes in written:
        if token in boxes and counts.get(token, 0) < WRITTEN:
            counts[token] = counts.get(token, 0) + 1
            jobs.append((token, boxes[token], strokes, seed * 100_003 + len(jobs)))
    return jobs


def _draw_all(
    make: Callable[[Job], np.ndarray | None], jobs: Sequence[Job], workers: int
) -> dict[str, list[np.ndarray]]:
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    pictures = chain.from_iterable(in_processes(partial(_each, make), chunks, workers))
    hand: dict[str, list[np.ndarray]] = {}
    for (token, *_), picture in zip(jobs, pictures, strict=True):
        if picture is not None:
            hand.setdefault(token, []).append(picture)
    return hand


def _each(make: Callable[[Job], np.ndarray | None], jobs: Sequence[Job]) -> list[np.ndarray | None]:
    return [make(job) for job in jobs]


def _printed(job: Job) -> np.ndarray | None:
    token, box, _, seed = job
    try:
        return _cropped(render_any(token, random_style(np.random.default_rng(seed)))[0], box)
    except RenderError:
        return None


def _written(job: Job) -> np.ndarray | None:
    _, box, strokes, seed = job
    assert strokes is not None
    return _cropped(draw(strokes, np.random.default_rng(seed)), box)


def _cropped(rgb: np.ndarray, box: Box) -> np.ndarray | None:
    """The ink of a picture, cropped, and scaled so that it fills as much as its box; None if there is none."""
    ink = inference.extract_ink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    rows, columns = np.flatnonzero((ink > 0.3).any(axis=1)), np.flatnonzero((ink > 0.3).any(axis=0))
    if not len(rows):
        return None
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    area = max(box.bottom - box.top, 0.08) * max(box.width, 0.08) * EM * EM
    factor = (area / ink.size) ** 0.5
    ink = inference.resize(ink, factor, cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    too_large = ink.shape[0] > LARGEST[0] * EM or ink.shape[1] > LARGEST[1] * EM
    return None if too_large else np.rint(255 * np.clip(ink, 0, 1)).astype(np.uint8)
