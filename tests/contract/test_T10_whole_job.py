"""Rows that only a whole job shows, with the recognizer's own train.py on a tiny data set: T4, T6, T10, T12, T13, T18.

The job runs without network where that can be arranged (a network space of its own needs root).
"""

import hashlib
import json
import re
import signal
import subprocess
import sys

import pytest

from inference import Recognizer, read_image
from launch.metrics import metric_definitions
from recognizer.models import REGISTRY
from tests.support import training_job
from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset
from tests.support.training_job import TrainingJob

NO_NETWORK = ["unshare", "--net"]
MODEL_FILES = {"model.json", "encoder.onnx", "decoder.onnx", "weights.safetensors"}


def digests(folder):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def prefix():
    try:
        works = subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    return NO_NETWORK if works else []


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(job, result, digests of the data before it) of a job that ran to its end."""
    job = TrainingJob(tmp_path_factory.mktemp("whole") / "job")
    data = write_tiny_dataset(job.channel("train"))
    for other in ("code", "sm_drivers"):  # ModelTrainer's; reading them as data would be an error (T4)
        (job.channel(other) / "gt.txt").write_text("not a data set\n")
    drawn = {"strips": "8", "symbol_steps": "2", "augment": "true", "dropout": "0.1"}
    job.hyperparameters = {**TINY_JOB, **drawn, "batch_size": "4", "tensorboard": "true"}
    before = digests(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_job, "TRAIN", [*prefix(), sys.executable, "-m", "container.train"])
        result = job.run(timeout=240)
    assert result.code == 0, result
    return job, result, before


@pytest.mark.slow
def test_T4_other_channels_are_not_read_as_data(finished):
    _job, result, _before = finished
    assert "sm_drivers" in result.out  # it was there
    assert result.failure is None


@pytest.mark.slow
def test_T6_the_channel_is_only_read(finished):
    job, _result, before = finished
    assert digests(job.base / "input/data/train") == before


@pytest.mark.slow
def test_T10_the_model_is_flat_and_complete(finished):
    job, _result, _before = finished
    names = {path.name for path in (job.base / "model").iterdir()}
    assert names >= MODEL_FILES | {"golden", "code", "split.json"}
    assert (job.base / "model/code/inference.py").exists()
    description = json.loads((job.base / "model/model.json").read_text())
    assert set(description["calibration"]) == {"slope", "offset", "long_slope", "long_offset"}
    assert {name: 0 <= rates["exprate"] <= 1 for name, rates in description["accuracy"].items()} == {
        "fp32": True,
        "int8": True,
    }
    assert (job.base / "model/history.jsonl").read_text(), "learning curves for a later evaluation"


@pytest.mark.slow
def test_T10_curves_are_where_sagemaker_takes_them_from(finished):
    """TensorBoardOutputConfig's default LocalPath."""
    job, _result, _before = finished
    (events,) = (job.base / "output/tensorboard").iterdir()
    assert b"validation/exprate" in events.read_bytes() and b"train/loss" in events.read_bytes()


@pytest.mark.slow
def test_T10_the_report_is_in_output_data(finished):
    job, _result, _before = finished
    assert any((job.base / "output/data").rglob("*.html"))


@pytest.mark.slow
def test_T12_checkpoints_are_few_and_whole(finished):
    job, _result, _before = finished
    files = [path for path in (job.base / "checkpoints").rglob("*") if path.is_file()]
    assert 1 <= len(files) <= 4, files
    assert not [path for path in files if path.name.startswith(".") or path.suffix in (".tmp", ".partial")]


@pytest.mark.slow
@pytest.mark.skipif(not prefix(), reason="a network space of its own needs root")
def test_T18_the_job_ran_without_network_and_credentials(finished):
    _job, result, _before = finished
    assert result.code == 0
    assert "its golden samples reproduce" in result.out  # to the very end


@pytest.mark.slow
def test_T10_L8_the_same_job_again_gives_the_same_bits(finished, tmp_path):
    """One seed fixes the split, the order, augmentation, dropout and the first weights."""
    job, _result, _before = finished
    again = TrainingJob(tmp_path / "job")
    write_tiny_dataset(again.channel("train"))
    again.hyperparameters = job.hyperparameters
    assert again.run(timeout=240).code == 0
    assert_same_model(again, job)


def assert_same_model(first, second):
    for name in ("weights.safetensors", "split.json", "history.jsonl"):
        assert (first.base / "model" / name).read_bytes() == (second.base / "model" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("recognizer", sorted(REGISTRY.keys() - {"fast"}))
def test_T10_each_recognizer_is_trained_exported_and_read_with(tmp_path, recognizer):
    job = TrainingJob(tmp_path / "job")
    data = write_tiny_dataset(job.channel("train"))
    job.hyperparameters = {**TINY_JOB, "recognizer": recognizer}
    result = job.run(timeout=240)
    assert result.code == 0, result
    model = Recognizer.load(job.base / "model")
    assert model.version.startswith(f"{recognizer}-") and model.check_golden() > 0
    assert any((job.base / "output/data").rglob("report.html"))
    assert model.predict([read_image((data / "000.png").read_bytes())])[0].model_version == model.version


@pytest.mark.slow
def test_T13_every_metric_definition_matches_a_line_of_the_job(finished):
    _job, result, _before = finished
    for definition in metric_definitions():
        found = re.findall(definition["Regex"], result.out)
        assert found, f"nothing for {definition['Name']} in:\n{result.out}"
        assert all(isinstance(float(value), float) for value in found)


@pytest.mark.slow
def test_T13_no_carriage_returns_when_not_on_a_terminal(finished):
    _job, result, _before = finished
    assert "\r" not in result.out + result.err


def stop_after_a_validation(job):
    """SIGTERM once the job has validated for the first time."""
    process = job.start()
    assert process.stdout is not None
    for line in process.stdout:
        if "validation:exprate" in line:
            break
    process.send_signal(signal.SIGTERM)
    return job.finish(timeout=60)


@pytest.mark.slow
def test_T11_T12_a_stopped_job_saves_and_the_next_goes_on(tmp_path):
    job = TrainingJob(tmp_path / "job")
    write_tiny_dataset(job.channel("train"))
    job.hyperparameters = {**TINY_JOB, "epochs": "1000"}
    result = stop_after_a_validation(job)
    assert result.code == 0, result
    assert result.failure is None
    assert any((job.base / "checkpoints").iterdir())
    assert not any((job.base / "model").iterdir())  # half a model would be deployed as a whole one
    # SageMaker keeps checkpoints/ only for a job that has an address for it; output/data it always uploads.
    names = {path.name for path in (job.base / "output/data/checkpoints").iterdir()}
    assert {"last.pt", "best.pt", "split.json"} <= names

    split = (job.base / "checkpoints/split.json").read_bytes()
    job.hyperparameters |= {"epochs": "1", "validation_share": "0.5"}  # done already: it only has to be exported
    result = job.run(timeout=120)
    assert result.code == 0, result
    assert (job.base / "model/model.json").exists()
    assert "train:loss" not in result.out  # nothing was trained again
    assert (job.base / "model/split.json").read_bytes() == split, "not divided anew"


@pytest.mark.slow
def test_T12_a_job_killed_within_an_epoch_goes_on_to_the_same_bits(finished, tmp_path):
    """As on a spot instance that is gone without a word: the checkpoints are all that is left."""
    undisturbed, _result, _before = finished
    job = TrainingJob(tmp_path / "job")
    write_tiny_dataset(job.channel("train"))
    job.hyperparameters = {**undisturbed.hyperparameters, "checkpoint_minutes": "0.0001"}  # one with each step
    job.start()
    job.wait_for_another("checkpoints/last.pt", timeout=240)  # the first holds what the lessons on symbols taught
    job.kill()
    assert job.finish().code == -signal.SIGKILL
    result = job.run(timeout=240)
    assert result.code == 0, result
    assert re.search(r"resumed at epoch 1, batch [1-9]", result.out) and "train:loss" in result.out, result
    assert_same_model(job, undisturbed)


@pytest.mark.slow
def test_T11_T16_every_rank_stops_and_the_first_saves(tmp_path):
    job = TrainingJob(tmp_path / "job")
    write_tiny_dataset(job.channel("train"))
    torchrun = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
    job.hyperparameters = {**TINY_JOB, **torchrun, "epochs": "1000"}
    result = stop_after_a_validation(job)
    assert result.code == 0, result
    assert any((job.base / "checkpoints").iterdir())
    assert not any((job.base / "model").iterdir())


@pytest.mark.slow
def test_T10_T16_of_two_hosts_only_the_first_writes_the_model(tmp_path):
    hosts = ("localhost", "127.0.0.1")
    jobs = [TrainingJob(tmp_path / f"host-{index}", host=host, hosts=hosts) for index, host in enumerate(hosts)]
    for job in jobs:
        write_tiny_dataset(job.channel("train"))
        job.hyperparameters = {**TINY_JOB, "tensorboard": "true", "sagemaker_torch_distributed_enabled": "true"}
        job.start()
    results = [job.finish(timeout=240) for job in jobs]
    assert [result.code for result in results] == [0, 0], results
    assert (jobs[0].base / "model/model.json").exists()
    for folder in ("model", "checkpoints", "output/data", "output/tensorboard"):
        first, second = ([path for path in (job.base / folder).rglob("*") if path.is_file()] for job in jobs)
        assert first and not second, (folder, second)
