"""The container engine for tests: commands with a time limit, and job folders that an image is run on."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.tiny_dataset import write_tiny_dataset

ROOT = Path(__file__).resolve().parents[2]
DOCKER = shlex.split(os.environ.get("DOCKER", "docker"))
TRAIN_IMAGE = os.environ.get("TRAIN_IMAGE", "formula-recognizer-train:cpu")
SERVE_IMAGE = os.environ.get("SERVE_IMAGE", "formula-recognizer-serve:cpu")
LABEL = f"formula-recognizer-test={os.getpid()}"  # on every container, so that none outlives the tests
ORDINARY_USER = ["--user", "12345:12345"]
READ_ONLY = ["--read-only", "--tmpfs", "/tmp"]
OFFLINE = ["--network", "none"]
AS_IN_THE_CLOUD = [*READ_ONLY, *OFFLINE]


class Finished(NamedTuple):
    """What a command left behind; its repr is what a failed assertion shows."""

    code: int
    out: str
    err: str


def docker(*arguments: str, timeout: float = 120) -> Finished:
    """Run the engine's client to its end."""
    done = subprocess.run([*DOCKER, *arguments], capture_output=True, text=True, timeout=timeout)
    return Finished(done.returncode, done.stdout, done.stderr)


def run(image: str, *command: str, options: Sequence[str] = (), timeout: float = 120) -> Finished:
    """`docker run --rm` to its end."""
    return docker("run", "--rm", "--label", LABEL, *options, image, *command, timeout=timeout)


def run_python(image: str, source: str, options: Sequence[str] = ()) -> Finished:
    return run(image, "python3", "-c", source, options=options)


def remove_leftovers() -> None:
    """Stop and remove every container that these tests have started."""
    left = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").out.split()
    if left:
        docker("rm", "--force", "--volumes", *left)


class ImageJob:
    """A folder as SageMaker mounts it at /opt/ml, and the training container that works on it."""

    def __init__(self, base: Path, hyperparameters: Mapping[str, str], own_data: bool = False) -> None:
        """`own_data` puts the tiny labelled set into the channel `train`; without it the embedded one is made."""
        self.base = base
        for name in ("input/config", "model", "output/data", "checkpoints"):
            (base / name).mkdir(parents=True, exist_ok=True)
        channels = {"train": {"TrainingInputMode": "File"}} if own_data else {}
        if own_data:
            write_tiny_dataset(base / "input/data/train")
        for name, content in {"hyperparameters": dict(hyperparameters), "inputdataconfig": channels}.items():
            (base / f"input/config/{name}.json").write_text(json.dumps(content))
        for path in (base, *base.rglob("*")):
            path.chmod(0o777)  # SageMaker's folders are writable for the container's user, whoever that is

    def options(self, *more: str) -> list[str]:
        return ["--volume", f"{self.base}:/opt/ml", "--env", "OMP_NUM_THREADS=1", *more]

    def run(self, *options: str, timeout: float = 300) -> Finished:
        return run(TRAIN_IMAGE, "train", options=self.options(*options), timeout=timeout)

    def start(self, *options: str) -> str:
        """Start it in the background; returns the container's id."""
        started = docker("run", "--detach", "--label", LABEL, *self.options(*options), TRAIN_IMAGE, "train")
        assert started.code == 0, started
        return started.out.strip()

    @property
    def failure(self) -> str | None:
        path = self.base / "output/failure"
        return path.read_text() if path.exists() else None


def logs(container: str) -> str:
    done = docker("logs", container)
    return done.out + done.err


def wait_for_log(container: str, text: str, seconds: float = 120) -> None:
    """Until the container has printed the text."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if text in logs(container):
            return
        if docker("inspect", "--format", "{{.State.Running}}", container).out.strip() != "true":
            break
        time.sleep(0.3)
    raise AssertionError(f"the container never printed {text!r}:\n{logs(container)}")
