"""The normaliser: what it folds, and what holds for any string."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings

from inference import join_tokens
from recognizer.latex import normalize, normalize_transcript, problems, synonyms, tokenize
from tests.support.latex import formulas, strings


def _assert_canonical(latex: str) -> None:
    tokens = tokenize(latex)
    assert normalize(latex) == latex
    assert " ".join(tokens) == latex
    assert tokenize(join_tokens(tokens)) == tokens
    assert normalize(join_tokens(tokens)) == latex
    assert problems(tokens) == []


@settings(max_examples=600)
@example(r"\text{x } \left.\right.^{2}")  # a script without a base, beside a word
@example(r"x\text{ if }\left.'")
@example(r"{\rm \left\{ x \right. ^ i}")  # a script on a delimiter that isn't drawn, within an alphabet
@example(r"{\quad \frac a b}^2")  # a gap before the only thing of a group
@example(r"\begin{cases}\end{cases}'")  # a script on the delimiter that isn't drawn, of an empty table
@example(r"\textbf{a \right\| ")  # a delimiter in words that nothing ends
@example(r"\rm \mathbf 0 \bf \sb \binom")  # a script without a base, behind a neighbour in its own alphabet
@example(r"\mathbf\hbox\;\bfseries\text{a b}0")  # words side by side, within an alphabet
@example(r"\boldsymbol\boldsymbol\begin{matrix}0{}'\end{matrix}")  # a digit that gets a bold script late
@given(strings)
def test_any_string_gets_one_spelling(latex: str) -> None:
    _assert_canonical(normalize(latex))


@settings(max_examples=300)
@example(r"|{|\frac ab|}^2|+{x\|\frac ab\|}_2")  # a script on bars that a fraction stretches
@given(formulas())
def test_a_formula_gets_one_spelling(latex: str) -> None:
    _assert_canonical(normalize(latex))


@settings(max_examples=200)
@given(strings)
def test_any_transcript_gets_one_spelling(latex: str) -> None:
    once = normalize_transcript(latex)
    assert normalize_transcript(once) == once
    assert normalize(once) == once


SAME = [
    (r"x ^ { 2 }", [r"x^2", r"x^{2}", r"{x}^2", r"x^{{2}}", r"{x^2}", r"x\sp2", "x²"]),
    (r"x", [r"\color[rgb]{1,0,0}x", r"\color[HTML]{FF0000}{x}", r"\textcolor[gray]{0.5}{x}"]),
    (r"x _ { 1 } ^ { 2 }", [r"x_1^2", r"x^2_1", r"x^{2}_{1}", r"x_{}^2{}_1^{}".replace("{}_1^{}", "_1")]),
    (r"x ^ { 2 }", [r"x{}^2", r"x\,^2", r"{x}{}^{2}"]),
    (r"2 5 ^ { \circ } \mathrm { C }", [r"25\,^{\circ}\mathrm C", r"25^\circ\text{C}", r"25{}^\circ\mathrm{C}"]),
    (r"\mathrm { m } ^ { 2 }", [r"\text{m$^2$}", r"\mathrm m^2", r"\mathrm{m}{}^2"]),
    (r"T ^ { a } { } _ { b }", [r"T^a{}_b", r"T^{a}{}_{b}"]),
    (r"\left. \frac { a } { b } \right| _ { x }", [r"\left.\frac ab\right|_x", r"\Bigl.\frac ab\Bigr|_x"]),
    (r"x", [r"x\bigg.", r"\bigl.x\bigr.", r"\left.x\right."]),
    (r"\frac { a } { b }", [r"\left.\frac ab\right.", r"\Bigl.\frac ab\Bigr.", r"\genfrac{}{}{}{}ab"]),
    (r"\binom { n } { k }", [r"\genfrac(){0pt}{}nk", r"\genfrac{(}{)}{0pt}{1}{n}{k}"]),
    (r"\substack { a \\ b }", [r"a\atop b", r"a\above 0pt b", r"\genfrac{}{}{0pt}{}ab"]),
    (r"f ^ { \prime }", [r"f'", r"f^\prime", r"f^{\prime}", "f′", r"f^{'}"]),
    (r"f ^ { \prime \prime 2 }", [r"f''^2", r"f^{\prime\prime 2}", r"f^{''2}"]),
    (r"f ^ { \prime \prime }", [r"f''", r"f^{''}"]),
    (
        r"\frac { a } { b }",
        [r"\frac ab", r"\dfrac{a}{b}", r"\tfrac a b", r"{a \over b}", r"a\over b", r"\cfrac ab", r"\cfrac[l]{a}{b}"],
    ),
    (r"\binom { n } { k }", [r"{n \choose k}", r"\dbinom nk"]),
    (r"a \leq b", [r"a\le b", r"a \leq b", "a≤b"]),
    (r"a \rightarrow b", [r"a\to b", r"a\rightarrow{}b"]),
    (r"a \neq b", [r"a\ne b", r"a\not=b", r"a \neq b"]),
    (r"\{ a \}", [r"\{a\}", r"\lbrace a\rbrace", r"\left\{ a \right\}", r"\bigl\{a\bigr\}"]),
    (r"\| a \|", [r"\|a\|", r"\Vert a\Vert", r"\lVert a \rVert", r"\left\| a \right\|"]),
    (r"\sin x", [r"\sin x", r"\sin{x}", r"\operatorname{sin}x", r"\mathrm{sin} x", r"{\rm sin}\,x", r"\text{sin}x"]),
    (r"\mathrm { d } x", [r"\mathrm{d}x", r"\mathrm dx", r"{\rm d}x", r"\text{d}x", r"\operatorname{d}x"]),
    (r"a b c", [r"a\,b\!c", r"a~b\;c", r"a{}b\thinspace c", r"a b % c" + "\nc", r"a\label{x}b c\tag{1}"]),
    ("a \\  b", [r"a\quad b", r"a\qquad\ b", r"a\ b", r"a\hspace{1em}b", r"a\hskip 2em b", r"a\enspace b"]),
    (r"\sum _ { i } x", [r"\sum_i x", r"\sum\limits_i x", r"\displaystyle\sum\nolimits_{i}x"]),
    (r"( x )", [r"(x)", r"\left(x\right)", r"\bigl( x \bigr)", r"\left( x"[:-1] + "x)"]),
    (
        r"\left( \frac { a } { b } \right)",
        [r"\left(\frac ab\right)", r"(\frac ab)", r"\Bigl(\frac ab\Bigr)", r"\left(a\over b\right)"],
    ),
    (r"\left| \frac { a } { b } \right|", [r"|\frac ab|", r"\left|\frac ab\right|", r"\bigl|\frac ab\bigr|"]),
    (r"x |", [r"\left. x \right|", r"x|"]),
    (
        r"\left( \begin{matrix} a & b \\ c & d \end{matrix} \right)",
        [r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\left(\begin{array}{cc}a&b\\c&d\\\end{array}\right)"],
    ),
    (
        r"\left\{ \begin{matrix} a & b \\ c & d \end{matrix} \right.",
        [r"\begin{cases}a&b\\c&d\end{cases}", r"\left\{\begin{array}{ll}a&b\\c&d\end{array}\right."],
    ),
    (
        r"\begin{matrix} a = b \\ c = d \end{matrix}",
        [r"\begin{aligned}a&=b\\c&=d\end{aligned}", r"a=b\\c=d", r"\begin{gather*}a=b\\[2pt]c=d\end{gather*}"],
    ),
    (r"\begin{array} { c | c } a & b \\ \hline c & d \end{array}", [r"\begin{array}{l|r}a&b\\\hline c&d\end{array}"]),
    (
        r"\begin{array} { c | c } a & b \end{array}",
        [rf"\begin{{array}}{{{each}}}a&b\end{{array}}" for each in ["c:c", "c@{|}c", r"l!{\vrule}r", "*{1}{p{2cm}|}c"]],
    ),
    (r"\begin{array} { c | c | c | } a & b & c \end{array}", [r"\begin{array}{*{3}{c|}}a&b&c\end{array}"]),
    (
        r"\left( \begin{matrix} 1 & 0 \\ 0 & 1 \end{matrix} \right)",
        [r"\pmatrix{1&0\cr 0&1}", r"\left(\matrix{1&0\cr 0&1\cr}\right)"],
    ),
    (r"\left\{ \begin{matrix} a & b \\ c & d \end{matrix} \right.", [r"\cases{a&b\cr c&d}"]),
    (r"\begin{matrix} a = b \\ c = d \end{matrix}", [r"\eqalign{a&=b\cr c&=d}"]),
    (r"a \stackrel { n } { = } b", [r"a\buildrel n\over=b", r"a\mathrel{\buildrel n \over =}b"]),
    (r"a > b", [r"a\raise.3ex\hbox{$>$}b", r"a\lower 1ex\hbox{$>$}b"]),
    ("a \\  b", [r"a\hskip 2em plus 1fil minus 3pt b"]),
    (r"\begin{matrix} a \\ { } [ b ] \end{matrix}", [r"\begin{matrix}a\\{}[b]\end{matrix}", r"a\\ [b]"]),
    (r"\begin{matrix} a \\ { } [ \pi ] \end{matrix}", [r"\begin{matrix}a\\ [\pi]\end{matrix}"]),
    (r"\begin{matrix} a \\ x \end{matrix}", [r"a\\[\baselineskip]x", r"a\\[.5\jot]x", r"a\\*[2pt plus 1fil]x"]),
    (r"\begin{matrix} a \\ b \end{matrix}", [r"\begin{aligned}[t]a\\b\end{aligned}"]),
    (r"\begin{matrix} a \\ c \end{matrix}", [r"\begin{gathered}[x]a\\c\end{gathered}"]),
    (r"\begin{matrix} [ x ] a \\ b \end{matrix}", [r"\begin{align*}[x]a\\b\end{align*}"]),
    ("\\text { a s \\  w e l l }", [r"\text{as well}", r"\mbox{as  well}", r"\textrm{as~well}"]),
    ("x \\  \\mathrm { i f } \\  y", [r"x\text{ if }y", r"x\mbox{ if $y$}"]),
    ("\\mathrm { i f } \\  x ^ { 2 }", [r"\text{if $x^2$}", r"\text{if \(x^2\)}"]),
    ("\\text { 5 \\  m } ^ { 2 }", [r"\text{5 m²}", r"\text{5 m}^2"]),
    ("2 5 \\  { } ^ { \\circ } \\mathrm { C }", [r"\text{25 °C}", r"25\ ^\circ\mathrm C"]),
    (r"\alpha \text { - d e c a y }", [r"\text{α-decay}", r"\alpha\text{-decay}"]),
    ("\\text { a \\  b }", [r"\text{a\hspace{1cm}b}", r"\text{a \color{red}b}", r"\text{a \textcolor{red}{b}}"]),
    (r"{ } ^ { 1 4 } C", [r"{}^{14}C", r"^{14}C"]),
    (r"a + b", [r"$a+b$", r"\(a+b\)", r"$$a+b$$", r"\[a+b\]", r"a{+}b", r"\begin{equation*}a+b\end{equation*}"]),
    (r"5 0 \%", [r"50\%", "50%"]),
    (r"\mathbf { x y }", [r"\mathbf{xy}", r"{\bf xy}", r"\bf xy", r"\textbf{xy}"]),
    (r"\mathbf { U T } ^ { 2 }", [r"\mathbf U\mathbf T^2", r"\mathbf{U}\mathbf{T}^{2}"]),
    (
        r"[ \mathrm { W } / ( \mathrm { m K } ) ]",
        [r"\mathrm{[W/(mK)]}", r"[\mathrm W/(\mathrm m\mathrm K)]", r"\text{[W/(mK)]}"],
    ),
    (r"\mathrm { k g } / \mathrm { m } ^ { 3 }", [r"\mathrm{kg/m^3}", r"\mathrm{kg}/\mathrm{m}^3"]),
    (r"\mathrm { C } _ { \max } 2", [r"\mathrm{C_{max}2}", r"\mathrm C_{\mathrm{max}}2"]),
    (r"\mathbf { x } + \tau", [r"\mathbf{x+\tau}", r"\mathbf x+\mathbf\tau"]),
    (r"\mathrm { a } \mathbf { b }", [r"\mathrm{a\mathbf{b}}", r"\mathrm{a}\mathbf b"]),
    (r"\sin x", [r"\mathrm s\mathrm{in}x"]),
    ("\\text { a s \\  w e l l }", [r"\mathrm{as}\ \mathrm{well}", r"\mathrm{as\ well}", r"\text{as we}\mathrm{ll}"]),
    (r"\left. \frac { a } { b } \right| _ { 0 }", [r"\left.\frac ab\right|_0"]),
    (r"\left( \sum _ { i } x \right)", [r"\left(\sum_i x\right)", r"(\sum_i x)"]),
    (r"a \cdots b", [r"a\cdots b", r"a\dotsb b"]),
    (r"a \preceq \cdots \preceq b", [r"a\preceq\dots\preceq b"]),
    (r"a : \cdots : b", [r"a:\dots:b"]),
    (r"a , \ldots : A \rightarrow B", [r"a,\dots\colon A\to B"]),
    (r"A \cdots \xrightarrow { f } B", [r"A\dots\xrightarrow f B"]),
    (r"a \sqcup \cdots \sqcup b", [r"a\sqcup\dots\sqcup b"]),
    (r"\sqrt [ 3 ] { x }", [r"\sqrt[3]x", r"\sqrt[{3}]{x}", r"\sqrt[\leftroot{-1}\uproot{2}3]{x}"]),
    (r"\sqrt [ 3 ] { x }", [r"\root 3 \of x", r"\root 3\of{x}"]),
    (r"\frac { a } { b }", [r"{a \above 1pt b}", r"a\above.4ptb"]),
    (r"x _ { 1 } ^ { - 1 0 }", ["x₁⁻¹⁰", r"x_1^{-10}"]),
    (r"f ^ { \prime \prime }", ["f″", r"f''"]),
    (r"A \oplus B \Longrightarrow \neg C", ["A⊕B⟹¬C", r"A\oplus B\implies\lnot C"]),
    (r"\left\lfloor \frac { a } { b } \right\rfloor", [r"⌊\frac ab⌋", r"\left⌊\frac ab\right⌋"]),
    (r"( x + 1 ) \in \mathbb { R } ^ { n }", ["（x＋１）∈ℝⁿ", r"(x+1)\in\mathbb R^n"]),
    (r"a \nleqslant b \ngeqslant c", [r"a\not\leqslant b\not\geqslant c"]),
    (r"a \nless b \nleq c", [r"a\not<b\not\leq c", r"a\nless b\not\le c", "a≮b≰c"]),
    (r"a \nrightarrow b \nparallel c", [r"a\not\to b\not\parallel c", r"a\nrightarrow b\not\Vert c"]),
    (r"a \not \equiv b \not \subset c", [r"a\not\equiv b\not\subset c", "a≢b⊄c"]),
    (r"\triangle \vartriangleleft", [r"\bigtriangleup\lhd"]),
    (r"\mathcal { A B } ( x )", [r"\mathcal{A}\mathcal{B}(x)", r"{\cal A}{\cal B}(x)"]),
    (r"\mathbb { R } ^ { + } \times \mathfrak { a } + \mathfrak { b }", [r"\mathbb{R^+}\times\mathfrak{a+b}"]),
    (r"\mathbf { 0 \Sigma } \boldsymbol { x }", [r"\boldsymbol{0\Sigma}\bm x", r"\bm0\mathbf\Sigma\bm x"]),
    (r"\sech x", [r"\operatorname{sech}x", r"\mathrm{sech}\,x"]),
    (r"\overline { \lim } _ { n } a _ { n }", [r"\varlimsup_n a_n", r"\mathop{\overline{\lim}}_n a_n"]),
    (r"\sum _ { i = 1 } ^ { n } a", [r"\underset{i=1}{\overset{n}{\sum}}a", r"\sum\limits_{i=1}^na"]),
    (r"\max _ { x } f", [r"\underset{x}{\max}f", r"\max\limits_x f", r"\mathop{\max}_x f"]),
    (r"\underbrace { a + b } _ { n }", [r"\underset{n}{\underbrace{a+b}}", r"\mathop{\underbrace{a+b}}_n"]),
    (r"a \stackrel { b } { = } c", [r"a\mathop{=}\limits^b c", r"a\mathrel{\mathop=\limits^b}c", r"a\overset{b}{=}c"]),
    (r"a \underset { n } { \rightarrow } b", [r"a\mathop{\to}\limits_n b"]),
    (r"a = b", [r"a\overset{}{=}b", r"a\stackrel{\rule{0pt}{3pt}}{=}b"]),
    ("\\text { a - b }", [r"\text{a-b}", r"\mathrm{a\text{-}b}", r"\mathrm a\text{-}\mathrm b"]),
    (r"\mathbf { a }", [r"\text{\bfseries a}", r"\textbf a", r"{\bfseries a}"]),
    (r"\mathbb { 1 } _ { A }", [r"\mathbb{1}_A", r"\mathbbm{1}_A", r"\mathds 1_A"]),
    (r"4 5 ^ { \circ }", ["45°", r"45\degree", r"45^\circ"]),
    (r"2 5 ^ { \circ } \mathrm { C }", ["25℃", r"25^\circ\mathrm C"]),
    (
        r"\begin{matrix} a = b \\ c = d \end{matrix}",
        [r"\begin{IEEEeqnarray}{rCl}a&=&b\\c&=&d\IEEEnonumber\end{IEEEeqnarray}"],
    ),
    (r"\left( \begin{matrix} a \\ b \end{matrix} \right)", [r"\begin{psmallmatrix}a\\b\end{psmallmatrix}"]),
    (r"\boldsymbol { \alpha } x", [r"\mbox{\boldmath$\alpha$}x", r"\mbox{\boldmath $\alpha$\unboldmath$x$}"]),
    (r"\boxed { x = 1 }", [r"\boxed{x=1}", r"\fbox{$x=1$}"]),
    (r"a > b", [r"a\raisebox{2pt}{$>$}b", r"a\raisebox{2pt}[0pt][0pt]{$>$}b"]),
    ("\\mathrm { a } \\  \\mathbf { b } \\  c", [r"\text{a \textbf{b} }c", r"\mathrm a\ \mathbf b\ c"]),
    ("\\textbf { a \\  b }", [r"\textbf{a \text{b}}"]),
    (r"\mathrm { H } _ { 2 } \mathrm { O }", [r"\text{H₂O}", r"\text{H\textsubscript{2}O}"]),
    (r"1 0 ^ { \mathrm { t h } }", [r"10\textsuperscript{th}", r"\text{10\textsuperscript{th}}"]),
    ("\\mathrm { x } \\  \\in \\  \\mathbb { R }", [r"\text{x ∈ ℝ}", r"\text{x $\in$ $\mathbb{R}$}"]),
    (r"\underline { \mathrm { a b } } \hat { c }", [r"\text{\underline{ab}\hat c}"]),
    ("\\text { f ü r \\  я }", [r"\text{für}\ \text{я}", r"\text{für я}", r"\mathrm{für\ я}"]),
    (r"\sqrt [ { [ 3 ] } ] { x }", [r"\sqrt[{[3]}]{x}"]),
    (r"a , \ldots , b", [r"a,...,b", r"a,\mathrm{...},b", r"a,.\,.\,.,b"]),
    (r"\| x \| _ { 2 } \leq \| y \|", [r"||x||_2\le||y||", r"\big||x\big||_2\le|\,|y|\,|"]),
    (r"\left\| \frac { a } { b } \right\|", [r"||\frac ab||", r"\left|\left|\frac ab\right|\right|"]),
    (r"D ( p \| q )", [r"D(p||q)", r"D(p\parallel q)"]),
    (r"| a | | b |", [r"|a||b|", r"|a|\,|b|"]),
    (r"\Diamond A", [r"\lozenge A"]),
    (r"5 \mathrm { k g }", [r"\text{5\,kg}", r"5\,\mathrm{kg}"]),
]  # fmt: skip


@pytest.mark.parametrize(("canonical", "spellings"), SAME, ids=[canonical for canonical, _ in SAME])
def test_spellings_of_one_picture_become_one(canonical: str, spellings: list[str]) -> None:
    for latex in [canonical, *spellings]:
        assert normalize(latex) == canonical, latex


UNSEEN = [
    r"\rule{0pt}{12pt}", r"\rule[-2pt]{0.0em}{1ex}", r"\strut", r"\vphantom{\frac ab}", r"\smash{}", r"\mathstrut",
    r"\vskip 3pt plus 1pt", r"\vspace*{1cm}", r"\mspace{-18mu}", r"\kern-\nulldelimiterspace", r"\penalty-100",
    r"\arraycolsep=1pt", r"\arraycolsep 1pt", r"\setlength{\arraycolsep}{2pt}", r"\setlength\arraycolsep{2pt}",
    r"\addtolength{\jot}{2pt}", r"\openup1\jot", r"\renewcommand{\arraystretch}{1.5}", r"\def\arraystretch{1.5}",
    r"\linebreak[1]", r"\nolinebreak", r"\allowbreak", r"\nobreak", r"\noindent", r"\protect", r"\relax", r"\null",
    r"\footnotesize", r"\fontsize{10}{12}\selectfont", r"\color[rgb]{1,0,0}", r"\definecolor{a}{rgb}{1,0,0}",
    r"\label{eq:a}", r"\special{a}", r"\index{a}", r"\nonumber", r"\notag", r"\limits", r"\displaylimits", r"\*",
]  # fmt: skip


@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_leaves_no_ink_leaves_no_token(unseen: str) -> None:
    for latex in (f"a {unseen} b", f"a{unseen}{{}} b", f"{{{unseen} a}}{{b}}"):
        assert normalize(latex) == normalize(" ".join(tokenize(latex))) == "a b", latex
    assert normalize(rf"\text{{a {unseen} b}}") == "\\text { a \\  b }"


def test_a_wide_rule_without_height_is_a_gap_and_a_visible_one_stays() -> None:
    assert normalize(r"a\rule{2em}{0pt}b") == normalize(r"a\mspace{36mu}b") == normalize(r"a\quad b")
    assert normalize(r"a\rule[1pt]{3cm}{0.4pt}b") == r"a \rule { 3 c m } { 0 . 4 p t } b"


@pytest.mark.parametrize("number", [r"\tag{3}", r"\tag*{3}", r"\eqno(3)", r"\leqno {(1.2)}", r"\eqno\hbox{(a)}"])
def test_a_number_at_the_margin_is_none_of_the_formulas_ink(number: str) -> None:
    assert normalize(rf"x = y {number}") == "x = y"
    assert normalize(rf"\begin{{aligned}} x {number} \\ y \end{{aligned}}") == r"\begin{matrix} x \\ y \end{matrix}"


@pytest.mark.parametrize(
    "around",
    [
        r"\lefteqn{@}", r"\shoveleft{@}", r"\smash[b]{@}", r"\ensuremath{@}", r"\mathchoice{@}{a}{b}{c}", r"\clap{@}",
        r"\textcolor[rgb]{1,0,0}{@}", r"\multicolumn{2}{|c|}{@}", r"\hyperref[a]{@}", r"\begingroup @\endgroup",
        r"\scalebox{2}{@}", r"\vtop to 3cm{@}", r"\begin{minipage}[t]{3cm} @ \end{minipage}", r"\noalign{\vskip 3pt}@",
        r"\hbox to 3cm{$@$\hss}", r"\parbox[t]{3cm}{$@$}", r"\makebox[2cm][c]{$@$}", r"\raisebox{2pt}[0pt]{$@$}",
        r"\multirow{2}{*}{$@$}", r"\intertext{$@$}", r"\displaylines{@}",
    ],
)  # fmt: skip
def test_of_a_box_shows_what_it_holds(around: str) -> None:
    assert (
        normalize("y" + around.replace("@", "x_1")).replace(r"\begin{matrix} y \\ x", "y x").startswith("y x _ { 1 }")
    )


@pytest.mark.parametrize(
    "around",
    [r"\parbox[t]{3cm}{@}", r"\makebox[2cm]{@}", r"\raisebox{2pt}{@}", r"\hbox to 3cm{@}", r"\multirow{2}{*}{@}"],
)
def test_the_words_of_a_box_keep_their_blanks(around: str) -> None:
    assert normalize(around.replace("@", "as well")) == normalize(r"\text{as well}")
    assert normalize(rf"\text{{see {around.replace('@', 'as well')}}}") == normalize(r"\text{see as well}")
    assert normalize(r"\framebox[2cm]{as well}") == normalize(r"\fbox{as well}") != normalize(r"\text{as well}")


def test_brackets_behind_a_command_without_options_are_ink() -> None:
    assert normalize(r"\mathopen[a,b\mathclose]") == normalize(r"\tag1[a,b]") == "[ a , b ]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"x^2", r"x_2"),
        (r"\epsilon", r"\varepsilon"),
        (r"\bar x", r"\overline x"),
        (r"{x_1}^2", r"x_1^2"),
        (r"\frac{a}{b}", r"\frac{b}{a}"),
        (r"\mathbf x", r"x"),
        (r"\mathbf{2}", r"2"),
        (r"\mathbf\Gamma", r"\Gamma"),
        (r"\boldsymbol{\tau}", r"\tau"),
        (r"\text{a-b}", r"\mathrm{a-b}"),
        (r"\mathrm a\mathbf b", r"\mathrm{ab}"),
        (r"a\quad b", r"a b"),
        (r"{\frac ab c}^2", r"\frac ab c^2"),
        (r"\begin{matrix}a&b\end{matrix}", r"\begin{matrix}a\\b\end{matrix}"),
        (r"\{ \frac ab", r"\left\{ \frac ab \right."),
        (r"\not\models", r"\not\vDash"),
        (r"\boldsymbol{0'}", r"\mathbf{0}'"),
        (r"\underset{x}{y}", r"y_x"),
        (r"\underset{x}{\mathrm{d}}", r"\mathrm d_x"),
        (r"{n\atop k}", r"{n\over k}"),
        (r"\hat x", r"\widehat x"),
        (r"\mathcal{Ab}", r"\mathcal{A}b"),
        (r"||x|-|y||", r"\|x|-|y\|"),
        (r"a....b", r"a\ldots.b"),
        (r"\cdots", r"\ldots"),
    ],
)
def test_different_pictures_stay_different(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (r"\frac{a}", r"\frac { a } { }"),
        (r"x^", "x"),
        (r"{{a", "a"),
        (r"a}}", "a"),
        (r"x_1_2", r"x _ { 1 2 }"),
        (r"\begin{pmatrix}a&b", r"\left( \begin{matrix} a & b \end{matrix} \right)"),
        (r"a\end{matrix}", "a"),
        (r"\left(\frac ab", r"( \frac { a } { b }"),
        (r"\frac ab\right)", r"\frac { a } { b } )"),
        (r"\unknown{a}{b}c", r"\unknown { a } { b } c"),
        ("\\", ""),
    ],
)
def test_broken_input_is_mended(broken: str, mended: str) -> None:
    assert normalize(broken) == mended


@pytest.mark.parametrize(
    "label",
    [
        r"\left\{ \begin{matrix} x + y = 1 \\ x - y = 2 \end{matrix} \right.",
        r"\overarc { A B } = \overrightarrow { C D }",
        r"\stackrel { a } { \longrightarrow } \underset { x } { y }",
        r"\int _ { 0 } ^ { 1 } \sqrt { x } d x = \frac { 2 } { 3 }",
        r"\left\| \frac { a } { b } \right\| \roman1 \cosec \theta \not \supset \square",
        r"\lim _ { n \rightarrow \infty } a _ { n } = \varnothing",
    ],
)
def test_labels_of_the_competition_pass_unchanged(label: str) -> None:
    assert normalize(label) == label


_UNITS = r"{ & \sqrt{ & \frac & \left( & ( & \begin{matrix} & x^{ & \sqrt[ & \text{ & [ & | & a & ' & \\ & \not & $"
_UNITS += r" & \stackrel{a}{ & \underset & \rule & \hbox to & \makebox[ & \intertext{ & \eqno & \limits^ & \setlength"
_UNITS += r" & \rm x & \rm\quad & a \over & a \atop & {a & b \over \bf & \quad\hat & x_ & \foo{ & \left. & \bigl|"


@pytest.mark.parametrize("unit", _UNITS.split(" & "))
def test_deep_or_long_input_neither_raises_nor_stalls(unit: str) -> None:
    start = time.process_time()
    once = normalize(unit * 1000)
    assert normalize(once) == once
    assert time.process_time() - start < 10


def test_tables_agree_with_each_other() -> None:
    with_meaning: list[Iterable[str]] = [
        synonyms.ARGUMENTS,
        synonyms.UNWRAPPED,
        synonyms.SWITCHES,
        synonyms.NO_INK,
        synonyms.THIN,
        synonyms.BOXES,
        synonyms.DEFINITIONS,
        synonyms.REFERENCES,
    ]
    with_meaning += [synonyms.WIDE, synonyms.SIZES, synonyms.INFIX, synonyms.LENGTHS, synonyms.VANISHING]
    for table in with_meaning:
        assert not synonyms.SYMBOLS.intersection(table)
        assert not synonyms.SYNONYMS.keys() & set(table), "a spelling that is replaced before it is looked up"
    assert not synonyms.SYNONYMS.keys() & set(synonyms.SYNONYMS.values()), "a synonym of a synonym"


@pytest.mark.parametrize(
    ("truth", "caption"),
    [
        (r"$M\ltN$", "M < N"),
        (r"\left ( \mbox { d } \\ \right )".replace(r" \\", ""), "( d )"),
        (r"$\left| $\frac{a}{b} \right|$", r"\left| \frac { a } { b } \right|"),
        (r"$l o g ( x )$", r"\log ( x )"),
        (r"\mathrm dt", "d t"),
        (r"\mbox { erf } \left ( z \right )", "e r f ( z )"),
    ],
)
def test_transcripts_of_handwriting(truth: str, caption: str) -> None:
    assert normalize_transcript(truth) == caption
    assert normalize_transcript(caption) == caption
