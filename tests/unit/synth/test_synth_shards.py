"""The embedded data set as shards: the same pictures, the same shards whoever makes them, none twice."""

import json

import numpy as np
import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError
from recognizer.synth import __main__ as command
from recognizer.synth import shards
from recognizer.synth.dataset import write_dataset
from recognizer.synth.shards import write_shards

COUNT, PER_SHARD = 14, 4


def digest(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("whole") / "set", PER_SHARD, COUNT, 3, progress=False)


def test_they_hold_what_the_single_files_hold(whole, tmp_path):
    loose = read_dataset(write_dataset(tmp_path / "loose", COUNT, 3, progress=False)).samples
    sharded = read_dataset(whole).samples
    assert [(s.name, s.tokens, s.source, s.level, s.group) for s in loose] == [
        (s.name, s.tokens, s.source, s.level, s.group) for s in sharded
    ]
    assert all(np.array_equal(a.load(), b.load()) for a, b in zip(loose, sharded, strict=True))


def test_parts_together_are_the_whole(whole, tmp_path):
    parts = [
        digest(write_shards(tmp_path / str(part), PER_SHARD, COUNT, 3, workers, False, (part, 2)))
        for part, workers in ((1, 1), (2, 2))
    ]
    common = parts[0].keys() & parts[1].keys()
    assert common == {"index/shards.json"}
    assert parts[0] | parts[1] == digest(whole)
    with pytest.raises(DataError, match=r"2 of the 4 shards of shards.json are there"):
        read_dataset(tmp_path / "1")


def test_a_killed_run_goes_on(whole, tmp_path, monkeypatch):
    draw, folder = shards.draw, tmp_path / "set"

    def killed(index, seed):
        if index == 6:
            raise KeyboardInterrupt
        return draw(index, seed)

    monkeypatch.setattr(shards, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        write_shards(folder, PER_SHARD, COUNT, 3, progress=False)
    drawn = []

    def counted(index, seed):
        drawn.append(index)
        return draw(index, seed)

    monkeypatch.setattr(shards, "draw", counted)
    write_shards(folder, PER_SHARD, COUNT, 3, progress=False)
    assert drawn == list(range(4, COUNT)) and digest(folder) == digest(whole)


def test_another_request_is_refused(whole):
    with pytest.raises(FileExistsError, match="holds other shards"):
        write_shards(whole, PER_SHARD, COUNT, 4, progress=False)
    with pytest.raises(ValueError, match="at least 1 picture"):
        write_shards(whole, 0, COUNT, 3, progress=False)


def test_the_hosts_of_a_processing_job_share_the_work(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "HOSTS", tmp_path / "resourceconfig.json")
    request = ["--count", str(COUNT), "--seed", "3", "--per-shard", str(PER_SHARD), "--workers", "1", "--quiet"]
    found: dict[str, bytes] = {}
    for host in ("algo-1", "algo-2"):
        command.HOSTS.write_text(json.dumps({"current_host": host, "hosts": ["algo-1", "algo-2"]}))
        assert command.main([*request, "--out", str(tmp_path / host), "--shard", "host"]) == 0
        found |= digest(tmp_path / host)
    assert found == digest(whole)
    command.HOSTS.unlink()
    with pytest.raises(SystemExit):
        command.main([*request, "--out", str(tmp_path / "x"), "--shard", "host"])
    assert "resourceconfig.json doesn't say which of the hosts this is" in capsys.readouterr().err
