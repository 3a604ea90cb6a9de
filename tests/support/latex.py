"""Strategies for LaTeX: any text, soups of its words, and formulas as people write them."""

from __future__ import annotations

from hypothesis import strategies as st


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
    *["\\ ", "\\", " ", "\n", "%\n", "{}", "\\text{a b}", "\\text { a \\  b }", "\\text{if $x$ }"],
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
    \hat{x} \bar{y} \vec{v} \mathrm{GL} \operatorname{rank} \operatorname{sin} \sin \log \text{if} \ldots
    \emptyset"""
)
_OPERATORS = _words(
    r"""+ - = < > \le \leq \geq \ge \neq \ne \not= \in \not\in \to \rightarrow \times \cdot \mid
    \colon , \, \; ~
    \quad \setminus \cup \land \iff \mapsto \ast"""
)
_PAIRS = [("(", ")"), ("[", "]"), (r"\{", r"\}"), (r"\lbrace ", r"\rbrace "), ("|", "|"), (r"\langle ", r"\rangle "),
          (r"\lvert ", r"\rvert "), (r"\|", r"\|"), (r"\Vert ", r"\Vert ")]  # fmt: skip


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    rows = st.lists(two, min_size=1, max_size=3)

    def table(name: str, spec: str = "") -> st.SearchStrategy[str]:
        return rows.map(
            lambda cells: (
                rf"\begin{{{name}}}{spec}" + r" \\ ".join(" & ".join(row) for row in cells) + rf"\end{{{name}}}"
            )
        )

    return st.one_of(
        st.lists(st.one_of(inner, st.sampled_from(_OPERATORS)), min_size=1, max_size=4).map(" ".join),
        two.map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
        two.map(lambda p: rf"{{{p[0]} \over {p[1]}}}"),
        two.map(lambda p: rf"\dfrac{{{p[0]}}}{{{p[1]}}}"),
        two.map(lambda p: rf"\binom{{{p[0]}}}{{{p[1]}}}"),
        two.map(lambda p: rf"\sqrt[{{{p[0]}}}]{{{p[1]}}}"),
        inner.map(lambda x: rf"\sqrt{{{x}}}"),
        inner.map(lambda x: rf"\overline{{{x}}}"),
        inner.map(lambda x: rf"{{{x}}}"),
        inner.map(lambda x: rf"{{\rm {x}}}"),
        inner.map(lambda x: rf"{{\displaystyle {x}}}"),
        two.map(lambda p: rf"{{{p[0]}}}_{{{p[1]}}}"),
        two.map(lambda p: rf"{{{p[0]}}}^{{{p[1]}}}"),
        st.tuples(inner, inner, inner).map(lambda p: rf"\sum\limits^{{{p[0]}}}_{{{p[1]}}} {p[2]}"),
        st.tuples(inner, inner, inner).map(lambda p: rf"\int_{{{p[0]}}}^{{{p[1]}}} {p[2]}\,\mathrm{{d}}x"),
        st.tuples(st.sampled_from(_PAIRS), inner).map(lambda p: rf"\left{p[0][0]} {p[1]} \right{p[0][1]}"),
        st.tuples(st.sampled_from(_PAIRS), inner).map(lambda p: rf"\bigl{p[0][0]} {p[1]} \bigr{p[0][1]}"),
        st.tuples(st.sampled_from(_PAIRS), inner).map(lambda p: f"{p[0][0]} {p[1]} {p[0][1]}"),
        inner.map(lambda x: rf"\left. {x} \right|_{{0}}"),
        inner.map(lambda x: rf"\text{{ for all }} {x}"),
        table("matrix"),
        table("pmatrix"),
        table("cases"),
        table("aligned"),
        table("array", "{c|c}"),
        table("array", "{ll}"),
    )


formulas = st.recursive(st.sampled_from(_ATOMS), _grow, max_leaves=12)
"""LaTeX that renders, in many spellings."""
