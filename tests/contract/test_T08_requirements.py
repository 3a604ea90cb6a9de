"""T8: requirements.txt in source_dir is installed before the script runs; ours is there already (T18: no network)."""

import subprocess
import sys
import zipfile

from tests.support.training_job import ROOT, TrainingJob


def write_wheel(folder):
    """A package made by hand, so that installing it needs no index."""
    name = "tiny_requirement-1.0"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_requirement.py", "ANSWER = 42\n")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-requirement\nVersion: 1.0\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return f"./{name}-py3-none-any.whl"


def test_T8_requirements_are_installed_before_the_script_runs(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.program("import tiny_requirement; print('ANSWER', tiny_requirement.ANSWER)")
    (job.base / "code/requirements.txt").write_text(write_wheel(job.base / "code") + "\n")
    target = str(tmp_path / "installed")  # not into the environment that runs the tests
    job.variables = {"PIP_TARGET": target, "PIP_NO_INDEX": "1", "PYTHONPATH": target}
    result = job.run()
    assert result.code == 0, result
    assert "ANSWER 42" in result.out


def test_T8_a_requirement_that_cannot_be_installed_fails_the_job_in_pips_words(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.program("print('never')")
    (job.base / "code/requirements.txt").write_text("no-such-package-anywhere==1.0\n")
    job.variables = {"PIP_NO_INDEX": "1"}
    result = job.run()
    assert result.code == 1
    assert result.failure is not None and "no-such-package-anywhere" in result.failure.splitlines()[0], result
    assert "never" not in result.out


def test_T8_our_own_requirements_are_installed_already(tmp_path):
    """`pip install -r` must find nothing to do, without an index to ask."""
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "-r", "code/requirements.txt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout
