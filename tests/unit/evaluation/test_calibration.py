"""A calibrated confidence is a probability: cases by hand, and what fitting may and may not do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import LONG, Calibration
from recognizer.evaluation.calibration import BINS, calibration_error, fit_calibration, reliability
from recognizer.evaluation.metrics import Result

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


def results(pairs, tokens=1):
    return [Result("n", ("a",) * tokens, ("a" if right else "b",) * tokens, confidence) for confidence, right in pairs]


def probability(fitted, confidence, tokens=1):
    return Calibration.from_dict(fitted).curve(tokens)(confidence)


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


def answered(true, tokens, seed):
    """20,000 answers of so many tokens that are right as often as the curve says."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.001, 1, 20_000)
    right = rng.random(len(confidence)) < [probability(true, each, tokens) for each in confidence]
    return results(zip(confidence, right, strict=True), tokens)


def test_fitting_finds_what_made_the_answers():
    """Answers of one token are right with probability sigmoid(0.5 log p + 1), of LONG ones with another."""
    true = {"slope": 0.5, "offset": 1.0, "long_slope": 1.5, "long_offset": 3.0}
    answers_of = [answered(true, tokens, seed) for seed, tokens in enumerate((1, 15, LONG))]
    fitted = fit_calibration([each for answers in answers_of for each in answers])
    assert fitted == pytest.approx(true, abs=0.1)


def test_a_length_between_has_a_curve_between():
    curves = Calibration(slope=0.5, offset=1.0, long_slope=1.5, long_offset=3.0)
    for tokens, share in ((0, 0), (1, 0), (round(LONG**0.5), 0.5), (LONG, 1), (3 * LONG, 1)):
        log_odds = (0.5 + share) * math.log(0.2) + 1 + 2 * share
        assert curves.curve(tokens)(0.2) == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=0.005)


def test_an_older_model_has_one_curve():
    older = Calibration.from_dict({"slope": 0.5, "offset": 1.0})
    assert older.curve(1)(0.3) == older.curve(LONG)(0.3) == pytest.approx(1 / (1 + math.exp(-1 - 0.5 * math.log(0.3))))


def test_lengths_that_validation_hardly_has_follow_the_others():
    """Else three long answers that happened to be right would make all long ones sure."""
    short = answered({"slope": 1.0, "offset": 0.0}, 3, seed=5)[:500]
    few = fit_calibration([*short, *results([(0.2, True), (0.3, True), (0.4, True)], tokens=100)])
    assert probability(few, 0.3, 100) < 0.9
    many = fit_calibration([*short, *results([(0.2, True), (0.3, True), (0.4, True)] * 100, tokens=100)])
    assert probability(many, 0.3, 100) > 0.95


@given(answers, st.integers(1, 300))
def test_a_fit_is_finite_and_keeps_the_order(pairs, tokens):
    fitted = fit_calibration(results(pairs, tokens))
    assert all(map(math.isfinite, fitted.values())) and min(fitted["slope"], fitted["long_slope"]) >= 0


def test_all_wrong_is_not_taken_for_certainty():
    fitted = fit_calibration(results([(0.3, False), (0.8, False)]))
    assert 0.2 < probability(fitted, 0.5) < 0.3, "1 / 4, as Platt's targets say after two"
