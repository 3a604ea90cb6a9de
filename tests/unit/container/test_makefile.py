"""`make`: paths with blanks go through to what it runs, with an engine and without."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = """#!/bin/sh
printf '%s\\n' "$@"
if test -n "$SAGEMAKER_BASE_DIR"; then readlink "$SAGEMAKER_BASE_DIR/model"; fi
"""


@pytest.fixture
def make(tmp_path):
    """Runs a target and returns the words that its Python (or, `docker=True`, its engine) was started with."""
    program, ready = tmp_path / "program", tmp_path / "ready"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    ready.touch()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(target: str, docker: bool = False, **settings: object) -> list[str]:
        settings |= {"RUN": program, "PYTHON": program, "DOCKER": program if docker else "false", "READY": ready}
        command = ["make", target, *(f"{name}={value}" for name, value in settings.items())]
        result = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result
        return result.stdout.splitlines()

    return run


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "my models" / "m"
    folder.mkdir(parents=True)
    (folder / "model.json").touch()
    return folder


def test_the_model_that_is_named_is_served(make, model, tmp_path):
    assert make("serve-local", MODEL=model, OUT=tmp_path / "my out")[-1] == str(model)
    assert f"{model}:/opt/ml/model:ro" in make("serve-local", docker=True, MODEL=model)


def test_what_was_trained_comes_before_the_shipped_model(make, tmp_path):
    out = tmp_path / "my out"
    assert "weights" in make("predict", OUT=out, IMAGES="pictures")
    trained = out / "ml" / "model"
    trained.mkdir(parents=True)
    (trained / "model.json").touch()
    assert str(trained) in make("predict", OUT=out, IMAGES="pictures")
    assert make("serve-local", OUT=out)[-1] == str(trained)


def test_a_model_is_measured_in_the_image_on_the_data_that_is_named(make, model, tmp_path):
    data, out = tmp_path / "my data", tmp_path / "my out"
    data.mkdir()
    words = make("evaluate", docker=True, MODEL=model, DATA=data, OUT=out)
    assert {f"{model}:/model:ro", f"{data}:/data:ro", f"{out}/evaluation:/evaluation"} <= set(words)


def test_a_picture_is_one(make):
    assert make("invoke", IMAGE="my formula.png")[-1] == "my formula.png"
