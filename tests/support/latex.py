"""Strategies for LaTeX: any text, soups of its words, and formulas as people write them."""

from __future__ import annotations

from hypothesis import strategies as st


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator)


def _words(text: str, *more: str) -> list[str]:
    return [*text.split(), *more]


WORDS = _words(
    r"""a b x 0 1 + - = , . ( ) [ ] | / ' ^ _ { } & $ % # ~ * " ! < > \\ \{ \} \| \, \; \  \quad \! \' \% \$ \# \_
    \alpha \le \to \dots \sum \int \lim \sin \prime \not \in \over \choose \atop \rm \bf \mathrm \mathbf \mathbb
    \boldsymbol \frac \dfrac \sqrt \binom \hat \overline \stackrel \overset \underbrace \substack \operatorname
    \text \mbox \textbf \left( \right) \left. \right. \left[ \right] \left| \right| \left\{ \right\} \middle|
    \left \right \bigl \Bigr \big \limits \displaystyle \label \tag \hspace \kern 3pt 1em \phantom \color red
    \begin{matrix} \end{matrix} \begin{pmatrix} \end{pmatrix} \begin{cases} \end{cases} \begin{aligned}
    \end{aligned} \begin{array} \end{array} {c|c} {cc} \hline \begin{foo} \end{foo} \begin \end \foo \roman1 \roman
    \mathop \mathrel \textcolor \genfrac {0pt} \cr [2pt] [t] \ldots ≤ α ² é ′ \sb \sp \bgroup \egroup \pmod \xrightarrow
    """,
    *[
        "\\ ",
        "\\",
        " ",
        "\n",
        "%\n",
        "{}",
        "\\text{a b}",
        "\\text { a \\  b }",
        "\\text{if $x$ }",
        "\\ce{",
        "\\ce{A + B^2- }",
    ],
)

any_text = st.text(max_size=60)
latex_like_text = st.text(alphabet="\\{}[]^_&$%'~ \nabcx01()|<>.+-=é", max_size=60)
soup = st.builds(
    lambda words, separator: separator.join(words),
    st.lists(st.sampled_from(WORDS), max_size=25),
    st.sampled_from(["", " "]),
)
strings = st.one_of(any_text, latex_like_text, soup)

_ATOMS = _words(
    r"""a b x y n A 1 2 7 \alpha \pi \Gamma \infty \partial \mathbb{R} \mathbf{v} \mathrm{d} \mathcal{F} \ell f'
    \hat{x} \bar{y} \vec{v} \mathrm{GL} \operatorname{rank} \operatorname{sin} \sin \log \text{if} {\rm{}x}
    {\bf{}v} \ldots \emptyset"""
)
_OPERATORS = _words(
    r"""+ - = < > \le \leq \geq \ge \neq \ne \not= \in \not\in \to \rightarrow \times \cdot \mid
    \colon , \, \; ~
    \quad \setminus \cup \land \iff \mapsto \ast"""
)
_DELIMITERS = [("(", ")"), ("[", "]"), (r"\{", r"\}"), (r"\lbrace ", r"\rbrace "), ("|", "|"), (r"\|", r"\|")]
_DELIMITERS += [(r"\langle ", r"\rangle "), (r"\lvert ", r"\rvert "), (r"\Vert ", r"\Vert "), ("[", ")")]
_SHAPES = _split(
    r"""@ & @ @ & {@} & {@}_{@} & {@}^{@} & {@}^@_@ & \frac{@}{@} & \dfrac{@}{@} & {@ \over @} & {@ \choose @}
    & \sqrt{@} & \sqrt[{@}]{@} & \overline{@} & {\displaystyle @} & \sum\limits^{@}_{@} @ & \int_{@}^{@} @\,\mathrm{d}x
    & \left. @ \right|_{0} & @ \text{ for all } @ & \underbrace{@}_{@} & \overset{@}{=} & \mathop{@}\limits_{@}
    & \begin{matrix}@ \\ @\end{matrix} & \sum_{\substack{@ \\ @}} @ & \begin{aligned}@ \\ @\end{aligned}""",
    " & ",
)
_SHAPES += [rf"\begin{{{name}}}@ & @ \\ @ & @\end{{{name}}}" for name in ("pmatrix", "cases", "vmatrix", "smallmatrix")]
_SHAPES += [r"\begin{aligned}@ & @ \\ & @\end{aligned}", r"\begin{array}{c|c}@ & @ \\ \hline @ & @\end{array}"]
_SHAPES += [r"\begin{array}{lr}@ & @ \\ @ & @ \\ \end{array}", r"\begin{array}{rcl}@ & = & @\end{array}"]
_SHAPES += [f"{left}@{right}" for left, right in _DELIMITERS]
_SHAPES += [rf"\left{left} @ \right{right}" for left, right in _DELIMITERS]
_SHAPES += [rf"\Bigl{left} @ \Bigr{right}" for left, right in _DELIMITERS]
_SHAPES += [rf"@ {operator} @" for operator in _OPERATORS]


@st.composite
def formulas(draw: st.DrawFn, depth: int = 3) -> str:
    """LaTeX that renders, in many spellings."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(_ATOMS))
    first, *parts = draw(st.sampled_from(_SHAPES)).split("@")
    return first + "".join(" " + draw(formulas(depth - 1)) + " " + part for part in parts)
