"""A file of formulas becomes a data set: which formulas are chosen, and how LaTeX's faults are kept out of it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError
from recognizer.latex import normalize, tokenize
from recognizer.latex.synonyms import ARGUMENTS
from recognizer.synth import corpus, variations
from recognizer.synth.corpus import Formula, _cut, choose, main, read_formulas, singles, write_corpus
from recognizer.synth.tex import TYPEFACES, TexStyle, _faulty_pages, misdraws, missing_programs, render_document

needs_latex = pytest.mark.skipif(  # CI sets REQUIRE_LATEX: there their absence is a failure
    bool(missing_programs()) and not os.environ.get("REQUIRE_LATEX"), reason="LaTeX and dvipng are not installed"
)


def formula(corpus: str, *tokens: str) -> Formula:
    return Formula(corpus, " ".join(tokens), tokens)


def test_formulas_are_read_normalised_and_without_those_that_are_no_latex(tmp_path: Path) -> None:
    path = tmp_path / "formulas.tsv.gz"
    path.write_bytes(gzip.compress(b"book\tx ^ 2\nbook\t\\frac{a}\nbook\ta b c d\n"))

    read = list(read_formulas(path, max_tokens=5))

    assert [each.tokens for each in read] == [("x", "^", "{", "2", "}"), ("a", "b", "c", "d")]


def test_a_line_without_a_corpus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "formulas.tsv"
    path.write_text("book\tx\nx+y\n")

    with pytest.raises(DataError, match=r"formulas.tsv:2: no tab in 'x\+y'"):
        list(read_formulas(path))


def test_corpora_are_left_out_and_weighted_down_and_rare_tokens_too() -> None:
    formulas = [
        *(formula("big", "a", str(digit)) for digit in range(10)),
        formula("small", "a", "1"),
        formula("small", "a", "\\beth"),
        formula("chemistry", "H"),
    ]

    chosen = choose(formulas, only=[], without=["chemistry"], most={"big": 4}, rarest=1, seed=0)

    assert sum(each.corpus == "big" for each in chosen) == 4
    assert sum(each.corpus == "small" for each in chosen) == 2
    assert all(each.corpus != "chemistry" for each in chosen)
    common = choose(formulas, only=["small"], without=[], most={}, rarest=2, seed=0)
    assert common == []  # "1" and \beth occur once
    assert len(choose(formulas, only=["small"], without=[], most={}, rarest=1, seed=0)) == 2


def test_symbols_are_also_taken_alone_each_in_its_alphabets() -> None:
    found = singles([formula("book", "\\mathbf", "{", "x", "}", "+", "\\left(", "y", "\\right)", "^", "{", "2", "}")])

    assert {each.tokens for each in found} == {("x",), ("y",), ("2",), ("+",), ("\\mathbf", "{", "x", "}")}


def test_an_arrow_is_no_half_of_a_pair() -> None:
    """`\\leftarrow` begins as `\\left` does."""
    found = singles([formula("book", "\\left(", "x", "\\right)", "\\leftarrow", "y", "\\rightarrow", "z")])

    assert {each.tokens for each in found} == {(token,) for token in ("x", "y", "z", "\\leftarrow", "\\rightarrow")}


def test_a_fault_belongs_to_the_page_it_is_reported_on() -> None:
    log = (
        "@page 0@\n[1]\n@page 1@\n! Undefined control sequence.\n@page 2@\nMissing character: There is no x\n@page 3@\n"
    )

    assert _faulty_pages(log) == {1, 2}


@needs_latex
def test_latex_draws_what_it_can_and_leaves_out_the_rest() -> None:
    style = TexStyle("computer-modern", 150)

    fraction, unknown, letter = render_document([r"\frac{a}{b}", r"\nosuchcommand x", "x"], style)

    assert unknown is None
    assert fraction is not None and letter is not None
    assert fraction.shape[0] > 2 * letter.shape[0]
    twice = render_document(["x"], TexStyle("computer-modern", 300))[0]
    assert twice is not None and abs(twice.shape[1] - 2 * letter.shape[1]) <= 4


@needs_latex
@pytest.mark.parametrize("sign", ["+", "=", r"\rightarrow", ",", r"\quad", r"\ "])
def test_a_formula_wider_than_a_page_stays_in_one_line(sign: str) -> None:
    style = TexStyle("computer-modern", 100)

    short, long = render_document([f"x {sign} x", f" {sign} ".join("x" * 120)], style)

    assert short is not None and long is not None
    assert abs(long.shape[0] - short.shape[0]) <= 1
    assert long.shape[1] > 30 * short.shape[1]


@needs_latex
@pytest.mark.parametrize(
    "upsetting", ["50%", r"50\%", r"\text{a", r"x\end{preview}\begin{preview}y", r"\end{document}"]
)
def test_no_formula_gets_its_neighbours_picture(upsetting: str) -> None:
    style = TexStyle("computer-modern", 100)
    alone = render_document(["i", "mmm", "i"], style)

    before, upset, *after = render_document(["i", upsetting, "mmm", "i"], style)

    for drawn, expected in zip([before, *after], alone, strict=True):
        assert drawn is not None and expected is not None and np.array_equal(drawn, expected)
    assert (upset is not None) == ("50" in upsetting)


def lacks(typeface: str) -> list[str]:
    """The typeface's packages that this LaTeX doesn't have: most are in a collection of half a gigabyte."""
    names = [
        each
        for group in re.findall(r"\\usepackage(?:\[.*?\])?\{(.*?)\}", TYPEFACES[typeface])
        for each in group.split(",")
    ]
    return [name for name in names if subprocess.run(["kpsewhich", f"{name}.sty"], capture_output=True).returncode]


@needs_latex
@pytest.mark.parametrize("typeface", TYPEFACES)
def test_each_typeface_has_letters_greek_and_relations(typeface: str) -> None:
    if typeface != "computer-modern" and (absent := lacks(typeface)):
        pytest.skip(f"this LaTeX lacks {', '.join(absent)}")
    formulas = [r"\alpha_i \leq \mathbf{x} + \sum_{k} \frac{1}{2}", "0", "o"]
    picture, zero, letter = render_document(formulas, TexStyle(typeface, 200))

    assert picture is not None and zero is not None and letter is not None
    assert len(zero) > 1.15 * len(letter), "figures of an old style can't be told from letters"


SIGNS = r"""\mathscr{X} \alpha \omega \epsilon \varepsilon \rho \varrho \sigma \varsigma \phi \varphi \theta \vartheta
    \Gamma \Delta \Theta \Lambda \Omega x X 2 \leq \leqslant \emptyset \varnothing \hbar \hslash \imath \iota \subsetneq
    \supsetneq \nsubseteq \nsupseteq \vartriangleleft \triangleleft \infty \forall"""
ALPHABETS = (r"\mathbf", r"\mathcal", r"\mathrm", r"\mathsf", r"\mathit")
TOLD_APART = [
    *SIGNS.split(),
    *(sign for row in variations.SIGNS for sign in row if sign not in ARGUMENTS),
    *(f"{alphabet} {{ {letter} }}" for alphabet in ALPHABETS for letter in "XR"),
    *("a b c", r"\mathit { a b c }", "R"),
    *(f"\\boldsymbol {{ {letter} }}" for letter in (r"\alpha", r"\omega", "x")),
    *(f"\\mathbf {{ {letter} }}" for letter in (r"\Gamma", r"\Omega", "2")),
    *(f"{accent} {{ x }}" for accent in (r"\tilde", r"\vec", r"\bar", r"\hat", r"\dot")),
]


@needs_latex
@pytest.mark.parametrize("typeface", TYPEFACES)
def test_no_two_labels_have_one_picture_in_a_typeface(typeface: str) -> None:
    """Times has no bold Greek, a Helvetica document black boxes for \\Gamma: labels would say what isn't there."""
    if typeface != "computer-modern" and (absent := lacks(typeface)):
        pytest.skip(f"this LaTeX lacks {', '.join(absent)}")
    kept = [label for label in TOLD_APART if not misdraws(typeface, tokenize(label))]
    seen: dict[tuple[tuple[int, ...], bytes], str] = {}

    for label, picture in zip(kept, render_document(kept, TexStyle(typeface, 200)), strict=True):
        if picture is not None:
            alike = seen.setdefault((picture.shape, picture.tobytes()), label)
            assert alike == label


def test_mathjax_draws_as_a_typeface_does_and_needs_no_latex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    labels = [*TOLD_APART, r"\unknowncommand"]
    formulas = [Formula("book", label, tuple(label.split())) for label in labels]
    drawn = write_corpus(tmp_path / "out", formulas, 0, 1, (72, 72), photographs=0, typefaces=["mathjax"])
    pictures = [sample.load() for sample in read_dataset(tmp_path / "out").samples]

    assert drawn == len(pictures) >= len(labels) - 4, "two letters in \\mathit, \\S, and what nobody knows"
    x = next(sample for sample in read_dataset(tmp_path / "out").samples if sample.tokens == ("x",)).load()
    rows = np.flatnonzero((x < 200).any(axis=(1, 2)))
    assert 4 <= rows[-1] - rows[0] + 1 <= 6, "10-point type at 72 dpi"


def test_pictures_are_photographed_as_asked_for() -> None:
    def looks(dpi: int, photographs: float) -> set[tuple[bool, bool]]:
        documents = corpus._documents([formula("book", "x")] * 60, 0, (dpi, dpi), photographs, 1, ["mathjax"])
        return {(document.degraded, document.cut) for document in documents}

    assert looks(200, 0) == {(False, False)}
    assert looks(200, 1) == {(True, False)}
    assert looks(200, 0.5) == {(True, False), (False, True)}
    assert looks(72, 1) == {(False, True)}, "what is photographed there can't be read"


def test_no_two_labels_have_one_picture_in_mathjax() -> None:
    pictures = corpus.in_typeface(sorted({*TOLD_APART}), TexStyle("mathjax", 200))
    seen = {(picture.shape, picture.tobytes()) for picture in pictures if picture is not None}

    assert len(seen) == sum(picture is not None for picture in pictures) >= len({*TOLD_APART}) - 1


@needs_latex
def test_a_thin_sign_is_drawn_at_a_low_resolution_too() -> None:
    """No pixel of it is half black there; once such pictures were taken for blank pages."""
    pictures = render_document(["=", "-", r"\subset", r"\phantom{x}"], TexStyle("computer-modern", 72))

    assert [picture is not None for picture in pictures] == [True, True, True, False]
    assert pictures[0] is not None and pictures[0].min() > 128


@needs_latex
def test_in_bold_type_a_label_says_nothing_of_light_and_bold(tmp_path: Path) -> None:
    """What is bold by itself, or short, or roman, would have the picture of another label in light type."""
    labels = ["x", r"\mathbf{x}", r"\mathrm{nopqrs}+y=z", "3", r"x_{1}+y_{2}=z_{3}"]
    formulas = [Formula("book", label, tuple(tokenize(normalize(label)))) for label in labels]
    document = corpus._Document(
        TexStyle("computer-modern", 200, bold=True), tuple(enumerate(formulas)), 0, False, False
    )

    assert [row.tokens for row in corpus._draw(tmp_path, document)] == [formulas[-1].tokens]


def test_what_a_typeface_misdraws_is_left_out_there_alone() -> None:
    bold = tokenize(normalize(r"x\mathbf{a\Gamma}"))

    assert misdraws("times", bold) and not misdraws("computer-modern", bold)
    assert not misdraws("times", tokenize(normalize(r"\mathbf{a}\Gamma")))
    assert misdraws("helvetica", [r"\vec", "{", "x", "}"])


@pytest.mark.parametrize(
    ("latex", "options", "named"),
    [
        ("+".join("x" * 21), ["--lines", "5"], "--lines 5: lines and tables are made of formulas of at most 40 tokens"),
        ("x", ["--repeats", "5"], "--repeats 5: they are made of formulas of 3 to 24 tokens in one line"),
        ("+".join("x" * 10), ["--lines", "5"], "at most 6 for their cells"),
        ("x", ["--rarest", "20"], r"formulas.tsv: no formula is left of it by .* --rarest 20"),
        ("x", ["--only", "other", "--varied", "3"], "no formula is left of it by --only"),
        ("x", ["--rarest", "1", "--count", "0"], "no formula is left of it by .* --count"),
    ],
)
def test_formulas_that_dont_do_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], latex: str, options: list[str], named: str
) -> None:
    path = tmp_path / "formulas.tsv"
    path.write_text(f"book\t{latex}\n")

    assert main(["--formulas", str(path), "--out", str(tmp_path / "out"), "--rarest", "1", *options]) == 1

    assert re.search(named, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_without_latex_or_a_formula_that_it_draws_no_empty_data_set_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "formulas.tsv", tmp_path / "out"
    path.write_text("book\tx\n")
    arguments = ["--formulas", str(path), "--out", str(out), "--rarest", "1"]

    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(arguments) == 1
    assert (
        capsys.readouterr().err == "error: latex and dvipng not found; install LaTeX and dvipng, or draw with MathJax\n"
    )

    monkeypatch.setattr(corpus, "check_installed", lambda: None)  # as where LaTeX lacks each typeface
    assert main([*arguments, "--workers", "1"]) == 1
    assert "error: none of the 1 formulas can be drawn" in capsys.readouterr().err
    assert not out.exists()


def test_formulas_as_windows_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "formulas.tsv"
    path.write_bytes("\ufeffbook\tx\r\nbook\ty\r\n".encode())

    assert list(read_formulas(path)) == [formula("book", "x"), formula("book", "y")]


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("f.tsv", b"book\tx\nbook\t\xff\n", "f.tsv:2: not UTF-8 text"),
        ("f.tsv.gz", gzip.compress(b"book\tx\n" * 50)[:-20], r"f.tsv.gz:\d+: damaged gzip file"),
    ],
)
def test_a_damaged_file_of_formulas_is_named(tmp_path: Path, name: str, data: bytes, named: str) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(DataError, match=named):
        list(read_formulas(tmp_path / name))


def test_changed_formulas_are_as_short_as_was_asked_for() -> None:
    short = [formula("book", *"a+b=cd(x)")]

    assert all(len(each.tokens) <= 9 for each in corpus.varied(short, 200, seed=1, max_tokens=9))
    assert any(len(each.tokens) > 9 for each in corpus.varied(short, 200, seed=1))


@pytest.mark.parametrize("dpi", [72, 100, 400])
def test_a_cut_takes_a_little_of_one_side(dpi: int) -> None:
    ink = np.arange(1, 41 * 61 + 1).reshape(41, 61)
    sides = set()
    for seed in range(40):
        cut = _cut(ink, dpi, np.random.default_rng(seed))
        high, wide = 41 - len(cut), 61 - len(cut[0])
        assert 1 <= high + wide <= max(1, 0.05 * dpi * 10 / 72 + 1) and min(high, wide) == 0
        sides.add((high > 0, cut[0, 0] == 1))
    assert len(sides) == 4, "every side"
    assert len(_cut(ink[:1], dpi, np.random.default_rng(1))) == 1, "a minus sign is still there"


@needs_latex
def test_the_command_writes_a_data_set_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EVERY", "COMMON"):
        monkeypatch.setattr(corpus, name, ("computer-modern",))  # which every LaTeX has
    path = tmp_path / "formulas.tsv"
    path.write_text("book\tx+1\nbook\t\\mathbf{v}\nother\tz\n")
    out = tmp_path / "out"

    added = ["--singles", "1", "--varied", "6", "--quantities", "2", "--lines", "3", "--repeats", "4"]
    added += ["--constructs", "5", "--per-document", "4", "--typefaces", "computer-modern"]
    code = main(
        ["--formulas", str(path), "--out", str(out), "--without", "other", "--rarest", "1", "--seed", "1", *added]
    )

    assert code == 0, capsys.readouterr().err
    labels = [sample.tokens for sample in read_dataset(out).samples]
    bold = ("\\mathbf", "{", "v", "}")
    for label in [("x", "+", "1"), bold, ("x",), ("1",), ("+",), ("v",), bold]:
        labels.remove(label)
    assert len(labels) >= 15 and any("\\begin{matrix}" in label for label in labels)
    assert any("\\mathrm" in label for label in labels)
    assert main(["--formulas", str(path), "--out", str(out), "--rarest", "1"]) == 1
    assert "holds other files" in capsys.readouterr().err
