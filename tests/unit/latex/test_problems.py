"""What is said about tokens that are no LaTeX."""

from __future__ import annotations

import pytest

from recognizer.latex import normalize, problems, tokenize


@pytest.mark.parametrize(
    "label",
    ["", r"\frac { a } { b }", r"x ^ 2", r"\sqrt [ 3 ] { x }", r"\left( \begin{matrix} a & b \end{matrix} \right.",
     r"\left\langle x \right\rangle", r"\leftarrow \rightarrow", r"\renewcommand { \arraystretch } { 1 . 5 } x",
     r"\def \arraystretch { 1 } x", r"x \tag { 3 }"],
)  # fmt: skip
def test_nothing_to_say(label: str) -> None:
    assert problems(label.split()) == []


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (r"\frac { a", ["token 1: \\frac lacks an argument", "token 2: { is never closed"]),
        (r"x }", ["token 2: } closes nothing"]),
        (r"x ^", ["token 2: ^ lacks an argument"]),
        (r"\frac", ["token 1: \\frac lacks 2 arguments"]),
        (r"\begin{matrix} a", ["token 1: \\begin{matrix} is never closed"]),
        (r"\begin{matrix} { a \end{matrix}", ["token 2: { is never closed"]),
        (r"{ \end{array}", ["token 2: \\end{array} closes nothing", "token 1: { is never closed"]),
        (r"\left( x", ["token 1: \\left( is never closed"]),
        (r"x \right)", ["token 2: \\right) closes nothing"]),
        (r"x \ref { a }", ["token 2: \\ref doesn't say what it draws; write what the picture shows"]),
        (r"\text { b y \eqref { a } }", ["token 5: \\eqref doesn't say what it draws; write what the picture shows"]),
        (r"\def \R { x } \R", ["token 1: \\def defines a macro; write the formula with its macros expanded"]),
        (
            r"\newcommand { \R } { x } \R",
            ["token 1: \\newcommand defines a macro; write the formula with its macros expanded"],
        ),
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_place(label: str, said: list[str]) -> None:
    assert problems(label.split()) == said


@pytest.mark.parametrize(
    "label", [r"x\eqref{a}", r"\text{by \ref{a}}", r"\newcommand{\R}{\mathbb R}\R", r"\def\R{x}\R"]
)
def test_normalizing_hides_no_macro_and_no_reference(label: str) -> None:
    for tokens in (tokenize(label), tokenize(normalize(label))):
        assert len(problems(tokens)) == 1, tokens
