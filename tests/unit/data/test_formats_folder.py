"""Everything in a folder is read once, and what isn't read is told: half a data set looks like a whole one."""

import os

import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.pack_shards import pack_shards
from recognizer.data.sample import DataError


@pytest.mark.parametrize("link", ["self", "out/data"])
def test_links_that_go_round_are_walked_once(competition, link):
    """`ln -s . self` multiplied the data by forty; so did an output folder with a link to its input."""
    (competition / link).parent.mkdir(exist_ok=True)
    (competition / link).symlink_to(competition)
    assert len(read_dataset(competition).samples) == 12


def test_a_linked_folder_is_read(competition, tmp_path):
    (tmp_path / "channel").mkdir()
    (tmp_path / "channel" / "set").symlink_to(competition)
    assert len(read_dataset(tmp_path / "channel").samples) == 12


def test_a_folder_that_may_not_be_read_is_told(competition, capsys, monkeypatch):
    """`lost+found` of a disk is such a folder; one with data would be missed."""
    (competition / "shut").mkdir()
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert len(read_dataset(competition).samples) == 12
    assert "shut can't be read: Permission denied" in capsys.readouterr().out


def test_a_picture_that_two_files_label_is_refused(competition):
    """Under two names, it would be trained on and validated on."""
    (competition / "more.jsonl").write_text('{"image": "train_images/train_00003.jpg", "latex": "b"}\n')
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert "more.jsonl:1: picture 'train_images/train_00003.jpg' is the file" in str(error.value)
    assert "that gt.txt:4 labels" in str(error.value)


def test_a_link_to_a_picture_is_that_picture(competition):
    (competition / "linked").mkdir()
    (competition / "linked" / "a.jpg").symlink_to(competition / "train_images" / "train_00003.jpg")
    (competition / "linked" / "gt.txt").write_text("a.jpg\tb\n")
    with pytest.raises(DataError, match=r"linked/gt\.txt:1: picture 'a\.jpg' is the file .* that gt\.txt:4 labels"):
        read_dataset(competition)


def test_two_names_of_one_picture_in_one_file_are_its_authors_business(competition):
    """Hugging Face's cache has one file, and links to it, for pictures that are the same."""
    (competition / "train_images" / "again.jpg").symlink_to("train_00000.jpg")
    with (competition / "gt.txt").open("a") as file:
        file.write("again.jpg\ta\n")
    assert len(read_dataset(competition).samples) == 13


def test_a_whole_data_set_is_read_without_a_word(competition, capsys):
    for name in ("README.txt", "manifest.json", ".hidden.csv", "._gt.txt"):
        (competition / name).write_text("x")
    read_dataset(competition)
    assert capsys.readouterr().out == ""


def test_so_are_shards(competition, tmp_path, capsys):
    """Their tars are no archives that somebody forgot to unpack."""
    pack_shards(read_dataset(competition), tmp_path / "shards", progress=False)
    read_dataset(tmp_path / "shards")
    assert capsys.readouterr().out == ""


def test_files_that_look_like_labels_and_were_not_read_are_told(competition, capsys):
    for name in ("more.parquet", "B.TSV", "pictures.tar", "notes.md", "a.inkml"):
        (competition / name).write_text("x")
    read_dataset(competition)
    assert "not read: 4 files (B.TSV, a.inkml, more.parquet, ...)" in capsys.readouterr().out


def test_pictures_that_no_label_names_are_told(competition, capsys):
    rows = (competition / "gt.txt").read_text().splitlines(keepends=True)
    (competition / "gt.txt").write_text("".join(rows[:10]) + "train_00010.jpg\t\n")
    read_dataset(competition, "skip")
    told = capsys.readouterr().out
    assert "no label names 1 pictures (train_images/train_00011.jpg)" in told  # a bad line names its picture, too


def test_sources_beside_labels_of_another_format_are_told(competition, capsys):
    (competition / "gt.txt").unlink()
    (competition / "more.jsonl").write_text('{"image": "train_00000.jpg", "latex": "a"}\n')
    read_dataset(competition)
    assert "not read: 2 files (level.txt, source.txt)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("train", "test"),
    [("train.jsonl", "val.jsonl"), ("train/a.jsonl", "test/a.jsonl"), ("my-train.jsonl", "my_validation.jsonl")],
)
def test_training_and_test_sets_in_one_folder_are_told(competition, capsys, train, test):
    """Read as one, the test set is trained on, and its accuracy is that of a pupil who has seen the exam."""
    images = competition / "train_images"
    (competition / "gt.txt").unlink()
    for number, name in enumerate((train, test)):
        path = competition / name
        path.parent.mkdir(exist_ok=True)
        (images / f"train_0000{number}.jpg").rename(path.parent / f"{number}.jpg")
        path.write_text(f'{{"image": "{number}.jpg", "latex": "a"}}\n')
    read_dataset(competition)
    assert f"{train} and {test} are read as one set" in capsys.readouterr().out
    (competition / test).unlink()
    read_dataset(competition)
    assert "are read as one set" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("train_00000.JPG", "train_00000.jpg"),
        ("Train_00000.jpg", "train_00000.jpg"),
        ("train_00000.png", "train_00000.jpg"),
    ],
)
def test_a_missing_picture_is_told_with_the_one_that_is_there(competition, asked, there):
    (competition / "gt.txt").write_text(f"{asked}\ta\n")
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert f"gt.txt:1: picture '{asked}' is missing" in str(error.value)
    assert f"there is 'train_images/{there}'" in str(error.value)


def test_no_data_set_but_something(tmp_path):
    (tmp_path / "data.ZIP").write_bytes(b"PK")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path)
    assert "data.ZIP (an archive: unpack it first); 1 pictures (a.png); notes.md" in str(error.value)


def test_sources_whose_names_are_those_of_no_sample_are_refused(competition):
    """Without the suffix that the labels write, all of them were unknown, and nobody heard of it."""
    (competition / "source.txt").write_text("train_00000\t1\ntrain_00001\t1\n")
    with pytest.raises(DataError, match=r"source\.txt: no sample is called 'train_00000'"):
        read_dataset(competition)


def test_sources_of_more_pictures_than_are_labelled_are_told(competition, capsys):
    with (competition / "level.txt").open("a") as file:
        file.write("other.jpg\t1\n")
    assert read_dataset(competition).samples[0].level == "1"
    assert "level.txt: 1 names are those of no sample, 'other.jpg' the first" in capsys.readouterr().out
