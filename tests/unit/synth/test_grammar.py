"""The formula generator: canonical, seeded, of the promised length, and every template can be drawn."""

import numpy as np
import pytest

from recognizer.latex import normalize
from recognizer.synth.grammar import LEVELS, MAX_TOKENS, generate_formula
from recognizer.synth.mathjax import engine
from recognizer.synth.symbols import Draw
from recognizer.synth.templates import Filler, TemplateError, groups_of_level, read_groups

# What every vocabulary of school and university formulas has; drawn often enough to be learnt.
COMMON = [
    r"0",
    r"1",
    r"2",
    r"3",
    r"4",
    r"5",
    r"6",
    r"7",
    r"8",
    r"9",
    r"a",
    r"b",
    r"c",
    r"d",
    r"e",
    r"f",
    r"g",
    r"h",
    r"i",
    r"j",
    r"k",
    r"l",
    r"m",
    r"n",
    r"o",
    r"p",
    r"q",
    r"r",
    r"s",
    r"t",
    r"u",
    r"v",
    r"w",
    r"x",
    r"y",
    r"z",
    r"A",
    r"B",
    r"C",
    r"D",
    r"E",
    r"F",
    r"G",
    r"H",
    r"I",
    r"J",
    r"K",
    r"L",
    r"M",
    r"N",
    r"O",
    r"P",
    r"Q",
    r"R",
    r"S",
    r"T",
    r"U",
    r"V",
    r"W",
    r"X",
    r"Y",
    r"Z",
    r"+",
    r"-",
    r"=",
    r"<",
    r">",
    r"(",
    r")",
    r"[",
    r"]",
    r"|",
    r",",
    r".",
    r"/",
    r"!",
    r":",
    r"^",
    r"_",
    r"{",
    r"}",
    r"&",
    r"\\",
    r"\{",
    r"\}",
    r"\|",
    r"\%",
    r"\times",
    r"\div",
    r"\cdot",
    r"\pm",
    r"\mp",
    r"\frac",
    r"\sqrt",
    r"\sum",
    r"\prod",
    r"\int",
    r"\oint",
    r"\iint",
    r"\lim",
    r"\log",
    r"\ln",
    r"\sin",
    r"\cos",
    r"\tan",
    r"\sec",
    r"\csc",
    r"\cot",
    r"\sinh",
    r"\cosh",
    r"\tanh",
    r"\arcsin",
    r"\alpha",
    r"\beta",
    r"\gamma",
    r"\delta",
    r"\epsilon",
    r"\varepsilon",
    r"\zeta",
    r"\eta",
    r"\theta",
    r"\iota",
    r"\kappa",
    r"\lambda",
    r"\mu",
    r"\nu",
    r"\xi",
    r"\pi",
    r"\rho",
    r"\sigma",
    r"\tau",
    r"\upsilon",
    r"\phi",
    r"\varphi",
    r"\chi",
    r"\psi",
    r"\omega",
    r"\Gamma",
    r"\Delta",
    r"\Theta",
    r"\Lambda",
    r"\Xi",
    r"\Pi",
    r"\Sigma",
    r"\Phi",
    r"\Psi",
    r"\Omega",
    r"\leq",
    r"\geq",
    r"\neq",
    r"\approx",
    r"\equiv",
    r"\sim",
    r"\cong",
    r"\simeq",
    r"\propto",
    r"\leqq",
    r"\geqq",
    r"\doteq",
    r"\fallingdotseq",
    r"\perp",
    r"\angle",
    r"\triangle",
    r"\overline",
    r"\overrightarrow",
    r"\overleftrightarrow",
    r"\vec",
    r"\hat",
    r"\bar",
    r"\tilde",
    r"\dot",
    r"\ddot",
    r"\widehat",
    r"\widetilde",
    r"\prime",
    r"\infty",
    r"\partial",
    r"\nabla",
    r"\hbar",
    r"\cdots",
    r"\ldots",
    r"\vdots",
    r"\cup",
    r"\cap",
    r"\subset",
    r"\supset",
    r"\subseteq",
    r"\in",
    r"\notin",
    r"\ni",
    r"\varnothing",
    r"\forall",
    r"\exists",
    r"\neg",
    r"\wedge",
    r"\vee",
    r"\Rightarrow",
    r"\Leftrightarrow",
    r"\rightarrow",
    r"\leftarrow",
    r"\leftrightarrow",
    r"\mapsto",
    r"\oplus",
    r"\otimes",
    r"\odot",
    r"\ominus",
    r"\circ",
    r"\therefore",
    r"\because",
    r"\square",
    r"\max",
    r"\min",
    r"\mathbb",
    r"\mathbf",
    r"\mathcal",
    r"\mathrm",
    r"\left(",
    r"\right)",
    r"\left[",
    r"\right]",
    r"\left|",
    r"\right|",
    r"\left\{",
    r"\right.",
    r"\begin{matrix}",
    r"\end{matrix}",
    r"\binom",
    r"\stackrel",
    r"\underset",
    r"\overarc",
    r"\uparrow",
    r"\downarrow",
    r"\searrow",
    r"\supsetneq",
    r"\nsubseteq",
    r"\nexists",
    r"\rightleftarrows",
    r"\rightharpoonup",
    r"\backslash",
    r"\frown",
    r"\iiint",
    r"\left.",
    r"\right\}",
]


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
