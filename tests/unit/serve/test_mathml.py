"""LaTeX -> MathML: our vocabulary's own words, well formed whatever comes in, nothing active in it."""

from __future__ import annotations

from contextlib import suppress
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.serve.errors import ServeError
from container.serve.mathml import to_mathml
from recognizer.evaluation.mathml import skeleton
from recognizer.synth import mathjax

PIECES = [
    "{",
    "}",
    "^",
    "_",
    "&",
    r"\\",
    "x",
    "<",
    ">",
    "'",
    "%",
    "~",
    r"\frac",
    r"\sqrt",
    r"\left(",
    r"\right.",
    "[",
    "]",
]
PIECES += [
    r"\begin{matrix}",
    r"\end{matrix}",
    r"\begin{array}{|c|}",
    r"\end{array}",
    r"\hline",
    r"\binom{n}{k}",
    r"\pmod",
    r"\sin",
    r"\text{a<b&c}",
    r"\sim",
    r"\overarc",
    r"\href{javascript:x}",
    r"\style{a}",
]
CHILDREN = {"msub": 2, "msup": 2, "msubsup": 3}
SPACE = "_"  # a thin one, in what `signs` gives


def children_of(latex: str) -> list[ElementTree.Element]:
    (row,) = ElementTree.fromstring(to_mathml(latex))
    return list(row)


def signs(latex: str) -> str:
    elements = children_of(latex)
    return "".join(SPACE if one.get("width") == "0.167em" else "".join(one.itertext()) for one in elements)


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac{1}{1-a}=1+a+a^{2}",
        r"\begin{matrix} a & b \\ c & d \end{matrix}",
        r"\begin{matrix}[0,1] & [r] \end{matrix}",
        r"x_{\text{a{b{c}}d}} \text{{e}f}^{2}",
        r"\overset{a}{b} \hat{p}",
        r"a \sim b \simeq c",
        r"\begin{matrix} a \\\sim b \end{matrix}",
        r"\csch x + \sech y",
        r"\arg z",
        r"\overarc{AB}",
        r"\Delta \Omega \Gamma \delta",
        r"a \not= b \not\equiv c \not\mid d",
        r"a*b",
        r"\binom{n}{k}_{q}+\binom{a}{b}^{2}",
        r"\left(\begin{matrix}a\end{matrix}\right)^{T}\begin{pmatrix}a&b\end{pmatrix}^{T}",
        r"\begin{matrix}a&^{2}b\\^{t}C&_{1}D\end{matrix}",
        r"\begin{array}{c|c}^{2}a&'\\\hline_{3}b&\&^{2}\end{array}",
        r"\begin{array}{c|cc}a&b&c\\\hline d&e&f\\g&h&i\end{array}",
        r"\begin{array}{cc|c}a&b&c\\d&e&f\\\hline&h&i\end{array}",
        r"\begin{aligned}a&=b\\c&=d\end{aligned}",
        r"\begin{gathered}a\\b\end{gathered}",
    ],
)
def test_looks_as_mathjax_draws_it(latex):
    assert skeleton(to_mathml(latex)) == skeleton(mathjax.to_mathml(latex))


def test_letters_of_other_faces_are_characters_of_their_own():
    """Browsers don't draw the attribute `mathvariant`, but for upright letters."""
    mathml = to_mathml(
        r"\mathbb{R} \mathbf{x} \mathfrak{g} \mathbf{10} \boldsymbol{\epsilon} \mathscr{L} \mathfrak{C} \mathtt{if}"
        r"\textit{by}"
    )
    assert all(letter in mathml for letter in "ℝ𝐱𝔤𝟏𝟎𝝐ℒℭ𝚒𝚏𝑏𝑦")
    assert "mathvariant" not in mathml


@pytest.mark.parametrize("latex", [r"\mathrm{d}", r"\mathrm{dx}", r"\mathrm{H}_{2}\mathrm{O}"])
def test_upright_letters_are_upright_one_as_well_as_several(latex):
    letters = list(ElementTree.fromstring(to_mathml(latex)).iter("{http://www.w3.org/1998/Math/MathML}mi"))
    assert letters and {letter.get("mathvariant") for letter in letters} == {"normal"}


@pytest.mark.parametrize(
    ("latex", "tag"),
    [
        (r"\lim_{x \rightarrow 0} x", "munder"),
        (r"\max_{i} x", "munder"),
        (r"\limsup_{n} x", "munder"),
        (r"\bigcup_{i=1}^{n} A", "munderover"),
        (r"\bigoplus^{n} A", "mover"),
        (r"\int_{0}^{1} x", "msubsup"),
        (r"\sin^{2} x", "msup"),
    ],
)
def test_limits_stand_where_tex_has_them(latex, tag):
    """Below and above; the browser moves those of an operator with movable ones beside it in small print."""
    (row,) = ElementTree.fromstring(to_mathml(latex))
    assert row[0].tag.endswith("}" + tag)
    assert (row[0][0].get("movablelimits") == "true") == (tag in ("munder", "munderover", "mover"))


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"\sin x", "sin_x"),
        (r"2\sin(x)", "2_sin(x)"),
        (r"=\sin^{2}x", "=sin2_x"),
        (r"(a)\log\frac{1}{2}", "(a)_log_12"),
        (r"\dim V\ker f", "dim_V_ker_f"),
        (r"(\arg z,\max_{i}(x))", "(arg_z,maxi(x))"),
        (r"a\ \ln\ n", "a\xa0ln\xa0n"),
        (r"a\bmod n", "amodn"),
        (r"\mathrm{d}x", "dx"),
    ],
)
def test_named_functions_stand_apart_as_in_tex(latex, shown):
    assert signs(latex) == shown


@pytest.mark.parametrize(("latex", "spaces"), [("|x|", "0em"), (r"\|x\|", "0em"), (r"a\mid b|", None)])
def test_bars_have_no_room_around_them_if_they_are_no_relation(latex, spaces):
    bar = next(element for element in children_of(latex) if element.text in {*"|‖∣"})
    assert bar.get("lspace") == bar.get("rspace") == spaces


@pytest.mark.parametrize(
    ("latex", "forms"),
    [
        ("(-x)=-a", ["prefix", "prefix"]),
        (r"\sin-x,-y\to-z", ["prefix"] * 3),
        (r"a-b+\ldots-c", [None] * 3),
        (r"f(x)-f'-n!-|z|-\infty-1", [None] * 5),
        (r"|x|^2-1+\infty_{n}-2", [None] * 3),  # of what has scripts, what they are on counts
        (r"2^{-n}", [None]),  # the first of its row: there the browser knows
    ],
)
def test_a_minus_stands_at_what_it_belongs_to(latex, forms):
    elements = ElementTree.fromstring(to_mathml(latex)).iter()
    assert [element.get("form") for element in elements if element.text in ("−", "+")] == forms


@pytest.mark.parametrize(
    ("latex", "sides", "columns", "rows"),
    [
        (r"{|cc|c|}\hline A&B&C\\\hline0&0&0\\0&1&1\\\hline", "left right top bottom", "none solid", "solid none"),
        (r"{c||c|}\hline\hline a&b\\&\\\hline&d", "right top", "solid", "none solid"),
        (r"{|c|}a\\\hline", "left right bottom", None, None),
        (r"{| c c}^{2}a&b", "left", None, None),
    ],
)
def test_a_table_has_lines_around_it_and_within_where_they_were_written(latex, sides, columns, rows):
    (frame,) = children_of(rf"\begin{{array}}{latex}\end{{array}}")
    (table,) = frame
    assert (frame.get("notation"), table.get("columnlines"), table.get("rowlines")) == (sides, columns, rows)
    assert "\ue000" not in (text := "".join(frame.itertext())) and "hline" not in text


def test_lines_between_rows_are_counted_from_below_the_first():
    (frame,) = children_of(r"\begin{matrix}\hline a\\b\\\hline c\end{matrix}")
    assert (frame.get("notation"), frame[0].get("rowlines"), len(frame[0])) == ("top", "none solid", 3)


def test_an_arrow_is_as_long_as_what_stands_on_it():
    (row,) = ElementTree.fromstring(to_mathml(r"\xrightarrow[a]{long}"))
    arrow, below, above = row[0]
    assert (arrow.text, arrow.get("stretchy")) == ("→", "true")
    assert ["".join(each.itertext()) for each in (below, above)] == ["a", "long"]


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=15).map(" ".join), st.text(max_size=30)))
def test_an_answer_is_well_formed_and_passive(latex):
    with suppress(ServeError):
        for element in ElementTree.fromstring(to_mathml(latex)).iter():
            assert len(element) == CHILDREN.get(element.tag.rpartition("}")[2], len(element))
            assert not {"href", "style", "class", "id"} & element.attrib.keys()


def test_text_shows_no_backslashes():
    r"""`\text{for\ all}` was shown as `for\ all`."""
    shown = [
        "".join(ElementTree.fromstring(to_mathml(latex)).itertext())
        for latex in (r"\text{for\ all\ 5\%}x", r"\text{\ a\_b\&\#\$}", r"\textit{a\ b}", r"5\AA+\O\P+\text{\O}")
    ]
    assert shown == ["for\xa0all\xa05%x", "\xa0a_b&#$", "𝑎\xa0𝑏", "5Å+Ø¶+Ø"]


def test_accents_in_text_stand_on_their_letters():
    r"""`\text{F\'Et}` was shown with its backslash."""
    plain, slanted = children_of(r"""\text{F\'Et \'etale \`a \^{o} \"u \~n \'7}\textit{\'Et}""")
    assert plain.text == "FÉt étale à ô ü ñ \\'7".replace(" ", "\xa0")
    assert slanted.text == "𝐸\u0301𝑡"


def test_markup_in_text_stays_text():
    (text,) = ElementTree.fromstring(to_mathml(r"\text{<img>&amp;}")).iter("{http://www.w3.org/1998/Math/MathML}mtext")
    assert text.text is not None and text.text.startswith("<img>") and not list(text)


@pytest.mark.parametrize(("latex", "words"), [("x^", "missing super script or subscript"), ("{" * 2000, "too deeply")])
def test_the_reason_is_said_in_words(latex, words):
    with pytest.raises(ServeError, match=rf"this LaTeX: .*{words}$"):
        to_mathml(latex)


@pytest.mark.parametrize("latex", ["", r"\frac", r"\left( x", "x^2^3", "{" * 2000])
def test_what_is_no_formula_is_refused(latex):
    with pytest.raises(ServeError, match="no formula can be drawn") as refused:
        to_mathml(latex)
    assert (refused.value.status, refused.value.code) == (422, "not_typesettable")
