"""Normalising keeps the picture: MathJax draws the same glyphs in the same arrangement."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings

from inference import join_tokens
from recognizer.evaluation.mathml import Skeleton, skeleton
from recognizer.latex import normalize, tokenize
from recognizer.synth.mathjax import RenderError, to_mathml
from tests.support.latex import formulas


def _drawn(latex: str) -> Skeleton:
    return skeleton(to_mathml(latex))


def _assert_same_picture(latex: str) -> None:
    assert _drawn(join_tokens(tokenize(normalize(latex)))) == _drawn(latex)
    assert _drawn(normalize(latex)) == _drawn(latex)


FORMULAS = r"""
x^2+y^2=z^2
x'^2_1+f''(x)
{a \over b} + {n \choose k}
\int\limits_0^\infty e^{-x^2}\,\mathrm dx=\dfrac{\sqrt\pi}{2}
\lim_{x\to0}\frac{\operatorname{sin}x}{x}=1
\left.\frac{\partial f}{\partial x}\right|_{x=0}
\begin{pmatrix}1&0\\0&1\end{pmatrix}\begin{bmatrix}a\\b\end{bmatrix}=\begin{vmatrix}a&b\\c&d\end{vmatrix}
f(x)=\begin{cases}x&\text{if }x>0\\-x&\text{otherwise}\end{cases}
\begin{aligned}a&=b+c\\&=d\end{aligned}
\left[\begin{array}{cc|c}1&2&3\\\hline 4&5&6\end{array}\right]
{\bf A}\vec{x}={\rm diag}(\lambda_1,\dots,\lambda_n)
\{x\in\mathbb R\mid x\not=0\}\setminus\lbrace 1\rbrace
\|x\|_2^2=\Vert x\Vert^2_2=\left\lVert x\right\rVert_2^2
{}^{14}_{6}\mathrm C
\sqrt[3]{\frac{a}{b}}\hat{\mathbf{x}}\overline{z+w}\widetilde{abc}
\underbrace{a+\cdots+a}_{n\text{ times}}\overset{!}{=}\stackrel{\rm def}{=}b
\sum_{\substack{i<n\\i\text{ odd}}}a_i
\Bigl(\sum_{k=1}^n a_k\Bigr)^{\!2}\le n\sum_{k=1}^n a_k^2
A\xrightarrow[g]{f}B\iff C
n\equiv m\pmod{p}
\text{area}=\tfrac12 ab\sin\gamma,\quad a~\text{and}~b
\displaystyle\prod_{p}\left(1-p^{-s}\right)^{-1}
\frac{1}{1+\cfrac{1}{1+x}}
\mathop{\rm argmax}\limits_\theta L(\theta)
\left\{\begin{array}{l}x+y=1\\x-y=0\end{array}\right.
\begin{array}{rcl}a&=&b\\c&=&d\end{array}
\genfrac{[}{]}{0pt}{}{n}{k}\boxed{E=mc^2}
{(a+b)}^{2}={a}^{2}+2ab+{b}^{2}
\sin^2\theta+\cos^{2}{\theta}=1,\phantom{x}\theta\in[0,2\pi)
\begin{matrix}a\\ [b]\end{matrix}
""".strip().splitlines()


@pytest.mark.parametrize("latex", FORMULAS)
def test_known_formulas_keep_their_picture(latex: str) -> None:
    _assert_same_picture(latex)


@pytest.mark.parametrize("latex", [r"\ce{2H2 + O2 -> 2H2O}", r"\ce{CO3^2-{} + H+}", r"x+{\ce{{^{12}C}+4He <=> A(aq)}}"])
def test_chemistry_is_left_alone(latex: str) -> None:
    assert _drawn(join_tokens(tokenize(normalize(latex)))) == _drawn(latex)


@settings(max_examples=200)
@given(formulas())
def test_any_formula_keeps_its_picture(latex: str) -> None:
    try:
        to_mathml(latex)
    except RenderError:
        assume(False)
    _assert_same_picture(latex)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"x^2", r"x_2"),
        (r"\frac{a}{b}", r"\frac{b}{a}"),
        (r"\mathbf{x}", r"x"),
        (r"\sqrt{x}y", r"\sqrt{xy}"),
        (r"\begin{matrix}a&b\\c&d\end{matrix}", r"\begin{matrix}a&b&c&d\end{matrix}"),
        (r"{x_1}^2", r"x_1^2"),
        (r"\binom ab", r"\frac ab"),
        (r"\epsilon", r"\varepsilon"),
        (r"\overline{ab}", r"a\overline{b}"),
        (r"\widehat{ab}", r"a\widehat{b}"),
        (r"a+\underbrace{b}_{n}", r"\underbrace{a+b}_{n}"),
        (r"\vec{a}", r"a^{\rightarrow}"),
        (r"\stackrel{*}{=}", r"=^{*}"),
        (r"\underset{a}{b}", r"b_a"),
        (r"\mathbf{0}", r"0"),
        (r"\mathbb{1}", r"1"),
        (r"\boldsymbol{+}", r"+"),
        (r"\mathcal{A}", r"\mathscr{A}"),
        (r"\overline{\operatorname{rank}}", r"\operatorname{ran\overline{k}}"),
    ],
)
def test_the_comparison_tells_pictures_apart(one: str, other: str) -> None:
    assert _drawn(one) != _drawn(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sum\limits_{i}^{n} i", r"\sum\nolimits_{i}^{n} i"),
        (r"\underset{x}{\max}", r"\max\nolimits_{x}"),
        (r"\operatorname*{argmax}_x", r"\operatorname{argmax}_x"),
        (r"\overset{*}{=}", r"\stackrel{*}{=}"),
        (r"\overline{\operatorname{rank}}", r"\overline{\mathrm{rank}}"),
        (r"\widehat{\operatorname{rank}}", r"\widehat{\mathrm{rank}}"),
        (r"\underbrace{\operatorname{rank}}_n", r"\underbrace{\mathrm{rank}}_n"),
        (r"{ab}^{2}", r"ab^2"),
        (r"\mathit{a}", r"a"),
    ],
)
def test_the_comparison_does_not_tell_spellings_apart(one: str, other: str) -> None:
    assert _drawn(one) == _drawn(other)
