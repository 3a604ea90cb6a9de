"""Confidence as a probability: how far it is from one, and the curves that bring it there.

A network's probability of a whole sequence says which answers are safer, not how often they are right
(Guo et al. 2017, arXiv:1706.04599). Training fits a Platt scaling of its logarithm, for short and for long answers, on
the validation samples and stores it as `calibration` in `model.json`; `inference.py` applies it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

import inference
from recognizer.evaluation.metrics import Result

BINS = 15
ALIKE = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])  # differences of the two curves' slopes and offsets


@dataclass(frozen=True)
class Bin:
    """Answers of about one confidence."""

    samples: int
    confidence: float  # mean
    right: float  # share


def reliability(results: Sequence[Result]) -> list[Bin]:
    """Sort answers into BINS ranges of confidence of one width, and leave out the empty ones."""
    confidence = np.array([result.confidence for result in results])
    right = np.array([result.edits == 0 for result in results])
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = [place == number for number in np.unique(place)]
    return [Bin(int(each.sum()), float(confidence[each].mean()), float(right[each].mean())) for each in members]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the ECE: the mean distance of confidence and share right, weighted by samples (arXiv:1706.04599, 2)."""
    samples = sum(each.samples for each in bins)
    return sum(each.samples * abs(each.confidence - each.right) for each in bins) / samples


def fit_calibration(results: Sequence[Result]) -> dict[str, float]:
    """Return what `inference.Calibration` holds: the curves that make confidences the probability of being right.

    They minimise the negative log likelihood of "the answer is right" (Platt scaling, arXiv:1706.04599, 4.1). No slope
    is negative, so the order of answers of one length stays. Targets are Platt's, a little inside of 0 and 1: where
    every answer is right or wrong the fit stays finite, and after few samples it claims less. After few samples, too,
    short and long answers have about the same curve.
    """
    scores = np.log(np.maximum([result.confidence for result in results], inference.LEAST_CONFIDENCE))
    share = np.array([inference.length_share(result.length) for result in results])
    ends = np.stack([1 - share, share], axis=1)  # (N, 2), of a short and of a long answer
    inputs = np.concatenate([scores[:, None] * ends, ends], axis=1)  # (N, 4)
    right = np.array([result.edits == 0 for result in results])
    good, bad = right.sum(), (~right).sum()
    targets = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits, apart = inputs @ parameters, ALIKE @ parameters
        nll = np.sum(np.logaddexp(0, logits) - targets * logits)
        gradient = (expit(logits) - targets) @ inputs + 2 * ALIKE.T @ apart
        return float(nll + apart @ apart) / len(scores), gradient / len(scores)

    bounds = [(0, None), (0, None), (None, None), (None, None)]
    slope, long_slope, offset, long_offset = minimize(
        loss, np.array([1.0, 1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds
    ).x.tolist()
    return {"slope": slope, "offset": offset, "long_slope": long_slope, "long_offset": long_offset}
