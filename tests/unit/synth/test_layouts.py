"""Lines, cases and tables of formulas: sound labels, and what stood in the formulas stands in them."""

from __future__ import annotations

from collections import Counter
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.latex import normalize, problems, tokenize
from recognizer.latex.lines import count_lines
from recognizer.synth import layouts
from recognizer.synth.corpus import Formula, laid_out
from recognizer.synth.layouts import Pool, layout, pool

FORMULAS = [
    tokenize(text)
    for text in (
        "a=b+c",
        r"\left(x=1\right)\leq\frac{y}{z=2}",
        r"\sqrt{7}",
        "n!",
        r"\begin{matrix}1\\2\end{matrix}",
        r"x_{i}\quad y",
    )
]
SEEDS = st.integers(0, 2**32 - 1)


def label(latex: str) -> list[str]:
    return tokenize(normalize(latex))


@given(SEEDS)
def test_a_layout_has_a_sound_label_and_is_the_same_by_the_same_seed(seed: int) -> None:
    latex = layout(pool(FORMULAS), np.random.default_rng(seed))

    assert latex == layout(pool(FORMULAS), np.random.default_rng(seed))
    assert problems(label(latex)) == [] and r"\begin{matrix}" in label(latex)


def test_formulas_with_lines_or_gaps_of_their_own_are_no_lines_and_long_ones_no_cells() -> None:
    assert pool(FORMULAS) == Pool(FORMULAS[:4], [FORMULAS[0], FORMULAS[2], FORMULAS[3]])


@pytest.mark.parametrize("start", ["[", "*"])
@pytest.mark.parametrize("maker", [layouts._aligned, layouts._columns, layouts._cases, layouts._table])
def test_a_line_that_begins_with_a_bracket_is_no_argument_of_the_line_break(maker: layouts.Maker, start: str) -> None:
    """LaTeX read `\\\\ [ x ]` as a length, and ran until it was stopped; two hundred formulas went with it."""
    only = Pool([[start, "x", "]"]], [[start, "x", "]"]])
    for seed in range(20):
        latex = maker(only, np.random.default_rng(seed))
        assert f"\\\\ {start}" not in " ".join(latex.split())


@pytest.mark.parametrize("maker", [layouts._aligned, layouts._columns])
def test_lines_break_at_the_first_relation_outside_of_groups(maker: layouts.Maker) -> None:
    only = Pool([FORMULAS[1]], [])
    latex = maker(only, np.random.default_rng(1))

    assert r"\left( x = 1 \right)" in latex and r"& \leq" in latex
    read = label(latex)
    rows = read.count("\\\\") + 1
    assert rows >= 2 and read.count("\\leq") == rows and read.count("=") == 2 * rows


@pytest.mark.parametrize("maker", [layouts._aligned, layouts._columns])
def test_a_relation_that_is_struck_out_stays_so(maker: layouts.Maker) -> None:
    only = Pool([tokenize(r"x\not\subset y")], [])
    read = label(maker(only, np.random.default_rng(1)))

    struck = [read[place + 1] for place, token in enumerate(read) if token == r"\not"]
    assert len(struck) >= 2 and set(struck) == {r"\subset"}


def test_aligned_lines_are_counted_as_lines() -> None:
    tokens = label(layouts._aligned(Pool([FORMULAS[0]], []), np.random.default_rng(0)))

    assert count_lines(tokens) == tokens.count("\\\\") + 1


def test_there_is_every_kind_of_layout() -> None:
    kinds: Counter[str] = Counter()
    for seed in islice(count(), 200):
        latex = layout(pool(FORMULAS), np.random.default_rng(seed))
        kinds[latex.partition(r"\begin{")[2].partition("}")[0]] += 1

    assert set(kinds) == {"aligned", "gathered", "array", "cases", "matrix"} and min(kinds.values()) > 5


def test_a_corpus_gets_so_many_of_them_none_too_long() -> None:
    formulas = [Formula("book", " ".join(tokens), tuple(tokens)) for tokens in FORMULAS]
    made = laid_out(formulas, 60, seed=3, max_tokens=40)

    assert len(made) == 60 and max(len(each.tokens) for each in made) <= 40
    assert all(tuple(label(each.latex)) == each.tokens for each in made)
