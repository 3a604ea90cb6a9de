"""`make`: paths with blanks, and settings, go through to what it runs, with an engine and without; what it refuses."""

import os
import shutil
import subprocess
from itertools import pairwise
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

    def run(target: str, docker: bool = False, **settings: object) -> list[str]:
        settings |= {"RUN": program, "PYTHON": program, "DOCKER": program if docker else "false", "READY": ready}
        command = ["make", target, *(f"{name}={value}" for name, value in settings.items())]
        result = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result
        return result.stdout.splitlines()

    return run


def clean_environment() -> dict[str, str]:
    """Without what a `make test` around this says to every make below it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "my models" / "m"
    folder.mkdir(parents=True)
    (folder / "model.json").touch()
    return folder


def test_the_model_that_is_named_is_served(make, model, tmp_path):
    assert make("serve-local", MODEL=model, OUT=tmp_path / "my out")[-1] == str(model)
    assert f"{model}:/opt/ml/model:ro" in make("serve-local", docker=True, MODEL=model)


def test_a_second_server_leaves_the_first_ones_model_alone(make, model, tmp_path):
    """A process of the first that is replaced reads its model once more."""
    make("serve-local", MODEL=model, OUT=tmp_path, PORT=8001)
    make("serve-local", MODEL="weights", OUT=tmp_path, PORT=8002)
    assert (tmp_path / "served/8001/model").resolve() == model


def test_a_server_in_the_image_gets_the_shells_settings(make, model, monkeypatch):
    """They were dropped: with an engine SERVE_PRECISION=int8 served fp32."""
    for name in ("SERVE_PRECISION", "SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_BIND_TO_PORT"):
        monkeypatch.setenv(name, "1")
    words = make("serve-local", docker=True, MODEL=model, DOCKER_RUN_FLAGS="--gpus all")
    given = {after for word, after in pairwise(words) if word == "--env"}
    assert given == {"SERVE_PRECISION", "SAGEMAKER_MODEL_SERVER_WORKERS", "SERVE_PAGE=1"}
    assert ("--gpus", "all") in pairwise(words)


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


def test_what_is_to_be_measured_must_be_there(tmp_path):
    """An engine would make the folder that it is to mount, as root."""
    command = ["make", "evaluate", "DOCKER=true", f"OUT={tmp_path}", f"DATA={tmp_path}/nowhere"]
    result = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    assert result.returncode != 0 and f"there is no {tmp_path}/nowhere" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_without_any_python_nothing_counts_as_done(tmp_path):
    """`$(PYTHON) -m ...` of an empty name is `-m ...`, whose failure make ignores."""
    environment = clean_environment() | {"PATH": str(tmp_path)}
    command = [str(shutil.which("make")), "invoke", "IMAGE=formula.png"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode != 0 and "python3.11" in result.stderr


@pytest.mark.parametrize("index", ["", "https://index.example"])
def test_locking_shows_nobody_the_environment(make, monkeypatch, index):
    """`export` of nothing prints all of it, passwords too."""
    monkeypatch.setenv("A_PASSWORD", "secret")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index)
    assert "secret" not in "\n".join(make("lock", COMPILE="true"))
