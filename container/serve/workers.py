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
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(wanted) if wanted.isdigit() and int(wanted) else 1
    return max(1, min(suggested_threads() // threads, fitting, MOST))


def uses_gpu() -> bool:
    """Whether ONNX Runtime's CUDA build is installed, and a device there. Imports nothing of it: workers fork later."""
    try:
        distribution("onnxruntime-gpu")
    except PackageNotFoundError:
        return False
    return any(device.exists() for device in GPU_DEVICES)
