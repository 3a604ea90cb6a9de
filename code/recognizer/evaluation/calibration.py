"""Confidence as a probability: how far it is from one, and the two numbers that bring it there.

A network's probability of a whole sequence says which answers are safer, not how often they are right
(Guo et al. 2017, arXiv:1706.04599). Training fits a Platt scaling of its logarithm on the validation samples and stores
it as `calibration` in `model.json`; `inference.py` applies it.
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
    """Return {"slope", "offset"} so that sigmoid(slope * log(confidence) + offset) is the probability of being right.

    They minimise the negative log likelihood of "the answer is right" (Platt scaling, arXiv:1706.04599, 4.1). The slope
    isn't negative, so the order of answers stays. Targets are Platt's, a little inside of 0 and 1: where every answer
    is right or wrong the fit stays finite, and after few samples it claims less.
    """
    scores = np.log(np.maximum([result.confidence for result in results], inference.LEAST_CONFIDENCE))
    right = np.array([result.edits == 0 for result in results])
    good, bad = right.sum(), (~right).sum()
    targets = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits = parameters[0] * scores + parameters[1]
        slack = (expit(logits) - targets) / len(scores)
        value = np.mean(np.logaddexp(0, logits) - targets * logits)
        return float(value), np.array([slack @ scores, slack.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return {"slope": float(found.x[0]), "offset": float(found.x[1])}
