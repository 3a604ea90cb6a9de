"""T6: File and FastFile give files; Pipe gives named pipes, for shards, or for what the job's own program reads."""

import os
import shutil
import threading

import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.pack_shards import pack_shards
from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset
from tests.support.training_job import TrainingJob


@pytest.fixture
def job(tmp_path):
    made = TrainingJob(tmp_path / "job")
    made.channels["train"] = {"TrainingInputMode": "Pipe"}
    return made


def test_T6_a_pipe_without_an_index_is_refused_by_the_recognizers_own_program(job):
    result = job.run()
    assert result.code == 1
    assert result.failure is not None
    first = result.failure.splitlines()[0]
    assert "'train'" in first and "Pipe" in first and "FastFile" in first, result


@pytest.mark.slow
def test_T6_shards_through_a_pipe_are_trained_on(job, tmp_path):
    write_tiny_dataset(job.channel("validation"), 8)
    pack_shards(
        read_dataset(write_tiny_dataset(tmp_path / "loose")), tmp_path / "shards", megabytes=0.02, progress=False
    )
    shutil.copytree(tmp_path / "shards/index", job.channel("index"), dirs_exist_ok=True)
    shards = sorted((tmp_path / "shards").glob("*.tar"))
    assert len(shards) > 1
    sender = send(job.base / "input/data/train_0", shards)
    job.hyperparameters = TINY_JOB
    result = job.run(timeout=240)
    assert result.code == 0, result
    assert "24 training and 8 validation samples" in result.out and "epoch 1/1 validated" in result.out
    sender.join()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "stream"), [("File", "false"), ("FastFile", "true")])
def test_T6_shards_that_are_files_are_trained_on(job, tmp_path, mode, stream):
    """Anywhere in them, or from start to end; FastFile gives files too."""
    channel = job.channel("train")
    job.channels["train"] = {"TrainingInputMode": mode}
    pack_shards(read_dataset(write_tiny_dataset(tmp_path / "loose")), channel, megabytes=0.02, progress=False)
    assert len(list(channel.glob("*.tar"))) > 1
    job.hyperparameters = {**TINY_JOB, "stream": stream, "width": "32", "heads": "2", "decoder_layers": "1"}
    result = job.run(timeout=240)
    assert result.code == 0, result
    assert "22 training and 2 validation samples" in result.out and "epoch 1/1 validated" in result.out
    assert (job.base / "model/model.json").exists()


def send(path, shards):
    """Offer the shards, one after the other, in a named pipe, as SageMaker does for each epoch."""

    def write():
        try:
            with path.open("wb") as pipe:
                for shard in shards:
                    pipe.write(shard.read_bytes())
        except BrokenPipeError:
            pass  # the reader has what it wants

    os.mkfifo(path)
    sender = threading.Thread(target=write, daemon=True)
    sender.start()
    return sender


def test_T6_a_program_of_the_jobs_own_may_read_pipes(job):
    pipe = job.base / "input/data/train_0"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    job.program("import os; print('READ', open(os.environ['SM_CHANNEL_TRAIN'] + '_0').read())")
    writer = threading.Thread(target=lambda: pipe.write_text("records"), daemon=True)
    writer.start()
    assert "READ records" in job.run().out
