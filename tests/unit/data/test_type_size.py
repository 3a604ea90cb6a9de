r"""The size of type by label and ink, of formulas drawn in type whose size is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import inference
from recognizer.data.type_size import expected_heights, type_size
from recognizer.latex import normalize, tokenize
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.style import Style, render

DIGIT = 1.43  # x-heights, of MathJax's digits, brackets and what else is measured


def measured(latex: str, x_height: float, display: bool = True) -> tuple[float, float]:
    """Sizes by the ink alone and by the label as well, each divided by the true one."""
    tokens = tokenize(normalize(latex))
    rgb = render(latex, Style(x_height=x_height, display=display))
    ink = inference.extract_ink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    _, guess = inference.measure_ink(ink)
    return guess / (DIGIT * x_height), type_size(ink, tokens, guess) / (DIGIT * x_height)


@pytest.mark.parametrize(
    "latex",
    [
        r"x_{1}^{2}+y_{1}^{2}+z_{1}^{2}+w_{i}^{2}",
        r"w=(vA)^{m}",
        r"a+n+m+u",
        r"\frac{9}{7}=9\div 7",
        r"e^{-\frac{x^{2}}{2}}+\sqrt{2}",
        r"\left(\sqrt{\left(\frac{y-5}{b}\times\sqrt{\frac{8-6}{y}}\right)^4}+3\right)",
    ],
)
@pytest.mark.parametrize("x_height", [8.0, 24.0])
def test_scripts_letters_and_fractions_do_not_fool_it(latex: str, x_height: float) -> None:
    _, size = measured(latex, x_height)
    assert size == pytest.approx(1, abs=0.15)


def test_it_errs_less_than_the_ink_alone() -> None:
    """Of formulas of all kinds."""
    rng = np.random.default_rng(0)
    formulas = [generate_formula(rng, LEVELS[number % len(LEVELS)]) for number in range(80)]
    pairs = [measured(latex, float(rng.uniform(8, 30)), bool(number % 2)) for number, latex in enumerate(formulas)]
    ink, label = np.abs(np.log(np.array(pairs))).T
    assert (label > 0.2).mean() < 0.5 * (ink > 0.2).mean()
    assert np.quantile(label, 0.85) < 0.15


def test_heights_by_the_label() -> None:
    assert list(expected_heights(tokenize(r"x^{A^{A^{A}}}"))) == pytest.approx([0.67, 0.7, 0.5, 0.5])
    assert list(expected_heights(tokenize(r"\frac{A}{A}A"), fraction=0.7)) == pytest.approx([0.7, 0.7, 1])
    assert list(expected_heights(tokenize(r"\cos"))) == pytest.approx([0.67] * 3)


def test_without_a_glyph_of_known_height_it_is_the_guess() -> None:
    blank = np.zeros((40, 60), np.float32)
    assert type_size(blank, ["x"], 12.0) == 12.0
    blank[10:30, 10:20] = 1
    assert type_size(blank, [r"\cdot"], 12.0) == 12.0
