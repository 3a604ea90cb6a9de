"""Formulas written by hand: where symbols come to stand, what keeps its shape, and what can't be written."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.data.ink import InkPicture, Strokes
from recognizer.data.sample import Sample
from recognizer.latex import normalize, tokenize
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.handwriting import WrittenFormula, can_write, write, written_samples
from recognizer.synth.stroke_bank import RECIPES, CantWriteError, StrokeBank, make_stroke_bank, written_symbols


def stroke(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float32)


# The tests tell symbols from each other by how many points their stroke has.
SYMBOLS: dict[str, Strokes] = {
    "1": [stroke((3, 0), (0, 100))],
    "-": [stroke((0, 0), (50, 2))],
    "(": [stroke((20, 0), (0, 50), (20, 100))],
    ")": [stroke((0, 0), (20, 50), (0, 100))],
    "z": [stroke((0, 0), (50, 0), (0, 60), (50, 60))],
    "a": [stroke((50, 0), (0, 20), (30, 60), (50, 30), (55, 60))],
    "n": [stroke((0, 60), (0, 0), (5, 60), (20, 0), (40, 20), (40, 60))],
    "\\sum": [stroke((60, 0), (0, 0), (30, 40), (28, 50), (0, 100), (55, 100), (60, 90))],
    "|": [stroke((0, 0), (2, 100))],
    "o": [stroke((0, 30), (30, 0), (60, 30), (30, 60), (0, 30))],
    "+": [stroke((0, 30), (60, 30)), stroke((30, 0), (30, 60))],
}
SEEDS = pytest.mark.parametrize("seed", range(20))


@pytest.fixture(scope="module")
def bank() -> StrokeBank:
    return make_stroke_bank(("ann", token, strokes) for token, strokes in SYMBOLS.items())


@pytest.fixture(scope="module")
def letters() -> StrokeBank:
    """All that a keyboard has, each a zigzag, and little else."""
    tokens = [
        *map(chr, range(33, 127)),
        "\\sum",
        "\\int",
        "\\alpha",
        "\\theta",
        "\\pi",
        "\\rightarrow",
        "\\times",
        "\\in",
    ]
    zigzag = [stroke((0, 0), (30, 60), (40, 10), (50, 60))]
    return make_stroke_bank(("ann", token, zigzag) for token in tokens if token not in "#$%&\\^_{}~")


def written(bank: StrokeBank, latex: str, seed: int) -> dict[int, list[np.ndarray]]:
    """Strokes of a formula by their number of points."""
    found: dict[int, list[np.ndarray]] = {}
    for each in write(bank, tokenize(normalize(latex)), np.random.default_rng(seed)):
        found.setdefault(len(each), []).append(each)
    return found


def width(ink: np.ndarray) -> float:
    return float(np.ptp(ink[:, 0]))


def height(ink: np.ndarray) -> float:
    return float(np.ptp(ink[:, 1]))


def top(ink: np.ndarray) -> float:
    return float(ink[:, 1].min())


def bottom(ink: np.ndarray) -> float:
    return float(ink[:, 1].max())


@SEEDS
def test_scripts_stand_beside_their_base_above_and_below(bank: StrokeBank, seed: int) -> None:
    found = written(bank, "n_{z}^{a}", seed)
    [base], [below], [above] = found[6], found[4], found[5]
    middle = (top(base) + bottom(base)) / 2
    assert bottom(above) < middle + 1e-5
    assert top(below) > middle - 1e-5
    assert min(above[:, 0].min(), below[:, 0].min()) > base[:, 0].mean()
    assert height(below) < 0.95 * height(base), "a script is smaller"


@SEEDS
def test_limits_stand_above_and_below_or_beside_a_sum(bank: StrokeBank, seed: int) -> None:
    found = written(bank, "\\sum_{z}^{a}", seed)
    [operator], [below], [above] = found[7], found[4], found[5]
    assert bottom(above) < top(below)
    beside = above[:, 0].min() > operator[:, 0].mean() and below[:, 0].min() > operator[:, 0].mean()
    assert beside or (bottom(above) < top(operator) and bottom(operator) < top(below))


@SEEDS
def test_a_fraction_bar_is_between_and_as_wide_as_what_it_parts(bank: StrokeBank, seed: int) -> None:
    found = written(bank, "\\frac{a a a a}{z}", seed)
    above, [below] = found.pop(5), found.pop(4)
    [[bar]] = found.values()
    assert max(map(bottom, above)) < top(bar) <= bottom(bar) < top(below)
    assert bar[:, 0].min() <= min(ink[:, 0].min() for ink in above) + 1e-5
    assert bar[:, 0].max() >= max(ink[:, 0].max() for ink in above) - 1e-5


@SEEDS
def test_a_radical_meets_its_bar_over_all_that_is_under_it(bank: StrokeBank, seed: int) -> None:
    found = written(bank, "\\sqrt[z]{a a a}", seed)
    inside, [index] = found.pop(5), found.pop(4)
    [[radical]] = found.values()
    assert top(radical) < min(map(top, inside)), "one stroke, hook and bar"
    assert radical[:, 0].max() >= max(ink[:, 0].max() for ink in inside)
    assert radical[:, 0].min() < min(ink[:, 0].min() for ink in inside)
    assert index[:, 0].mean() < min(ink[:, 0].min() for ink in inside)


@SEEDS
def test_thin_symbols_keep_their_proportions_and_a_minus_its_size(bank: StrokeBank, seed: int) -> None:
    lines = written(bank, "a - a 1 a", seed)[2]
    minus, one = sorted(lines, key=height)
    assert width(one) / height(one) == pytest.approx(0.03, rel=0.01)
    assert height(minus) / width(minus) == pytest.approx(0.04, rel=0.01)
    assert 0.45 < width(minus) < 1, "em"
    assert -0.5 < minus[:, 1].mean() < 0, "it is on the axis"


@SEEDS
def test_brackets_grow_with_what_they_hold(bank: StrokeBank, seed: int) -> None:
    fraction = "\\frac{\\frac{a}{a}}{a}"
    low, high = written(bank, "(a)", seed)[3], written(bank, f"\\left( {fraction} \\right)", seed)[3]
    held = written(bank, fraction, seed)[5]
    assert min(map(height, high)) > 1.2 * max(map(height, low))
    assert max(map(height, high)) < 2 * (max(map(bottom, held)) - min(map(top, held)))


@SEEDS
def test_a_table_has_its_rows_below_each_other(bank: StrokeBank, seed: int) -> None:
    found = written(bank, "\\begin{matrix} a & a \\\\ z & z \\end{matrix}", seed)
    assert max(map(bottom, found[5])) < min(map(top, found[4]))
    for cells in found.values():
        first, second = sorted(cells, key=lambda ink: ink[:, 0].min())
        assert first[:, 0].max() < second[:, 0].min()


@SEEDS
def test_a_missing_delimiter_leaves_no_ink(seed: int) -> None:
    symbols = {**SYMBOLS, "\\{": SYMBOLS["("], ".": SYMBOLS["n"]}
    dotted = make_stroke_bank(("ann", token, strokes) for token, strokes in symbols.items())
    found = written(dotted, "\\left\\{ \\begin{matrix} a \\\\ z \\end{matrix} \\right.", seed)
    assert sorted(found) == [3, 4, 5]


@SEEDS
def test_letters_that_nobody_wrote_are_drawn_differently_each_time(bank: StrokeBank, seed: int) -> None:
    [first], [second] = (write(bank, ["\\delta"], np.random.default_rng(each)) for each in (seed, seed + 1))
    assert 0.5 < height(first) < 1, "em"
    assert first.shape != second.shape or not np.allclose(first, second)


def test_symbols_that_nobody_wrote_are_made_of_others(bank: StrokeBank) -> None:
    circle, *cross = write(bank, ["\\oplus"], np.random.default_rng(0))
    assert len(cross) == 2
    for line in cross:
        assert (line.min(axis=0) > circle.min(axis=0) - 0.02).all()
        assert (line.max(axis=0) < circle.max(axis=0) + 0.02).all()


@pytest.mark.parametrize(
    ("latex", "token"),
    [
        ("a + \\aleph", "\\aleph"),
        ("\\frac{a}{\\wp}", "\\wp"),
        ("\\mathfrak{a}", "\\mathfrak"),
        ("\\mystery{a}", "\\mystery"),
        ("\\begin{array}{c|c} a & a \\end{array}", "\\begin{array}"),
    ],
)
def test_what_cant_be_written_is_named(bank: StrokeBank, latex: str, token: str) -> None:
    tokens = tuple(tokenize(normalize(latex)))
    assert not can_write(bank, tokens)
    with pytest.raises(CantWriteError, match=token.replace("\\", "\\\\")) as caught:
        WrittenFormula(bank, tokens, 0).load()
    assert caught.value.token == token


def test_a_formula_without_ink_cant_be_written(bank: StrokeBank) -> None:
    assert not can_write(bank, ())
    assert not can_write(bank, ["\\ "])


def test_a_picture_is_the_same_each_time_and_with_a_generator_another(bank: StrokeBank) -> None:
    picture = WrittenFormula(bank, ("a", "+", "z"), seed=3)
    assert picture.load().dtype == np.uint8
    assert picture.load().shape[2] == 3
    assert np.array_equal(picture.load(), picture.load())
    assert np.array_equal(picture.load(), pickle.loads(pickle.dumps(picture)).load())
    looks = [picture.load(np.random.default_rng(seed)) for seed in (1, 2, 1)]
    assert not np.array_equal(looks[0], looks[1])
    assert np.array_equal(looks[0], looks[2])


def test_a_formula_is_written_by_one_who_knows_its_symbols() -> None:
    narrow, wide = [stroke((0, 0), (10, 60))], [stroke((0, 0), (60, 10))]
    bank = make_stroke_bank([("ann", "a", narrow), ("ann", "z", narrow), ("bob", "a", wide), ("bob", "z", wide)])
    for seed in range(20):
        first, second = write(bank, ["a", "z"], np.random.default_rng(seed))
        assert (height(first) > width(first)) == (height(second) > width(second))


def test_samples_are_named_by_their_place_and_leave_out_what_cant_be_written(bank: StrokeBank) -> None:
    formulas = [("a",), ("\\wp",), ("z", "+", "1")]
    samples = written_samples(formulas, bank, seed=0)
    assert [sample.name for sample in samples] == ["written/0", "written/2"]
    assert {sample.source for sample in samples} == {"handwritten"}
    assert samples[1].tokens == formulas[2]
    assert samples[1].load().min() < 100


def test_symbols_come_with_their_writer_where_he_is_known() -> None:
    ink = InkPicture(tuple(SYMBOLS["+"]), (("+", (0, 1)), ("\\sqrt{}", (0,))))
    samples = [Sample("1", ("+",), ink, group="writer:c/ann"), Sample("2", ("+",), ink, group="writer:c/(unknown)")]
    found = list(written_symbols(samples))
    assert [(writer, token) for writer, token, _ in found] == [("writer:c/ann", "+"), ("", "+")]
    assert len(make_stroke_bank(found).hands) == 1


@given(seed=st.integers(0, 2**32 - 1), level=st.sampled_from(LEVELS))
@settings(max_examples=150)
def test_any_formula_is_written_or_refused(letters: StrokeBank, seed: int, level: int) -> None:
    tokens = tuple(generate_formula(np.random.default_rng(seed), level).split(" "))
    if can_write(letters, tokens):
        picture = WrittenFormula(letters, tokens, seed).load(np.random.default_rng(seed))
        assert picture.min() < picture.max()
        assert all(np.isfinite(each).all() for each in write(letters, tokens, np.random.default_rng(seed)))


def test_no_two_symbols_are_put_together_in_the_same_way() -> None:
    r"""`\Pi` and `\prod`, say: one drawing would have two labels. Long forms have wider boxes."""
    made = {symbol: parts for symbol, parts in RECIPES.items() if len(parts) > 1 and not symbol.startswith(r"\long")}
    assert len(set(made.values())) == len(made) > 40
