"""How many processes serve when nobody says so: as many as the container's cores and memory can use."""

from __future__ import annotations

from pathlib import Path

from container.resources import memory_limit, suggested_threads

PROCESS_BYTES = 512 * 1024 * 1024  # Python, the libraries, and a batch of pictures at work, without the model
MODEL_COPIES = 3  # its file as it is read, its weights, and their packed form
GPU_DRIVER = Path("/dev/nvidiactl")


def suggested_workers(model_root: Path) -> int:
    """One for each core, since Python's lock leaves a process little more than one core, while memory allows.

    One where there is a GPU: every process would put a model of its own into its memory, and batch fewer requests.
    """
    if GPU_DRIVER.exists():
        return 1
    model = sum(path.stat().st_size for path in model_root.rglob("*") if path.is_file())
    fitting = memory_limit() // (PROCESS_BYTES + MODEL_COPIES * model)
    return max(1, min(suggested_threads(), fitting))
