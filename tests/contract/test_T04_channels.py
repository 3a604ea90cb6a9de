"""T4: a channel's folder is told by its name; the SDK names the one of `fit("s3://...")` itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recognizer.config import Hyperparameters
from recognizer.training.job import Folders, unread_channels
from tests.support.training_job import ROOT, TrainingJob


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


def test_T4_no_data_beside_the_training_data_is_ignored_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever started the program: the toolkit, by name or by default, or ModelTrainer, two of whose own these are."""
    for name in ("train", "validation", "val", "code", "sm_drivers", "experts"):
        monkeypatch.setenv(f"SM_CHANNEL_{name.upper()}", f"/opt/ml/input/data/{name}")
    assert unread_channels(Hyperparameters.from_strings({})) == ["experts", "val"]
    for taught in ("/opt/ml/input/data/experts", "/opt/ml/input/data/experts/model.tar.gz"):
        assert unread_channels(Hyperparameters.from_strings({"teacher": taught})) == ["val"]
    other = "/opt/ml/input/data/experts-of-old"  # whose name begins alike
    assert unread_channels(Hyperparameters.from_strings({"teacher": other})) == ["experts", "val"]


def test_T4_a_program_that_is_named_refuses_them_too(tmp_path: Path) -> None:
    """As `Estimator(entry_point="train.py", source_dir="code")` does."""
    job = TrainingJob(tmp_path / "job")
    shutil.copytree(ROOT / "code", job.base / "code", ignore=shutil.ignore_patterns("__pycache__", "requirements.txt"))
    job.hyperparameters = {"sagemaker_program": "train.py"}
    job.channel("pictures")
    result = job.run()
    assert result.code == 1
    assert result.failure is not None and "nothing reads its channel `pictures`" in result.failure, result


def test_T4_a_channel_that_holds_a_model_to_learn_from_is_read(tmp_path: Path) -> None:
    job = TrainingJob(tmp_path / "job")
    folder = job.channel("experts")
    job.hyperparameters = {"teacher": str(folder)}
    result = job.run()
    assert result.failure is not None
    assert result.failure.startswith("teacher:") and "neither model.json" in result.failure, (
        "there is no model in it, which is looked for"
    )
