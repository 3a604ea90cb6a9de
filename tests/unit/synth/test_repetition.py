"""Formulas whose parts are alike: sound labels, and really alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.latex import normalize, problems, tokenize
from recognizer.synth import repetition
from recognizer.synth.corpus import Formula, repeats
from recognizer.synth.repetition import NAMES, Material, alike, material, repetitive

FORMULAS = [
    tokenize(text) for text in ("a=b+c", r"\frac{x}{2}", r"\mathrm{gain}_{3}", "n", r"x\quad y", "+".join("x" * 20))
]
PART = tokenize("p_{1}+q")
ONLY = Material([PART], ["gain"])


def label(latex: str) -> list[str]:
    return tokenize(normalize(latex))


@given(st.integers(0, 2**32 - 1))
def test_it_has_a_sound_label_and_is_the_same_by_the_same_seed(seed: int) -> None:
    latex = repetitive(material(FORMULAS), np.random.default_rng(seed))

    assert latex == repetitive(material(FORMULAS), np.random.default_rng(seed))
    assert label(latex) and problems(label(latex)) == []


def test_short_formulas_of_one_line_are_said_again_and_their_words_are_names() -> None:
    found = material(FORMULAS)

    assert found.parts == FORMULAS[:3], "one symbol is too little, a gap or 39 tokens too much"
    assert found.words == [*NAMES.split(), "gain"]


@given(st.integers(0, 2**32 - 1))
def test_alike_means_that_two_symbols_at_most_are_others_of_their_kind(seed: int) -> None:
    changed = alike(PART, np.random.default_rng(seed))

    differing = [(old, new) for old, new in zip(PART, changed, strict=True) if old != new]
    assert len(differing) <= 2
    assert all(old.isdigit() == new.isdigit() and old.isalpha() == new.isalpha() for old, new in differing)


@pytest.mark.parametrize("maker, least", [(repetition._chain, 2), (repetition._ratio, 2), (repetition._rows, 2)])
def test_a_part_is_said_several_times(maker: object, least: int) -> None:
    for seed in range(20):
        tokens = label(maker(ONLY, np.random.default_rng(seed)))  # type: ignore[operator]
        assert tokens.count("_") >= least, "the index that stands in each of them"


def test_rows_stand_below_each_other() -> None:
    assert all("\\\\" in label(repetition._rows(ONLY, np.random.default_rng(seed))) for seed in range(20))


def test_long_numbers_repeat_digits_and_names_are_long() -> None:
    rng = np.random.default_rng(1)
    numbers = [repetition._long_number(rng).replace(" ", "") for _ in range(100)]
    assert any(number[at] == number[at + 1] for number in numbers for at in range(len(number) - 1))
    assert all(number.replace(".", "").isdigit() and number.count(".") <= 1 for number in numbers)

    names = ["".join(label(repetition._name(["gain", "rate"], rng))) for _ in range(100)]
    assert any("gainRate" in name for name in names) and any(r"gain\_rate" in name for name in names)


def test_indices_carry_accents() -> None:
    seen = Counter(
        token for seed in range(100) for token in label(repetition._indices(ONLY, np.random.default_rng(seed)))
    )

    assert seen["\\dot"] > 20 and seen["_"] > 50 and seen["^"] > 50


def test_a_corpus_gets_so_many_of_them_none_too_long() -> None:
    formulas = [Formula("book", " ".join(tokens), tuple(tokens)) for tokens in FORMULAS]
    made = repeats(formulas, 60, seed=3, max_tokens=40)

    assert len(made) == 60 and max(len(each.tokens) for each in made) <= 40
    assert all(tuple(label(each.latex)) == each.tokens for each in made)
