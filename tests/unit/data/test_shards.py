"""A data set and its shards are the same samples; whatever is damaged is named, and a killed conversion goes on."""

import json
import shutil
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
from recognizer.data import pack_shards as packing
from recognizer.data.formats import read_dataset
from recognizer.data.measure import measure
from recognizer.data.pack_shards import main, pack_shards
from recognizer.data.sample import DataError
from recognizer.data.shards import ShardPicture

SMALL = 0.012  # megabytes: three or four of the little pictures


def digest(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def packed(competition):
    folder = competition.parent / "shards"
    assert pack_shards(read_dataset(competition), folder, megabytes=SMALL, progress=False) == []
    return folder


def index_of(folder, number=0):
    return folder / "index" / f"shard-{number:06}.index.jsonl"


def as_facts(samples):
    return {s.name: (s.tokens, s.source, s.level, s.group, s.dataset) for s in samples}


def test_the_same_samples_pixel_for_pixel(competition, packed):
    loose, sharded = read_dataset(competition), read_dataset(packed)
    assert as_facts(sharded.samples) == as_facts(loose.samples)
    assert sharded.vocabulary == loose.vocabulary
    pictures = {sample.name: sample.load() for sample in sharded.samples}
    assert all(np.array_equal(pictures[sample.name], sample.load()) for sample in loose.samples)
    assert len(list(packed.glob("*.tar"))) >= 3


def test_a_folder_of_shards_and_others(competition, packed):
    dataset = read_dataset(competition.parent)
    assert len({sample.name for sample in dataset.samples}) == 24
    assert {sample.dataset for sample in dataset.samples} == {"competition", "shards"}


def test_anyones_tools_read_them(competition, packed):
    """WebDataset's convention: files of one sample follow each other and share what is before the first dot."""
    found = {}
    for path in sorted(packed.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            data = dict(zip(tar.getnames(), (b"".join(tar.extractfile(m) or []) for m in members), strict=True))
            assert all((m.mtime, m.uid, m.uname) == (0, 0, "") for m in members)
            for picture, facts in zip(members[::2], members[1::2], strict=True):
                assert picture.name.split(".") == [facts.name.split(".")[0], "jpg"]
                found[json.loads(data[facts.name])["name"]] = data[picture.name]
    assert found == {path.name: path.read_bytes() for path in (competition / "train_images").iterdir()}


def test_the_same_bytes_whoever_writes_them(competition, packed):
    again = competition.parent / "again"
    pack_shards(read_dataset(competition), again, megabytes=SMALL, workers=2, progress=False)
    assert digest(again) == digest(packed)


def test_sizes_are_known_without_a_look_at_the_pictures(competition, packed):
    spec = inference.PreprocessSpec()
    loose, sharded = measure(read_dataset(competition).samples, spec), read_dataset(packed).samples
    for path in packed.glob("*.tar"):
        path.unlink()
    known = measure(sharded, spec)
    sizes = dict(zip([s.name for s in loose.samples], loose.sizes.tolist(), strict=True))
    assert dict(zip([s.name for s in known.samples], known.sizes.tolist(), strict=True)) == sizes
    with pytest.raises(DataError, match="can't be read"):
        measure(sharded, inference.PreprocessSpec(scale=0.5))  # of other sizes nobody knows


def test_pen_strokes_become_pictures(tmp_path):
    (tmp_path / "ink").mkdir()
    record = {"id": "1", "writer": "w7", "caption": "\\pi", "strokes": [[[0, 0], [10, 40]], [[50, 20]]]}
    (tmp_path / "ink" / "set.jsonl").write_text(json.dumps(record) + "\n")
    ink = read_dataset(tmp_path / "ink")
    pack_shards(ink, tmp_path / "shards", progress=False)
    sharded = read_dataset(tmp_path / "shards")
    assert as_facts(sharded.samples) == as_facts(ink.samples)
    assert np.array_equal(sharded.samples[0].load(), ink.samples[0].load())


def test_killed_in_the_middle_it_goes_on(competition, packed, monkeypatch):
    whole, folder = packing.write_shard, competition.parent / "killed"
    written: list[str] = []

    def killed(folder, stem, samples, *rest):
        def samples_until_the_kill():
            yield from samples[:2]
            if written:
                raise KeyboardInterrupt
            yield from samples[2:]

        whole(folder, stem, samples_until_the_kill(), *rest)
        written.append(stem)
        return []

    monkeypatch.setattr(packing, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        pack_shards(read_dataset(competition), folder, megabytes=SMALL, progress=False)
    assert written == ["shard-000000"]
    with pytest.raises(DataError, match=r"1 of the \d shards of shards.json are there; repeat the command"):
        read_dataset(folder)
    before = (folder / "shard-000000.tar").stat()
    monkeypatch.setattr(packing, "write_shard", whole)
    pack_shards(read_dataset(competition), folder, megabytes=SMALL, progress=False)
    assert digest(folder) == digest(packed)
    assert (folder / "shard-000000.tar").stat().st_mtime_ns == before.st_mtime_ns


def test_a_bad_picture_stops_it_or_is_left_out_by_name(competition, capsys):
    path = competition / "train_images" / "train_00003.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    out = competition.parent / "shards"
    arguments = [str(competition), str(out), "--workers", "1"]
    assert main(arguments) == 1
    assert "error: gt.txt:4: the picture 'train_00003.jpg' can't be read" in capsys.readouterr().err
    assert main([*arguments, "--on-bad-sample", "skip"]) == 0
    shown = capsys.readouterr()
    assert "left out: gt.txt:4" in shown.err and "pack: 12/12 (100 %)" in shown.err and "s left" in shown.err
    assert len(read_dataset(out).samples) == 11


def test_another_data_set_or_other_files_are_refused(competition, packed):
    (competition / "gt.txt").write_text((competition / "gt.txt").read_text().replace("\ta\n", "\tb\n", 1))
    with pytest.raises(FileExistsError, match=r"holds other shards .* Remove the folder or choose another"):
        pack_shards(read_dataset(competition), packed, megabytes=SMALL, progress=False)
    with pytest.raises(FileExistsError, match="holds other files"):
        pack_shards(read_dataset(competition), competition, megabytes=SMALL, progress=False)


def test_a_shard_cut_off_is_named_with_its_offset(packed):
    path = packed / "shard-000001.tar"
    length = path.stat().st_size
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"shard-000001.tar: cut off or changed at offset 5000: .* says {length}"):
        read_dataset(packed, "skip")
    path.unlink()
    with pytest.raises(DataError, match=r"shard-000001.tar: the shard is missing"):
        read_dataset(packed, "skip")


def test_a_shard_damaged_in_the_middle_is_named_with_its_offset(packed):
    path = packed / "shard-000001.tar"
    record = json.loads(index_of(packed, 1).read_text().splitlines()[2])
    data = bytearray(path.read_bytes())
    data[record["offset"] + 700] ^= 1
    path.write_bytes(data)
    by_name = {sample.name: sample for sample in read_dataset(packed).samples}
    place = rf"shard-000001.index.jsonl:3.*shard-000001.tar: the {record['bytes']} bytes at offset {record['offset']}"
    with pytest.raises(DataError, match=place):
        by_name.pop(record["name"]).load()
    for other in by_name.values():
        other.load()


def rewrite(path, change):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "cut off: .* copy it again"),
        (lambda lines: lines[1:], ":1: not the head of a shard's index"),
        (lambda lines: [lines[0].replace('"format_version": 1', '"format_version": 9'), *lines[1:]], "knows 1; update"),
        (lambda lines: [lines[0], lines[1].replace('"offset": ', '"offset": 99999'), *lines[2:]], ":2: .*beyond"),
        (lambda lines: [lines[0], lines[1].replace('"crc32": ', '"crc32": -'), *lines[2:]], ':2: key "crc32" must'),
        (lambda lines: [lines[0], lines[1].replace('"canvas": [', '"canvas": [0, '), *lines[2:]], 'key "canvas"'),
    ],
)
def test_a_damaged_index_is_named_with_its_line(packed, change, message):
    rewrite(index_of(packed), change)
    with pytest.raises(DataError, match=rf"shard-000000.index.jsonl{message}|shard-000000.index.jsonl.*{message}"):
        read_dataset(packed)


@settings(max_examples=60)
@given(
    line=st.one_of(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
        st.dictionaries(
            st.sampled_from(["name", "latex", "offset", "bytes", "crc32", "canvas"]),
            st.none() | st.integers(-5, 5000) | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=3),
        ).map(json.dumps),
    ),
    place=st.integers(0, 3),
)
def test_any_line_gives_samples_or_a_data_error(tmp_path_factory, whole_index, line, place):
    folder = tmp_path_factory.mktemp("any") / "shards"
    shutil.copytree(whole_index, folder)
    rewrite(index_of(folder), lambda lines: [*lines[:place], line + "\n", *lines[place + 1 :]])
    try:
        samples = read_dataset(folder, "skip").samples
    except DataError:
        return
    assert all(sample.tokens and isinstance(sample.picture, ShardPicture) for sample in samples)


@pytest.fixture(scope="module")
def whole_index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    strokes = [[[0, 0], [10, 40]]]
    records = [{"id": str(number), "caption": "x", "strokes": strokes} for number in range(3)]
    (folder / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pack_shards(read_dataset(folder), folder / "shards", progress=False)
    return folder / "shards"
