"""A training job with a process of one thread for each core, joined by torchrun: what a CPU learns from in an hour.

Two threads at one small batch hardly help each other; two processes do, each with a batch of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.jobs import images_per_second

ROOT = Path(__file__).resolve().parents[1]
BATCH = 16  # of a process, at most
LEAST = {"strips": 0, "symbol_steps": 0, "short_first": "false", "max_validation": 8, "validation_share": 0.01}


def formulas_an_hour(data: Path, processes: int, minutes: float) -> float:
    """By the median of the rates that the job logs.

    Raises:
        subprocess.CalledProcessError: it failed; its output has gone to stderr.
        ValueError: it was too short to log a rate.
    """
    hyperparameters = {
        **LEAST,
        "epochs": 1000,
        "max_minutes": minutes,
        "batch_size": BATCH * processes,
        "threads": 1,
        "workers": 0,
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_instance_type": "local",
        "sagemaker_mpi_num_of_processes_per_host": processes,
    }
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "container.local_job", "--out", out, "--data", str(data), "--hp"]
        command += [f"{name}={value}" for name, value in hyperparameters.items()]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    done.check_returncode()
    return 3600 * images_per_second(done.stdout)
