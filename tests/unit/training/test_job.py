"""A job that is stopped, has failed, or is started again: what it keeps, what it says, and what binds the next one."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from recognizer.data.canvases import read_canvases
from recognizer.data.sample import DataError
from recognizer.training import job
from recognizer.training.distributed import Ranks
from recognizer.training.loop import Trainer
from recognizer.training.stop import BEFORE_TRAINING, StopSignal
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings
from tests.unit.training.test_resume import StopAfter


def folders(base: Path, train: Path) -> job.Folders:
    return job.Folders(base / "model", base / "output", base / "checkpoints", train, None)


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> job.Folders:
    """Those of a job that was stopped after two steps."""
    own, trains = folders(tmp_path, write_tiny_dataset(tmp_path / "data")), Trainer.run
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda made, stop: trains(made, StopAfter(2)))
        job.run(settings(), own, StopSignal())
    return own


def test_a_stop_while_pictures_are_read_keeps_what_is_known_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = folders(tmp_path, write_tiny_dataset(tmp_path / "data"))
    job.run(settings(), own, StopAfter(20))
    assert BEFORE_TRAINING in capsys.readouterr().out
    assert [path.name for path in own.checkpoints.iterdir()] == ["canvases.npz"]
    known = read_canvases(own.checkpoints / "canvases.npz", job._samples_depend_on(settings(), SPEC))
    assert 0 < sum(map(len, known)) < 24
    assert not own.output.exists()


def test_what_all_ranks_know_is_told_once_and_an_error_by_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = folders(tmp_path, data := write_tiny_dataset(tmp_path / "data"))
    (data / "more.xlsx").touch()
    told = []
    for ranks in (Ranks(), Ranks(rank=1)):
        assert job._prepare(settings(), own, SPEC, ranks, (), StopSignal())
        told.append(capsys.readouterr().out)
    assert "not read: 1 files (more.xlsx)" in told[0] and "2 validation samples" in told[0]
    assert told[1] == ""
    (data / "gt.txt").write_text("no tab\n")
    for ranks in (Ranks(), Ranks(rank=1)):
        with pytest.raises(DataError, match=r"gt\.txt:1"):
            job._prepare(settings(), own, SPEC, ranks, (), StopSignal())


def test_a_job_that_has_learned_nothing_binds_nobody_to_its_data(stopped: job.Folders) -> None:
    """It may have failed because of them."""
    assert job._split_to_resume(stopped) is not None
    (stopped.checkpoints / "last.pt").rename(stopped.checkpoints / "symbols.pt")
    assert job._split_to_resume(stopped) is not None
    (stopped.checkpoints / "symbols.pt").unlink()
    assert job._split_to_resume(stopped) is None


def test_a_stop_without_room_for_the_copies_is_no_failure(
    stopped: job.Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint is saved; half a copy of it would be taken for one."""
    copies = stopped.output / "checkpoints"
    assert {path.name for path in copies.iterdir()} == {"last.pt", "split.json", "canvases.npz"}

    def copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy)
    job._tell_stopped(stopped)
    assert "goes on from" in (told := capsys.readouterr().out) and "No space left" in told
    assert not copies.exists()


@pytest.mark.slow
def test_a_model_says_what_it_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what a finished job was started again with."""
    own = folders(tmp_path, write_tiny_dataset(tmp_path / "data"))
    with monkeypatch.context() as patch:
        patch.setattr(job, "_finish", lambda *_: None)
        job.run(settings(epochs=1), own, StopSignal())
    job.run(settings(epochs=1, learning_rate=0.5), own, StopSignal())
    assert "learning_rate 0.002 -> 0.5; the training is done" in capsys.readouterr().out
    description = json.loads((own.model / "model.json").read_text())
    assert description["provenance"]["hyperparameters"]["learning_rate"] == 2e-3
