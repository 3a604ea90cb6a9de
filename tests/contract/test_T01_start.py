"""T1, T7, T14: how the container is started, and what the script finds in its environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

from container.train.jobdir import base_dir
from tests.support.training_job import ROOT, TrainingJob

TRAIN = ROOT / "docker/bin/train"


def test_T1_train_is_a_program_with_run_bit_shebang_and_lf():
    assert os.access(TRAIN, os.X_OK)
    assert TRAIN.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert b"\r" not in TRAIN.read_bytes()


def test_T1_train_starts_without_a_shell_from_any_folder(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.program("print('started')")
    job.run()  # lays the folder out
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'code'}",
        "SAGEMAKER_BASE_DIR": str(job.base),
    }
    done = subprocess.run([str(TRAIN)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "started" in done.stdout


def test_T7_the_script_finds_its_folders_and_its_host(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.channel("train")
    job.hyperparameters["epochs"] = "3"
    job.program("import json, os; print('ENVIRONMENT ' + json.dumps(dict(os.environ)))")
    result = job.run()
    assert result.code == 0, result
    line = next(line for line in result.out.splitlines() if line.startswith("ENVIRONMENT "))
    found = json.loads(line.removeprefix("ENVIRONMENT "))
    assert found["SM_MODEL_DIR"] == str(job.base / "model")
    assert found["SM_OUTPUT_DATA_DIR"] == str(job.base / "output/data")
    assert found["SM_CHANNEL_TRAIN"] == str(job.base / "input/data/train")
    assert (found["SM_CURRENT_HOST"], json.loads(found["SM_HOSTS"])) == ("localhost", ["localhost"])
    assert json.loads(found["SM_HPS"]) == {"epochs": 3}
    assert found["SM_NUM_GPUS"].isdigit()


def test_T7_a_job_folder_named_from_here_is_the_scripts_too(tmp_path):
    """The script runs in another folder: its model went to nowhere, with exit code 0."""
    job = TrainingJob(tmp_path / "job")
    job.variables["SAGEMAKER_BASE_DIR"] = os.path.relpath(job.base, ROOT)
    job.program("import os, pathlib; pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.json').touch()")
    result = job.run()
    assert result.code == 0, result
    assert (job.base / "model/model.json").exists(), result


def test_T7_an_empty_name_of_the_job_folder_is_none(monkeypatch):
    for name in ("", " "):
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", name)
        assert base_dir() == Path("/opt/ml")


def test_T14_the_jobs_name_reaches_the_script(tmp_path):
    job = TrainingJob(tmp_path / "job")
    arn = "arn:aws:sagemaker:eu-west-1:000000000000:training-job/formulas-1"
    job.variables = {"TRAINING_JOB_NAME": "formulas-1", "TRAINING_JOB_ARN": arn}
    job.program("import os; print(os.environ['TRAINING_JOB_NAME'], os.environ['TRAINING_JOB_ARN'])")
    assert f"formulas-1 {arn}" in job.run().out


def test_T1_train_takes_no_arguments_and_says_where_settings_come_from(tmp_path):
    """`python -m container.train --help` began to train."""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path / "job"), "PYTHONPATH": f"{ROOT}:{ROOT / 'code'}"}
    asked, wrong = (
        subprocess.run([str(TRAIN), option], env=environment, capture_output=True, text=True)
        for option in ("--help", "--epochs=3")
    )
    assert asked.returncode == 0 and "Hyperparameters" in asked.stdout
    assert wrong.returncode == 1 and "takes no arguments, not --epochs=3" in wrong.stderr
    assert "takes no arguments" in (tmp_path / "job/output/failure").read_text()
