"""Random symbols in random layouts: where they are drawn, and that their labels draw the same."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.latex import normalize, tokenize
from recognizer.synth.glyphs import EM, GlyphBank, make_bank
from recognizer.synth.strips import StripPicture, draw_strip

STROKE = np.array([[0, 0], [40, 60], [80, 0]], dtype=np.float32)
STRUCTURE = frozenset("^_{}") | {"\\frac"}
TOKENS = ("x", "\\sum", "-", "\\sin", "\\frac", "^", "{", "\\left(", "\\not", "<pad>")


@pytest.fixture(scope="module")
def bank() -> GlyphBank:
    return make_bank(TOKENS, [("x", [STROKE]), ("x", [STROKE * 2]), ("y", [STROKE])], seed=0)


def test_only_what_is_a_symbol_of_its_own_is_drawn(bank: GlyphBank) -> None:
    printed, written = bank.hands
    assert set(printed) == {"x", "\\sum", "-", "\\sin"}
    assert set(written) == {"x"}, "y is not among the tokens"
    assert len(written["x"]) == 2
    for pictures in printed.values():
        assert all(picture.dtype == np.uint8 and picture.max() > 200 for picture in pictures)


def test_symbols_keep_the_size_that_latex_gives_them(bank: GlyphBank) -> None:
    printed = bank.hands[0]
    heights = {token: np.median([picture.shape[0] for picture in printed[token]]) / EM for token in printed}
    assert heights["-"] < 0.15 < 0.35 < heights["x"] < 0.6 < 1.2 < heights["\\sum"] < 1.7
    assert bank.boxes["x"].bottom == pytest.approx(0, abs=0.04), "it stands on the baseline"
    assert bank.boxes["\\sum"].bottom > 0.2, "it hangs below"


@pytest.mark.parametrize("seed", range(30))
def test_every_symbol_is_inked_where_the_strip_says(bank: GlyphBank, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strip = draw_strip(bank, STRUCTURE, 1 + seed % 9, EM, rng, rng)
    height, width = strip.ink.shape
    for glyph in strip.glyphs:
        assert 0 <= glyph.top < glyph.bottom <= height
        assert 0 <= glyph.x < width
        half = glyph.ink.shape[1] / 2
        window = strip.ink[round(glyph.top) : round(glyph.bottom) + 1, int(glyph.x - half) : int(glyph.x + half) + 1]
        assert window.max() > 0.4, glyph.token
    drawn = [glyph.token for glyph in strip.glyphs]
    assert sorted(drawn) == sorted(token for token in strip.tokens if token not in "^_{}")


@pytest.mark.parametrize("seed", range(30))
def test_the_label_is_normal_latex(bank: GlyphBank, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = draw_strip(bank, STRUCTURE, 9, EM, rng, rng).tokens
    assert tokenize(normalize(" ".join(tokens))) == list(tokens)


def test_a_strip_uses_no_structure_that_the_vocabulary_lacks(bank: GlyphBank) -> None:
    rng = np.random.default_rng(0)
    tokens = {token for _ in range(50) for token in draw_strip(bank, frozenset("^"), 9, EM, rng, rng).tokens}
    assert not tokens & {"^", "_", "{", "}", "\\frac"}, "without braces there are no scripts and no fractions"


def test_a_sample_keeps_its_label_and_changes_its_looks(bank: GlyphBank) -> None:
    picture = StripPicture(bank, STRUCTURE, seed=3, symbols=5)
    assert np.array_equal(picture.load(), picture.load())
    first, second = (picture.strip(np.random.default_rng(seed)) for seed in (1, 2))
    assert first.tokens == second.tokens == picture.strip().tokens
    assert first.ink.shape != second.ink.shape or not np.array_equal(first.ink, second.ink)
    assert picture.load().dtype == np.uint8
    assert picture.load().shape[2] == 3


def test_the_bank_is_the_same_for_any_number_of_processes(bank: GlyphBank) -> None:
    parallel = make_bank(TOKENS, [("x", [STROKE]), ("x", [STROKE * 2]), ("y", [STROKE])], seed=0, workers=2)
    for hand, other in zip(bank.hands, parallel.hands, strict=True):
        assert hand.keys() == other.keys()
        assert all(np.array_equal(a, b) for token in hand for a, b in zip(hand[token], other[token], strict=True))
