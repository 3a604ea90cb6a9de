"""Groups never cross the split, and a manifest brings it back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.data.ink import InkPicture
from recognizer.data.sample import DataError, Sample
from recognizer.data.split import Split, shared_groups, split_by_group
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings


def samples_of(groups):
    return [Sample(str(i), ("a",), InkPicture(()), group=f"g{group}") for i, group in enumerate(groups)]


@given(
    groups=st.lists(st.integers(0, 12), min_size=2, max_size=80).filter(lambda g: len(set(g)) > 1),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**32),
)
def test_groups_never_cross(groups, share, seed):
    samples = samples_of(groups)
    split = split_by_group(samples, share, seed)
    train, validation = split.apply(samples)
    assert train and validation
    assert sorted([*train, *validation], key=lambda s: int(s.name)) == samples
    assert not {sample.group for sample in train} & {sample.group for sample in validation}


def test_share_is_kept_and_the_large_group_stays_in_training():
    samples = samples_of([0] * 500 + [1 + i // 5 for i in range(500)])
    split = split_by_group(samples, 0.2, seed=1)
    assert len(split.validation) == 200
    assert not {sample.name for sample in samples[:500]} & set(split.validation)


def test_seed_decides():
    samples = samples_of(range(50))
    assert set(split_by_group(samples, 0.2, 3).validation) == set(split_by_group(samples[::-1], 0.2, 3).validation)
    assert split_by_group(samples, 0.2, 3).validation != split_by_group(samples, 0.2, 4).validation


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match="validation channel"):
        split_by_group(samples_of([1, 1, 1]), 0.5, 0)


def test_manifest_round_trip(tmp_path):
    samples = samples_of(range(9))
    split = split_by_group(samples, 0.3, 7)
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split


def test_a_manifest_that_cannot_be_finished_leaves_the_one_before(tmp_path, monkeypatch):
    path, split = tmp_path / "split.json", split_by_group(samples_of(range(9)), 0.3, 7)
    split.write(path)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        split_by_group(samples_of(range(5)), 0.3, 7).write(path)
    assert Split.read(path) == split


def test_manifest_of_other_data_is_refused():
    split = split_by_group(samples_of(range(9)), 0.3, 7)
    with pytest.raises(DataError, match="2 samples are gone and 0 are new"):
        split.apply(samples_of(range(7)))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format_version": 1, "train": 3, "validation": [], "seed": 0}'])
def test_no_manifest(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match="not a split manifest"):
        Split.read(tmp_path / "split.json")


def test_newer_manifest(tmp_path):
    manifest = {"format_version": 2, "train": [], "validation": [], "seed": 0}
    (tmp_path / "split.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="format_version 2"):
        Split.read(tmp_path / "split.json")


def test_groups_on_both_sides_are_found_with_a_sample_of_each():
    train, validation = samples_of([1, 2, 2, 3]), samples_of([4, 3, 2, 2])
    assert shared_groups(train, validation) == {"g2": (train[1], validation[2]), "g3": (train[3], validation[1])}
    assert shared_groups(train, samples_of([4, 5])) == {}


@pytest.mark.parametrize("group", ["", "writer:CROHME/(unknown)"])
def test_a_group_of_nobody_in_particular_is_not_shared(group):
    samples = [Sample("same", ("a",), InkPicture(()), group=group)]
    assert shared_groups(samples, samples) == {}


def test_a_validation_channel_with_formulas_of_the_training_is_told(tmp_path, capsys):
    """Ten formulas over and over in `train`; of the eight of `validation` two are new."""
    train, validation = write_tiny_dataset(tmp_path / "train", 20), write_tiny_dataset(tmp_path / "validation", 8)
    labels = validation / "gt.txt"
    labels.write_text(labels.read_text().replace("000.png\t0 + 3", "000.png\t9 + 9").replace("\t1 + 0", "\t8 + 8"))
    data = prepare(settings(), train, validation, SPEC, None, Ranks())
    told = capsys.readouterr().out
    assert "warning: 6 of 8 samples of the validation channel" in told and "6 groups in all" in told
    assert "for example '002.png' there and '002.png' in training" in told
    assert len(data.validation_samples) == 8, "a warning, no more"


def test_a_split_of_our_own_and_a_channel_of_new_formulas_are_not_told(tmp_path, capsys):
    train, validation = write_tiny_dataset(tmp_path / "train", 20), write_tiny_dataset(tmp_path / "validation", 1)
    (validation / "gt.txt").write_text("000.png\t9 + 9\n")
    for channel in (None, validation):
        prepare(settings(), train, channel, SPEC, None, Ranks())
    assert "warning" not in capsys.readouterr().out


def test_a_run_with_a_validation_channel_does_not_go_on_with_other_data(tmp_path):
    """As one whose data were split by the job: a sampler's position means nothing among other samples."""
    train, validation = write_tiny_dataset(tmp_path / "train", 20), write_tiny_dataset(tmp_path / "validation", 8)
    split = prepare(settings(), train, validation, SPEC, None, Ranks()).split
    assert prepare(settings(), train, validation, SPEC, split, Ranks()).split == split
    for folder, what in ((train, "training"), (validation, "validation")):
        labels = (folder / "gt.txt").read_text()
        (folder / "gt.txt").write_text(labels.partition("\n")[2])
        with pytest.raises(
            DataError, match=rf"the {what} data changed .*: 1 samples are gone and 0 are new .*'000.png'"
        ):
            prepare(settings(), train, validation, SPEC, split, Ranks())
        (folder / "gt.txt").write_text(labels)


def test_what_two_channels_were_is_not_taken_for_a_split():
    """Both may use the same names, and without the validation channel the training data were validated on."""
    names = tuple(sample.name for sample in samples_of(range(9)))
    with pytest.raises(DataError, match="began with a validation channel; give it again"):
        Split(names, names[:3], 0).apply(samples_of(range(9)))
