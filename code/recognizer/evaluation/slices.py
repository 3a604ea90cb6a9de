"""Rates of parts of a set: by source, level, size, length, lines, and by what a formula is made of."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import replace

from recognizer.evaluation.calibration import calibration_error, reliability
from recognizer.evaluation.metrics import Metrics, Result, compute_metrics
from recognizer.latex.lines import count_lines

LENGTH_BOUNDS = (5, 12, 25, 50)  # reference tokens
SHORT_BOUNDS = (25,)  # reference tokens: short formulas in one row, and long ones
HEIGHT_BOUNDS = (32, 64, 128, 256, 512)  # pixels of the picture's height
WIDTH_BOUNDS = (64, 128, 256, 512, 1024)  # pixels

_ACCENTS = """acute bar breve check dot ddot dddot ddddot grave hat mathring tilde vec widehat widetilde overline
    overarc overrightarrow overleftarrow overleftrightarrow"""
_ALPHABETS = "mathbf boldsymbol textbf mathcal mathscr mathbb mathfrak"
_MATRICES = ("matrix", "smallmatrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "array")
CONTENTS: dict[str, frozenset[str]] = {
    "fraction": frozenset([r"\frac"]),
    "root": frozenset([r"\sqrt"]),
    "matrix": frozenset(rf"\begin{{{name}}}" for name in _MATRICES),
    "accent": frozenset(rf"\{name}" for name in _ACCENTS.split()),
    "bold or calligraphic": frozenset(rf"\{name}" for name in _ALPHABETS.split()),
}


def metrics_by_slice(results: Sequence[Result]) -> dict[str, dict[str, Metrics]]:
    """Return {"source": {"printed": ..., "handwritten": ...}, "length": {"1-5": ...}, ...}.

    Slices are those that the results name, the reference's length (also in two, "short and long"), its lines ("1",
    "2", "3-5", "6+") and its contents; a formula with a fraction and a root counts in both. Kinds with one value only
    are left out: they say what the whole says.
    """
    kinds = dict.fromkeys(kind for result in results for kind in result.slices)
    by_kind = {kind: _slice(results, [[result.slices.get(kind, "unknown")] for result in results]) for kind in kinds}
    by_kind["length"] = _slice(results, [[bucket(len(result.reference), LENGTH_BOUNDS)] for result in results])
    by_kind["short and long"] = _slice(results, [[bucket(len(result.reference), SHORT_BOUNDS)] for result in results])
    by_kind["lines"] = _slice(results, [[_lines(result.reference)] for result in results])
    by_kind["contents"] = _slice(results, [contents(result.reference) for result in results])
    return {kind: slices for kind, slices in by_kind.items() if len(slices) > 1}


def contents(tokens: Iterable[str]) -> list[str]:
    """Return which of CONTENTS a formula has; ["none of these"] if it has none."""
    present = set(tokens)
    return [name for name, marks in CONTENTS.items() if present & marks] or ["none of these"]


def _lines(tokens: Sequence[str]) -> str:
    count = count_lines(tokens)
    return str(count) if count < 3 else "3-5" if count < 6 else "6+"


def _slice(results: Sequence[Result], values: Sequence[Iterable[str]]) -> dict[str, Metrics]:
    members: dict[str, list[Result]] = {}
    for result, its in zip(results, values, strict=True):
        for value in its:
            members.setdefault(value, []).append(result)
    return {value: _calibrated(members[value]) for value in sorted(members, key=_natural)}


def _calibrated(results: Sequence[Result]) -> Metrics:
    return replace(compute_metrics(results), calibration_error=calibration_error(reliability(results)))


def _natural(value: str) -> tuple[int, str]:
    """Order "6-10" before "11-20"."""
    digits = value.partition("-")[0].rstrip("+")
    return (int(digits), value) if digits.isdecimal() else (-1, value)


def bucket(value: int, bounds: Sequence[int]) -> str:
    """Return the name of the range that holds a value: "1-5", "6-12", ..., "51+"."""
    place = bisect.bisect_left(bounds, value)
    low = bounds[place - 1] + 1 if place else min(1, bounds[0])
    return f"{low}+" if place == len(bounds) else f"{low}-{bounds[place]}"
