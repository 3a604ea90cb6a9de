"""Single symbols as the pen strokes that people wrote, by writer: what `handwriting` puts formulas together from.

Data sets of handwriting know only some hundred symbols. Many others look like them, or are made of them (an `\\oplus`
is an `o` with a `+` in it), and RECIPES says how; for a few letters `pen_shapes` has to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from recognizer.data.formats import UNKNOWN_WRITER
from recognizer.data.ink import InkPicture, Strokes
from recognizer.data.sample import Sample
from recognizer.latex import normalize, tokenize
from recognizer.synth.glyphs import Box, symbol_box
from recognizer.synth.pen_shapes import LETTERS, SHAPES, drawn_letter

FLATNESS = 0.008  # of a symbol's size: points that lie that near to the line between others are left out
UNEVENNESS = 0.03  # of a letter's size: how far the curves of a drawn one stray
CANDIDATES = 6  # hands of which a formula takes the one that knows most of its symbols


class CantWriteError(ValueError):
    """A formula holds something that no stroke of the bank can show; `token` is what."""

    def __init__(self, token: str) -> None:
        super().__init__(f"{token} can't be written by hand: nobody wrote it, and it isn't made of what somebody wrote")
        self.token = token


@dataclass(frozen=True)
class StrokeGlyph:
    """A symbol as somebody wrote it: its strokes from (0, 0) to (width, height), the longer of which is 1."""

    strokes: tuple[np.ndarray, ...]
    width: float
    height: float


_RIGHT, _DOWN = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
_FLIP_X, _FLIP_Y = _DOWN - _RIGHT, _RIGHT - _DOWN

Part = tuple[str, str, float, float, float, float]


def _recipes(table: str) -> dict[str, tuple[Part, ...]]:
    rows = (line.split(maxsplit=1) for line in table.strip().splitlines())
    return {name: tuple(_part(*part.split()) for part in parts.split(" ; ")) for name, parts in rows}


def _part(token: str, turn: str, *box: str) -> Part:
    left, top, right, bottom = map(float, box or (0, 0, 1, 1))
    return token, turn, left, top, right, bottom


# Parts of a symbol: token, how it is turned (x, y: mirrored left to right, top to bottom; t: about the diagonal, which
# comes first), and left, top, right, bottom in the symbol's box. A part without width or height keeps its proportions.
RECIPES = _recipes(
    r"""
    O o .
    D | . 0 0 0 1 ; ) . 0 0 1 1
    K | . 0 0 0 1 ; < . 0.05 0 1 1
    Q o . 0 0 1 0.95 ; / x 0.55 0.65 1 1
    U ) t
    W w .
    Z z .
    : . . 0 0 1 0.05 ; . . 0 0.95 1 1
    ; . . 0 0 1 0.05 ; , . 0 0.6 1 1
    * \times . 0 0.2 1 0.8 ; | . 0.5 0 0.5 1
    \% o . 0 0 0.4 0.45 ; / . 0.1 0 0.9 1 ; o . 0.6 0.55 1 1
    \Gamma L y
    \Lambda V y
    \Theta o . ; - . 0.25 0.5 0.75 0.5
    \Phi o . 0 0.2 1 0.8 ; | . 0.5 0 0.5 1
    \hbar h . ; - . 0 0.25 0.75 0.25
    \nabla \Delta y
    \cdot . .
    \cdots \ldots .
    \vdots \ldots t
    \ddots . . 0 0 0.05 0.05 ; . . 0.5 0.5 0.55 0.55 ; . . 0.95 0.95 1 1
    \therefore . . 0 0.95 0.05 1 ; . . 0.5 0 0.55 0.05 ; . . 0.95 0.95 1 1
    \because . . 0 0 0.05 0.05 ; . . 0.5 0.95 0.55 1 ; . . 0.95 0 1 0.05
    \circ o .
    \emptyset o . 0 0.1 1 0.9 ; / . 0.1 0 0.9 1
    \oplus o . ; + . 0.15 0.15 0.85 0.85
    \otimes o . ; \times . 0.2 0.2 0.8 0.8
    \ominus o . ; - . 0.1 0.5 0.9 0.5
    \odot o . ; . . 0.48 0.48 0.52 0.52
    \bigoplus o . ; + . 0.1 0.1 0.9 0.9
    \bigotimes o . ; \times . 0.15 0.15 0.85 0.85
    \cup ) t
    \cap ( t
    \bigcup ) t
    \bigcap ( t
    \vee v .
    \wedge v y
    \bigvee v .
    \bigwedge v y
    \mp \pm y
    \top T .
    \perp T y
    \neg - . 0 0 1 0 ; | . 1 0 1 1
    \equiv - . 0 0 1 0 ; - . 0 0.5 1 0.5 ; - . 0 1 1 1
    \sim \tilde .
    \approx \tilde . 0 0 1 0.4 ; \tilde . 0 0.6 1 1
    \simeq \tilde . 0 0 1 0.4 ; - . 0 1 1 1
    \cong \tilde . 0 0 1 0.3 ; = . 0 0.6 1 1
    \leqq < . 0 0 1 0.65 ; = . 0 0.8 1 1
    \geqq > . 0 0 1 0.65 ; = . 0 0.8 1 1
    \ll < . 0 0 0.6 1 ; < . 0.4 0 1 1
    \gg > . 0 0 0.6 1 ; > . 0.4 0 1 1
    \propto \alpha .
    \ni \in x
    \notin \in . 0 0.15 1 0.85 ; / . 0.2 0 0.8 1
    \subset c .
    \supset c x
    \subseteq c . 0 0 1 0.75 ; - . 0 1 1 1
    \supseteq c x 0 0 1 0.75 ; - . 0 1 1 1
    \leftarrow \rightarrow x
    \longrightarrow \rightarrow .
    \longleftarrow \rightarrow x
    \leftrightarrow \overleftrightarrow .
    \uparrow \rightarrow ty
    \downarrow \rightarrow t
    \mapsto | . 0 0.2 0 0.8 ; \rightarrow .
    \longmapsto | . 0 0.2 0 0.8 ; \rightarrow .
    \Rightarrow = . 0 0.25 0.9 0.75 ; > . 0.6 0 1 1
    \Leftarrow = . 0.1 0.25 1 0.75 ; < . 0 0 0.4 1
    \Longrightarrow = . 0 0.25 0.95 0.75 ; > . 0.75 0 1 1
    \Longleftarrow = . 0.05 0.25 1 0.75 ; < . 0 0 0.25 1
    \Leftrightarrow < . 0 0 0.35 1 ; = . 0.1 0.25 0.9 0.75 ; > . 0.65 0 1 1
    \Longleftrightarrow < . 0 0 0.25 1 ; = . 0.05 0.25 0.95 0.75 ; > . 0.75 0 1 1
    \prod | . 0.15 0 0.15 1 ; | . 0.85 0 0.85 1 ; - . 0 0 1 0
    \coprod | . 0.15 0 0.15 1 ; | . 0.85 0 0.85 1 ; - . 0 1 1 1
    \Xi - . 0 0 1 0 ; - . 0.15 0.5 0.85 0.5 ; - . 0 1 1 1
    \sharp | . 0.3 0 0.3 1 ; | . 0.7 0 0.7 1 ; - . 0 0.35 1 0.35 ; - . 0 0.65 1 0.65
    \dagger | . 0.5 0 0.5 1 ; - . 0 0.25 1 0.25
    \square | . 0 0 0 1 ; - . 0 0 1 0 ; | . 1 0 1 1 ; - . 0 1 1 1
    \rightleftarrows \rightarrow . 0 0 1 0.45 ; \rightarrow x 0 0.55 1 1
    \iint \int . 0 0 0.6 1 ; \int . 0.4 0 1 1
    \iiint \int . 0 0 0.45 1 ; \int . 0.28 0 0.73 1 ; \int . 0.55 0 1 1
    \oint \int . ; o . 0.25 0.4 0.75 0.6
    \| | . 0 0 0 1 ; | . 1 0 1 1
    \langle < .
    \rangle > .
    \lfloor L .
    \rfloor L x
    \lceil L y
    \rceil L xy
    \backslash / x
    """
)


@dataclass(frozen=True)
class StrokeBank:
    """Symbols of many writers.

    boxes   where LaTeX puts each symbol, written ones and those that recipes make
    glyphs  token -> all that was written of it
    hands   for each writer who is known: token -> which of those are his
    """

    boxes: dict[str, Box]
    glyphs: dict[str, list[StrokeGlyph]]
    hands: tuple[dict[str, tuple[int, ...]], ...]

    def __contains__(self, token: object) -> bool:
        return token in self.boxes

    def hand(self, tokens: Iterable[str], rng: np.random.Generator) -> Hand:
        """Choose who writes a formula of these tokens."""
        return Hand(self, frozenset(tokens), rng)


def written_symbols(samples: Iterable[Sample]) -> Iterator[tuple[str, str, Strokes]]:
    """Symbols of pen strokes whose segmentation is known: writer ("" if unknown), token, strokes."""
    for sample in samples:
        picture = sample.picture
        if isinstance(picture, InkPicture):
            writer = "" if sample.group.endswith(UNKNOWN_WRITER) else sample.group
            for label, numbers in picture.symbols:
                if token := token_of(label):
                    yield writer, token, [picture.strokes[number] for number in numbers]


@cache
def token_of(label: str) -> str:
    """The token that a symbol's label is; "" if it is several (a radical is `\\sqrt { }`)."""
    tokens = tokenize(normalize(label))
    return tokens[0] if len(tokens) == 1 else ""


def make_stroke_bank(written: Iterable[tuple[str, str, Strokes]]) -> StrokeBank:
    """Make a bank of symbols as `written_symbols` gives them; what isn't a symbol of its own is left out."""
    boxes: dict[str, Box | None] = {}
    glyphs: dict[str, list[StrokeGlyph]] = {}
    hands: dict[str, dict[str, list[int]]] = {}
    for writer, token, strokes in written:
        if token not in boxes:
            boxes[token] = symbol_box(token)
        if boxes[token] is not None and strokes:
            own = glyphs.setdefault(token, [])
            if writer:
                hands.setdefault(writer, {}).setdefault(token, []).append(len(own))
            own.append(_glyph(strokes))
    for token in _makeable(glyphs):
        boxes[token] = symbol_box(token)
    return StrokeBank(
        {token: box for token, box in boxes.items() if box},
        glyphs,
        tuple({token: tuple(numbers) for token, numbers in hand.items()} for hand in hands.values()),
    )


def _makeable(glyphs: dict[str, list[StrokeGlyph]]) -> list[str]:
    """Tokens that nobody wrote and that can be drawn, or made of what there is."""
    known = glyphs.keys() | SHAPES.keys()
    made = [token for token, parts in RECIPES.items() if all(part[0] in known for part in parts)]
    return [token for token in [*made, *LETTERS] if token not in glyphs]


def _glyph(strokes: Sequence[np.ndarray]) -> StrokeGlyph:
    points = np.concatenate(list(strokes))
    low, high = points.min(axis=0), points.max(axis=0)
    size = max(float((high - low).max()), 1e-6)
    unit = [((stroke - low) / size).astype(np.float32) for stroke in strokes]
    flat = tuple(cv2.approxPolyDP(stroke, FLATNESS, False)[:, 0] if len(stroke) > 2 else stroke for stroke in unit)
    width, height = (high - low) / size
    return StrokeGlyph(flat, float(width), float(height))


class Hand:
    """Who writes a formula: one writer, and for symbols that he never wrote others, in the same order all along."""

    def __init__(self, bank: StrokeBank, tokens: frozenset[str], rng: np.random.Generator) -> None:
        self.bank, self.rng = bank, rng
        drawn = rng.integers(len(bank.hands), size=CANDIDATES) if bank.hands else ()
        self.writers = sorted((bank.hands[k] for k in drawn), key=lambda hand: -len(tokens & hand.keys()))

    def glyph(self, token: str) -> StrokeGlyph:
        """One of the ways in which the token is written.

        Raises:
            CantWriteError: there is none.
        """
        if token in self.bank.glyphs:
            glyphs = self.bank.glyphs[token]
            for writer in self.writers:
                if token in writer:
                    return glyphs[writer[token][int(self.rng.integers(len(writer[token])))]]
            return glyphs[int(self.rng.integers(len(glyphs)))]
        if token not in self.bank:
            raise CantWriteError(token)
        box = self.bank.boxes[token]
        height = box.bottom - box.top
        if token in LETTERS:
            room = np.array([box.width, height], dtype=np.float32)
            return _glyph([stroke * room for stroke in drawn_letter(token, UNEVENNESS, self.rng)])
        return _glyph([stroke for part in RECIPES[token] for stroke in self._part(*part, box.width, height)])

    def _part(
        self, token: str, turn: str, left: float, top: float, right: float, bottom: float, width: float, height: float
    ) -> list[np.ndarray]:
        """Strokes of one part of a recipe, for a symbol of this width and height."""
        glyph = _turned(StrokeGlyph(SHAPES[token], 1, 1) if token in SHAPES else self.glyph(token), turn)
        room = np.array([(right - left) * width, (bottom - top) * height])
        own = np.maximum([glyph.width, glyph.height], 1e-3)
        factors = np.where(room > 0, room / own, (room / own).max())
        offset = np.array([left * width, top * height]) - np.where(room > 0, 0, factors * own / 2)
        return [(stroke * factors + offset).astype(np.float32) for stroke in glyph.strokes]


def _turned(glyph: StrokeGlyph, turn: str) -> StrokeGlyph:
    strokes, width, height = glyph.strokes, glyph.width, glyph.height
    if "t" in turn:
        strokes, width, height = tuple(stroke[:, ::-1] for stroke in strokes), height, width
    if "x" in turn:
        strokes = tuple(stroke * _FLIP_X + _RIGHT * np.float32(width) for stroke in strokes)
    if "y" in turn:
        strokes = tuple(stroke * _FLIP_Y + _DOWN * np.float32(height) for stroke in strokes)
    return StrokeGlyph(strokes, width, height)
