"""T9: /opt/ml/output/failure starts with the line a person needs and holds the traceback."""

import pytest

from tests.support.tiny_dataset import TINY_JOB, write_tiny_dataset
from tests.support.training_job import TrainingJob


@pytest.fixture
def job(tmp_path):
    return TrainingJob(tmp_path / "job")


def test_T9_failure_starts_with_the_exception_and_holds_the_traceback(job):
    job.program(
        """
        def load(name):
            raise FileNotFoundError(f"gt.txt line 7: no picture {name!r}")
        load("a.png")
        """
    )
    result = job.run()
    assert result.code == 1, result
    assert result.failure is not None
    assert result.failure.splitlines()[0] == "FileNotFoundError: gt.txt line 7: no picture 'a.png'"
    assert "Traceback (most recent call last):" in result.failure[:1024]
    assert "in load" in result.failure[:1024]
    assert "ErrorMessage" not in result.failure  # the toolkit's own wording
    assert "FileNotFoundError" in result.err  # passed on, not swallowed


def test_T9_the_scripts_own_error_line_comes_first(job):
    job.program(
        """
        import sys
        print("error: hyperparameter 'epochs': expected a whole number, got 'many'", file=sys.stderr)
        raise SystemExit(1)
        """
    )
    result = job.run()
    assert result.failure is not None
    assert result.failure.startswith("hyperparameter 'epochs': expected a whole number, got 'many'\n"), result


@pytest.mark.slow
def test_T9_a_training_that_has_gone_to_infinity_says_where_and_what_to_change(job):
    """The first step throws the weights out of reach of any number format; the next twenty can't be taken."""
    write_tiny_dataset(job.channel("train"))
    absurd = {"learning_rate": "1e30", "warmup_steps": "0", "precision": "fp32"}
    job.hyperparameters = {**TINY_JOB, **absurd, "batch_size": "1"}
    result = job.run(timeout=240)
    assert result.code == 1 and result.failure is not None, result
    first = result.failure.splitlines()[0]
    assert first.startswith("the gradient wasn't finite for 20 steps in a row; lower learning_rate"), result
    assert "In the last one: first in the output of " in first and "gt.txt" in first, result
    assert not any((job.base / "model").iterdir())


def test_T9_exit_code_of_the_script_is_that_of_train(job):
    job.program("import sys; sys.exit(3)")
    result = job.run()
    assert result.code == 3
    assert result.failure is not None and result.failure.startswith("the training script ended with exit code 3")


def test_T9_killed_for_memory_says_so(job):
    job.program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    result = job.run()
    assert result.code == 137
    assert result.failure is not None and "SIGKILL" in result.failure.splitlines()[0]
    assert "memory" in result.failure.splitlines()[0]


def test_T9_exit_0_leaves_no_failure_file(job):
    job.program("print('done')")
    result = job.run()
    assert (result.code, result.failure) == (0, None), result
    assert (job.base / "output/success").exists()


def test_T9_a_failure_file_of_the_script_is_kept_in_front(job):
    job.program(
        """
        import os, pathlib
        path = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "output", "failure")
        path.write_text("my own reason")
        raise RuntimeError("boom")
        """
    )
    result = job.run()
    assert result.failure is not None and result.failure.startswith("my own reason\n"), result
    assert "RuntimeError: boom" in result.failure


def test_T9_a_missing_program_is_named_with_what_is_there(job):
    job.program("", name="other.py")
    job.hyperparameters["sagemaker_program"] = "absent.py"
    result = job.run()
    assert result.code == 1
    assert result.failure is not None
    first = result.failure.splitlines()[0]
    assert "absent.py" in first and "other.py" in first, result


@pytest.mark.parametrize("content", ["{not json", "[]"])
def test_T9_a_broken_configuration_file_is_named(job, content):
    config = job.base / "input/config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(content)
    job.start_bare()
    result = job.finish()
    assert result.code == 1
    assert result.failure is not None and "hyperparameters.json" in result.failure.splitlines()[0]


def test_T9_stderr_is_passed_on_while_the_job_runs(job):
    job.program(
        """
        import os, pathlib, sys, time
        print("early", file=sys.stderr)
        go = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "go")
        while not go.exists(): time.sleep(0.05)
        """
    )
    process = job.start()
    assert process.stderr is not None
    assert process.stderr.readline() == "early\n"
    (job.base / "go").touch()
    assert job.finish().code == 0


def test_T15_a_stale_failure_file_is_gone_after_a_good_run_and_replaced_after_a_bad_one(job):
    stale = job.base / "output/failure"
    stale.parent.mkdir(parents=True)
    stale.write_text("from the job before")
    job.program("raise ValueError('new')")
    result = job.run()
    assert result.failure is not None and result.failure.startswith("ValueError: new"), result
    job.program("pass")
    assert job.run().failure is None
