"""A calibrated confidence is a probability: cases by hand, and what fitting may and may not do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.evaluation.calibration import BINS, calibration_error, fit_calibration, reliability
from recognizer.evaluation.metrics import Result

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


def results(pairs):
    return [Result("n", ("a",), ("a" if right else "b",), confidence) for confidence, right in pairs]


def probability(fitted, confidence):
    return 1 / (1 + math.exp(-(fitted["slope"] * math.log(confidence) + fitted["offset"])))


def test_error_by_hand():
    """Three answers of 0.9, of which one is right, and one of 0.5 that is wrong: (3 x 0.5667 + 1 x 0.5) / 4."""
    bins = reliability(results([(0.9, True), (0.9, False), (0.9, False), (0.5, False)]))
    assert [(each.samples, each.confidence, each.right) for each in bins] == [
        (1, 0.5, 0.0),
        (3, pytest.approx(0.9), pytest.approx(1 / 3)),
    ]
    assert calibration_error(bins) == pytest.approx((3 * (0.9 - 1 / 3) + 0.5) / 4)


@given(answers)
def test_every_answer_is_in_one_bin(pairs):
    bins = reliability(results(pairs))
    assert sum(each.samples for each in bins) == len(pairs) and len(bins) <= BINS
    assert 0 <= calibration_error(bins) <= 1


def test_fitting_finds_what_made_the_answers():
    """Answers that are right with probability sigmoid(0.5 log p + 1)."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.001, 1, 20_000)
    true = {"slope": 0.5, "offset": 1.0}
    right = rng.random(len(confidence)) < [probability(true, each) for each in confidence]
    fitted = fit_calibration(results(zip(confidence, right, strict=True)))
    assert fitted["slope"] == pytest.approx(0.5, abs=0.05) and fitted["offset"] == pytest.approx(1, abs=0.06)


@given(answers)
def test_a_fit_is_finite_and_keeps_the_order(pairs):
    fitted = fit_calibration(results(pairs))
    assert all(map(math.isfinite, fitted.values())) and fitted["slope"] >= 0


def test_all_wrong_is_not_taken_for_certainty():
    fitted = fit_calibration(results([(0.3, False), (0.8, False)]))
    assert 0.2 < probability(fitted, 0.5) < 0.3, "1 / 4, as Platt's targets say after two"
