"""What textbooks know and collections lack: every kind comes up, with a sound label, and hardly any one twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recognizer.data.sample import DataError
from recognizer.latex import normalize, problems, tokenize
from recognizer.synth.constructs import construct
from recognizer.synth.corpus import Formula, constructs
from recognizer.synth.repetition import material

FORMULAS = [list("x+y"), ["\\alpha", "=", "2", "n"], [*"f(x)=", "\\sin", "x"], ["\\frac", *"{a}{b}"], list("k^{2}-1")]
GIVEN = material(FORMULAS)


def label(seed: int) -> list[str]:
    return tokenize(normalize(construct(GIVEN, np.random.default_rng(seed))))


@pytest.fixture(scope="module")
def labels() -> list[list[str]]:
    return [label(seed) for seed in range(1000)]


def test_every_label_is_sound_and_hardly_any_comes_twice(labels: list[list[str]]) -> None:
    assert all(tokens and not problems(tokens) for tokens in labels)
    assert len({" ".join(tokens) for tokens in labels}) > 950
    assert label(7) == label(7)


RARE = r"""\iint \iiint \iiiint \underbrace \overbrace \stackrel \xrightarrow \boldsymbol \mathfrak \widehat \breve
    \vdots \left\langle \binom \substack \bigsqcup \not"""


@pytest.mark.parametrize("token", RARE.split())
def test_what_is_rare_elsewhere_is_not_rare_here(token: str, labels: list[list[str]]) -> None:
    assert sum(token in tokens for tokens in labels) >= 5


def test_scripts_stand_before_their_letter(labels: list[list[str]]) -> None:
    before = Counter(" ".join(tokens[:3]) for tokens in labels)
    assert before["{ } _"] > 10 and before["{ } ^"] > 10


def test_a_corpus_gets_so_many_of_them_none_too_long() -> None:
    formulas = [Formula("book", " ".join(tokens), tuple(tokens)) for tokens in FORMULAS]
    made = constructs(formulas, 50, seed=3, max_tokens=30)

    assert len(made) == 50 and max(len(each.tokens) for each in made) <= 30
    assert constructs(formulas, 0, seed=3) == []
    with pytest.raises(DataError, match=r"--constructs 5: .* leave --constructs out"):
        constructs([Formula("book", "x", ("x",))], 5, seed=3)
