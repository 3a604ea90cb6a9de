"""The tokeniser: what one token is, and that any string has tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from recognizer.latex import tokenize
from tests.support.latex import strings


@settings(max_examples=500)
@given(strings)
def test_any_string_is_cut_the_same_way_twice(latex: str) -> None:
    tokens = tokenize(latex)
    assert tokenize(" ".join(tokens)) == tokens
    assert all(token and (token == "\\ " or not any(letter.isspace() for letter in token)) for token in tokens)


@pytest.mark.parametrize(
    ("latex", "tokens"),
    [
        (r"x^2", ["x", "^", "2"]),
        (r"\alpha x", [r"\alpha", "x"]),
        (r"\begin {matrix*}a\end{ matrix* }", [r"\begin{matrix*}", "a", r"\end{matrix*}"]),
        (r"\left (x\right\}", [r"\left(", "x", r"\right\}"]),
        (r"\left\langle x\right.", [r"\left\langle", "x", r"\right."]),
        (r"\leftarrow\left a", [r"\leftarrow", r"\left", "a"]),
        (r"\roman1\roman 2", [r"\roman1", r"\roman2"]),
        (r"a\ b\\c", ["a", "\\ ", "b", r"\\", "c"]),
        ("a\\\tb\\", ["a", "\\ ", "b", "\\ "]),
        (r"\text{a b}", [r"\text", "{", "a", "\\ ", "b", "}"]),
        (r"\text { a \  b }", [r"\text", "{", "a", "\\ ", "b", "}"]),
        (r"\mbox{if $x < y$}", [r"\mbox", "{", "i", "f", "\\ ", "$", "x", "<", "y", "$", "}"]),
        (r"\hbox to 9pt{a b}", [r"\hbox", "t", "o", "9", "p", "t", "{", "a", "\\ ", "b", "}"]),
        (r"\parbox[t] {9pt} {a b}", [r"\parbox", *"[t]{9pt}{a", "\\ ", *"b}"]),
        (r"\makebox{9pt}{a b}", [r"\makebox", *"{9pt}{ab}"]),
        ("5 %", ["5", "%"]),
        ("a % note\n b \\% c", ["a", "b", r"\%", "c"]),
        ("", []),
    ],
)
def test_tokens(latex: str, tokens: list[str]) -> None:
    assert tokenize(latex) == tokens
