"""Matplotlib's mathtext as a second renderer: other fonts than MathJax's, for the formulas that it knows.

It has no environments (matrices, cases) and fewer symbols, and where a font lacks a glyph it draws a dummy: both are
errors here, so that no picture disagrees with its label.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

from recognizer.synth.mathjax import RenderError

FONT_SETS = ("cm", "stix", "stixsans", "dejavusans", "dejavuserif")

# Height of an x in em, by font set: with it, pictures in all fonts come out at the wanted x-height.
_X_HEIGHT = {"cm": 0.431, "stix": 0.45, "stixsans": 0.45, "dejavusans": 0.547, "dejavuserif": 0.519}

# What mathtext draws, but not as a book has it: arrows that don't grow over letters, a stroke beside its relation.
_UNLIKE = re.compile(r"\\(?:overleftrightarrow|overrightarrow|overarc|not)(?![A-Za-z])")
# Outside of Computer Modern, mathtext draws the shapes of \varepsilon, \varnothing, \preccurlyeq, \succcurlyeq here.
_UNLIKE_BUT_CM = re.compile(r"\\(?:epsilon|emptyset|preceq|succeq)(?![A-Za-z])")

_EM_POINTS = 10.0
_AROUND_SCRIPTS = re.compile(r"(?<!\\)\s*([\^_{}])\s*")
_parser = MathTextParser("agg")
_log = logging.getLogger("matplotlib.mathtext")


@contextmanager
def _missing_glyphs_raise(latex: str) -> Iterator[None]:
    """Mathtext reports a missing glyph only to its log. Raised from there, the broken picture isn't cached either."""

    def refuse(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "glyph" in message or "mapping" in message:
            raise RenderError(latex, message)
        return True

    _log.addFilter(refuse)
    try:
        yield
    finally:
        _log.removeFilter(refuse)


def render_mathtext(latex: str, x_height: float, font_set: str, display: bool = True) -> np.ndarray:
    """The ink of a formula.

    Args:
        latex: what to typeset, without dollar signs.
        x_height: height of an x in pixels.
        font_set: one of FONT_SETS.
        display: fractions in full size; False as in running text.

    Returns:
        (H, W) float32, 0 paper to 1 ink, cropped to the formula's own box.

    Raises:
        RenderError: mathtext or the font lacks something, or nothing is visible.
    """
    if "\\begin" in latex or "\\\\" in latex or "$" in latex:
        raise RenderError(latex, "mathtext has no environments, no line breaks and no dollar signs")
    if _UNLIKE.search(latex) or (font_set != "cm" and _UNLIKE_BUT_CM.search(latex)):
        raise RenderError(latex, f"mathtext's {font_set} draws a part of it unlike LaTeX")
    # Mathtext sets a script that comes after a blank as a symbol on the line.
    text = _AROUND_SCRIPTS.sub(r"\1", latex)
    text = text.replace("\\frac", "\\dfrac") if display else text
    font = FontProperties(size=_EM_POINTS, math_fontfamily=font_set)
    dpi = x_height / _X_HEIGHT[font_set] * 72 / _EM_POINTS
    with _missing_glyphs_raise(latex), mpl.rc_context({"text.hinting": "no_hinting", "text.antialiased": True}):
        try:
            parsed = _parser.parse(f"${text}$", dpi=dpi, prop=font)
        except RenderError:
            raise
        except (ValueError, RuntimeError, KeyError) as error:
            raise RenderError(latex, str(error).strip().splitlines()[-1]) from error
    ink = np.asarray(parsed.image, np.float32) / 255
    if ink.size == 0 or ink.max() < 0.05:
        raise RenderError(latex, "nothing of it is visible")
    return ink
