"""The model of a run that was stopped: what its checkpoint's average reads, as a model directory like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import inference
from recognizer.snapshot import main, snapshot
from recognizer.training.checkpoint import CheckpointError
from recognizer.training.job import Folders, run
from recognizer.training.loop import Trainer
from recognizer.training.stop import StopSignal
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import settings
from tests.unit.training.test_resume import StopAfter, folder  # noqa: F401 (a fixture)


def test_a_stopped_run_has_a_model(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints, out = tmp_path / "checkpoints", tmp_path / "model"
    folders = Folders(tmp_path / "exported", tmp_path / "output", checkpoints, folder, None)
    trains = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda made, stop: trains(made, StopAfter(4)))
    run(settings(sizes=SMALL["fast"]), folders, StopSignal())
    assert not folders.model.exists()

    assert main([str(checkpoints), str(out)]) == 0

    recognizer = inference.Recognizer.load(out)
    recognizer.check_golden()
    assert recognizer.version in capsys.readouterr().out
    assert json.loads((out / "model.json").read_text())["metrics"] == {}, "these weights were never validated"
    average = torch.load(checkpoints / "last.pt", weights_only=True)["average"]
    exported = load_file(out / "weights.safetensors")
    assert all(torch.equal(exported[name], weight) for name, weight in average.items())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model's `code` and `golden` would take the place of whatever has these names there."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/mine.py").write_text("mine")
    assert main([str(tmp_path), str(tmp_path)]) == 1
    assert "holds something already" in capsys.readouterr().err
    assert (tmp_path / "code/mine.py").read_text() == "mine"


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match="isn't there: name a job's checkpoints folder"):
        snapshot(tmp_path, tmp_path / "model")
    assert main([str(tmp_path), str(tmp_path / "model")]) == 1
    assert "last.pt isn't there" in capsys.readouterr().err
