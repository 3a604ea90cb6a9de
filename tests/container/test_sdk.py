"""The SageMaker SDKs' local modes on the built images: v2 Estimator.fit, deploy, predict; v3 ModelTrainer (T17)."""

from __future__ import annotations

import json
import socket
import tarfile
from pathlib import Path

import pytest

from tests.support import containers
from tests.support.sdk import run_sdk, sdk_python
from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset

HYPERPARAMETERS = [f"{name}={value}" for name, value in TINY_JOB.items()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {name.removeprefix("./") for name in tar.getnames()}


def compose_containers() -> set[str]:
    """Containers that have ended and were made by `docker compose`; both SDKs leave theirs behind."""
    filters = ["--filter", "label=com.docker.compose.project", "--filter", "status=exited"]
    return set(containers.docker("ps", "--all", "--quiet", *filters).out.split())


@pytest.fixture(autouse=True)
def no_leftovers(engine):
    before = compose_containers()
    yield
    if left := compose_containers() - before:
        containers.docker("rm", "--volumes", *left)


@pytest.fixture
def data(tmp_path):
    return write_tiny_dataset(tmp_path / "data")


@pytest.mark.container
@pytest.mark.slow
def test_sdk_v2_fit_with_source_dir_deploy_predict_transform(train_image, serve_image, data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    arguments = [str(out), train_image, serve_image, str(free_port()), str(data)]
    output = run_sdk(sdk_python(2), "tests/support/sdk_v2_story.py", *arguments, *HYPERPARAMETERS)
    story = json.loads(output.strip().splitlines()[-1])
    assert names_in(out / "model.tar.gz") >= {"model.json", "encoder.onnx", "code/inference.py"}  # T10: flat
    assert "starting train.py from /opt/ml/code" in output  # the repository's code, not the baked one
    answer = story["answer"]
    assert isinstance(answer["latex"], str) and answer["model_version"], story
    assert len(story["answers"]) == 3  # batch transform: a line for each
    assert story["answers"][0]["latex"] == answer["latex"]


@pytest.mark.container
@pytest.mark.slow
def test_sdk_v3_model_trainer_runs_the_same_image(train_image, data, tmp_path):
    out = tmp_path / "out"
    command = ["-m", "launch.model_trainer", "--image", train_image, "--data", str(data), "--output", str(out)]
    output = run_sdk(sdk_python(3), *command, "--hp", *HYPERPARAMETERS)
    assert "basic_script_driver.py" in output  # T17: `train` was bypassed
    assert "validation:exprate=" in output
    assert names_in(out / "compressed_artifacts/model.tar.gz") >= {"model.json", "encoder.onnx", "code/inference.py"}


@pytest.mark.container
@pytest.mark.slow
def test_sdk_v3_baked_code_runs_train(train_image, data, tmp_path):
    """Without source code ModelTrainer leaves the image's command alone: our `train`, with all it does."""
    out = tmp_path / "out"
    command = ["-m", "launch.model_trainer", "--image", train_image, "--data", str(data), "--output", str(out)]
    output = run_sdk(sdk_python(3), *command, "--baked-code", "--hp", *HYPERPARAMETERS)
    assert "starting train.py from /opt/program/code" in output
    assert (out / "artifacts/model/model.json").exists()
