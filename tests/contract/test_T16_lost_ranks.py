"""T16, T9: a rank that is killed, can't read its data or hangs ends the job, and the failure file says why."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset
from tests.support.training_job import TrainingJob

TWO_RANKS = {
    "sagemaker_torch_distributed_enabled": "true",
    "sagemaker_instance_type": '"local"',
    "sagemaker_mpi_num_of_processes_per_host": "2",
}
FOREVER = {**TINY_JOB, "epochs": "100000", "batch_size": "2", "checkpoint_minutes": "0.0001"}  # one with each step

A_MINUTE = 60  # at most, from what happened to the end of the job

# Rank 0 waits for gradients of the others, as in a step; rank 1 says who it is, and stands still
HANGS = """
    import os, pathlib, signal
    from recognizer.training.distributed import join
    with join() as ranks:
        ranks.wait()
        if ranks.rank == 1:
            pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "hangs").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        ranks.wait()
"""


@pytest.fixture
def job(tmp_path):
    made = TrainingJob(tmp_path / "job")
    made.hyperparameters = {**FOREVER, **TWO_RANKS}
    return made


@pytest.mark.slow
def test_T16_a_rank_killed_within_an_epoch_ends_the_job_with_its_signal(job):
    write_tiny_dataset(job.channel("train"))
    job.start()
    job.wait_for("checkpoints/last.pt", timeout=240)
    os.kill(job.pids("RANK=1")[0], signal.SIGKILL)
    killed = time.monotonic()
    result = job.finish(timeout=120)
    assert time.monotonic() - killed < A_MINUTE
    assert result.code != 0 and result.failure is not None, result
    assert re.match("the training script was ended by SIGKILL", result.failure), result


@pytest.mark.slow
def test_T16_a_rank_that_cannot_read_its_data_ends_the_job_with_file_and_line(job):
    """Each rank reads its share of the pictures, and the other waits for what it has measured."""
    picture = write_tiny_dataset(job.channel("train")) / "005.png"
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])  # a good header
    process = job.start()
    assert process.stderr is not None and any("can't be read" in line for line in process.stderr)
    said = time.monotonic()
    result = job.finish(timeout=240)
    assert time.monotonic() - said < A_MINUTE
    assert result.code == 1 and result.failure is not None, result
    assert re.match(r"gt\.txt:6: the picture '005\.png' can't be read", result.failure), result


@pytest.mark.slow
def test_T16_a_rank_that_hangs_ends_the_job(job):
    """Found after 20 s by its heartbeat; torchrun takes another 30 to end it."""
    job.hyperparameters = dict(TWO_RANKS)
    job.program(HANGS)
    job.start()
    job.wait_for("hangs", timeout=120)
    stands_still = time.monotonic()
    result = job.finish(timeout=240)
    assert time.monotonic() - stands_still < A_MINUTE
    assert result.code == 1 and result.failure is not None, result
    assert result.failure.startswith("rank 1 has given no sign of life for 20 s: its process hangs"), result


@pytest.mark.slow
def test_T16_a_host_that_dies_ends_the_job_on_the_others(tmp_path):
    hosts = ("localhost", "127.0.0.1")  # two names of one machine
    first, second = (
        TrainingJob(tmp_path / f"host-{index}", host=host, hosts=hosts) for index, host in enumerate(hosts)
    )
    for job in (first, second):
        write_tiny_dataset(job.channel("train"))
        job.hyperparameters = {**FOREVER, "sagemaker_torch_distributed_enabled": "true"}
        job.start()
    first.wait_for("checkpoints/last.pt", timeout=240)
    second.kill()
    died = time.monotonic()
    result = first.finish(timeout=240)
    assert time.monotonic() - died < A_MINUTE
    assert result.code != 0 and result.failure, result
    headline = result.failure.splitlines()[0]
    assert re.match(
        r"another process of the job is gone, most likely on another host: .* goes on from its last checkpoint "
        r"\(RuntimeError: .*(Connection (reset|closed) by peer|Broken pipe)",
        headline,
    ), result
