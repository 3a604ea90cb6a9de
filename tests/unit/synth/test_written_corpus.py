"""Formulas of a file as pen strokes: a data set that a job reads, made whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.ink import InkPicture
from recognizer.synth import written_corpus
from recognizer.synth.written_corpus import main

SYMBOLS = {
    "a": [[0, 0], [10, 20], [20, 0], [30, 20]],
    "b": [[0, 0], [0, 60], [20, 40]],
    "+": [[0, 10], [20, 10]],
}


@pytest.fixture
def strokes(tmp_path: Path) -> Path:
    """A collection of one writer, who wrote `a+b`."""
    folder = tmp_path / "strokes"
    folder.mkdir()
    symbols = [[token, [number]] for number, token in enumerate(SYMBOLS)]
    row = {"id": "1", "writer": "ann", "caption": "a + b", "strokes": list(SYMBOLS.values()), "symbols": symbols}
    (folder / "ink.jsonl").write_text(json.dumps(row))
    return folder


@pytest.fixture
def formulas(tmp_path: Path) -> Path:
    path = tmp_path / "formulas.tsv"
    path.write_text("book\ta+b\nbook\tb^a\nbook\t\\wp+a\nschool\ta+a\nbook\ta+b+a+b\n")
    return path


def run(formulas: Path, strokes: Path, out: Path, *more: str) -> int:
    arguments = ["--formulas", formulas, "--strokes", strokes, "--out", out, "--rarest", "1", *more]
    return main([str(argument) for argument in arguments])


def test_what_can_be_written_becomes_a_data_set(formulas: Path, strokes: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "written.jsonl.gz"
    out.parent.mkdir()
    assert run(formulas, strokes, out) == 0
    samples = read_dataset(out.parent).samples
    assert sorted("".join(sample.tokens) for sample in samples) == ["a+a", "a+b", "a+b+a+b", "b^{a}"]
    assert {sample.source for sample in samples} == {"handwritten"}
    assert len({sample.group for sample in samples}) == 4, "each may be on either side of a split"
    for sample in samples:
        assert isinstance(sample.picture, InkPicture)
        assert len(sample.picture.strokes) == len([token for token in sample.tokens if token in SYMBOLS])
        assert sample.load().min() < 100


def test_the_same_seed_writes_the_same_strokes(formulas: Path, strokes: Path, tmp_path: Path) -> None:
    def ink(name: str, *more: str) -> list[np.ndarray]:
        folder = tmp_path / name
        folder.mkdir()
        assert run(formulas, strokes, folder / "w.jsonl.gz", "--count", "1", "--only", "school", *more) == 0
        [sample] = read_dataset(folder).samples
        assert isinstance(sample.picture, InkPicture)
        return list(sample.picture.strokes)

    first, again, other = ink("one"), ink("two"), ink("three", "--seed", "1")
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_formulas_are_chosen(formulas: Path, strokes: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "written.jsonl.gz"
    out.parent.mkdir()
    assert run(formulas, strokes, out, "--without", "school", "--max-tokens", "5", "--count", "5") == 0
    assert sorted("".join(sample.tokens) for sample in read_dataset(out.parent).samples) == ["a+b", "b^{a}"]


def test_of_no_formulas_none_is_written(formulas: Path, strokes: Path, tmp_path: Path) -> None:
    assert run(formulas, strokes, tmp_path / "w.jsonl.gz", "--count", "0") == 0
    assert gzip.decompress((tmp_path / "w.jsonl.gz").read_bytes()) == b""


def test_a_run_that_fails_leaves_what_was_there(
    formulas: Path, strokes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "written.jsonl.gz"
    out.write_text("as it was")

    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(written_corpus, "write", full)
    assert run(formulas, strokes, out) == 1
    assert out.read_text() == "as it was"


def test_strokes_without_symbols_are_refused(
    formulas: Path, strokes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = strokes / "ink.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "symbols": []}))
    assert run(formulas, strokes, tmp_path / "w.jsonl.gz") == 1
    assert "no record says which symbols its strokes are" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(formulas, strokes, tmp_path / "w.txt")
    assert "doesn't end in .jsonl.gz" in capsys.readouterr().err
