"""Rates over labelled predictions, all counted in normalised tokens and weighted by sample (or by token).

* ExpRate (sentence accuracy): the whole sequence is right; `within_1`, `within_2`: within that many token edits.
* WER over the corpus: all token edits / all reference tokens (it can exceed 1).
* The competition's: mean over samples of edits / the longer of reference and prediction, under its own name, and its
  score 0.9 x sentence accuracy + 0.1 x (1 - that).
* BLEU over the corpus (`bleu.py`), and the share that renders the same as its label (`mathml.py`).

An edit inserts, deletes or replaces one token (Levenshtein).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rapidfuzz.distance import Levenshtein

from recognizer.evaluation.bleu import corpus_bleu


@dataclass(frozen=True)
class Result:
    """One sample's reference and prediction, in normalised tokens."""

    name: str
    reference: tuple[str, ...]
    prediction: tuple[str, ...]
    confidence: float = 0.0
    slices: dict[str, str] = field(default_factory=dict)  # for example {"source": "printed", "level": "2"}
    renders_same: bool | None = None  # as the reference; None where nobody looked (in training: it takes a while)
    own_tokens: int | None = None  # that the network wrote; None if the prediction is those, not normalised anew
    turned: int = 0  # degrees clockwise by which the picture was turned to be read

    @property
    def length(self) -> int:
        """Of the answer in the network's own tokens, as a calibration takes it."""
        return len(self.prediction) if self.own_tokens is None else self.own_tokens

    @property
    def edits(self) -> int:
        return Levenshtein.distance(self.reference, self.prediction)


@dataclass(frozen=True)
class Metrics:
    """Rates over some samples; each is a share of 1.

    `renders_same` is None unless all results know. `calibration_error` is of a slice; of a whole set, whoever needs it
    has the bins as well (`calibration.py`).
    """

    samples: int
    exprate: float
    within_1: float
    within_2: float
    wer: float
    bleu: float
    competition_wer: float
    competition_score: float
    renders_same: float | None = None
    calibration_error: float | None = None

    def to_dict(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}

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
    same = [result.renders_same for result in results]
    return Metrics(
        samples=count,
        exprate=exprate,
        within_1=sum(edit <= 1 for edit in edits) / count,
        within_2=sum(edit <= 2 for edit in edits) / count,
        wer=sum(edits) / reference_tokens,
        bleu=corpus_bleu([(result.reference, result.prediction) for result in results]),
        competition_wer=competition_wer,
        competition_score=0.9 * exprate + 0.1 * (1 - competition_wer),
        renders_same=None if None in same else sum(map(bool, same)) / count,
    )


def _relative_edits(result: Result, edits: int) -> float:
    return edits / max(len(result.reference), len(result.prediction), 1)
