"""T2: what runs. /opt/ml is mounted over, so the default program lives elsewhere and steps back for the job's own."""

import io
import tarfile

import pytest

from container.train import jobdir, launcher
from tests.support.training_job import ROOT, TrainingJob


@pytest.fixture
def job(tmp_path):
    return TrainingJob(tmp_path / "job")


def source_dir(path, **files):
    """A sourcedir.tar.gz as the SDK uploads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_T2_the_default_program_lives_outside_opt_ml():
    assert launcher.default_code_dir() == ROOT / "code"
    assert not launcher.default_code_dir().is_relative_to(jobdir.DEFAULT_BASE_DIR)


def test_T2_a_job_that_names_no_program_runs_the_default_one(job):
    job.hyperparameters = {"no_such_hyperparameter": "1"}  # so that it ends at once, in the recognizer's own words
    result = job.run()
    assert result.code == 1
    assert result.failure is not None and "no_such_hyperparameter" in result.failure.splitlines()[0], result
    assert f"starting train.py from {ROOT / 'code'}" in result.out


def test_T2_the_hyperparameter_names_the_program(job):
    job.program("print('mine')", name="mine.py")
    assert "mine\n" in job.run().out


def test_T2_the_variable_beats_the_hyperparameter(job):
    job.program("print('by variable')", name="variable.py")
    job.program("print('by hyperparameter')", name="hyperparameter.py")
    job.variables["SAGEMAKER_PROGRAM"] = "variable.py"
    out = job.run().out
    assert "by variable" in out and "by hyperparameter\n" not in out


@pytest.mark.parametrize("quoted", [False, True])
def test_T2_source_dir_is_unpacked_and_run(job, tmp_path, quoted):
    archive = source_dir(tmp_path / "sourcedir.tar.gz", main__py="import helper", helper__py="print('helped')")
    for name, value in (("sagemaker_program", "main.py"), ("sagemaker_submit_directory", str(archive))):
        job.hyperparameters[name] = f'"{value}"' if quoted else value
    result = job.run()
    assert result.code == 0, result
    assert "helped" in result.out


def test_T2_code_left_in_opt_ml_code_does_not_win_over_the_jobs_source_dir(job, tmp_path):
    """The toolkit alone would skip the archive without a word and run what stands there."""
    job.program("print('left from before')", name="main.py")
    archive = source_dir(tmp_path / "sourcedir.tar.gz", main__py="print('of this job')")
    job.hyperparameters["sagemaker_submit_directory"] = str(archive)
    result = job.run()
    assert "of this job" in result.out and "left from before" not in result.out, result
    assert "is not empty" in result.out  # and it is said
    assert (job.base / "code/main.py").exists()  # nobody's files are removed


def test_T2_the_recognizer_can_be_imported_by_the_users_program(job):
    job.program("import recognizer, inference; print(recognizer.__file__)")
    result = job.run()
    assert result.code == 0, result
    assert str(ROOT / "code") in result.out


def test_T2_a_source_dir_that_brings_its_own_recognizer_uses_that(job, tmp_path):
    archive = source_dir(
        tmp_path / "sourcedir.tar.gz",
        main__py="import recognizer; print(recognizer.MINE)",
        recognizer__py="MINE = 'own'",
    )
    job.hyperparameters |= {"sagemaker_program": "main.py", "sagemaker_submit_directory": str(archive)}
    assert "own\n" in job.run().out


def test_T2_nothing_mounted_at_all_still_starts_the_default_program(tmp_path):
    """`docker run IMAGE train` with an empty /opt/ml: the configuration files are filled in."""
    job = TrainingJob(tmp_path / "job")
    job.base.mkdir()
    job.variables["SAGEMAKER_PROGRAM"] = "probe.py"
    (job.base / "code").mkdir()
    (job.base / "code/probe.py").write_text("import os; print('channels', os.environ['SM_CHANNELS'])")
    job.start_bare()
    result = job.finish()
    assert result.code == 0, result
    assert "channels []" in result.out
