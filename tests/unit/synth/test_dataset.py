"""The embedded data set on disk: format, same bytes whoever makes it, whole or not at all."""

import json
import shutil

import cv2
import numpy as np
import pytest

from recognizer.latex import normalize, tokenize
from recognizer.synth import dataset
from recognizer.synth.__main__ import main
from recognizer.synth.contact_sheet import contact_sheet
from recognizer.synth.dataset import sample, write_dataset
from recognizer.synth.style import SHORTEST

COUNT = 36


def _files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _table(folder, name):
    return dict(line.split("\t") for line in (folder / name).read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("synth") / "data", COUNT, seed=3, progress=False)


def test_format_is_the_competitions(written):
    labels, levels, sources = (_table(written, name) for name in ("gt.txt", "level.txt", "source.txt"))
    assert len(labels) == COUNT and labels.keys() == levels.keys() == sources.keys()
    assert set(levels.values()) <= set("12345") and set(sources.values()) == {"0"}
    vocabulary = (written / "tokens.txt").read_text(encoding="utf-8")
    assert vocabulary.endswith("\n") and "" not in vocabulary.splitlines()
    assert set(vocabulary.splitlines()) == {token for label in labels.values() for token in tokenize(label)}
    for name, label in labels.items():
        assert normalize(label) == label
        assert cv2.imread(str(written / "images" / name)) is not None
    assert {name[-4:] for name in labels} == {".png", ".jpg"}


def test_pictures_are_those_of_sample(written):
    names = list(_table(written, "gt.txt"))
    picture, tokens, level, style = sample(0, seed=3)
    read = cv2.imread(str(written / "images" / names[0]), cv2.IMREAD_COLOR_RGB)  # a PNG
    assert read is not None and np.array_equal(read, picture)
    assert _table(written, "gt.txt")[names[0]] == " ".join(tokens)
    assert _table(written, "level.txt")[names[0]] == str(level)
    json.dumps(style)


def test_only_longer_formulas_are_bold_or_upright_as_a_whole():
    """A bold x alone is `\\boldsymbol{x}`: its label would say otherwise."""
    made = [sample(index, 5) for index in range(150)]
    fonts = [(len(tokens) < SHORTEST, style["font"]) for _, tokens, _, style in made]
    short, long = ({font for is_short, font in fonts if is_short is wanted} for wanted in (True, False))
    assert {"bold", "sans", "upright"} <= long and not short & {"bold", "sans", "upright"} and "tex" in short


def test_two_processes_write_the_same_bytes(written, tmp_path):
    assert _files(write_dataset(tmp_path / "data", COUNT, seed=3, workers=2, progress=False)) == _files(written)


def test_another_seed_writes_others(written, tmp_path):
    other = write_dataset(tmp_path / "data", 6, seed=4, progress=False)
    assert not set(_table(other, "gt.txt").values()) & set(list(_table(written, "gt.txt").values())[:6])


def test_shards_are_the_parts_of_the_whole(written, tmp_path):
    labels: dict[str, str] = {}
    pictures: dict[str, bytes] = {}
    for part in (1, 2, 3):
        folder = write_dataset(tmp_path / str(part), COUNT, seed=3, progress=False, shard=(part, 3))
        labels |= _table(folder, "gt.txt")
        pictures |= {name: data for name, data in _files(folder).items() if name.startswith("images")}
    assert labels == _table(written, "gt.txt")
    assert pictures == {name: data for name, data in _files(written).items() if name.startswith("images")}


def test_the_same_request_again_does_nothing(written, monkeypatch):
    monkeypatch.setattr(dataset, "_write_batch", lambda *_: pytest.fail("written again"))
    assert write_dataset(written, COUNT, seed=3, progress=False) == written


def test_a_folder_with_something_else_is_refused(written, tmp_path):
    with pytest.raises(FileExistsError, match=r"holds another data set .* Remove the folder or choose another one"):
        write_dataset(written, COUNT + 1, seed=3, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other files"):
        write_dataset(tmp_path, COUNT, seed=3, progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_jobs_at_a_time_make_one_set(written, tmp_path, monkeypatch):
    write_tables = dataset.write_tables

    def outrun(folder, rows):
        shutil.copytree(written, tmp_path / "both")  # the other job's, which was faster
        write_tables(folder, rows)

    monkeypatch.setattr(dataset, "write_tables", outrun)
    write_dataset(tmp_path / "both", COUNT, seed=3, progress=False)
    assert _files(tmp_path / "both") == _files(written)
    assert [path.name for path in tmp_path.iterdir()] == ["both"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    whole = dataset._write_picture

    def interrupted(images, index, seed):
        if index == 5:
            raise KeyboardInterrupt
        return whole(images, index, seed)

    monkeypatch.setattr(dataset, "_write_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", COUNT, seed=3, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [{"count": 0}, {"count": 1, "workers": 0}, {"count": 1, "shard": (3, 2)}, {"count": 1, "shard": (0, 2)}],
)
def test_senseless_requests_are_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match="must be"):
        write_dataset(tmp_path / "data", seed=0, progress=False, **arguments)


def test_command_line(tmp_path, capsys):
    out = tmp_path / "data"
    assert main(["--out", str(out), "--count", "3", "--seed", "1", "--workers", "1"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(out) and "synth: 3/3 (100 %)" in shown.err and "s left" in shown.err
    assert main(["--out", str(out), "--count", "4", "--quiet"]) == 1
    assert "error:" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--out", str(out), "--shard", "3/2"])
    assert "expected i/n with 1 <= i <= n" in capsys.readouterr().err


def test_contact_sheet_shows_all():
    dark = np.zeros((400, 2000, 3), np.uint8)
    sheet = contact_sheet([(dark, "a + b")] * 5, columns=2)
    cells = sheet.reshape(3, sheet.shape[0] // 3, 2, sheet.shape[1] // 2, 3)
    darkness = [(cells[row, :, column] == 0).all(axis=-1).sum() for row in range(3) for column in range(2)]
    assert min(darkness[:5]) > 1000 and darkness[5] == 0
