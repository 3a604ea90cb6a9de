"""The report is one file, tells what went wrong, and can't be broken by what a label holds."""

import base64
import re

import cv2
import numpy as np

from recognizer.data.ink import InkPicture
from recognizer.data.sample import Sample
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.report import write_report

INK = InkPicture((np.array([[0, 0], [30, 40]], np.float32),))
HISTORY = [{"epoch": 1, "loss": 2.0, "exprate": 0.1}, {"epoch": 2, "loss": 1.0, "exprate": 0.3}]


def report_of(tmp_path, results, history=(), attention=None):
    samples = [Sample(result.name, result.reference, INK) for result in results]
    write_report(tmp_path / "report.html", results, samples, {"model": "m"}, history, attention)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def rows_of(html):
    """The text of each row of the tables, without tags."""
    rows = re.findall(r"<tr>.*?</tr>", html, re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in rows]


def test_self_contained(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("b",))], HISTORY)
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert "http://" not in html and "https://" not in html and "<script" not in html


def test_shows_picture_and_both_formulas(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a", "+", "b"), ("a", "-", "b"), 0.75)])
    assert "<ins>+</ins>" in html and "<del>-</del>" in html
    assert "1 edit, confidence 75.0 %" in html.replace("\n", " ")
    assert html.count("data:image/svg+xml") == 4  # two formulas in each of two galleries
    picture = re.search(r'data:image/jpeg;base64,([^"]*)', html)
    assert picture is not None and base64.b64decode(picture[1]).startswith(b"\xff\xd8")


def test_shows_how_far_confidence_can_be_trusted(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("b",), 0.75), Result("two", ("a",), ("a",), 0.75)])
    assert "Expected calibration error 25.0 %" in html


def test_shows_what_was_confused_and_what_was_left_out(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a", "+", "b"), ("a", "-"))])
    assert "+ - 1 100.0 %" in rows_of(html) and "b nothing 1 100.0 %" in rows_of(html)


def test_a_blank_that_was_confused_is_seen(tmp_path):
    """The control space would be shown as a backslash."""
    assert "\\␣ , 1 100.0 %" in rows_of(report_of(tmp_path, [Result("one", ("\\ ", "a"), (",", "a"))]))


def test_says_how_samples_weigh(tmp_path):
    html = " ".join(report_of(tmp_path, [Result("one", ("a",), ("a",))]).split())
    assert "1 sample; " in html and "In WER and BLEU a sample weighs as much as it is long" in html
    assert "Competition WER: mean over samples of edits / tokens of the longer of label and answer" in html


def test_without_slices_there_is_no_heading_for_them(tmp_path):
    short = Result("one", ("a",), ("a",))
    assert "<h2>Slices" not in report_of(tmp_path, [short])
    assert "<h2>Slices" in report_of(tmp_path, [short, Result("two", ("a",) * 9, ("a",) * 9)])


def test_shows_a_table_of_each_kind_of_slice(tmp_path):
    """Of two printed formulas one is right, the handwritten one has two wrong tokens of four. All have one length.

    The recognizer says one half of each: that is right for print.
    """
    label = ("a", "+", "b", "c")
    results = [
        Result("one", label, label, 0.5, {"source": "printed"}),
        Result("two", label, ("a", "-", "b", "c"), 0.5, {"source": "printed"}),
        Result("three", label, ("a", "-", "b", "d"), 0.5, {"source": "handwritten"}),
    ]
    rows = rows_of(report_of(tmp_path, results))
    place = rows.index("source samples exact within 1 within 2 WER BLEU ECE")
    assert re.fullmatch(r"handwritten 1 0.0 % 0.0 % 100.0 % 50.0 % 0\.\d+ 50.0 %", rows[place + 1])
    assert re.fullmatch(r"printed 2 50.0 % 100.0 % 100.0 % 12.5 % 0\.\d+ 0.0 %", rows[place + 2])
    assert not [row for row in rows if row.startswith("length samples")], "it would say what the whole says"


def test_errors_are_shown_the_worst_first_and_the_surest_first(tmp_path):
    results = [
        Result("right", ("a",), ("a",), 0.99),
        Result("a third, sure", ("a", "b", "c"), ("a", "b", "d"), 0.9),
        Result("all of one", ("a",), ("b",), 0.2),
        Result("all of two", ("a", "b"), ("c", "d"), 0.1),
        Result("half", ("a", "b"), ("a", "c"), 0.5),
    ]
    _, worst, surest = re.split("<h2>(?:Worst|Most confident) errors", report_of(tmp_path, results))
    shown = [re.findall('alt="the picture ([^"]*)"', gallery) for gallery in (worst, surest)]
    assert shown == [
        ["all of two", "all of one", "half", "a third, sure"],
        ["a third, sure", "half", "all of one", "all of two"],
    ]


def test_shows_where_it_looked(tmp_path):
    """At the first token that is wrong, which is the end where one is missing."""
    seen = []

    class Attention:
        def map(self, rgb, tokens, place):
            seen.append((tokens, place))
            return np.zeros((8, 8, 3), np.uint8)

    html = report_of(tmp_path, [Result("one", ("a", "b"), ("a",))], attention=Attention())
    assert seen == [(("a",), 1)] * 2 and "where it looked to write the end" in " ".join(html.split())


def test_where_it_looked_is_shown_on_the_picture_as_it_was_turned(tmp_path):
    seen = []

    class Attention:
        def map(self, rgb, tokens, place):
            seen.append(rgb)
            return rgb

    result = Result("lies on its side", ("a",), ("b",), turned=90)
    report_of(tmp_path, [result], attention=Attention())
    clockwise = cv2.rotate(INK.load(None), cv2.ROTATE_90_CLOCKWISE)
    assert (seen[0] == clockwise).all()


def test_a_picture_of_one_row_is_shown(tmp_path, monkeypatch):
    row = np.zeros((1, 1600, 3), np.uint8)
    monkeypatch.setattr(InkPicture, "load", lambda self, rng: row)
    assert "data:image/jpeg" in report_of(tmp_path, [Result("a line", ("-",), ("a",))])


def test_labels_are_escaped(tmp_path):
    html = report_of(tmp_path, [Result("<script>alert(1)</script>", ("<", "a"), (">", "\"'"))])
    assert "<script" not in html and "&lt;script&gt;" in html


def test_a_formula_that_cannot_be_typeset(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("\\frac", "{"))])
    assert "does not render" in html


def test_nothing_recognized(tmp_path):
    assert "nothing recognized" in report_of(tmp_path, [Result("one", ("a",), ())])


def test_a_very_long_label_is_scrolled(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a", "+") * 2000, ("a",))])
    assert "max-height" in html and '<small class="tokens"><code>a <ins>+ a' in html


def test_no_errors(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("a",))])
    assert "No sample was recognized wrongly" in html and "Learning curves" not in html


def test_curves_need_two_epochs(tmp_path):
    results = [Result("one", ("a",), ("a",))]
    assert "Learning curves" in report_of(tmp_path, results, HISTORY)
    assert "Learning curves" not in report_of(tmp_path, results, HISTORY[:1])
