"""A training job in a temporary folder, run by the real `train` program as a plain process (design rule 8)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [sys.executable, "-m", "container.train"]


class TrainingJob:
    """Lays out what SageMaker mounts at /opt/ml, starts `train` on it, and looks at what it left."""

    def __init__(self, base: Path, host: str = "localhost", hosts: tuple[str, ...] = ("localhost",)) -> None:
        self.base = base
        self.hyperparameters: dict[str, str] = {}
        self.channels: dict[str, dict[str, str]] = {}
        self.variables: dict[str, str] = {}
        self.resources = {
            "current_host": host,
            "hosts": list(hosts),
            "network_interface_name": "lo",
            "current_instance_type": "local",
            "current_group_name": "homogeneousCluster",
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": list(hosts)}
            ],
        }
        self.process: subprocess.Popen[str] | None = None

    def program(self, text: str, name: str = "program.py", where: str = "code") -> None:
        """Write a user script and name it, as `Estimator(entry_point=..., source_dir=...)` does."""
        path = self.base / where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        self.hyperparameters["sagemaker_program"] = name

    def channel(self, name: str) -> Path:
        self.channels[name] = {"TrainingInputMode": "File"}
        folder = self.base / "input/data" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self) -> subprocess.Popen[str]:
        config = self.base / "input/config"
        config.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("hyperparameters.json", self.hyperparameters),
            ("inputdataconfig.json", self.channels),
            ("resourceconfig.json", self.resources),
        ):
            (config / name).write_text(json.dumps(content))
        return self.start_bare()

    def start_bare(self) -> subprocess.Popen[str]:
        """Start without writing the configuration."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SM_", "SAGEMAKER_", "AWS_"))}
        environment = {**clean, "SAGEMAKER_BASE_DIR": str(self.base), "OMP_NUM_THREADS": "1", **self.variables}
        self.process = subprocess.Popen(
            TRAIN, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self.process

    def finish(self, timeout: float = 60) -> Result:
        """Wait for the end; a job that does not end is killed and fails the test."""
        assert self.process is not None
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            self.process.kill()
            raise
        return Result(self.process.returncode, out, err, self.failure())

    def run(self, timeout: float = 60) -> Result:
        self.start()
        return self.finish(timeout)

    def pids(self, *variables: str) -> list[int]:
        """Processes of the job that have these variables, the launcher first."""
        own, found = {value.encode() for value in (*variables, f"SAGEMAKER_BASE_DIR={self.base}")}, []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # of another user, or already gone
                if own <= set((folder / "environ").read_bytes().split(b"\0")):
                    found.append(int(folder.name))
        return sorted(found)

    def kill(self) -> None:
        """SIGKILL to all of its processes, as when a machine is lost: nobody is left to say so."""
        lost = self.pids()
        assert len(lost) > 1, "the launcher and the program"
        for pid in lost:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_for(self, *names: str, timeout: float = 60) -> None:
        """Wait until the files (relative to the job folder) are there."""
        end = time.monotonic() + timeout
        while not all((self.base / name).exists() for name in names):
            self._wait_a_little(end, f"no {names} after {timeout} s")

    def wait_for_another(self, name: str, timeout: float = 60) -> None:
        """Wait until the file is there, and has then been replaced by another."""
        self.wait_for(name, timeout=timeout)
        path, end = self.base / name, time.monotonic() + timeout
        first = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == first:
            self._wait_a_little(end, f"no other {name} after {timeout} s")

    def _wait_a_little(self, end: float, complaint: str) -> None:
        assert self.process is not None
        assert self.process.poll() is None, self.finish()
        assert time.monotonic() < end, complaint
        time.sleep(0.01)

    def failure(self) -> str | None:
        path = self.base / "output/failure"
        return path.read_text() if path.exists() else None

    def read(self, name: str) -> str:
        return (self.base / name).read_text()


class Result:
    def __init__(self, code: int, out: str, err: str, failure: str | None) -> None:
        self.code, self.out, self.err, self.failure = code, out, err, failure

    def __repr__(self) -> str:
        return f"exit code {self.code}\n-- failure:\n{self.failure}\n-- stdout:\n{self.out}\n-- stderr:\n{self.err}"
