"""The normaliser: what it folds, and what holds for any string."""

from __future__ import annotations

from hypothesis import given, settings

from inference import join_tokens
from recognizer.latex import normalize, problems, tokenize
from tests.support.latex import formulas, strings


@settings(max_examples=600)
@given(strings)
def test_any_string_gets_one_spelling(latex: str) -> None:
    once = normalize(latex)
    tokens = tokenize(once)
    assert normalize(once) == once
    assert " ".join(tokens) == once
    assert tokenize(join_tokens(tokens)) == tokens
    assert normalize(join_tokens(tokens)) == once
    assert problems(tokens) == []


@settings(max_examples=300)
@given(formulas)
def test_formulas_get_one_spelling(latex: str) -> None:
    once = normalize(latex)
    assert normalize(once) == once
    assert tokenize(join_tokens(tokenize(once))) == tokenize(once) == once.split(" ") or "\\ " in tokenize(once)
    assert problems(tokenize(once)) == []
