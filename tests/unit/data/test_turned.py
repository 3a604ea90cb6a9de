"""Pictures on their side: the same formula, another picture, from the training side alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inference
from recognizer.config import Hyperparameters
from recognizer.data.measure import PictureCache
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.data.turned import TurnedPicture, turned_samples
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset

NO_CACHE = PictureCache(0)


class Arrow:
    """A picture whose sides can be told apart: ink at the left end."""

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        rgb = np.full((10, 40, 3), 255, np.uint8)
        rgb[:, :5] = 0
        return rgb


ARROWS = [Sample(f"{n}.png", ("a", "+", str(n)), Arrow(), group=f"g{n}", origin=f"gt.txt:{n}") for n in range(40)]


def test_pictures_lie_on_both_sides_under_their_own_labels() -> None:
    made = turned_samples(ARROWS, 30, 0, NO_CACHE)
    labels = {sample.name: sample.tokens for sample in ARROWS}
    tops = []
    for sample in made:
        assert isinstance(sample.picture, TurnedPicture)
        assert sample.tokens == labels[sample.picture.upright.name]
        rgb = sample.load()
        assert rgb.shape == (40, 10, 3) and rgb.flags.c_contiguous
        tops.append(int(rgb[0, 0, 0]))
    assert len(made) == len({sample.name for sample in made}) == 30
    assert set(tops) == {0, 255}, "the left end is above for one side, below for the other"


def test_the_seed_alone_decides() -> None:
    first, again, other = (turned_samples(ARROWS, 9, seed, NO_CACHE) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("label", ["-", r"\mathbf { Z }", "= =", "N - Z", "x"])
def test_what_would_be_read_as_another_formula_is_never_turned(label: str) -> None:
    """A turned minus is a bar, and a bold Z a bold N."""
    assert turned_samples([Sample("some", tuple(label.split()), Arrow())], 5, 0, NO_CACHE) == []
    assert len(turned_samples([Sample("some", (*label.split(), "+", "y"), Arrow())], 5, 0, NO_CACHE)) == 1


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lost = Sample("lost.png", ("a", "+", "b"), FilePicture(tmp_path / "lost.png"), origin="gt.txt:7")
    with pytest.raises(DataError, match=r"gt.txt:7: the picture 'lost.png'"):
        turned_samples([lost], 1, 0, NO_CACHE)[0].load()


def test_a_job_turns_pictures_of_the_training_side_alone(tmp_path: Path) -> None:
    values = {"turned": 8, "strips": 0, "symbol_steps": 0, "batch_size": 4, "workers": 0}
    settings = Hyperparameters.model_validate(values)
    folder = write_tiny_dataset(tmp_path / "data")
    data = prepare(settings, folder, None, inference.PreprocessSpec(), None, Ranks())
    turned = [one.picture.upright.name for one in data.training.dataset.samples if one.dataset == "turned"]  # type: ignore[attr-defined]
    assert len(turned) == 8 and set(turned) <= set(data.split.train)
    assert not any(sample.dataset == "turned" for sample in data.validation_samples)
