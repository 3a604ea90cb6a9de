"""Pen strokes that need no writer: lines, waves and hats, and letters that CROHME's writers were never asked for.

They are no substitute for what people write, but a letter that is drawn in one way, a little different each time, is
seen at least.
"""

from __future__ import annotations

import numpy as np

STEPS = 4  # points of a curve from one given point to the next


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float32)


def _wave(points: int) -> np.ndarray:
    along = np.linspace(0, 1, points)
    return np.stack([along, 0.5 - 0.5 * np.sin(2 * np.pi * along)], axis=1).astype(np.float32)


def _mirrored(line: np.ndarray) -> np.ndarray:
    return np.array([1, 0], dtype=np.float32) + line * np.array([-1, 1], dtype=np.float32)


def _upside_down(line: np.ndarray) -> np.ndarray:
    return np.array([0, 1], dtype=np.float32) + line * np.array([1, -1], dtype=np.float32)


_BAR = _line((0, 0.5), (0.35, 0.5), (0.7, 0.5), (1, 0.5))
_TIP = _line((0.7, 0), (1, 0.5), (0.75, 1))
_HALF_BRACE = _line((0, 1), (0.03, 0.6), (0.1, 0.5), (0.4, 0.5), (0.47, 0.4), (0.5, 0))
_BRACE = np.concatenate([_HALF_BRACE, _mirrored(_HALF_BRACE)[::-1]])

# Each fills the unit square.
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "\\bar": (_BAR,),
    "\\hat": (_line((0, 1), (0.5, 0), (1, 1)),),
    "\\check": (_line((0, 0), (0.5, 1), (1, 0)),),
    "\\breve": (_line((0, 0), (0.2, 0.75), (0.5, 1), (0.8, 0.75), (1, 0)),),
    "\\acute": (_line((0, 1), (1, 0)),),
    "\\grave": (_line((0, 0), (1, 1)),),
    "\\tilde": (_wave(12),),
    "\\dot": (_line((0.5, 0.5)),),
    "\\ddot": (_line((0, 0.5)), _line((1, 0.5))),
    "\\vec": (_BAR, _TIP),
    "\\overleftarrow": (_BAR, _mirrored(_TIP)),
    "\\overleftrightarrow": (_BAR, _TIP, _mirrored(_TIP)),
    "\\overbrace": (_BRACE,),
    "\\underbrace": (_upside_down(_BRACE),),
}


def _curves(table: str) -> dict[str, tuple[np.ndarray, ...]]:
    rows = (line.split(maxsplit=1) for line in table.strip().splitlines())
    return {name: tuple(_points(stroke) for stroke in strokes.split(";")) for name, strokes in rows}


def _points(numbers: str) -> np.ndarray:
    return np.array(numbers.split(), dtype=np.float32).reshape(-1, 2) / 100


# Points, in hundredths of the letter's box, through which smooth curves are drawn.
LETTERS = _curves(
    r"""
    J 30 0 65 0 100 0 ; 65 0 65 60 55 92 30 100 8 88 2 70
    \partial 15 15 45 0 80 12 98 50 85 85 50 100 12 90 5 65 25 45 60 42 90 58
    \delta 85 8 60 0 38 12 55 30 85 52 92 78 65 100 25 98 5 75 20 50 55 40 70 42
    \epsilon 95 10 60 0 20 15 2 50 15 85 55 100 95 90 ; 5 50 40 49 80 48
    \varepsilon 90 12 55 0 15 15 30 42 65 46 25 52 2 75 25 100 65 98 98 85
    \zeta 30 5 60 10 95 3 60 20 20 45 8 65 30 80 70 82 75 92 50 100
    \eta 0 15 18 2 24 20 18 66 30 25 60 2 82 20 75 60 65 100
    \kappa 15 0 10 50 5 100 ; 90 2 50 30 20 50 55 70 95 98
    \nu 0 5 20 5 35 95 60 70 95 20 95 2
    \xi 80 5 50 0 30 10 35 20 70 24 40 26 15 36 25 46 65 48 30 52 5 65 20 80 65 85 75 93 50 100
    \rho 0 100 12 50 35 5 70 0 95 20 80 55 50 68 18 55
    \tau 0 25 20 5 60 5 100 3 ; 55 5 45 60 50 95 70 92
    \varphi 30 5 5 25 5 55 35 70 75 60 98 30 85 5 65 2 50 25 40 60 30 100
    \chi 0 8 20 5 45 45 75 95 100 92 ; 95 3 50 50 5 100
    \psi 0 22 15 15 20 45 40 70 65 65 90 40 95 12 ; 65 0 50 50 35 100
    \omega 15 5 0 50 10 95 35 100 50 70 50 45 50 70 62 100 88 95 100 50 82 3
    \Omega 0 100 35 99 35 90 10 60 10 28 35 2 65 2 90 28 90 60 65 90 65 99 100 100
    \Psi 5 5 8 45 50 60 92 45 95 5 ; 50 0 50 50 50 100
    \ell 5 70 50 45 85 15 70 0 45 25 35 75 55 100 90 85
    \bullet 50 10 90 50 50 90 10 50 50 25 75 50 50 75 25 50 45 40 60 50 50 58
    """
)


def drawn_letter(token: str, unevenness: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Strokes (N, 2) float32 of one of LETTERS, about in the unit square; `unevenness` moves its points."""
    return [_smooth(points + rng.normal(0, unevenness, points.shape)) for points in LETTERS[token]]


def _smooth(points: np.ndarray) -> np.ndarray:
    """A curve through the points: a Catmull-Rom spline (Catmull and Rom, 1974)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]  # (points - 1, 2)
    t = np.linspace(0, 1, STEPS, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )  # (STEPS, points - 1, 2)
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), points[-1:]]).astype(np.float32)
