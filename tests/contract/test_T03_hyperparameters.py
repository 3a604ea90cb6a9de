"""T3: hyperparameters arrive as text, JSON-quoted once more or not; a wrong one is refused by name, early."""

import json

import pytest

from tests.support.training_job import TrainingJob

SHOWS_ARGUMENTS = "import json, sys; print('ARGUMENTS ' + json.dumps(sys.argv[1:]))"


@pytest.fixture
def job(tmp_path):
    return TrainingJob(tmp_path / "job")


def arguments(result):
    assert result.code == 0, result
    line = next(line for line in result.out.splitlines() if line.startswith("ARGUMENTS "))
    words = json.loads(line.removeprefix("ARGUMENTS "))
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("encode", [str, json.dumps], ids=["plain", "json-quoted"])
def test_T3_values_reach_the_script_quoted_or_not(job, encode):
    job.program(SHOWS_ARGUMENTS)
    values = {"note": "two words", "epochs": "3", "rate": "0.5", "flag": "True"}
    job.hyperparameters |= {name: encode(value) for name, value in values.items()}
    assert arguments(job.run()) == {f"--{name}": value for name, value in values.items()}


def test_T3_sagemakers_own_are_not_the_scripts(job):
    job.program(SHOWS_ARGUMENTS)
    job.hyperparameters |= {
        "sagemaker_region": '"eu-west-1"',
        "sagemaker_job_name": '"a"',
        "sagemaker_container_log_level": "20",
        "_tuning_objective_metric": "validation:exprate",
    }
    assert arguments(job.run()) == {}


@pytest.mark.parametrize(("name", "value"), [("epochs", "many"), ("epochz", '"3"')])
def test_T3_a_wrong_hyperparameter_is_refused_by_name_before_any_data_is_read(job, name, value):
    (job.channel("train") / "gt.txt").write_text("this line has no tab: reading it is an error of its own\n")
    job.hyperparameters = {name: value}
    result = job.run()
    assert result.code == 1
    assert result.failure is not None
    first = result.failure.splitlines()[0]
    assert name in first and "hyperparameter" in first, result
    assert "gt.txt" not in result.failure


def test_T3_one_hundred_hyperparameters_of_full_length(job):
    """More than fits into one variable: the summaries SM_HPS and SM_TRAINING_ENV are left out, and it is said."""
    job.program("import sys; print('COUNT', len(sys.argv) // 2, len(sys.argv[2]))")
    job.hyperparameters |= {f"name_{index:03}": "x" * 2500 for index in range(99)}  # and sagemaker_program
    result = job.run()
    assert "COUNT 99 2500" in result.out, result
    assert "left out" in result.out and "SM_HPS" in result.out
