"""The report is one file, tells what went wrong, and can't be broken by what a label holds."""

import base64
import re

import numpy as np

from recognizer.data.ink import InkPicture
from recognizer.data.sample import Sample
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.report import write_report

INK = InkPicture((np.array([[0, 0], [30, 40]], np.float32),))
HISTORY = [{"epoch": 1, "loss": 2.0, "exprate": 0.1}, {"epoch": 2, "loss": 1.0, "exprate": 0.3}]


def report_of(tmp_path, results, history=()):
    samples = [Sample(result.name, result.reference, INK) for result in results]
    write_report(tmp_path / "report.html", results, samples, {"model": "m"}, history)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


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
    picture = re.search(r'data:image/png;base64,([^"]*)', html)
    assert picture is not None and base64.b64decode(picture[1]).startswith(b"\x89PNG")


def test_labels_are_escaped(tmp_path):
    html = report_of(tmp_path, [Result("<script>alert(1)</script>", ("<", "a"), (">", "\"'"))])
    assert "<script" not in html and "&lt;script&gt;" in html


def test_a_formula_that_cannot_be_typeset(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("\\frac", "{"))])
    assert "does not render" in html


def test_nothing_recognized(tmp_path):
    assert "nothing recognized" in report_of(tmp_path, [Result("one", ("a",), ())])


def test_no_errors(tmp_path):
    html = report_of(tmp_path, [Result("one", ("a",), ("a",))])
    assert "No sample was recognized wrongly" in html and "Learning curves" not in html


def test_curves_need_two_epochs(tmp_path):
    results = [Result("one", ("a",), ("a",))]
    assert "Learning curves" in report_of(tmp_path, results, HISTORY)
    assert "Learning curves" not in report_of(tmp_path, results, HISTORY[:1])
