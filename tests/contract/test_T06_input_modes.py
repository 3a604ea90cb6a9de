"""T6: File and FastFile give files; Pipe gives named pipes, which our program refuses and others may read."""

import os
import threading

import pytest

from tests.support.training_job import TrainingJob


@pytest.fixture
def job(tmp_path):
    made = TrainingJob(tmp_path / "job")
    made.channels["train"] = {"TrainingInputMode": "Pipe"}
    return made


def test_T6_pipe_mode_is_refused_by_the_recognizers_own_program(job):
    result = job.run()
    assert result.code == 1
    assert result.failure is not None
    first = result.failure.splitlines()[0]
    assert "'train'" in first and "Pipe" in first and "FastFile" in first, result


def test_T6_a_program_of_the_jobs_own_may_read_pipes(job):
    pipe = job.base / "input/data/train_0"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    job.program("import os; print('READ', open(os.environ['SM_CHANNEL_TRAIN'] + '_0').read())")
    writer = threading.Thread(target=lambda: pipe.write_text("records"), daemon=True)
    writer.start()
    assert "READ records" in job.run().out
