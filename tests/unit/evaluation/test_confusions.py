"""Single edits, counted by hand."""

from recognizer.evaluation.confusions import Confusion, confusions
from recognizer.evaluation.metrics import Result


def test_by_hand():
    results = [
        Result("1", ("o", "+", "o"), ("0", "+", "0")),
        Result("2", ("o", "x"), ("o",)),
        Result("3", ("y",), ("y", ".")),
    ]
    assert confusions(results) == [
        Confusion("o", "0", 2, 2 / 3),
        Confusion("", ".", 1, 1 / 4),  # of 4 errors
        Confusion("x", "", 1, 1.0),
    ]


def test_nothing_wrong():
    assert confusions([Result("1", ("o",), ("o",))]) == []
