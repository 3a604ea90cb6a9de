"""Short pieces of formulas: whole, sound, and with the symbols that are common."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.data.sample import DataError
from recognizer.latex import normalize, problems, tokenize
from recognizer.synth.corpus import Formula, excerpts
from recognizer.synth.excerpts import excerpt

LATEX = r"f ( x _ { 1 } ) + \sqrt [ 3 ] { y ^ { 2 } } \leq \frac { a } { b } \cdot g ( x ) - \left[ u , v \right] ' : z"
TOKENS = tokenize(normalize(LATEX))


def made(latex: str, count: int, seed: int = 1) -> list[str]:
    tokens = tuple(tokenize(normalize(latex)))
    return [each.latex for each in excerpts([Formula("c", latex, tokens)], count, seed)]


@given(st.integers(0, 2**32 - 1))
def test_a_piece_is_sound_and_shorter_and_the_same_by_the_same_seed(seed: int) -> None:
    piece = excerpt(TOKENS, np.random.default_rng(seed))

    assert piece == excerpt(TOKENS, np.random.default_rng(seed))
    assert problems(piece) == [] and len(piece) < len(TOKENS)


def test_pieces_are_terms_with_their_scripts_and_arguments_and_begin_and_end_with_one() -> None:
    found = set(made(LATEX, 400))

    assert {"f", "( x _ { 1 } )", r"\sqrt [ 3 ] { y ^ { 2 } }", r"\frac { a } { b }", "z"} <= found
    assert not {"(", ")", "+", ":", r"\leq", r"\left[", "x _"} & found
    assert all(piece.split()[0] not in "+:)" and piece.split()[-1] not in "+:(-" for piece in found)


def test_what_is_common_in_the_formulas_is_common_among_the_pieces() -> None:
    counts = Counter(made(" + ".join([*"xxxxxxxxx", r"\mathbf { x }"]), 600))

    assert counts["x"] > 4 * counts[r"\mathbf { x }"] > 0


def test_formulas_without_a_whole_piece_are_refused() -> None:
    with pytest.raises(DataError, match=r"excerpts: of .* formulas 0 have"):
        made("+", 1)
