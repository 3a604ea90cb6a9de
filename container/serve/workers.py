"""How many processes serve when nobody says so: as many as the container's cores and memory can use."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from container.resources import folder_bytes, memory_limit, suggested_threads

MOST = 64
PROCESS_BYTES = 600 * 1024 * 1024  # Python, the libraries, and pictures at work, without the model
MODEL_COPIES = 3  # its file as it is read, its weights, and their packed form
MEMORY_SHARE = 0.7  # of the container's memory; the rest is for requests that come all at once
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # Linux, WSL


def suggested_workers(model_root: Path) -> int:
    """One for each core, since Python's lock leaves a process little more than one core, while memory allows.

    One where the model runs on a GPU: every process would put a model of its own into its memory, and batch fewer
    requests. Where OMP_NUM_THREADS is set, each process takes that many cores.
    """
    if uses_gpu():
        return 1
    fitting = int(MEMORY_SHARE * memory_limit()) // (PROCESS_BYTES + MODEL_COPIES * folder_bytes(model_root))
    return max(1, min(suggested_threads() // (_asked_threads() or 1), fitting, MOST))


def threads_of_each(worker_count: int) -> int:
    """What OMP_NUM_THREADS says, else the process's share of the cores."""
    return _asked_threads() or max(1, suggested_threads() // worker_count)


def _asked_threads() -> int:
    """0 where OMP_NUM_THREADS isn't set, or is empty or no number: libraries then take all cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    return int(asked) if asked.isdecimal() else 0


def uses_gpu() -> bool:
    """Whether ONNX Runtime's CUDA build is installed, and a device there. Imports nothing of it: workers fork later."""
    try:
        distribution("onnxruntime-gpu")
    except PackageNotFoundError:
        return False
    return any(device.exists() for device in GPU_DEVICES)
