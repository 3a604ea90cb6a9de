"""Mathtext draws what the label says, or refuses."""

import numpy as np
import pytest

from recognizer.synth.mathjax import RenderError
from recognizer.synth.mathtext import FONT_SETS, render_mathtext


@pytest.mark.parametrize("font_set", FONT_SETS)
def test_blanks_change_nothing(font_set):
    spaced, tight = (render_mathtext(text, 15, font_set) for text in (r"( a ) ^ { 2 } _ { i }", "(a)^{2}_{i}"))
    assert np.array_equal(spaced, tight)


@pytest.mark.parametrize("font_set", FONT_SETS)
def test_x_height_is_in_pixels(font_set):
    rows = np.flatnonzero(render_mathtext("x", 24, font_set).max(axis=1) > 0.5)
    assert rows[-1] - rows[0] + 1 == pytest.approx(24, abs=2)


@pytest.mark.parametrize(
    "latex",
    [
        r"\begin{matrix} a \end{matrix}",
        r"\nosuchthing",
        r"\overarc { A B }",
        r"\not \subset",
        r"\epsilon",
        r"\emptyset",
        "\u4e2d",
        r"\$",
    ],
)
def test_what_it_cannot_draw_is_refused_each_time(latex):
    for _ in range(2):  # the second time must not come from a cache
        with pytest.raises(RenderError):
            render_mathtext(latex, 12, "dejavusans")


def test_display_makes_fractions_larger():
    assert (
        render_mathtext(r"\frac{a}{b}", 12, "cm").shape[0] > render_mathtext(r"\frac{a}{b}", 12, "cm", False).shape[0]
    )
