"""Each rate against its definition, by hand and by property."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.evaluation.bleu import corpus_bleu
from recognizer.evaluation.mathml import renders_same
from recognizer.evaluation.metrics import Result, compute_metrics
from tests.support.latex import strings

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
    assert metrics.competition_wer == pytest.approx((0 + 1 / 4 + 2 / 4 + 3 / 3) / 4)  # over the longer of the two
    assert metrics.competition_score == pytest.approx(0.9 * 0.25 + 0.1 * (1 - metrics.competition_wer))


@given(results_of)
def test_O8_definitions(results):
    metrics = compute_metrics(results)
    edits = [plain_distance(r.reference, r.prediction) for r in results]
    assert metrics.wer == pytest.approx(sum(edits) / sum(len(r.reference) for r in results))
    assert metrics.exprate == pytest.approx(sum(e == 0 for e in edits) / len(edits))
    assert 0 <= metrics.exprate <= metrics.within_1 <= metrics.within_2 <= 1
    assert 0 <= metrics.competition_wer <= 1


@given(results_of, st.integers(1, 5))
def test_O4_batches_do_not_matter(results, parts):
    """The rate over all is the mean of the parts' rates only if weighted by their samples."""
    pieces = [compute_metrics(piece) for i in range(parts) if (piece := results[i::parts])]
    total = compute_metrics(results)
    assert total.exprate == pytest.approx(sum(p.exprate * p.samples for p in pieces) / len(results))


def test_bleu_by_hand():
    """Right are 5 + 1 of 6 + 1 tokens, 3 of 5 pairs, 2 of 4 triples and 1 of 3 fours."""
    assert corpus_bleu([("abcde", "abxde"), ("a", "a")]) == 0, "no three in a row are right"
    pairs = [("abcdef", "abcdxf"), ("a", "a")]
    assert corpus_bleu(pairs) == pytest.approx((6 / 7 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))


def test_bleu_counts_a_token_no_more_often_than_the_label_has_it():
    assert corpus_bleu([("ab", "aaa")]) == 0
    assert corpus_bleu([("ab", "a")]) == pytest.approx(math.exp(1 - 2 / 1)), "right as far as it goes, and too short"


@given(results_of)
def test_bleu_of_what_is_right_is_one(results):
    assert corpus_bleu([(r.reference, r.reference) for r in results]) == pytest.approx(1)
    assert 0 <= corpus_bleu([(r.reference, r.prediction) for r in results]) <= 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["x", "^", "{", "2", "}"], ["x", "^", "2"], True),
        ([r"\left(", "x", r"\right)"], ["(", "x", ")"], True),
        (["x", "^", "2"], ["x", "_", "2"], False),
        (["x"], [r"\mathbf", "{", "x", "}"], False),
        (["x"], [r"\frac", "{"], False),
        ([r"\frac", "{"], [r"\frac", "{"], True),
    ],
)
def test_renders_the_same(one, other, same):
    assert renders_same(one, other) is same


@given(strings, strings)
def test_rendering_takes_anything(one, other):
    assert renders_same([one], [other]) == renders_same([other], [one])


def test_rendering_is_counted_by_sample_and_left_out_where_unknown():
    same = Result("n", ("a",), ("b",), renders_same=True)
    other = Result("n", ("a",) * 9, ("b",), renders_same=False)
    assert compute_metrics([same, other, other]).renders_same == pytest.approx(1 / 3)
    unknown = compute_metrics([same, result("a", "a")])
    assert unknown.renders_same is None and "renders_same" not in unknown.lines()


def test_words_are_tokens_not_letters():
    assert result(["\\alpha", "b"], ["\\beta", "b"]).edits == 1


def test_an_empty_prediction_is_all_wrong():
    metrics = compute_metrics([result("abc", "")])
    assert metrics.wer == 1 and metrics.competition_wer == 1


def test_nothing_has_no_rate():
    with pytest.raises(ValueError, match="no rate is defined over 0 samples"):
        compute_metrics([])


def test_metric_lines_match_a_sagemaker_regex():
    line = compute_metrics([result("abcd", "abxd")]).lines("validation:")
    assert "\n" not in line
    found = re.search(r"validation:wer=([0-9\.]+);", line)
    assert found is not None and float(found[1]) == 0.25
    assert re.search(r"validation:samples=1;", line)
