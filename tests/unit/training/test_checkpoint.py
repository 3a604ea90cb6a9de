"""Checkpoints are whole or not there, bounded in number, and refused where they don't fit."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from inference import PreprocessSpec
from recognizer.disk import NoRoomError
from recognizer.training import checkpoint
from recognizer.training.stop import StopSignal
from tests.support.tiny_training import SMALLEST, settings, trainer, write_pictures

Usage = namedtuple("Usage", "total used free")


def state(value: float) -> dict[str, object]:
    return {"recognizer": "fast", "model": {"weight": torch.full((1000,), value)}}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, checkpoint.LAST, state(1.5))
    read = checkpoint.read(tmp_path, checkpoint.LAST, "fast")
    assert read is not None
    assert torch.equal(read["model"]["weight"], torch.full((1000,), 1.5))


def test_none_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path, checkpoint.LAST, "fast") is None


def test_L13_50_epochs_leave_two_files(tmp_path: Path) -> None:
    """Lesson: 290 MB a snapshot, each epoch a new one, filled the disk."""
    data, kept = tmp_path / "data", tmp_path / "checkpoints"
    data.mkdir()
    chosen = settings(epochs=50, batch_size=16, sizes=SMALLEST)
    made = trainer(chosen, write_pictures(data), kept)

    assert made.run(StopSignal())

    last = checkpoint.read(kept, checkpoint.LAST, "fast")
    assert last is not None and last["progress"]["epoch"] == 50
    assert sorted(path.name for path in kept.iterdir()) == [checkpoint.BEST, checkpoint.LAST]


def test_L13_a_full_disk_leaves_the_previous_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path, checkpoint.LAST, state(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 100))
    with pytest.raises(NoRoomError, match="larger volume"):
        checkpoint.write(tmp_path, checkpoint.LAST, state(2))
    read = checkpoint.read(tmp_path, checkpoint.LAST, "fast")
    assert read is not None and read["model"]["weight"][0] == 1


def test_L13_a_kill_during_a_write_leaves_the_previous_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(tmp_path, checkpoint.LAST, state(1))

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(tmp_path, checkpoint.LAST, state(2))
    read = checkpoint.read(tmp_path, checkpoint.LAST, "fast")
    assert read is not None and read["model"]["weight"][0] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recognizer": "srn"}, "of recognizer 'srn', this job trains 'fast'"),
        ({"format": checkpoint.FORMAT + 1}, "format 2; this program knows 1"),
    ],
)
def test_a_foreign_checkpoint_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    torch.save({"format": checkpoint.FORMAT, **state(1), **change}, tmp_path / checkpoint.LAST)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        checkpoint.read(tmp_path, checkpoint.LAST, "fast")


def test_a_newer_checkpoint_is_refused_as_newer_whatever_it_holds(tmp_path: Path) -> None:
    """Not as damaged, with the advice to remove it."""
    torch.save({"format": checkpoint.FORMAT + 1, "network": "fast"}, tmp_path / checkpoint.LAST)
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.pt has format 2; .*use the version that wrote it"):
        checkpoint.read(tmp_path, checkpoint.LAST, "fast")


def test_a_damaged_checkpoint_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / checkpoint.LAST).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.pt can't be read .* remove it to start afresh"):
        checkpoint.read(tmp_path, checkpoint.LAST, "fast")


def test_what_a_run_before_a_new_option_did_by_default_is_no_difference(tmp_path: Path) -> None:
    spec = PreprocessSpec().to_dict()
    older = {"identity": {"preprocess": {key: value for key, value in spec.items() if key != "frames"}}}
    checkpoint.check_identity(tmp_path / "last.pt", older, {"preprocess": spec})
    with pytest.raises(checkpoint.CheckpointError, match=r"another preprocess \(frames False, now True\)"):
        checkpoint.check_identity(tmp_path / "last.pt", older, {"preprocess": {**spec, "frames": True}})


def test_of_another_vocabulary_the_tokens_that_differ_are_named(tmp_path: Path) -> None:
    """Not all of it: the remedy behind it was cut off by SageMaker's limit."""
    before, now = ({"vocabulary": {"tokens": [*map(str, range(500)), last]}} for last in ("\\alpha", "\\beta"))
    with pytest.raises(checkpoint.CheckpointError) as refused:
        checkpoint.check_identity(tmp_path / "last.pt", {"identity": before}, now)
    message = str(refused.value)
    assert r"gone \alpha, new \beta" in message and "to start afresh" in message and len(message) < 400
