"""The formula generator: canonical, seeded, of the promised length, and every template can be drawn."""

import numpy as np
import pytest

from recognizer.latex import normalize
from recognizer.synth.grammar import LEVELS, MAX_TOKENS, generate_formula
from recognizer.synth.mathjax import engine
from recognizer.synth.symbols import Draw
from recognizer.synth.templates import Filler, TemplateError, groups_of_level, read_groups


def _names(row):
    return row.split()


# What every vocabulary of school and university formulas has; drawn often enough to be learnt.
COMMON = _names(
    r"""
    0 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V
    W X Y Z + - = < > ( ) [ ] | , . / ! : ^ _ { } & \\ \{ \} \| \% \times \div \cdot \pm \mp \frac \sqrt \sum \prod
    \int \oint \iint \lim \log \ln \sin \cos \tan \sec \csc \cot \sinh \cosh \tanh \arcsin \alpha \beta \gamma \delta
    \epsilon \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \pi \rho \sigma \tau \upsilon \phi \varphi
    \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega \leq \geq \neq \approx \equiv \sim
    \cong \simeq \propto \leqq \geqq \doteq \fallingdotseq \perp \angle \triangle \overline \overrightarrow
    \overleftrightarrow \vec \hat \bar \tilde \dot \ddot \widehat \widetilde \prime \infty \partial \nabla \hbar \cdots
    \ldots \vdots \cup \cap \subset \supset \subseteq \in \notin \ni \varnothing \forall \exists \neg \wedge \vee
    \Rightarrow \Leftrightarrow \rightarrow \leftarrow \leftrightarrow \mapsto \oplus \otimes \odot \ominus \circ
    \therefore \because \square \max \min \mathbb \mathbf \mathcal \mathrm \left( \right) \left[ \right] \left| \right|
    \left\{ \right. \begin{matrix} \end{matrix} \binom \stackrel \underset \overarc \uparrow \downarrow \searrow
    \supsetneq \nsubseteq \nexists \rightleftarrows \rightharpoonup \backslash \frown \iiint \left. \right\}
    """
)


def _formulas(count, seed=11):
    return [generate_formula(np.random.default_rng([seed, i]), LEVELS[i % 5]) for i in range(count)]


@pytest.fixture(scope="module")
def formulas():
    return _formulas(12_000)


def test_every_formula_is_a_fixed_point_of_normalize(formulas):
    assert [formula for formula in formulas[:3000] if normalize(formula) != formula] == []


def test_lengths_are_held(formulas):
    lengths = [len(formula.split()) for formula in formulas]
    assert 13 <= np.mean(lengths) <= 20
    assert min(lengths) == 1 and max(lengths) <= MAX_TOKENS


def test_no_common_symbol_is_missing_or_rare(formulas):
    having = dict.fromkeys(COMMON, 0)
    for formula in formulas:
        for token in set(formula.split()):
            if token in having:
                having[token] += 1
    assert {symbol: count for symbol, count in having.items() if count < 5} == {}


def test_formulas_differ(formulas):
    assert len(set(formulas)) > 0.9 * len(formulas)


def test_the_same_seed_gives_the_same_formulas():
    assert _formulas(50) == _formulas(50)
    assert _formulas(50) != _formulas(50, seed=12)


def test_every_template_renders():
    refused = []
    for level in LEVELS:
        for group in groups_of_level(level):
            for number, template in enumerate(group.templates):
                formula = normalize(Filler(Draw(np.random.default_rng(number)), level).fill(template))
                try:
                    engine().to_svg(formula)
                except ValueError as error:
                    refused.append((template, str(error)))
    assert refused == []


def test_wrong_level_is_refused():
    with pytest.raises(ValueError, match=r"level must be one of .* got 6"):
        generate_formula(np.random.default_rng(0), 6)


def test_a_named_placeholder_repeats_its_value():
    filler = Filler(Draw(np.random.default_rng(0)), 2)
    for _ in range(20):
        left, right = filler.fill("<x=v> = <x>").split(" = ")
        assert left == right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a + b", r"file.txt, line 1: a template before the first group; write \[name weight\]"),
        ("[g 1]\n<nothing>", "file.txt, line 2: unknown placeholder <nothing>; known are"),
        ("[g 1]\n<x> + <x=v>", "file.txt, line 2: unknown placeholder <x>"),
        ("[g 1]\n<a|dec>", "file.txt, line 2: dec in <a|dec> is literal; write <dec>"),
        ("[g 1]\na < b", "file.txt, line 2: unpaired < or >; write the relations as"),
        ("# nothing\n[g 1]\n", r"file.txt: group \[g\] has no template"),
    ],
)
def test_template_errors_name_file_line_and_remedy(text, message):
    with pytest.raises(TemplateError, match=message.replace("|", r"\|")):
        read_groups(text, "file.txt")
