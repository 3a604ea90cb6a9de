"""T17: ModelTrainer runs `bash -c ... sm_train.sh` and bypasses `train`; the script must do its part alone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from container.train.processes import catches
from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset
from tests.support.training_job import ROOT


def start(base, data, variables=None, **hyperparameters):
    """What sm_train.sh does in the end: variables set, current folder the code, `python train.py --name value`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SM_", "SAGEMAKER_"))}
    environment = {
        **clean,
        "SAGEMAKER_BASE_DIR": str(base),  # stands for /opt/ml
        "SM_CHANNEL_TRAIN": str(data),
        "SM_CHANNEL_CODE": str(ROOT / "code"),
        "SM_CHANNELS": "['train', 'code', 'sm_drivers']",  # its way of writing a list
        "SM_MODEL_DIR": str(base / "model"),
        "SM_OUTPUT_DATA_DIR": str(base / "output/data"),
        "SM_MASTER_ADDR": "algo-1",
        "SM_MASTER_PORT": "7777",
        "SM_HOST_COUNT": "1",
        "SM_CURRENT_HOST_RANK": "0",
        **(variables or {}),
    }
    arguments = [word for name, value in hyperparameters.items() for word in (f"--{name}", value)]
    command = ["/bin/bash", "-c", 'cd "$0" && exec "$@"', str(ROOT / "code"), sys.executable, "train.py", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_T17_the_script_works_and_stops_without_the_wrapper(tmp_path):
    data = write_tiny_dataset(tmp_path / "data")
    process = start(tmp_path / "ml", data, **{**TINY_JOB, "epochs": "1000"})
    assert process.stdout is not None
    for line in process.stdout:
        if "validation:exprate" in line:
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert any((tmp_path / "ml/checkpoints").iterdir())


def test_T17_a_wrong_hyperparameter_fails_with_one_clear_line(tmp_path):
    """On stderr, and in the file that SDK v3 shows; not the line of an earlier job."""
    failure = tmp_path / "failure"
    failure.write_text("of an earlier job")
    process = start(tmp_path / "ml", tmp_path, {"SM_OUTPUT_FAILURE": str(failure)}, epochs="many")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert err.startswith("error: hyperparameter epochs='many'")
    assert failure.read_text() == err


def test_T17_a_stop_while_libraries_are_loaded_is_one(tmp_path):
    """They take seconds; the job was a failed one, for a reason that wasn't true."""
    process = start(tmp_path / "ml", tmp_path)
    while not catches(process.pid, signal.SIGTERM):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "SIGTERM received" in out and "stopped before the training began" in out


def test_T11_a_stop_while_pictures_are_drawn_is_obeyed_at_once(tmp_path):
    """SageMaker kills after 120 s, and to draw these takes longer."""
    variables = {"SM_CHANNEL_TRAIN": "", "TMPDIR": str(tmp_path)}
    process = start(tmp_path / "ml", tmp_path, variables, synthetic="100000")
    assert process.stdout is not None
    assert "making 100000 embedded pictures" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "SIGTERM received" in out and "stopped before the training began" in out
    assert not list(tmp_path.glob("*embedded*")), "nothing half drawn is left"
