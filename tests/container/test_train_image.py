"""The training image at work: real containers, real (very short) training of the default recognizer."""

from __future__ import annotations

import json
import time

import pytest

from recognizer.data.formats import read_dataset
from tests.support.containers import (
    AS_IN_THE_CLOUD,
    OFFLINE,
    ORDINARY_USER,
    TRAIN_IMAGE,
    ImageJob,
    docker,
    logs,
    run,
    wait_for_log,
)
from tests.support.server import Server

pytestmark = [pytest.mark.container, pytest.mark.slow]

# A small network on few pictures: seconds, and every stage of a real job.
SMALL = {
    "epochs": "1",
    "stem": "8",
    "width": "32",
    "heads": "4",
    "encoder_layers": "0",
    "decoder_layers": "1",
    "batch_size": "8",
    "strips": "16",
    "symbol_steps": "5",
    "workers": "0",
    "threads": "1",
}
PROCESSED = "/opt/ml/processing/output"
STOP_SECONDS = 60  # SageMaker allows 120


@pytest.fixture(scope="module")
def trained(train_image, tmp_path_factory):
    """A finished job on the embedded data set in the strictest surroundings: ordinary user, read-only root, offline."""
    job = ImageJob(tmp_path_factory.mktemp("trained"), {**SMALL, "synthetic": "48"})
    finished = job.run(*AS_IN_THE_CLOUD, *ORDINARY_USER)
    assert finished.code == 0, f"{finished.out}\n{finished.err}\n{job.failure}"
    return job, finished


def test_T10_T18_trains_as_ordinary_user_read_only_and_offline(trained):
    job, finished = trained
    written = {path.relative_to(job.base / "model").as_posix() for path in (job.base / "model").rglob("*")}
    assert {"model.json", "encoder.onnx", "decoder.onnx", "weights.safetensors", "code/inference.py"} <= written
    assert job.failure is None
    assert "validation:exprate=" in finished.out


def test_T13_no_carriage_returns_off_a_terminal(trained):
    _, finished = trained
    assert "\r" not in finished.out + finished.err


def test_L14_what_was_trained_is_served(trained):
    """The model directory goes from image to server as it is; its golden samples reproduce there."""
    job, _ = trained
    golden = json.loads((job.base / "model/golden/golden.json").read_text())
    assert golden
    picture = sorted((job.base / "model/golden").glob("*.png"))[0]
    with Server(job.base) as server:
        server.wait_until_ready()
        answer = server.invoke(picture.read_bytes()).json()
    assert isinstance(answer["latex"], str)


def test_S5_trains_as_root(train_image, tmp_path):
    """As SageMaker runs it."""
    job = ImageJob(tmp_path, SMALL, own_data=True)
    finished = job.run()
    assert finished.code == 0, f"{finished.out}\n{finished.err}\n{job.failure}"
    assert (tmp_path / "model/model.json").exists()


def test_T3_T9_wrong_hyperparameter_is_named_in_the_failure_file(train_image, tmp_path):
    job = ImageJob(tmp_path, {**SMALL, "epoch": "1"})
    finished = job.run(*OFFLINE)
    assert finished.code != 0
    assert job.failure is not None
    assert "'epoch'" in job.failure.splitlines()[0]
    assert "epochs" in job.failure.splitlines()[0]


def test_T11_T12_sigterm_to_the_container_saves_a_checkpoint_and_ends_with_0(train_image, tmp_path):
    """SageMaker's stop, from the engine to the script; then the same job goes on from the checkpoint."""
    job = ImageJob(tmp_path, {**SMALL, "epochs": "100000"}, own_data=True)
    container = job.start(*AS_IN_THE_CLOUD)
    wait_for_log(container, "validation:loss=")
    sent = time.monotonic()
    docker("kill", "--signal", "TERM", container)
    code = docker("wait", container, timeout=STOP_SECONDS).out.strip()
    assert time.monotonic() - sent < STOP_SECONDS
    assert code == "0", logs(container)
    checkpoints = sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_file())
    assert checkpoints
    assert not (tmp_path / "model/model.json").exists()  # a stopped job has no model yet

    again = job.start(*AS_IN_THE_CLOUD)
    wait_for_log(again, "resum")
    docker("rm", "--force", again)


def test_the_hosts_of_a_processing_job_make_one_set(train_image, tmp_path):
    """The embedded data set by two hosts, each with its resourceconfig.json, as a Processing job starts them."""
    hosts = ["algo-1", "algo-2"]
    made = tmp_path / "output"
    made.mkdir()
    made.chmod(0o777)
    for host in hosts:
        config = tmp_path / f"{host}.json"
        config.write_text(json.dumps({"current_host": host, "hosts": hosts}))
        mounts = ["--volume", f"{config}:/opt/ml/config/resourceconfig.json:ro", "--volume", f"{made}:{PROCESSED}"]
        request = ["--out", PROCESSED, "--count", "20", "--per-shard", "5", "--shard", "host", "--workers", "1"]
        options = [*mounts, "--entrypoint", "python3", *AS_IN_THE_CLOUD, *ORDINARY_USER]
        finished = run(TRAIN_IMAGE, "-m", "recognizer.synth", *request, options=options)
        assert finished.code == 0, finished
    assert len(list(made.glob("*.tar"))) == 4
    assert len(read_dataset(made).samples) == 20
