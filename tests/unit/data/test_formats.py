"""Every format is found and read; every fault names file, line and remedy."""

import gzip
import json
import string
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.data.formats import read_dataset
from recognizer.data.ink import InkPicture
from recognizer.data.sample import DataError
from recognizer.latex import Vocabulary

STROKES = [[[0, 0], [10, 40]], [[50, 20]]]


def write_jsonl(path: Path, *records: object) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_competition_format(competition):
    dataset = read_dataset(competition)
    assert len(dataset.samples) == 12 and dataset.skipped == []
    sample = dataset.samples[2]
    assert sample.name == "train_00002.jpg"
    assert sample.tokens == ("x", "^", "{", "2", "}")
    assert (sample.source, sample.level, sample.origin) == ("printed", "3", "gt.txt:3")
    assert sample.load().shape == (40, 100, 3)
    assert dataset.vocabulary is not None and "\\frac" in dataset.vocabulary.tokens


def test_O7_trailing_newline_of_tokens_is_no_token(competition):
    vocabulary = read_dataset(competition).vocabulary
    assert vocabulary is not None and "" not in vocabulary.tokens


def test_tokens_file_in_the_labels_own_spelling(competition):
    """The competition lists and writes `\\left(`, which normalising turns into `(`."""
    (competition / "tokens.txt").write_text("a\nb\n\\left(\n\\right)\ns\ni\nn\n\\mathrm\n{\n}\n")
    (competition / "gt.txt").write_text("train_00000.jpg\t\\left( a \\right) \\mathrm { s i n } b\n")
    dataset = read_dataset(competition)
    assert dataset.samples[0].tokens == ("(", "a", ")", "\\sin", "b")
    assert dataset.vocabulary is not None
    assert dataset.vocabulary.decode(dataset.vocabulary.encode(dataset.samples[0].tokens))


def test_bad_tokens_file(competition):
    (competition / "tokens.txt").write_text("a\nb\na\n")
    with pytest.raises(DataError, match=r"tokens.txt, line 3: token 'a' already stands in line 1"):
        read_dataset(competition)


def test_labels_tsv_with_header(competition):
    rows = (competition / "gt.txt").read_text()
    (competition / "gt.txt").unlink()
    (competition / "labels.tsv").write_text("image\tlatex\n" + rows)
    dataset = read_dataset(competition)
    assert len(dataset.samples) == 12
    assert dataset.samples[0].origin == "labels.tsv:2"


def test_json_lines(competition):
    (competition / "gt.txt").rename(competition / "gt.away")
    record = {"image": "train_00001.jpg", "latex": "x^2", "source": "photo", "level": 3, "group": "book"}
    write_jsonl(competition / "more.jsonl", record, {"image": "train_images/train_00002.jpg", "latex": "b"})
    first, second = read_dataset(competition).samples
    assert first.tokens == ("x", "^", "{", "2", "}")
    assert (first.source, first.level, first.group) == ("photo", "3", "book")
    assert second.group == "formula:b" and second.source == "unknown"


@pytest.mark.parametrize("name", ["ink.jsonl", "ink.jsonl.gz"])
def test_ink(tmp_path, name):
    records = [
        {"id": "1", "writer": "w7", "source": "KAIST", "caption": "", "truth": "$x^2$", "strokes": STROKES},
        {"id": "2", "writer": "", "source": "KAIST", "caption": "a", "truth": "$b$", "strokes": STROKES},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    first, second = read_dataset(tmp_path).samples
    assert (first.name, first.group, first.source) == ("ink/1", "writer:KAIST/w7", "handwritten")
    assert first.tokens == ("x", "^", "{", "2", "}") and second.tokens == ("a",)
    assert second.group == "writer:KAIST/(unknown)"
    assert first.load().shape[2] == 3


def test_strokes_that_are_known_to_be_one_symbol(tmp_path):
    symbols = [["x", [0]], ["\\pi", []]]
    write_jsonl(tmp_path / "ink.jsonl", {"id": "1", "caption": "x", "strokes": STROKES, "symbols": symbols})
    (sample,) = read_dataset(tmp_path).samples
    assert isinstance(sample.picture, InkPicture)
    assert sample.picture.symbols == (("x", (0,)), ("\\pi", ()))


def test_folder_of_folders(competition, tmp_path):
    ink = {"id": "1", "caption": "\\pi", "strokes": STROKES}
    (tmp_path / "hand").mkdir()
    write_jsonl(tmp_path / "hand" / "ink.jsonl", ink)
    dataset = read_dataset(tmp_path)
    assert {sample.dataset for sample in dataset.samples} == {"competition", "hand/ink"}
    assert dataset.samples[0].name == "competition/train_00000.jpg"
    # tokens.txt governs its own folder; the labels of the other one join the vocabulary
    assert dataset.vocabulary is not None and {"\\pi", "\\frac"} <= set(dataset.vocabulary.tokens)


def test_no_tokens_file_no_vocabulary(competition):
    (competition / "tokens.txt").unlink()
    assert read_dataset(competition).vocabulary is None


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_with_accents_are_found_however_they_are_spelt(tmp_path, on_disk, in_table):
    """A folder that was packed on macOS has e and an accent where the table has \u00e9."""
    name = "caf\u00e9.png"
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((40, 60), 255, np.uint8))
    (tmp_path / "picture.png").rename(tmp_path / unicodedata.normalize(on_disk, name))
    asked = unicodedata.normalize(in_table, name)
    (tmp_path / "gt.txt").write_text(f"{asked}\tx\n", encoding="utf-8")
    (sample,) = read_dataset(tmp_path).samples
    assert sample.name == asked and sample.load().shape == (40, 60, 3)


def test_windows_text_files(competition):
    for name in ("gt.txt", "source.txt", "level.txt"):
        path = competition / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    sample = read_dataset(competition).samples[0]
    assert (sample.name, sample.tokens, sample.level) == ("train_00000.jpg", ("a",), "1")


BAD_LINES = {
    "missing.jpg\ta": "'missing.jpg' is missing",
    "train_00000.jpg a": "no tab",
    "train_00000.jpg\ta \\gamma": "token '\\\\gamma' is not in tokens.txt",
    "broken.jpg\ta": "not a readable image",
    "train_00000.jpg\ta": "from gt.txt:1; names must be unique",
    "../gt.txt\ta": "must be a path inside",
    "/etc/hostname\ta": "must be a path inside",
    "spare.jpg\t": "the label is empty",
    "spare.jpg\ta &lt; b": "'&lt;', which is HTML; expected LaTeX, as '<'",
    "spare.jpg\ta &le; b": "'&le;', which is HTML; expected LaTeX, as '≤'",
    "spare.jpg\ta\rtrain_00001.jpg\tb": "carriage return alone",
    "a + " * 99 + "a\tspare.jpg": "is missing",  # columns swapped: a name longer than any file's
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_bad_line_is_named_or_skipped(competition, line):
    images = competition / "train_images"
    (images / "broken.jpg").write_bytes(b"no picture at all")
    (images / "spare.jpg").write_bytes((images / "train_00000.jpg").read_bytes())
    with (competition / "gt.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert "gt.txt:13: " in str(error.value) and BAD_LINES[line] in str(error.value)
    assert "on_bad_sample=skip" in str(error.value)
    dataset = read_dataset(competition, on_bad_sample="skip")
    assert len(dataset.samples) == 12
    assert len(dataset.skipped) == 1 and BAD_LINES[line] in dataset.skipped[0]


def test_labels_that_had_to_be_mended_are_told(competition):
    """A cut-off label taught its missing half as empty, and nobody heard of it."""
    images = competition / "train_images"
    (images / "spare.jpg").write_bytes((images / "train_00000.jpg").read_bytes())
    assert read_dataset(competition).doubtful == []
    with (competition / "gt.txt").open("a") as file:
        file.write("spare.jpg\ta ^ { 2\n")
    dataset = read_dataset(competition)
    assert dataset.samples[-1].tokens == ("a", "^", "{", "2", "}")
    assert dataset.doubtful == ["gt.txt:13: token 3: { is never closed"]


BAD_RECORDS = {
    "{": "not JSON",
    "[]": "a JSON list",
    "{}": 'neither "image"',
    '{"image": "p.png"}': "one of latex, label, formula, text, caption, tex, equation, normalizedlabel is missing",
    '{"image": "p.png", "text": "a", "tex": "b"}': "['text', 'tex'] say the same; keep one of them",
    '{"image": 3, "latex": "a"}': 'key "image" must be text',
    '{"id": "1", "caption": "a", "strokes": [[[1, 2]]], "symbols": [["a", [1]]]}': '"symbols" must be',
    '{"id": "1", "caption": "a", "strokes": [[[1, 2]]], "symbols": ["a"]}': '"symbols" must be',
    '{"id": "1", "caption": "a", "strokes": []}': '"strokes" must be',
    '{"id": "1", "caption": "a", "strokes": [[]]}': '"strokes" must be',
    '{"id": "1", "caption": "a", "strokes": [[[1, 2, 3]]]}': '"strokes" must be',
    '{"id": "1", "caption": "a", "strokes": [[[1, "x"]]]}': '"strokes" must be',
    '{"id": "1", "caption": "a", "strokes": [[[1, NaN]]]}': '"strokes" must be',
    '{"caption": "a", "strokes": [[[1, 2]]]}': 'key "id" is missing',
    '{"id": "1", "strokes": [[[1, 2]]]}': "no label",
}


@pytest.mark.parametrize("line", BAD_RECORDS)
def test_bad_record_is_named(tmp_path, line):
    (tmp_path / "set.jsonl").write_text("\n" + line + "\n")
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path)
    assert "set.jsonl:2: " in str(error.value) and BAD_RECORDS[line] in str(error.value)


def test_all_bad_lines_are_counted(competition):
    with (competition / "gt.txt").open("a") as file:
        file.write("one\ntwo\nthree\n")
    with pytest.raises(DataError, match="2 more bad lines"):
        read_dataset(competition)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("source.txt", "train_00000.jpg\t7", "0 (printed)"), ("level.txt", "train_00000.jpg 3", "no tab")],
)
def test_bad_attribute_is_an_error_even_when_skipping(competition, name, value, expected):
    (competition / name).write_text(value + "\n")
    with pytest.raises(DataError) as error:
        read_dataset(competition, on_bad_sample="skip")
    assert f"{name}:1: " in str(error.value) and expected in str(error.value)


def test_empty_or_absent(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match="no data set found"):
        read_dataset(tmp_path)
    (tmp_path / "gt.txt").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        read_dataset(tmp_path)
    (tmp_path / "gt.txt").write_text("gone.jpg\ta\n")
    with pytest.raises(DataError, match=r"is empty.*gone\.jpg"):
        read_dataset(tmp_path, on_bad_sample="skip")


def test_damaged_text_and_gzip(tmp_path):
    (tmp_path / "gt.txt").write_bytes(b"a.jpg\ta\nb.jpg\t\xff\n")
    with pytest.raises(DataError, match=r"gt.txt:2: not UTF-8"):
        read_dataset(tmp_path, on_bad_sample="skip")
    (tmp_path / "gt.txt").unlink()
    record = json.dumps({"id": "1", "caption": "a", "strokes": STROKES}).encode() + b"\n"
    (tmp_path / "ink.jsonl.gz").write_bytes(gzip.compress(record * 50)[:-20])
    with pytest.raises(DataError, match="damaged gzip"):
        read_dataset(tmp_path, on_bad_sample="skip")


def test_given_vocabulary_governs(competition):
    with pytest.raises(DataError, match="not in the vocabulary"):
        read_dataset(competition, vocabulary=Vocabulary.from_labels([("a",)]))


def test_truncated_picture_is_found_at_load(competition):
    path = competition / "train_images" / "train_00003.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    sample = read_dataset(competition).samples[3]
    with pytest.raises(DataError, match=r"gt.txt:4: the picture 'train_00003.jpg' can't be read"):
        sample.load()


@settings(max_examples=60)
@given(
    lines=st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8")),
            st.dictionaries(
                st.sampled_from(["image", "latex", "strokes", "id", "caption", "writer"]),
                st.recursive(
                    st.none() | st.integers() | st.floats() | st.text(string.printable, max_size=5),
                    lambda inner: st.lists(inner, max_size=3),
                ),
            ).map(json.dumps),
        ),
        max_size=6,
    )
)
def test_any_lines_give_samples_or_a_data_error(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("any")
    (folder / "set.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "gt.txt").write_text("\n".join(lines), encoding="utf-8")
    try:
        dataset = read_dataset(folder, on_bad_sample="skip")
    except DataError:
        return
    assert all(np.asarray(sample.load()).ndim == 3 for sample in dataset.samples)
