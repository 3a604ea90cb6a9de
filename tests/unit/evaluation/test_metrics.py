"""Each rate against its definition, by hand and by property."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.evaluation.metrics import Result, bucket, compute_metrics, metrics_by_slice

tokens = st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(tuple)
results_of = st.lists(st.builds(Result, st.just("n"), tokens, tokens), min_size=1, max_size=20)


def result(reference, prediction, **slices):
    return Result("name", tuple(reference), tuple(prediction), slices=slices)


def plain_distance(a, b):
    """The textbook's table, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def test_by_hand():
    metrics = compute_metrics(
        [
            result("abcd", "abcd"),
            result("abcd", "abxd"),  # 1 edit
            result("ab", "xaby"),  # 2 edits
            result("a", "bcd"),  # 3 edits
        ]
    )
    assert metrics.samples == 4
    assert (metrics.exprate, metrics.within_1, metrics.within_2) == (0.25, 0.5, 0.75)
    assert metrics.wer == pytest.approx(6 / 11)
    assert metrics.competition_wer == pytest.approx((0 + 1 / 4 + 2 / 4 + 3 / 3) / 4)
    assert metrics.competition_score == pytest.approx(0.9 * 0.25 + 0.1 * (1 - metrics.competition_wer))


@given(results_of)
def test_definitions(results):
    metrics = compute_metrics(results)
    edits = [plain_distance(r.reference, r.prediction) for r in results]
    assert metrics.wer == pytest.approx(sum(edits) / sum(len(r.reference) for r in results))
    assert metrics.exprate == pytest.approx(sum(e == 0 for e in edits) / len(edits))
    assert 0 <= metrics.exprate <= metrics.within_1 <= metrics.within_2 <= 1
    assert 0 <= metrics.competition_wer <= 1


@given(results_of, st.integers(1, 5))
def test_batches_do_not_matter(results, parts):
    """The rate over all is the mean of the parts' rates only if weighted by their samples."""
    pieces = [compute_metrics(piece) for i in range(parts) if (piece := results[i::parts])]
    total = compute_metrics(results)
    assert total.exprate == pytest.approx(sum(p.exprate * p.samples for p in pieces) / len(results))


def test_words_are_tokens_not_letters():
    assert result(["\\alpha", "b"], ["\\beta", "b"]).edits == 1


def test_an_empty_prediction_is_all_wrong():
    metrics = compute_metrics([result("abc", "")])
    assert metrics.wer == 1 and metrics.competition_wer == 1


def test_nothing_has_no_rate():
    with pytest.raises(ValueError, match="no rate is defined over 0 samples"):
        compute_metrics([])


def test_slices():
    results = [
        result("a", "a", source="printed", level="1"),
        result("a" * 7, "a" * 7, source="printed", level="1"),
        result("a" * 12, "b", source="handwritten", level="1"),
    ]
    slices = metrics_by_slice(results)
    assert set(slices) == {"source", "length"}  # all have one level
    assert slices["source"]["printed"].exprate == 1 and slices["source"]["handwritten"].exprate == 0
    assert list(slices["length"]) == ["1-5", "6-10", "11-20"]
    assert sum(metrics.samples for metrics in slices["length"].values()) == 3


@given(st.integers(1, 1000))
def test_a_bucket_holds_its_value(value):
    low, _, high = bucket(value, (5, 10, 40)).rstrip("+").partition("-")
    assert int(low) <= value <= int(high or value)


def test_metric_lines_match_a_sagemaker_regex():
    line = compute_metrics([result("abcd", "abxd")]).lines("validation:")
    assert "\n" not in line
    found = re.search(r"validation:wer=([0-9\.]+);", line)
    assert found is not None and float(found[1]) == 0.25
    assert re.search(r"validation:samples=1;", line)
