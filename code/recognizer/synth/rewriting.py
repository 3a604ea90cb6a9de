"""Formulas as somebody wrote them, but in other people's symbols and with other letters: real layouts, made more.

Who has few written formulas learns them by heart, down to the writer's shake. Here each symbol of such a formula makes
room for the same symbol by somebody else (`stroke_bank`), each time for another, and letters and digits are renamed
throughout. What `handwriting` lays out by rule is as varied, but nobody's layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from recognizer.data.ink import InkPicture, Strokes, draw
from recognizer.data.sample import Sample
from recognizer.synth.stroke_bank import Hand, StrokeBank, StrokeGlyph, token_of
from recognizer.synth.variations import CLASSES, SIGNS, class_of

NAMED_ALIKE = (*CLASSES, *SIGNS)  # a symbol is renamed to one of its class
AS_SAID = 0.4  # share of the formulas in which nothing is renamed
RENAMED = 0.5  # share of the others' symbols that are
EXCHANGED = (0.3, 0.7, 1.0)  # share of a formula's symbols that somebody else writes: one of these
UNLIKE = 0.12  # em: how far tops and bottoms of symbols may differ that take each other's place
WIDER = 0.2  # em: how much more room one may take
WOBBLE = 0.06  # of a symbol's size: how far its own strays
BENT = (0.6, 1.6)  # how much narrower or wider a symbol may become to fill the place of its like


@dataclass(frozen=True)
class Place:
    """Where a formula has a symbol: what was written, what is to be, and which of the formula's strokes it takes."""

    was: str
    token: str
    strokes: tuple[int, ...]


@dataclass(frozen=True)
class RewrittenFormula:
    """A formula that a sample can load: without `rng` always the same, and with it written anew each time."""

    bank: StrokeBank
    strokes: tuple[np.ndarray, ...]
    places: tuple[Place, ...]
    seed: int

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB."""
        hand_rng = rng or np.random.default_rng(self.seed)
        return draw(rewrite(self.bank, self.strokes, self.places, hand_rng), rng)


def rewritten_samples(samples: Sequence[Sample], bank: StrokeBank, seed: int, most: int) -> list[Sample]:
    """`most` formulas made of the samples whose strokes' symbols are known, each as often as the others.

    Symbols are renamed to what some label says: the bank has others too, which no vocabulary of these samples has.
    """
    names = {token for sample in samples for token in sample.tokens if token in bank.glyphs}
    inks = ((sample, sample.picture) for sample in samples if isinstance(sample.picture, InkPicture))
    known = [(sample, ink.strokes, symbols) for sample, ink in inks if (symbols := _symbols(ink))]
    rewritten: list[Sample] = []
    for number in range(most if known else 0):
        sample, strokes, symbols = known[number % len(known)]
        written = [token for token, _ in symbols]
        renamed = _renamed(bank, names, sample.tokens, written, np.random.default_rng((seed, number)))
        places = tuple(Place(was, renamed.get(was, was), numbers) for was, numbers in symbols)
        formula = RewrittenFormula(bank, strokes, places, seed * 1_000_003 + number)
        name = f"rewritten/{number}"
        tokens = tuple(renamed.get(token, token) for token in sample.tokens)
        rewritten.append(Sample(name, tokens, formula, sample.source, dataset="rewritten", origin=sample.origin))
    return rewritten


def rewrite(bank: StrokeBank, strokes: Strokes, places: Sequence[Place], rng: np.random.Generator) -> list[np.ndarray]:
    """A formula's strokes (N, 2) float32 with a part of its symbols by another hand, and all renamed ones."""
    hand = bank.hand([place.token for place in places], rng)
    share = rng.choice(EXCHANGED)
    kept = list(range(len(strokes)))
    new: list[np.ndarray] = []
    for place in places:
        if place.token in bank.glyphs and (place.token != place.was or rng.random() < share):
            kept = [number for number in kept if number not in place.strokes]
            new += _put(hand, place, [strokes[number] for number in place.strokes], rng)
    return [strokes[number].astype(np.float32) for number in kept] + new


def _put(hand: Hand, place: Place, old: Strokes, rng: np.random.Generator) -> list[np.ndarray]:
    """A symbol by `hand` where another was written: as large, in the middle of its place."""
    glyph = hand.glyph(place.token)
    points = np.concatenate(list(old))
    low, high = points.min(axis=0), points.max(axis=0)
    size = float(np.hypot(*(high - low)))
    scale, middle = (
        _like(glyph, high - low) if place.token == place.was else _renamed_size(hand.bank, place, glyph, size)
    )
    scale = scale * np.exp(WOBBLE * rng.normal(size=2).clip(-2, 2))
    centre = (low + high) / 2 + np.array([0, middle]) + WOBBLE / 2 * size * rng.normal(size=2).clip(-2, 2)
    offset = centre - scale * (glyph.width, glyph.height) / 2
    return [(stroke * scale + offset).astype(np.float32) for stroke in glyph.strokes]


def _like(glyph: StrokeGlyph, room: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale (x, y) by which it takes the room of its like: of its own shape half, and half of the other's."""
    own = np.array([glyph.width, glyph.height])
    even = np.hypot(*room) / max(np.hypot(*own), 1e-3)
    fit = np.sqrt(np.maximum(room, 1e-3) / np.maximum(even * own, 1e-3)).clip(*BENT)
    return even * fit, 0.0


def _renamed_size(bank: StrokeBank, place: Place, glyph: StrokeGlyph, size: float) -> tuple[np.ndarray, float]:
    """Scale (x, y) of a symbol in another's place, and how much lower its middle is than the other's."""
    was, box = bank.boxes[place.was], bank.boxes[place.token]
    em = size / np.hypot(was.width, was.bottom - was.top)
    even = em * np.hypot(box.width, box.bottom - box.top) / max(np.hypot(glyph.width, glyph.height), 1e-3)
    return np.array([even, even]), float(em * (box.top + box.bottom - was.top - was.bottom) / 2)


def _symbols(picture: InkPicture) -> list[tuple[str, tuple[int, ...]]]:
    return [(token, numbers) for label, numbers in picture.symbols if numbers and (token := token_of(label))]


def _renamed(
    bank: StrokeBank, names: Set[str], tokens: Sequence[str], written: Sequence[str], rng: np.random.Generator
) -> Mapping[str, str]:
    """What the formula's symbols are renamed to: what is written as often as the label says it, and has its like
    among the `names`."""
    if rng.random() < AS_SAID:
        return {}
    renamed: dict[str, str] = {}
    for token in sorted(set(written)):
        others = [other for other in class_of(token, NAMED_ALIKE) if other in names and _fits(bank, token, other)]
        if others and written.count(token) == tokens.count(token) and rng.random() < RENAMED:
            renamed[token] = others[int(rng.integers(len(others)))]
    return renamed


def _fits(bank: StrokeBank, token: str, other: str) -> bool:
    was, box = bank.boxes.get(token), bank.boxes.get(other)
    return bool(
        was
        and box
        and other != token
        and abs(was.top - box.top) < UNLIKE
        and abs(was.bottom - box.bottom) < UNLIKE
        and box.width < was.width + WIDER
    )
