"""T16, T9: a rank that is killed, can't read its data or hangs ends the job, and the failure file says why."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

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


def pids_of(base: str, *variables: str) -> list[int]:
    """Processes of the job in this folder that have these variables."""
    own, found = {value.encode() for value in (*variables, f"SAGEMAKER_BASE_DIR={base}")}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or already gone
            if own <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


def pid_of_rank(number: int, base: str) -> int:
    (pid, *_) = pids_of(base, f"RANK={number}")
    return pid


@pytest.mark.slow
def test_T16_a_rank_killed_within_an_epoch_ends_the_job_with_its_signal(job):
    write_tiny_dataset(job.channel("train"))
    job.start()
    job.wait_for("checkpoints/last.pt", timeout=240)
    os.kill(pid_of_rank(1, str(job.base)), signal.SIGKILL)
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
    result = job.run(timeout=240)
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
    """All of its processes at once, as when a machine is lost: nobody is left there to say so."""
    hosts = ("localhost", "127.0.0.1")  # two names of one machine
    first, second = (
        TrainingJob(tmp_path / f"host-{index}", host=host, hosts=hosts) for index, host in enumerate(hosts)
    )
    for job in (first, second):
        write_tiny_dataset(job.channel("train"))
        job.hyperparameters = {**FOREVER, "sagemaker_torch_distributed_enabled": "true"}
        job.start()
    first.wait_for("checkpoints/last.pt", timeout=240)
    lost = pids_of(str(second.base))
    assert len(lost) > 1
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    died = time.monotonic()
    result = first.finish(timeout=240)
    assert time.monotonic() - died < A_MINUTE
    assert result.code != 0 and result.failure, result
    assert re.search("rank 1|host|connection", result.failure, re.IGNORECASE), result
