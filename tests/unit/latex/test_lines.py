"""Lines of a label: what was stacked is counted, and tables are no lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.latex import normalize, tokenize
from recognizer.latex.lines import count_lines, stack

LINES = [
    "a + b",
    "x ^ { 2 }",
    r"\sum _ { \substack { i \\ j } } i",
    r"\left( \begin{matrix} a & b \\ c & d \end{matrix} \right)",
]


@given(st.lists(st.sampled_from(LINES), min_size=2, max_size=9))
def test_stacked_lines_are_counted_and_are_a_normal_label(lines: list[str]) -> None:
    label = stack([tokenize(line) for line in lines])
    assert count_lines(label) == len(lines)
    assert tokenize(normalize(" ".join(label))) == list(label)


@pytest.mark.parametrize(
    ("latex", "lines"),
    [
        (r"\begin{aligned} a &= b \\ &= c \\ &= d \end{aligned}", 3),
        (r"a + b \\ c", 2),
        (r"\begin{matrix} a & b \\ c & d \end{matrix}", 1),  # a table
        (r"\begin{pmatrix} a \\ b \end{pmatrix}", 1),  # a vector
        (r"\begin{matrix} a \\ b \end{matrix} = \begin{matrix} c \\ d \end{matrix}", 1),
        (r"\begin{matrix} a \\ b \end{matrix} + c", 1),
        ("a", 1),
        ("", 1),
    ],
)
def test_lines_as_people_write_them(latex: str, lines: int) -> None:
    assert count_lines(tokenize(normalize(latex))) == lines
