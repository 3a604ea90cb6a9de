"""Pictures put together from others: their labels, their parts, and that both kinds of gap can be learned."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
from recognizer.config import Hyperparameters
from recognizer.data.compose import KINDS, ComposedPicture, Kind, Line, composed_samples
from recognizer.data.measure import PictureCache
from recognizer.data.montage import _without_neighbours
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.latex import CONTROL_SPACE, Vocabulary, normalize, problems, tokenize
from recognizer.latex.lines import count_lines
from recognizer.models import build
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.mathjax import to_mathml
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from recognizer.training.loss import sequence_loss
from recognizer.training.validate import decode
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_recognizer import SMALL

SPEC = inference.PreprocessSpec()
ALL = pytest.mark.parametrize("kind", KINDS)


class Drawn:
    """A word in ink of one colour on paper of another; a sample can load it."""

    def __init__(self, text: str, size: float = 1.0, ink: int = 0, paper: int = 255) -> None:
        self.text, self.size, self.ink, self.paper = text, size, ink, paper

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        canvas = np.full(
            (round(70 * self.size), round((30 + 20 * len(self.text)) * self.size), 3), self.paper, np.uint8
        )
        place = (round(12 * self.size), round(46 * self.size))
        thickness = max(1, round(2 * self.size))
        cv2.putText(canvas, self.text, place, 0, self.size, (self.ink,) * 3, thickness, cv2.LINE_AA)
        return canvas


def sample(tokens: str, name: str = "", source: str = "printed", **look: float) -> Sample:
    return Sample(name or tokens, tuple(tokens.split()), Drawn(tokens.replace(" ", ""), **look), source=source)  # type: ignore[arg-type]


def picture(kind: Kind, parts: list[Sample], *gaps: bool) -> np.ndarray:
    """(H, W) uint8 gray of a composed picture."""
    lines = (Line(tuple(parts), gaps),) if kind == "joined" else tuple(Line((part,)) for part in parts)
    rgb = ComposedPicture(lines, PictureCache(0), 0).load()
    assert rgb.dtype == np.uint8 and (rgb == rgb[:, :, :1]).all()
    return rgb[:, :, 0]


def bands(inked: np.ndarray | np.bool) -> list[int]:
    """Lengths of the runs of ink."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(inked, np.int8), [0]])))
    return [int(length) for length in edges[1::2] - edges[::2]]


FORMULAS = [sample("a + b"), sample("x = 1 2"), sample("n + 1"), sample("u v w", source="handwritten")]


# ---------------------------------------------------------------------------------------------------- labels


@ALL
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), longest=st.integers(20, 150))
def test_L4_labels_parse_render_and_are_their_own_normal_form(kind: Kind, seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    formulas = [tokenize(generate_formula(rng, LEVELS[int(level)])) for level in rng.integers(len(LEVELS), size=12)]
    members = [sample(" ".join(tokens), str(number)) for number, tokens in enumerate(formulas)]
    members = [Sample(one.name, tuple(tokens), one.picture) for one, tokens in zip(members, formulas, strict=True)]
    for composed in composed_samples(kind, members, 5, seed, longest, PictureCache(0)):
        tokens = list(composed.tokens)
        assert len(tokens) < longest
        assert tokenize(normalize(" ".join(tokens))) == tokens
        assert problems(tokens) == []
        assert to_mathml(inference.join_tokens(tokens))
        assert isinstance(composed.picture, ComposedPicture)
        assert count_lines(tokens) == len(composed.picture.lines)


def test_brackets_of_two_formulas_make_no_pair() -> None:
    odd = [sample(r"\frac { a } { b } )"), sample("( a + b")]
    joined = composed_samples("joined", odd, 40, 0, 60, PictureCache(0))
    assert joined
    assert not any(r"\left(" in one.tokens for one in joined)


def test_a_table_is_no_line_of_a_column() -> None:
    table, vector = r"\begin{matrix} a & b \\ c & d \end{matrix}", r"\left( \begin{matrix} a \\ b \end{matrix} \right)"
    assert not composed_samples("stacked", [sample(table)], 5, 0, 100, PictureCache(0))
    assert len(composed_samples("stacked", [sample(vector)], 5, 0, 100, PictureCache(0))) == 5


@ALL
def test_all_parts_have_one_source_and_chance_is_seed_and_number(kind: Kind) -> None:
    made = composed_samples(kind, FORMULAS, 30, 1, 60, PictureCache(0))
    assert len(made) == 30
    for one in made:
        assert isinstance(one.picture, ComposedPicture)
        assert {part.source for part in one.picture.parts} == {one.source}
    fewer, other = (
        composed_samples(kind, FORMULAS, count, seed, 60, PictureCache(0)) for count, seed in ((9, 1), (30, 2))
    )
    assert [one.tokens for one in fewer] == [one.tokens for one in made[:9]]
    assert [one.tokens for one in other] != [one.tokens for one in made]


# -------------------------------------------------------------------------------------------------- pictures


def test_a_wide_gap_is_told_from_a_narrow_one() -> None:
    parts = [sample("o o o"), sample("o o o")]
    narrow, wide = (bands((picture("joined", parts, gap) > 128).all(axis=0)) for gap in (False, True))
    glyph = median(bands((picture("joined", parts, False) < 128).any(axis=1)))
    assert max(narrow[1:-1]) < 0.8 * glyph < 1.2 * glyph < max(wide[1:-1])


def test_parts_come_to_one_size_on_one_axis_whatever_their_resolution() -> None:
    gray = picture("joined", [sample("o o o", size=2.0), sample("o o o", size=0.9)], True)
    dark = gray < 128
    middle = (
        int(np.argmax(np.convolve(np.asarray((~dark).all(axis=0))[20:-20], np.ones(20), "same"))) + 20
    )  # of the wide gap
    rows = [np.flatnonzero(half.any(axis=1)) for half in (dark[:, :middle], dark[:, middle:])]
    heights = [float(np.ptp(each)) for each in rows]
    assert heights[0] == pytest.approx(heights[1], rel=0.25)
    assert rows[0].mean() == pytest.approx(rows[1].mean(), abs=0.3 * heights[0])


def test_neither_paper_nor_polarity_gives_the_join_away() -> None:
    looks: tuple[dict[str, Any], ...] = ({}, {"ink": 40, "paper": 200}, {"ink": 230, "paper": 20})
    gray = picture("stacked", [sample("a + b", **look) for look in looks])
    assert len(bands((gray < 128).any(axis=1))) == 3
    near_ink = cv2.dilate((gray < 128).astype(np.uint8), np.ones((7, 7))) > 0
    assert (gray[~near_ink] == 255).all(), "the paper is white everywhere"


def test_a_close_crop_loses_none_of_its_ink() -> None:
    """What touches the border of a photograph is cut off there, of a drawing it isn't: the label says it is there."""

    class Close(Drawn):
        def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
            whole = super().load(rng)
            rows, columns = (np.flatnonzero((whole[..., 0] < 128).any(axis=axis)) for axis in (1, 0))
            return whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def ink_of(drawn: Drawn) -> int:
        part = Sample(drawn.text, tuple(drawn.text), drawn, source="printed")
        return int((picture("joined", [part, part], False) < 128).sum())

    assert ink_of(Close("x+y=z")) > 0.95 * ink_of(Drawn("x+y=z"))


def test_a_cut_off_neighbour_does_not_become_a_line() -> None:
    class Crowded(Drawn):
        def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
            own = super().load()
            return np.concatenate([own[28:36], np.full((10, own.shape[1], 3), 255, np.uint8), own])

    crowded = Sample("a", ("a", "+", "b"), Crowded("a+b"))
    assert len(bands((picture("stacked", [crowded, crowded]) < 128).any(axis=1))) == 2


@pytest.mark.parametrize("slope", [-0.06, 0.0, 0.06])
def test_nor_does_a_tilted_one(slope: float) -> None:
    """Feet of a line above that stand beside the formula's own rows, as the paper lies askew."""
    own = 255 - Drawn("abcdxefghxacegabcdxefghx").load()[:, :, 0]
    feet = np.zeros_like(own)
    feet[4:13] = own[28:37]
    askew = np.array([[1, 0, 0], [slope, 1, 40]], np.float32)
    own, feet = (
        cv2.warpAffine(part, askew, (own.shape[1], own.shape[0] + 70)) / np.float32(255) for part in (own, feet)
    )
    if slope:
        assert np.ptp(np.flatnonzero(feet.any(axis=1))) > 25, "no row of paper is between"
    left = _without_neighbours(own + feet, 20.0)
    assert np.abs(left - own).max() < 0.5 < np.abs(feet).max()


def test_a_denominator_is_no_neighbour() -> None:
    class Fraction(Drawn):
        def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
            canvas = np.full((140, 220, 3), 255, np.uint8)
            for text, place in (("M = N + ", (10, 60)), ("A", (170, 48)), ("n", (170, 110))):
                cv2.putText(canvas, text, place, 0, 1, (0, 0, 0), 2, cv2.LINE_AA)
            return cv2.line(canvas, (160, 58), (200, 58), (0, 0, 0), 2)

    label = tuple(tokenize(r"M=N+\frac{A}{n}"))
    gray = picture("joined", [Sample("f", label, Fraction("")), sample("o o o")], True)
    glyph = median(bands((gray[:, -70:] < 128).any(axis=1)))
    assert max(np.flatnonzero((gray < 128).any(axis=1))) - gray.shape[0] / 2 > glyph


def test_L4_lines_of_a_page_hold_several_formulas() -> None:
    pages = composed_samples("pages", FORMULAS, 20, 0, 120, PictureCache(0))
    lines = [line for page in pages if isinstance(page.picture, ComposedPicture) for line in page.picture.lines]
    assert {1, 2, 3} == {len(line.parts) for line in lines}
    assert max(count_lines(page.tokens) for page in pages) >= 8
    assert any(CONTROL_SPACE in page.tokens for page in pages)


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lost = Sample("lost.png", ("a", "+", "b"), FilePicture(tmp_path / "lost.png"), origin="gt.txt:7")
    made = composed_samples("stacked", [lost], 1, 0, 60, PictureCache(0))
    with pytest.raises(DataError, match=r"gt.txt:7: the picture 'lost.png'"):
        made[0].load()


# ---------------------------------------------------------------------------------------------------- in a job


def job(folder: Path, **more: object) -> Hyperparameters:
    values = {
        "strips": 0,
        "symbol_steps": 0,
        "batch_size": 4,
        "workers": 0,
        "joined": 8,
        "stacked": 8,
        "pages": 8,
        "max_tokens": 40,
    }
    return Hyperparameters.model_validate({**values, **more})


def test_L4_sources_never_cross_the_split_and_the_vocabulary_holds_the_labels(tmp_path: Path) -> None:
    data = prepare(job(tmp_path), write_tiny_dataset(tmp_path / "data"), None, SPEC, None, Ranks())
    composed = [one for one in data.training.dataset.samples if isinstance(one.picture, ComposedPicture)]
    assert len(composed) == 24
    used = {part.name for one in composed if isinstance(one.picture, ComposedPicture) for part in one.picture.parts}
    assert used <= set(data.split.train) and not used & set(data.split.validation)
    assert not any(isinstance(one.picture, ComposedPicture) for one in data.validation_samples)
    for token in (CONTROL_SPACE, r"\\", r"\begin{matrix}", r"\end{matrix}"):
        assert token in data.vocabulary, "although tokens.txt doesn't list it"


def test_a_share_is_of_the_training_pictures(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path / "data", 20)
    data = prepare(job(tmp_path, joined=0.25, stacked="0.5", pages=0.25, turned=0.1), folder, None, SPEC, None, Ranks())
    own = len(data.split.train)
    kinds = [sample.name.partition("/")[0] for sample in data.training.dataset.samples]
    assert {kind: kinds.count(kind) for kind in (*KINDS, "turned")} == {
        "joined": round(0.25 * own),
        "stacked": round(0.5 * own),
        "pages": round(0.25 * own),
        "turned": round(0.1 * own),
    }


def test_composed_pictures_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path / "data", 12)
    alone, helped = (prepare(job(tmp_path, workers=n), folder, None, SPEC, None, Ranks()).training for n in (0, 2))
    for first, second in zip(alone.epoch(1), helped.epoch(1), strict=True):
        assert first.indices == second.indices and torch.equal(first.images, second.images)


def test_labels_that_are_too_long_together_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="joined=8, but no two labels together are shorter than max_tokens=5"):
        prepare(
            job(tmp_path, max_tokens=5, stacked=0, pages=0),
            write_tiny_dataset(tmp_path / "data"),
            None,
            SPEC,
            None,
            Ranks(),
        )


def test_L3_both_gap_widths_decode_to_their_labels_after_overfitting() -> None:
    parts = tuple(FORMULAS[:2])
    labels = [(*parts[0].tokens, *([CONTROL_SPACE] * wide), *parts[1].tokens) for wide in (False, True)]
    pictures = [ComposedPicture((Line(parts, (wide,)),), PictureCache(0), 3).load() for wide in (False, True)]
    vocabulary = Vocabulary.from_labels(labels)
    half = inference.PreprocessSpec(scale=0.5)  # fewer pixels, and fast
    canvas, shapes = inference.make_batch([inference.preprocess(rgb, half) for rgb in pictures], half)
    images, sizes = torch.from_numpy(canvas), torch.from_numpy(shapes)
    ids = torch.full((2, max(map(len, labels)) + 2), vocabulary.pad)
    for row, label in zip(ids, labels, strict=True):
        row[: len(label) + 2] = torch.tensor([vocabulary.bos, *vocabulary.encode(label), vocabulary.eos])
    torch.manual_seed(0)
    model = build("fast", len(vocabulary), 20, SMALL["fast"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss, count = sequence_loss(model(images, sizes, ids[:, :-1]), ids[:, 1:], vocabulary.pad)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        decoded = decode(model, model.encode(images, sizes), vocabulary, 20)
    assert [tuple(vocabulary.decode(found)) for found, _ in decoded] == labels
