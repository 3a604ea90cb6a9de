"""Parts of a set: which sample is in which, and in how many."""

from hypothesis import given
from hypothesis import strategies as st

from recognizer.evaluation.metrics import Result
from recognizer.evaluation.slices import LENGTH_BOUNDS, bucket, contents, metrics_by_slice


def result(reference, prediction, **slices):
    return Result("name", tuple(reference), tuple(prediction), slices=slices)


def test_slices():
    results = [
        result("a", "a", source="printed", level="1"),
        result("a" * 7, "a" * 7, source="printed", level="1"),
        result("a" * 13, "b", source="handwritten", level="1"),
    ]
    slices = metrics_by_slice(results)
    assert set(slices) == {"source", "length"}  # all have one level, and the same contents
    assert slices["source"]["printed"].exprate == 1 and slices["source"]["handwritten"].exprate == 0
    assert list(slices["length"]) == ["1-5", "6-12", "13-25"]
    assert sum(metrics.samples for metrics in slices["length"].values()) == 3


def test_short_formulas_are_a_slice_of_their_own():
    results = [result("a" * count, "a" if count == 1 else "b") for count in (1, 12, 25, 26, 80)]
    slices = metrics_by_slice(results)["short and long"]
    assert {name: (each.samples, each.exprate) for name, each in slices.items()} == {"1-25": (3, 1 / 3), "26+": (2, 0)}


def test_levels_are_slices_in_their_order():
    results = [
        *(result("a", said, level="5") for said in "ab"),
        *(result("aa", said, level="1") for said in ("aa", "aa", "ab", "bb")),
        result("a", "a"),
    ]
    levels = metrics_by_slice(results)["level"]
    assert [(name, metrics.samples, metrics.exprate, metrics.within_1) for name, metrics in levels.items()] == [
        ("unknown", 1, 1, 1),
        ("1", 4, 0.5, 0.75),
        ("5", 2, 0.5, 1),
    ]


def test_a_source_may_have_any_name():
    """Python calls a raised two a digit, and no number."""
    results = [result("a", "a", source=source) for source in ("²", "10", "9-a", "print")]
    assert list(metrics_by_slice(results)["source"]) == ["print", "²", "9-a", "10"]


def test_a_slice_says_how_far_its_confidence_can_be_trusted():
    """Print is as often right as it claims, handwriting never: the whole, 0.25 off, tells of neither."""
    printed = [Result("name", ("a",), (said,), 0.5, {"source": "printed"}) for said in "ab"]
    written = [Result("name", ("a",), ("b",), 0.5, {"source": "handwritten"}) for _ in range(2)]
    slices = metrics_by_slice([*printed, *written])["source"]
    assert {name: metrics.calibration_error for name, metrics in slices.items()} == {"printed": 0, "handwritten": 0.5}


@given(st.integers(1, 1000))
def test_a_bucket_holds_its_value(value):
    low, _, high = bucket(value, (5, 10, 40)).rstrip("+").partition("-")
    assert int(low) <= value <= int(high or value)


def test_a_formula_counts_with_everything_that_it_has():
    root_in_fraction = [r"\frac", "{", r"\sqrt", "{", "a", "}", "}", "{", "2", "}"]
    assert contents(root_in_fraction) == ["fraction", "root"]
    assert contents([r"\begin{pmatrix}", r"\mathbf", "{", "x", "}", r"\end{pmatrix}"]) == [
        "matrix",
        "bold or calligraphic",
    ]
    assert contents([r"\vec", "{", "v", "}"]) == ["accent"]
    assert contents(["x"]) == ["none of these"]
    slices = metrics_by_slice([result(root_in_fraction, root_in_fraction), result([r"\sqrt", "a"], "a")])["contents"]
    assert {name: metrics.samples for name, metrics in slices.items()} == {"fraction": 1, "root": 2}
    assert slices["root"].exprate == 0.5


def test_L4_two_lines_are_a_slice_of_their_own():
    def lines(count):
        return [r"\begin{matrix}", "a", *([r"\\", "a"] * (count - 1)), r"\end{matrix}"]

    results = [result("a", "a"), result(lines(2), lines(2)), result(lines(2), "a"), result(lines(5), lines(5))]
    slices = metrics_by_slice(results)["lines"]
    assert [(name, metrics.samples) for name, metrics in slices.items()] == [("1", 1), ("2", 2), ("3-5", 1)]
    assert slices["2"].exprate == 0.5


def test_lengths():
    assert [bucket(n, LENGTH_BOUNDS) for n in (1, 5, 6, 12, 13, 25, 26, 50, 51)] == [
        *("1-5", "1-5", "6-12", "6-12", "13-25", "13-25", "26-50", "26-50", "51+")
    ]
