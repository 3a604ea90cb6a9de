r"""How large the type of a labelled picture is: what to scale by when formulas are put together.

The server must guess a glyph height from ink alone (`inference.measure_ink`), and a nested fraction or many indices
fool it. Here the label says how high the glyphs would be in type of one size, so the two sets of heights are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

import inference
from recognizer.latex.synonyms import OPERATORS

# Heights of glyphs in heights of a digit, as printed and written alike more or less. Flat signs and dots have none, and
# signs that grow (\sum, \sqrt, \left() say little.
_HEIGHTS = {
    0.67: r"a c e m n o r s u v w x z \alpha \epsilon \varepsilon \iota \kappa \nu \pi \sigma \tau \upsilon \omega",
    0.85: r"+ \times < > \leq \geq \in \ni \subset \cup \cap \infty \otimes \oplus \rightarrow",
    0.95: r"t g p q y \gamma \eta \mu \rho \chi i",
    1.0: r"""A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9
        \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega""",
    1.05: r"b d h k l \delta \theta \lambda \partial \ell \hbar \emptyset \forall \exists \nabla",
    1.3: r"\notin \neq \pm",
    1.35: r"f j \beta \zeta \xi \phi \varphi \psi",
    1.5: r"( ) [ ] | / \{ \}",
}
HEIGHTS = {token: height for height, row in _HEIGHTS.items() for token in row.split()}
SCRIPT, SMALLEST = 0.7, 0.5  # of what it stands at, and of what stands on the line
FRACTIONS = 1.0, 0.7  # of a fraction in a displayed formula, and in a line of text
DOUBT = 0.3  # how much the guess counts against a single glyph
SPECK = 0.02  # of the area of a typical component
RANGE, STEP, FAR = 2.4, 0.03, 0.3  # of log heights: sizes that are tried, and from where on two heights just don't fit
SHAPES = 1 / 6, 4.0  # width by height of what may be a glyph


def type_size(ink: np.ndarray, tokens: Sequence[str], guess: float) -> float:
    """Height of a digit in pixels: that with which heights in the picture and heights by the label fit best.

    Args:
        ink: (H, W) float32, 0 for paper to 1, nothing but the formula.
        tokens: its label.
        guess: what it may be about; the answer if label or picture has no glyph of known height.
    """
    found = np.log(_heights(ink))
    styles = [np.log(list(expected_heights(tokens, fraction))) for fraction in FRACTIONS]
    if not len(found) or not len(styles[0]):
        return guess
    sizes = np.log(guess) + np.arange(-RANGE, RANGE + STEP, STEP)
    misfits = np.stack([_misfits(found, expected, sizes) for expected in styles]).min(axis=0)
    doubt = DOUBT * np.abs(sizes - np.log(guess)) / len(styles[0])  # few glyphs say little
    return float(np.exp(sizes[(misfits + doubt).argmin()]))


def expected_heights(tokens: Sequence[str], fraction: float = 1.0) -> Iterator[float]:
    """Of each glyph of known height, in heights of a digit on the line.

    Args:
        fraction: how much smaller glyphs are in a fraction: not at all in a displayed one.
    """
    scales, last = [1.0], 1.0  # of each of the groups around, and of the one that has just ended
    for place, token in enumerate(tokens):
        glyphs = token[1:] if token in OPERATORS else [token]
        before = tokens[place - 1] if place else ""
        if token == "{":  # a denominator is as small as its numerator
            smaller = {"^": SCRIPT, "_": SCRIPT, r"\frac": fraction, "}": last}.get(before, 1.0)
            scales.append(max(SMALLEST, scales[-1] * smaller))
        elif token == "}" and len(scales) > 1:
            last = scales.pop() / scales[-1]
        else:
            yield from (HEIGHTS[glyph] * scales[-1] for glyph in glyphs if glyph in HEIGHTS)


def _misfits(found: np.ndarray, expected: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How badly log heights of components (N,) and of glyphs (M,) fit each other, for each log size (S,) -> (S,)."""
    apart = np.abs(found[:, None] - expected[None] - sizes[:, None, None]).clip(max=FAR)  # (S, N, M)
    return apart.min(axis=1).mean(axis=1) + apart.min(axis=2).mean(axis=1)


def _heights(ink: np.ndarray) -> np.ndarray:
    """Of the connected components that may be glyphs."""
    _, _, wide, high, area = inference.ink_boxes(ink).T
    if not len(area):
        return area
    shape = wide / high
    return high[(area >= SPECK * inference.typical_area(area)) & (shape >= SHAPES[0]) & (shape <= SHAPES[1])]
