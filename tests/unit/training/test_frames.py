r"""Frames around formulas: taken away, unless the job says that its labels have them (`\\boxed`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings


def told(folder: Path, frames: bool, capsys: pytest.CaptureFixture[str]) -> str:
    spec = replace(SPEC, frames=frames)
    prepare(settings(frames=frames, max_tokens=20), folder, None, spec, None, Ranks())
    return capsys.readouterr().out


def test_labels_with_frames_are_told_if_frames_are_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_dataset(tmp_path / "data", 8)
    (folder / "tokens.txt").unlink()
    assert "\\boxed" not in told(folder, False, capsys)
    labels = folder / "gt.txt"
    labels.write_text("".join(line.replace("\t", "\t\\boxed { ") + " }\n" for line in labels.read_text().splitlines()))
    warning = told(folder, False, capsys)
    assert "labels have \\boxed, such as that of " in warning and "set frames=true" in warning
    assert "\\boxed" not in told(folder, True, capsys)
