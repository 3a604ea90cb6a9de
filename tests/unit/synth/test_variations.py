"""Varied formulas: sound labels, the same layout, symbols that nobody could guess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.latex import normalize, problems, tokenize
from recognizer.synth import variations
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.variations import CLASSES, PAIRS, SIGNS, quantity, vary, words_of

WORDS = ["taps", "stepSize", "eff"]
seeds = st.integers(0, 2**32 - 1)


def formula(seed: int) -> list[str]:
    return tokenize(generate_formula(np.random.default_rng(seed), LEVELS[seed % len(LEVELS)]))


def skeleton(tokens: list[str]) -> list[str]:
    """The formula with the class of each symbol in its place."""
    kinds = (*CLASSES, *SIGNS, PAIRS, PAIRS.values())
    return [next((f"class {n}" for n, each in enumerate(kinds) if token in each), token) for token in tokens]


@given(seeds, seeds)
def test_a_varied_formula_is_latex(seed: int, other: int) -> None:
    tokens = formula(seed)
    changed = vary(tokens, WORDS, np.random.default_rng(other))
    assert changed == vary(tokens, WORDS, np.random.default_rng(other))
    assert problems(tokenize(normalize(" ".join(changed)))) == []


@given(seeds)
def test_a_quantity_is_latex(seed: int) -> None:
    tokens = tokenize(normalize(" ".join(quantity(np.random.default_rng(seed)))))
    assert "\\mathrm" in tokens and problems(tokens) == []


def test_the_layout_stays_and_a_letter_is_renamed_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for share in ("WITH_ALPHABET", "WITH_ACCENT", "WITH_NUMBER", "WITH_INDEX", "WITH_THING", "OPERATOR_IN_ITALICS"):
        monkeypatch.setattr(variations, share, 0.0)
    changes = 0
    for seed in range(50):
        tokens = formula(seed)
        changed = vary(tokens, [], np.random.default_rng(seed))
        assert skeleton(changed) == skeleton(tokens)
        letters = [(was, now) for was, now in zip(tokens, changed, strict=True) if was in CLASSES[1]]
        assert "\\mathrm" in tokens or len(set(letters)) == len({was for was, _ in letters})
        changes += changed != tokens
    assert changes > 35


def test_words_are_those_inside_roman_type_and_its_like() -> None:
    tokens = tokenize(r"N_{\mathrm{taps}}+\text{if\ x}+\mathbf{A}+\mathit{Sch}abc+\mathrm{[kg/m^{2}]}")
    assert words_of([tokens]) == ["Sch", "if", "kg", "taps"]


def test_a_word_becomes_another_or_letters_at_random() -> None:
    tokens = tokenize(r"N_{\mathrm{taps}}")
    seen = {"".join(vary(tokens, ["eff"], np.random.default_rng(seed))) for seed in range(200)}
    assert r"N_{\mathrm{eff}}" in seen and r"N_{\mathrm{taps}}" in seen
    spelt = {text for text in seen if text.startswith(r"N_{\mathrm{") and len(text) == len(r"N_{\mathrm{taps}}")}
    assert len(spelt) > 3


def test_letters_get_alphabets_and_accents() -> None:
    tokens = tokenize(r"\sin x+\mathcal{F}(y)")
    seen = {token for seed in range(200) for token in vary(tokens, [], np.random.default_rng(seed))}
    assert {"\\mathbf", "\\mathsf", "\\tilde", "\\dot", "\\sin"} <= seen
    for seed in range(200):
        text = "".join(vary(tokens, [], np.random.default_rng(seed)))
        assert r"\mathcal{\math" not in text and r"\mathcal{x}" not in text, "capitals alone, in one alphabet"


def test_a_letter_can_have_its_accent_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variations, "ACCENTED_THROUGHOUT", 1.0)
    tokens = tokenize(r"\alpha_{\alpha}+\alpha^{\alpha}")
    changed = variations._accented(tokens, np.random.default_rng(0))
    (accent,) = {token for token in changed if token in variations.ACCENTS}
    assert changed == tokenize(" ".join(tokens).replace("\\alpha", f"{accent} {{ \\alpha }}"))


def test_signs_that_hardly_any_formula_has_come_up() -> None:
    tokens = tokenize(r"\sum_{i=1}^{n}f(x_{i})+\max a\rightarrow b")
    seen = {token for seed in range(3000) for token in vary(tokens, [], np.random.default_rng(seed))}
    assert {r"\ll", r"\Diamond", r"\Leftarrow", r"\biguplus", r"\csc", "!", r"\lceil"} <= seen


def test_an_operator_may_become_the_same_letters_in_italics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variations, "OPERATOR_IN_ITALICS", 1.0)
    assert variations._other_signs(tokenize(r"x_{\max}"), np.random.default_rng(0))[-4:] == [*"max", "}"]


def test_brackets_change_in_pairs_and_an_option_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variations, "OTHER_BRACKETS", 1.0)
    tokens = tokenize(r"\sqrt[3]{(x)}+[a,b)+\left(\frac{1}{2}\right)")
    for seed in range(50):
        changed = variations._other_brackets(tokens, np.random.default_rng(seed))
        kept = [place for place in range(len(tokens)) if changed[place] == tokens[place]]
        pairs = [
            (tokens.index("("), tokens.index(")")),
            (tokens.index(r"\left("), tokens.index(r"\right)")),
        ]
        assert set(range(len(tokens))) - set(kept) <= {place for pair in pairs for place in pair}
        assert all(PAIRS[changed[opening]] == changed[closing] for opening, closing in pairs)
