"""MathJax in V8: what it draws, what it refuses, and that Python can end afterwards."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recognizer.synth.mathjax import RenderError, render_mathjax, to_mathml

CODE = Path(__file__).parents[3] / "code"


@pytest.mark.parametrize(
    ("latex", "reason"),
    [(r"\frac{1", "Missing close brace"), (r"\nosuchthing", "Undefined control"), ("a & b", "Misplaced &")],
)
def test_input_that_does_not_render_is_an_error_with_its_reason(latex, reason):
    with pytest.raises(RenderError, match=reason) as caught:
        render_mathjax(latex, 10)
    assert repr(latex) in str(caught.value)


@pytest.mark.parametrize("latex", ["", r"\,", "{}"])
def test_invisible_input_is_an_error(latex):
    with pytest.raises(RenderError):
        render_mathjax(latex, 10)


def test_after_an_error_it_still_works():
    with pytest.raises(RenderError):
        render_mathjax(r"\frac{", 10)
    assert render_mathjax("x", 10).max() > 0.9


@pytest.mark.parametrize("x_height", [8.0, 20.0, 45.0])
def test_x_height_is_in_pixels(x_height):
    rows = np.flatnonzero(render_mathjax("x", x_height).max(axis=1) > 0.5)
    assert rows[-1] - rows[0] + 1 == pytest.approx(x_height, abs=0.06 * x_height + 1)


def test_stroke_makes_it_bolder():
    thin, bold = render_mathjax("x+y", 20), render_mathjax("x+y", 20, stroke=40)
    assert bold.sum() > 1.2 * thin.sum()


def test_large_pictures_have_their_full_size():
    small, large = render_mathjax("a+b+c=d+e+f", 10), render_mathjax("a+b+c=d+e+f", 80)
    assert large.shape[1] == pytest.approx(8 * small.shape[1], rel=0.05)


def test_mathml_tells_looks_apart():
    assert to_mathml(r"x^2_i") == to_mathml(r"x_i^2")
    assert to_mathml(r"x_{i^2}") != to_mathml(r"x_i^2")


def test_symbols_of_other_vocabularies_are_known():
    assert "sech" in to_mathml(r"\sech x") and "cosec" in to_mathml(r"\cosec x")


@pytest.mark.parametrize(
    "program",
    [
        # Python's end, with the engine open: its destructor alone would wait for a frozen thread forever.
        "from recognizer.synth.mathjax import render_mathjax; print(render_mathjax('x', 10).shape)",
        # A forked child of a process that has used V8.
        "import os; from recognizer.synth.mathjax import render_mathjax as r; a = r('x', 10)\n"
        "child = os.fork()\n"
        "if child == 0: print(r('x', 10).shape, flush=True); os._exit(0)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
    ],
    ids=["exit", "fork"],
)
def test_the_process_ends(program):
    done = subprocess.run([sys.executable, "-c", program], cwd=CODE, timeout=100, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(")


def test_frames_and_rules_of_tables_are_lines():
    """Without the page's style sheet a frame was a black square, and rules weren't there."""
    plain, ruled, framed = (
        render_mathjax(latex, 20)
        for latex in (
            r"\begin{array}{cc}a&b\\c&d\end{array}",
            r"\begin{array}{c|c}a&b\\\hline c&d\end{array}",
            r"\begin{array}{|cc|}\hline a&b\\c&d\\\hline\end{array}",
        )
    )
    assert plain.max(axis=0).min() == plain.max(axis=1).min() == 0, "paper between rows and columns"
    assert (ruled > 0.5).mean(axis=0).max() > 0.9 and (ruled > 0.5).mean(axis=1).max() > 0.9
    sides = framed[framed.shape[0] // 2], framed[:, framed.shape[1] // 2]
    assert framed.mean() < 0.3 and all(side[:4].max() > 0.5 and side[-4:].max() > 0.5 for side in sides)
