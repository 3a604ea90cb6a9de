"""Rates over labelled predictions, all counted in normalised tokens and weighted by sample (or by token).

* ExpRate (sentence accuracy): the whole sequence is right; `within_1`, `within_2`: within that many token edits.
* WER over the corpus: all token edits / all reference tokens (it can exceed 1).
* The competition's: mean over samples of edits / max(reference length, prediction length), under its own name,
  and its score 0.9 x sentence accuracy + 0.1 x (1 - that).

An edit inserts, deletes or replaces one token (Levenshtein).
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rapidfuzz.distance import Levenshtein

LENGTH_BOUNDS = (5, 10, 20, 40, 80)  # reference tokens
SIZE_BOUNDS = (32, 64, 128, 256, 512)  # pixels of the picture's shorter side


@dataclass(frozen=True)
class Result:
    """One sample's reference and prediction, in normalised tokens."""

    name: str
    reference: tuple[str, ...]
    prediction: tuple[str, ...]
    confidence: float = 0.0
    slices: dict[str, str] = field(default_factory=dict)  # for example {"source": "printed", "level": "2"}

    @property
    def edits(self) -> int:
        return Levenshtein.distance(self.reference, self.prediction)


@dataclass(frozen=True)
class Metrics:
    """Rates over some samples; each is a share of 1."""

    samples: int
    exprate: float
    within_1: float
    within_2: float
    wer: float
    competition_wer: float
    competition_score: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def lines(self, prefix: str = "") -> str:
        """Return one line, `validation:exprate=0.5000; validation:wer=0.2500; ...`, for SageMaker's metric
        definitions: Regex `validation:exprate=([0-9.]+);`."""
        return " ".join(
            f"{prefix}{name}={value};" if isinstance(value, int) else f"{prefix}{name}={value:.6f};"
            for name, value in self.to_dict().items()
        )


def compute_metrics(results: Sequence[Result]) -> Metrics:
    """Return the rates over all results.

    Raises:
        ValueError: there is no result, or no reference token, so no rate is defined.
    """
    count = len(results)
    edits = [result.edits for result in results]
    reference_tokens = sum(len(result.reference) for result in results)
    if not reference_tokens:
        raise ValueError(f"no rate is defined over {count} samples with no reference token in all")
    exprate = sum(edit == 0 for edit in edits) / count
    competition_wer = sum(map(_relative_edits, results, edits)) / count
    return Metrics(
        samples=count,
        exprate=exprate,
        within_1=sum(edit <= 1 for edit in edits) / count,
        within_2=sum(edit <= 2 for edit in edits) / count,
        wer=sum(edits) / reference_tokens,
        competition_wer=competition_wer,
        competition_score=0.9 * exprate + 0.1 * (1 - competition_wer),
    )


def _relative_edits(result: Result, edits: int) -> float:
    return edits / max(len(result.reference), len(result.prediction), 1)


def metrics_by_slice(results: Sequence[Result]) -> dict[str, dict[str, Metrics]]:
    """Return {"source": {"printed": ..., "handwritten": ...}, "length": {"1-5": ...}, ...}.

    Slices are those that the results name, and the reference's length. Kinds with one value only are left out:
    they say what the whole says.
    """
    kinds = dict.fromkeys(kind for result in results for kind in result.slices)
    by_kind = {kind: _slice(results, [result.slices.get(kind, "unknown") for result in results]) for kind in kinds}
    by_kind["length"] = _slice(results, [bucket(len(result.reference), LENGTH_BOUNDS) for result in results])
    return {kind: slices for kind, slices in by_kind.items() if len(slices) > 1}


def _slice(results: Sequence[Result], values: Sequence[str]) -> dict[str, Metrics]:
    members: dict[str, list[Result]] = {}
    for result, value in zip(results, values, strict=True):
        members.setdefault(value, []).append(result)
    return {value: compute_metrics(members[value]) for value in sorted(members, key=_natural)}


def _natural(value: str) -> tuple[int, str]:
    """Order "6-10" before "11-20"."""
    digits = value.partition("-")[0].rstrip("+")
    return (int(digits), value) if digits.isdigit() else (-1, value)


def bucket(value: int, bounds: Sequence[int]) -> str:
    """Return the name of the range that holds a value: "1-5", "6-10", ..., "81+"."""
    place = bisect.bisect_left(bounds, value)
    low = bounds[place - 1] + 1 if place else min(1, bounds[0])
    return f"{low}+" if place == len(bounds) else f"{low}-{bounds[place]}"
