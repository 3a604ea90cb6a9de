"""T4: a channel's folder is told by its name; the SDK names the one of `fit("s3://...")` itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizer.training.job import Folders
from tests.support.training_job import TrainingJob


@pytest.mark.parametrize("name", ["train", "training"])
def test_T4_data_comes_by_the_name_that_the_sdk_gives_it_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("TRAIN", "TRAINING", "VALIDATION", "MODEL", "INDEX"):
        monkeypatch.delenv(f"SM_CHANNEL_{other}", raising=False)
    assert Folders.from_environment().train is None
    monkeypatch.setenv(f"SM_CHANNEL_{name.upper()}", "/opt/ml/input/data/here")
    assert Folders.from_environment().train == Path("/opt/ml/input/data/here")


def test_T4_data_under_a_name_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    """The job would train on the embedded pictures instead, and say nothing."""
    job = TrainingJob(tmp_path / "job")
    job.channel("pictures")
    result = job.run()
    assert result.code == 1
    assert result.failure is not None
    assert "`train`" in result.failure and "`pictures`" in result.failure, result


def test_T4_data_under_both_names_is_refused(tmp_path: Path) -> None:
    """One half of the data would be left out, without a word."""
    job = TrainingJob(tmp_path / "job")
    job.channel("train")
    job.channel("training")
    result = job.run()
    assert result.code == 1
    assert result.failure is not None and "both a channel `train` and one `training`" in result.failure, result


def test_T4_a_channel_that_holds_a_model_to_learn_from_is_read(tmp_path: Path) -> None:
    job = TrainingJob(tmp_path / "job")
    folder = job.channel("experts")
    job.hyperparameters = {"teacher": str(folder)}
    result = job.run()
    assert result.failure is not None
    assert result.failure.startswith("teacher:") and "neither model.json" in result.failure, (
        "there is no model in it, which is looked for"
    )
