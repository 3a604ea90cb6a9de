"""The looks of a rendered formula: which renderer and font, how large, how bold, how slanted, in which ink."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from recognizer.synth.mathjax import RenderError, render_mathjax
from recognizer.synth.mathtext import FONT_SETS, render_mathtext

# Looks of MathJax's font that leave the label as it is: the whole formula in another alphabet of the font.
ALPHABETS = {"tex": "", "bold": "\\boldsymbol", "sans": "\\mathsf", "upright": "\\mathrm"}

# Formulas that choose an alphabet themselves keep it: inside bold, `\mathbf{x}` couldn't be told from `x`.
OWN_ALPHABET = ("\\math", "\\operatorname", "\\text", "\\bold")
SHORTEST = 6  # tokens of a formula that may be in another alphabet as a whole: bold x alone is \boldsymbol{x}
# What looks like another symbol in an alphabet: in sans serif, say, a small l, a capital I and a bar are the same.
_TWINS = {
    "sans": re.compile(r"(?<![A-Za-z\\])[lI](?![A-Za-z])"),
    "bold": re.compile(r"\\(?:varnothing|smallsetminus)(?![A-Za-z])"),  # like \emptyset and \backslash
}

BLACK_INKS = ((0, 0, 0), (0, 0, 0), (20, 20, 20), (45, 45, 50), (70, 70, 70))
COLOUR_INKS = ((20, 30, 120), (15, 60, 150), (10, 90, 60), (120, 20, 30), (90, 40, 110), (60, 80, 110))


@dataclass(frozen=True)
class Style:
    """How one formula is drawn.

    Attributes:
        renderer: "mathjax" or "mathtext".
        font: a key of ALPHABETS for MathJax, a font set for mathtext.
        x_height: height of an x in pixels (10-point type is 6 pixels at 100 dpi, 18 at 300).
        display: as a displayed formula, or as in running text.
        stroke: MathJax only: pen that traces the outlines, in 1/1000 em.
        slant: horizontal shift per unit of height, positive leans right.
        ink: red, green, blue.
        margins: white left, top, right and bottom, in x-heights.
    """

    renderer: str = "mathjax"
    font: str = "tex"
    x_height: float = 14.0
    display: bool = True
    stroke: float = 0.0
    slant: float = 0.0
    ink: tuple[int, int, int] = (0, 0, 0)
    margins: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def random_style(rng: np.random.Generator) -> Style:
    """A style at random: two thirds MathJax, a third mathtext; one in five in colour."""
    mathjax = rng.random() < 0.62
    if mathjax:
        font = ("tex", "tex", "tex", "tex", "tex", "bold", "sans", "upright")[int(rng.integers(8))]
    else:
        font = FONT_SETS[int(rng.integers(len(FONT_SETS)))]
    inks = BLACK_INKS if rng.random() < 0.8 else COLOUR_INKS
    # A quarter is cut close to the ink, as by a careful user; the rest has some paper around.
    margins = rng.uniform(0.05, 0.4, 4) if rng.random() < 0.25 else rng.uniform(0.3, 2.5, 4)
    return Style(
        renderer="mathjax" if mathjax else "mathtext",
        font=font,
        x_height=_random_x_height(rng),
        display=bool(rng.random() < 0.7),
        stroke=float(rng.uniform(5, 45)) if rng.random() < 0.4 else 0.0,
        slant=float(np.clip(rng.normal(0, 0.08), -0.2, 0.2)) if rng.random() < 0.3 else 0.0,
        ink=inks[int(rng.integers(len(inks)))],
        margins=(float(margins[0]), float(margins[1]), float(margins[2]), float(margins[3])),
    )


def _random_x_height(rng: np.random.Generator) -> float:
    """Mostly all scales alike, from 5.5 to 45 pixels, and more of what is common on a screen or in a photograph."""
    if rng.random() < 0.6:
        return float(np.exp(rng.uniform(np.log(5.5), np.log(45))))
    return float(rng.uniform(8, 22))


def render(latex: str, style: Style) -> np.ndarray:
    """A clean picture of a formula.

    Args:
        latex: what to draw.
        style: how to draw it.

    Returns:
        (H, W, 3) uint8 RGB on white.

    Raises:
        RenderError: the style's renderer can't draw this formula. MathJax can draw all that `grammar` makes.
        ValueError: the style names an unknown renderer.
    """
    if style.renderer == "mathjax":
        alphabet = ALPHABETS[style.font]
        twins = _TWINS.get(style.font)
        if any(mark in latex for mark in OWN_ALPHABET) or (twins and twins.search(latex)):
            alphabet = ""
        text = f"{alphabet}{{{latex}}}" if alphabet else latex
        ink = render_mathjax(text, style.x_height, style.display, style.stroke)
    elif style.renderer == "mathtext":
        ink = render_mathtext(latex, style.x_height, style.font, style.display)
    else:
        raise ValueError(f"renderer must be 'mathjax' or 'mathtext', got {style.renderer!r}")
    return _on_white(_slanted(ink, style.slant), style)


def render_any(latex: str, style: Style) -> tuple[np.ndarray, Style]:
    """`render`, with MathJax where mathtext can't; also returns the style that was used.

    Raises:
        RenderError: MathJax can't draw it either.
    """
    try:
        return render(latex, style), style
    except RenderError:
        if style.renderer == "mathjax":
            raise
    plain = Style(**{**style.to_dict(), "renderer": "mathjax", "font": "tex"})  # type: ignore[arg-type]
    return render(latex, plain), plain


def _slanted(ink: np.ndarray, slant: float) -> np.ndarray:
    height, width = ink.shape
    if not slant or height < 2:
        return ink
    extra = int(np.ceil(abs(slant) * height))
    shear = np.array([[1, -slant, slant * height if slant > 0 else 0.0], [0, 1, 0]], np.float32)
    return cv2.warpAffine(ink, shear, (width + extra, height), flags=cv2.INTER_LINEAR)


def _on_white(ink: np.ndarray, style: Style) -> np.ndarray:
    left, top, right, bottom = (round(margin * style.x_height) for margin in style.margins)
    ink = np.clip(cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0.0), 0, 1)
    colour = np.array(style.ink, np.float32)
    return np.rint(255 - ink[:, :, None] * (255 - colour)).astype(np.uint8)
