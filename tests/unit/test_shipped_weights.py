"""The weights in `weights/`: what they read when they were shipped, they go on reading."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import inference
from bench import history
from recognizer.data.formats import read_dataset
from recognizer.evaluation.recognize import recognize
from recognizer.release import CANDIDATES, surely_read
from recognizer.synth.grammar import LEVELS
from tests.support.server import ROOT

WEIGHTS = ROOT / "weights"


@pytest.fixture(scope="module")
def model() -> inference.Recognizer:
    return inference.Recognizer.load(WEIGHTS, threads=1)


def test_most_of_twenty_real_pictures_are_read(model: inference.Recognizer) -> None:
    """docs/real, 13 when README was written; a change of preparation that costs accuracy shows here first."""
    results = recognize(model, read_dataset(ROOT / "docs" / "real").samples, inference.Options()).results
    assert len(results) == 20 and sum(result.edits == 0 for result in results) >= 12


def test_their_card_and_their_history_are_of_these_weights(model: inference.Recognizer) -> None:
    page, card = history.PAGE.read_text(encoding="utf-8"), (WEIGHTS / "MODEL_CARD.md").read_text(encoding="utf-8")
    *_, last = history.rows(page, "after run")
    measured = json.loads((WEIGHTS / "model.json").read_text(encoding="utf-8"))["accuracy"]["fp32"]
    assert last["version"] == f"`{model.version}`" and last["version"] in card
    assert f"{history.seen(page)[int(last['after run'])]:,} pictures" in card
    assert last["printed_dev"] == f"{measured['printed_dev']['exprate']:.1%}"
    assert last["CROHME 2013"] == f"{measured['crohme_test2013']['exprate']:.1%}"


def test_golden_samples_are_read_surely(model: inference.Recognizer) -> None:
    pictures = [inference.read_image(path.read_bytes()) for path in sorted((WEIGHTS / "golden").glob("*.png"))]
    confidences = [answer.confidence for answer in model.predict(pictures)]
    assert len(pictures) == 6 and min(confidences) > 0.75, confidences


def test_a_release_takes_long_formulas_that_it_reads_for_golden_samples(
    model: inference.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "calibration", None)  # which comes later
    pictures = surely_read(model)
    answers = model.predict(pictures, inference.Options(views=1))
    assert len(pictures) == len(LEVELS) and not any(map(inference.is_unsure, answers))
    assert all(len(answer.tokens) > 10 for answer in answers), f"the longest of {CANDIDATES}"
    monkeypatch.setattr(model, "predict", lambda pictures, options: [replace(answers[0], tokens=("x",))])
    assert surely_read(model) == []
