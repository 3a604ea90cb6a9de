"""Written formulas in other people's symbols: what stays where it was, what is renamed, and what label goes with it."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import inference
from recognizer.config import Hyperparameters
from recognizer.data.ink import InkPicture
from recognizer.data.sample import DataError, Sample
from recognizer.latex import normalize, tokenize
from recognizer.synth.rewriting import Place, RewrittenFormula, rewrite, rewritten_samples
from recognizer.synth.stroke_bank import StrokeBank, make_stroke_bank
from recognizer.training.data import JobData, prepare
from recognizer.training.distributed import Ranks

SEEDS = pytest.mark.parametrize("seed", range(20))


def line(points: int, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A zigzag that fills a box; the tests tell symbols from each other by their points."""
    x = np.linspace(left, right, points)
    y = np.where(np.arange(points) % 2, bottom, top)
    return np.stack([x, y], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> StrokeBank:
    """Two writers: the one's symbols have an even number of points, the other's an odd one."""
    sizes = {"a": 10, "n": 20, "z": 30, "x": 40, "1": 50, "2": 60, "(": 70, ")": 80, "b": 90, "-": 100}
    rows = []
    for more, writer in enumerate(("ann", "bob")):
        for token, points in sizes.items():
            tall = 0.1 if token in "()" else 1.0
            rows.append((writer, token, [line(points + more, 0, 0, 60 * tall, 1.0 if token == "-" else 60)]))
    return make_stroke_bank(rows)


# x^{2}-x over nothing else: a formula of five strokes, one of which (a blot) is no symbol.
INK = InkPicture(
    (
        line(4, 0, 100, 40, 140),
        line(4, 45, 60, 65, 100),
        line(4, 80, 118, 140, 120),
        line(4, 160, 100, 200, 140),
        line(3, 300, 0, 301, 1),
    ),
    (("x", (0,)), ("2", (1,)), ("-", (2,)), ("x", (3,))),
)
SAMPLE = Sample(
    "f1", ("x", "^", "{", "2", "}", "-", "x"), INK, source="handwritten", group="writer:c/ann", origin="c:1"
)

PRINTED = Sample("p1", ("a", "n", "z", "1", "b"), InkPicture(INK.strokes), source="printed")  # says more letters


@SEEDS
def test_a_symbol_by_another_hand_takes_the_place_of_its_like(bank: StrokeBank, seed: int) -> None:
    places = [Place("x", "x", (0,)), Place("2", "2", (1,)), Place("-", "-", (2,)), Place("x", "x", (3,))]
    strokes = rewrite(bank, INK.strokes, places, np.random.default_rng(seed))
    assert len(strokes) == len(INK.strokes)
    for new in strokes:
        middle = (new.min(axis=0) + new.max(axis=0)) / 2
        size = np.hypot(*np.ptp(new, axis=0))
        near = min(INK.strokes, key=lambda old: float(np.hypot(*((old.min(axis=0) + old.max(axis=0)) / 2 - middle))))
        assert size == pytest.approx(np.hypot(*np.ptp(near, axis=0)), rel=0.25)
        assert np.hypot(*((near.min(axis=0) + near.max(axis=0)) / 2 - middle)) < 0.15 * size + 1e-5


def test_what_is_no_symbol_stays_as_it_was(bank: StrokeBank) -> None:
    for seed in range(20):
        strokes = rewrite(bank, INK.strokes, [Place("x", "z", (0,))], np.random.default_rng(seed))
        assert [each.tolist() for each in strokes[:4]] == [each.tolist() for each in INK.strokes[1:]]


def test_a_long_bar_stays_long_and_thin(bank: StrokeBank) -> None:
    bar = line(4, 0, 50, 400, 52)
    for seed in range(20):
        [new] = rewrite(bank, [bar], [Place("-", "-", (0,))], np.random.default_rng(seed))
        width, height = np.ptp(new, axis=0)
        assert width == pytest.approx(400, rel=0.2)
        assert height < 12


def test_most_symbols_are_somebody_elses_and_each_time_others(bank: StrokeBank) -> None:
    places = [Place("x", "x", (0,)), Place("2", "2", (1,)), Place("x", "x", (3,))]
    points = Counter(
        len(stroke)
        for seed in range(60)
        for stroke in rewrite(bank, INK.strokes, places, np.random.default_rng(seed))
        if len(stroke) > 4
    )
    assert set(points) == {40, 41, 60, 61}, "of both writers"
    assert 0.5 < sum(points.values()) / 180 < 0.85, "a part of them is as it was"


def test_letters_are_renamed_throughout_by_letters_of_their_shape(bank: StrokeBank) -> None:
    samples = rewritten_samples([SAMPLE, PRINTED], bank, seed=5, most=200)
    assert len(samples) == 200
    seen: Counter[tuple[str, str, str]] = Counter()
    for sample in samples:
        base, _, _, digit, _, minus, again = sample.tokens
        assert base == again, "a letter is the same wherever it stands"
        seen[base, digit, minus] += 1
        picture = sample.picture
        assert isinstance(picture, RewrittenFormula)
        assert [place.token for place in picture.places] == [base, digit, minus, base]
    assert {base for base, _, _ in seen} == {"x", "a", "n", "z"}, "no b, which is higher"
    assert {digit for _, digit, _ in seen} == {"1", "2"}
    assert {minus for _, _, minus in seen} == {"-"}
    assert seen["x", "2", "-"] > 80, "a part says what was written"


def test_nothing_is_renamed_to_what_no_label_says(bank: StrokeBank) -> None:
    """A bank has symbols that nobody's label says, such as those made of others; the vocabulary has none of them."""
    for sample in rewritten_samples([SAMPLE], bank, seed=5, most=50):
        assert sample.tokens == SAMPLE.tokens


def test_a_renamed_letter_is_in_the_picture(bank: StrokeBank) -> None:
    for sample in rewritten_samples([SAMPLE, PRINTED], bank, seed=1, most=40):
        picture = sample.picture
        assert isinstance(picture, RewrittenFormula)
        strokes = rewrite(bank, picture.strokes, picture.places, np.random.default_rng(0))
        points = Counter(len(stroke) // 10 for stroke in strokes)
        for place in picture.places:
            if place.token != place.was:
                number = len(bank.glyphs[place.token][0].strokes[0]) // 10
                assert points[number] >= 1


def test_a_symbol_that_the_label_says_more_often_keeps_its_name(bank: StrokeBank) -> None:
    r"""The bar of `\frac` is written as a minus, and a letter of a word isn't one that stands alone."""
    half_known = Sample("f2", SAMPLE.tokens, InkPicture(INK.strokes, INK.symbols[:3]), source="handwritten")
    for sample in rewritten_samples([half_known], bank, seed=2, most=50):
        assert sample.tokens[0] == sample.tokens[6] == "x"


def test_samples_keep_what_they_are_made_of(bank: StrokeBank) -> None:
    printed = Sample("p", ("x",), InkPicture(INK.strokes), source="printed")
    other = Sample("f3", ("x", "^", "{", "2", "}", "-", "x"), INK, source="handwritten", origin="c:2")
    samples = rewritten_samples([SAMPLE, printed, other], bank, seed=0, most=5)
    assert [sample.name for sample in samples] == [f"rewritten/{number}" for number in range(5)]
    assert [sample.origin for sample in samples] == ["c:1", "c:2", "c:1", "c:2", "c:1"], "each as often"
    assert {sample.source for sample in samples} == {"handwritten"}
    assert rewritten_samples([printed], bank, seed=0, most=5) == []


def test_labels_are_in_normal_form(bank: StrokeBank) -> None:
    for sample in rewritten_samples([SAMPLE, PRINTED], bank, seed=9, most=50):
        assert tuple(tokenize(normalize(" ".join(sample.tokens)))) == sample.tokens


def test_a_picture_is_the_same_each_time_and_with_a_generator_another(bank: StrokeBank) -> None:
    [sample] = rewritten_samples([SAMPLE, PRINTED], bank, seed=4, most=1)
    picture = pickle.loads(pickle.dumps(sample.picture))
    assert np.array_equal(sample.load(), picture.load())
    first, second, again = (sample.load(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert np.array_equal(first, again)
    assert first.shape != second.shape or not np.array_equal(first, second)


def write_strokes(folder: Path, known: bool) -> Path:
    """20 formulas of 10 writers as a collection of handwriting has them: strokes, perhaps with their symbols."""
    folder.mkdir()
    rows = [
        {
            "id": f"{number}",
            "writer": f"{number // 2}",
            "caption": "x ^ { 2 } - x",
            "strokes": [stroke.tolist() for stroke in INK.strokes],
            "symbols": INK.symbols if known else [],
        }
        for number in range(20)
    ]
    (folder / "ink.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def job_data(folder: Path, **values: int) -> JobData:
    settings = Hyperparameters.model_validate(
        {"strips": 0, "symbol_steps": 0, "batch_size": 4, "workers": 0, "validation_share": 0.3, **values}
    )
    return prepare(settings, folder, None, inference.PreprocessSpec(), None, Ranks())


def test_a_job_rewrites_formulas_of_the_training_side_alone(tmp_path: Path) -> None:
    data = job_data(write_strokes(tmp_path / "data", known=True), rewritten=30, written=1)
    added = Counter(sample.dataset for sample in data.training.dataset.samples)
    assert added["rewritten"] == 30 and added["written"] == 1
    line_of = {f"ink.jsonl:{number + 1}": f"ink/{number}" for number in range(20)}
    rewritten = [sample for sample in data.training.dataset.samples if sample.dataset == "rewritten"]
    assert {line_of[sample.origin] for sample in rewritten} == set(data.split.train)
    assert not any(sample.dataset == "rewritten" for sample in data.validation_samples)


def test_data_with_the_names_of_what_the_job_adds_are_refused(tmp_path: Path) -> None:
    """Sizes and splits go by name: of two alike, the one would be shrunk into the other's canvas."""
    folder = write_strokes(tmp_path / "data", known=True)
    (folder / "ink.jsonl").rename(folder / "rewritten.jsonl")
    job_data(folder)
    with pytest.raises(DataError, match=r"'rewritten/\d+': .*rewritten.jsonl:\d+.* rename"):
        job_data(folder, rewritten=20)


@pytest.mark.parametrize("kind", ["written", "rewritten"])
def test_strokes_without_their_symbols_are_refused(tmp_path: Path, kind: str) -> None:
    folder = write_strokes(tmp_path / "data", known=False)
    with pytest.raises(DataError, match=f"{kind}=3.*no pen strokes of the data say which symbols they are"):
        job_data(folder, **{kind: 3})
