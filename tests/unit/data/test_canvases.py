"""A resumed run takes what was measured before, of the very same samples, and reads no picture for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recognizer.data.canvases import known_as, read_canvases, write_canvases
from recognizer.data.measure import Measured
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.training.added import MADE_OF_OTHERS
from recognizer.training.data import JobData, prepare
from recognizer.training.distributed import Ranks
from recognizer.training.job import _samples_depend_on
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings

MADE_FROM = {"scale": 1.0, "seed": 0}


def prepared(folder: Path, known: tuple[dict[str, tuple[int, int]], ...] = ({}, {}), **more: Any) -> JobData:
    return prepare(settings(**more), folder, None, SPEC, None, Ranks(), None, known)


def test_nothing_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = write_tiny_dataset(tmp_path / "data"), tmp_path / "canvases.npz"
    first = prepared(folder)
    write_canvases(path, first.measured, MADE_FROM)

    def load(sample: Sample, rng: object = None) -> None:
        raise AssertionError(f"{sample.name} was read")

    monkeypatch.setattr(Sample, "load", load)
    again = prepared(folder, read_canvases(path, MADE_FROM))
    assert again.training.plan(3) == first.training.plan(3)
    assert [s.name for s in again.validation_samples] == [s.name for s in first.validation_samples]


def test_a_sample_that_is_new_is_measured(tmp_path: Path) -> None:
    first = prepared(write_tiny_dataset(tmp_path / "data"))
    known = {known_as(sample): (16, 32) for sample in first.measured[0].samples[1:]}
    sizes = prepared(tmp_path / "data", (known, {})).measured[0].sizes
    assert sizes[0].tolist() == first.measured[0].sizes[0].tolist()
    assert sizes[1:, :2].tolist() == [[16, 32]] * len(known)
    assert sizes[:, 2].tolist() == first.measured[0].sizes[:, 2].tolist()


def test_a_sample_with_another_label_is_measured_again(tmp_path: Path) -> None:
    """Of other data, `joined/3` is two other formulas; on the canvas of those before, it was trained on shrunk."""
    folder = write_tiny_dataset(tmp_path / "data")
    first = prepared(folder, joined=8)
    known = {known_as(sample): (16, 32) for sample in first.measured[0].samples}
    labels = (folder / "gt.txt").read_text()
    write_tiny_dataset(folder, 40)
    assert (folder / "gt.txt").read_text().startswith(labels)
    measured = prepared(folder, (known, {}), joined=8).measured[0]
    joined = [
        tuple(size) for sample, size in zip(measured.samples, measured.sizes.tolist(), strict=True) if sample.dataset
    ]
    assert len(joined) == 8 and all(size[:2] != (16, 32) for size in joined)


def damage(picture: Path) -> None:
    """A header that is whole, and a body that isn't."""
    picture.write_bytes(picture.read_bytes()[:60])


def test_what_was_left_out_is_left_out_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that the resumed run doesn't know then are pictures that can't be read."""
    folder, path = write_tiny_dataset(tmp_path / "data"), tmp_path / "canvases.npz"
    damage(folder / "003.png")
    first = prepared(folder, on_bad_sample="skip")
    write_canvases(path, first.measured, MADE_FROM)
    told = capsys.readouterr().out
    again = prepared(folder, read_canvases(path, MADE_FROM), on_bad_sample="skip")
    assert [each.skipped for each in again.measured] == [each.skipped for each in first.measured]
    assert again.training.plan(3) == first.training.plan(3)
    assert capsys.readouterr().out == told and "skipped 1 bad samples:\n  gt.txt:4: the picture" in told


def test_a_side_of_which_nothing_can_be_read_is_named(tmp_path: Path) -> None:
    train, validation = (write_tiny_dataset(tmp_path / side, 6) for side in ("train", "validation"))
    for picture in validation.glob("*.png"):
        damage(picture)
    with pytest.raises(DataError, match=r"validation: none of the 6 pictures can be read; the first: gt.txt:1"):
        prepare(settings(on_bad_sample="skip"), train, validation, SPEC, None, Ranks())


def test_sides_are_kept_apart_and_other_settings_measure_anew(tmp_path: Path) -> None:
    """A validation channel may have the names of the training channel."""
    path = tmp_path / "canvases.npz"
    sample = Sample("a.png", ("x",), FilePicture(Path("a.png")))
    sides = [Measured([sample], np.array([size]), []) for size in ([16, 32, 1], [48, 64, 1])]
    write_canvases(path, sides, MADE_FROM)
    assert read_canvases(path, MADE_FROM) == ({known_as(sample): (16, 32)}, {known_as(sample): (48, 64)})
    assert read_canvases(path, {**MADE_FROM, "scale": 0.5}) == ({}, {})
    assert read_canvases(tmp_path / "none", MADE_FROM) == ({}, {})


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    path = tmp_path / "canvases.npz"
    sample = Sample("a.png", ("x",), FilePicture(Path("a.png")))
    write_canvases(path, [Measured([sample], np.array([[16, 32, 1]]), [])] * 2, MADE_FROM)
    whole = path.read_bytes()
    packed = whole.index(b"made_from.npy") + 60
    one_array = io.BytesIO()
    np.save(one_array, np.zeros(3))
    for damaged in (b"", whole[:99], whole[:packed] + bytes(40) + whole[packed + 40 :], one_array.getvalue()):
        path.write_bytes(damaged)
        assert read_canvases(path, MADE_FROM) == ({}, {})


@pytest.mark.parametrize("name", ["seed", "max_tokens", "synthetic", "strips", "written", "rewritten", *MADE_OF_OTHERS])
def test_all_that_decides_which_samples_are_made_is_a_reason_to_measure_anew(name: str) -> None:
    """Of other values, other pictures have the names: `turned/3` is another formula, laid on its side."""
    assert _samples_depend_on(settings(**{name: 7}), SPEC) != _samples_depend_on(settings(), SPEC)
