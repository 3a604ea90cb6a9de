"""What is said about tokens that are no LaTeX."""

from __future__ import annotations

import pytest

from recognizer.latex import problems


@pytest.mark.parametrize(
    "label",
    ["", r"\frac { a } { b }", r"x ^ 2", r"\sqrt [ 3 ] { x }", r"\left( \begin{matrix} a & b \end{matrix} \right.",
     r"\left\langle x \right\rangle", r"\leftarrow \rightarrow"],
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
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_place(label: str, said: list[str]) -> None:
    assert problems(label.split()) == said
