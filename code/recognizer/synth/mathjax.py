"""MathJax 3 without a browser: LaTeX to SVG, to MathML, and to a picture.

MathJax comes from the wheel `django-static-mathjax`, runs in V8 (`mini-racer`), and resvg draws its SVG. MathJax
draws every glyph as an outline, so no font of the machine is ever looked at and a formula looks the same everywhere.
"""

from __future__ import annotations

import atexit
import json
import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import resvg_py
from py_mini_racer import MiniRacer

# The order matters: each component looks for the earlier ones in the global object `MathJax`.
COMPONENTS = ("loader", "core", "adaptors/liteDOM", "input/tex-full", "output/svg", "output/svg/fonts/tex")

# Height of an x in MathJax's TeX font, in em.
X_HEIGHT = 0.442

# Margin around a formula's own box, which glyphs overhang, in 1/1000 em.
OVERHANG = 60

# resvg hands out PNG only, and packing a large picture costs more than drawing it: larger ones are drawn smaller and
# scaled up (they are as large as photographs then, and those aren't sharp to the pixel either).
MAX_RASTER_PIXELS = 200_000

# Errors are thrown, not typeset in red. Macros: words that other vocabularies treat as one symbol.
# The font must be passed: MathJax finds it by itself only when its own loader fetched the files.
DRIVER = r"""
const lite = MathJax._.adaptors.liteAdaptor.liteAdaptor();
MathJax._.handlers.html_ts.RegisterHTMLHandler(lite);
const macros = {
  sech: "\\operatorname{sech}", csch: "\\operatorname{csch}", cosec: "\\operatorname{cosec}",
  overarc: ["\\overset{\\frown}{#1}", 1],
};
const input = new MathJax._.input.tex_ts.TeX({
  packages: ['base', 'ams', 'boldsymbol', 'cancel', 'newcommand', 'configmacros', 'mhchem', 'textmacros', 'mathtools'],
  macros: macros,
  formatError: (jax, error) => { throw error; },
});
const output = new MathJax._.output.svg_ts.SVG({
  fontCache: 'none', font: new MathJax._.output.svg.fonts.tex_ts.TeXFont(),
});
const page = MathJax._.mathjax.mathjax.document('', {InputJax: input, OutputJax: output});
const visitor = new MathJax._.core.MmlTree.SerializedMmlVisitor.SerializedMmlVisitor();
function answer(make) {
  try {
    return JSON.stringify([make(), null]);
  } catch (error) {
    return JSON.stringify([null, String(error.message || error)]);
  }
}
function toSvg(latex, display) {
  return answer(() => lite.innerHTML(page.convert(latex, {display: display, em: 16, ex: 8, containerWidth: 1e7})));
}
function toMathml(latex) {
  const end = MathJax._.core.MathItem.STATE.CONVERT;
  return answer(() => visitor.visitTree(page.convert(latex, {display: true, end: end})));
}
"""

_VIEW_BOX = re.compile(r'viewBox="([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+)"')
# MathJax draws the frames and rules of tables by a style sheet of the page; without it a frame is a black square.
_STYLE = (
    "<style>rect[data-frame],line[data-line]{stroke:#000;stroke-width:70px;fill:none}"
    ".mjx-dashed{stroke-dasharray:140}.mjx-dotted{stroke-linecap:round;stroke-dasharray:0,140}</style>"
)


ViewBox = tuple[float, float, float, float]  # left, top, width, height in 1/1000 em; the baseline is 0


class RenderError(ValueError):
    """The input can't be typeset. The message holds the renderer's reason and the formula."""

    def __init__(self, latex: str, reason: str) -> None:
        super().__init__(f"cannot render {latex!r}: {reason}")


class MathJax:
    """One V8 context with MathJax loaded (0.2 s). Not for use by several threads at once."""

    def __init__(self) -> None:
        package = find_spec("mathjax")
        if package is None or not package.submodule_search_locations:
            raise ImportError("MathJax is missing: install the package django-static-mathjax")
        folder = Path(package.submodule_search_locations[0]) / "static" / "mathjax" / "es5"
        self._engine = MiniRacer()
        self._engine.eval("globalThis.MathJax = {};")
        for component in COMPONENTS:
            self._engine.eval((folder / f"{component}.js").read_text(encoding="utf-8"))
        self._engine.eval(DRIVER)
        # V8 is run by a daemon thread. Left open, the engine is closed by its destructor, after Python has frozen
        # that thread, and waits for it forever. So it is closed while threads still run.
        atexit.register(self.close)

    def close(self) -> None:
        """Stops V8. Safe to call twice."""
        atexit.unregister(self.close)
        self._engine.close()

    def _call(self, function: str, latex: str, *arguments: object) -> str:
        listed = ", ".join(json.dumps(argument) for argument in (latex, *arguments))
        result, error = json.loads(str(self._engine.eval(f"{function}({listed})")))
        if error is not None:
            raise RenderError(latex, error)
        return result

    def to_svg(self, latex: str, display: bool = True) -> str:
        """The formula as SVG: one em is 1000 units of its viewBox.

        Raises:
            RenderError: MathJax refuses the formula.
        """
        svg = self._call("toSvg", latex, display)
        if not svg.startswith("<svg") or "data-mjx-error" in svg:
            raise RenderError(latex, "MathJax made no picture of it")
        return svg

    def to_mathml(self, latex: str) -> str:
        """The formula as presentation MathML: two formulas with equal MathML look the same.

        Raises:
            RenderError: MathJax refuses the formula.
        """
        return self._call("toMathml", latex)


@cache
def _engine_of_process(process: int) -> MathJax:
    return MathJax()


def engine() -> MathJax:
    """The process's MathJax, made at the first use. A forked child gets its own: V8 doesn't survive a fork."""
    return _engine_of_process(os.getpid())


def to_mathml(latex: str) -> str:
    """See `MathJax.to_mathml`."""
    return engine().to_mathml(latex)


def glyph_box(latex: str) -> tuple[float, float, float]:
    """Top, bottom and width of a formula's ink in em; y points down and the baseline is 0.

    Raises:
        RenderError: MathJax refuses the formula, or nothing of it is visible.
    """
    svg, box = _typeset(latex, display=True)
    ink = _rasterized(latex, svg, box, x_height=40, stroke=0.0) > 0.3
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise RenderError(latex, "nothing of it is visible")
    pixel = (box[3] + 2 * OVERHANG) / 1000 / ink.shape[0]  # em
    top = (box[1] - OVERHANG) / 1000
    return top + rows[0] * pixel, top + (rows[-1] + 1) * pixel, (columns[-1] + 1 - columns[0]) * pixel


def render_mathjax(latex: str, x_height: float, display: bool = True, stroke: float = 0.0) -> np.ndarray:
    """The ink of a formula.

    Args:
        latex: what to typeset.
        x_height: height of an x in pixels.
        display: limits above and below, fractions large; False as in running text.
        stroke: width of the pen that traces the outlines, in 1/1000 em: 0 is the font as it is, 40 is bold.

    Returns:
        (H, W) float32, 0 paper to 1 ink, cropped to the formula's own box.

    Raises:
        RenderError: MathJax refuses the formula, or nothing of it is visible.
    """
    return _rasterized(latex, *_typeset(latex, display), x_height, stroke)


def _typeset(latex: str, display: bool) -> tuple[str, ViewBox]:
    svg = engine().to_svg(latex, display)
    found = _VIEW_BOX.search(svg)
    if found is None:
        raise RenderError(latex, "MathJax gave no size")
    left, top, width, height = (float(part) for part in found.groups())
    return svg, (left, top, width, height)


def _rasterized(latex: str, svg: str, box: ViewBox, x_height: float, stroke: float) -> np.ndarray:
    left, top, width, height = box
    margin = OVERHANG + stroke
    left, top, width, height = left - margin, top - margin, width + 2 * margin, height + 2 * margin
    em = x_height / X_HEIGHT
    target = (max(1, round(width / 1000 * em)), max(1, round(height / 1000 * em)))
    shrink = min(1.0, (MAX_RASTER_PIXELS / (target[0] * target[1])) ** 0.5)
    svg = _VIEW_BOX.sub(f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}"', svg, count=1)
    svg = svg.replace(">", f">{_STYLE}", 1)
    if stroke:
        svg = svg.replace('stroke-width="0"', f'stroke-width="{stroke:.1f}" stroke-linejoin="round"', 1)
    png = resvg_py.svg_to_bytes(
        svg_string=svg.replace("currentColor", "#000"),
        background="#fff",
        width=max(1, round(target[0] * shrink)),
        height=max(1, round(target[1] * shrink)),
        skip_system_fonts=True,
    )
    grey = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None or grey.min() > 250:
        raise RenderError(latex, "nothing of it is visible")
    if shrink < 1:
        grey = cv2.resize(grey, target, interpolation=cv2.INTER_CUBIC)
    return (255 - grey).astype(np.float32) / 255
