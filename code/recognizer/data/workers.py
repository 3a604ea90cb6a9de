"""How many loader processes this machine can carry.

Inside a container the host's number of cores says nothing, and /dev/shm, through which workers hand over their
batches, is often 64 MB: a loader that overfills it dies with a bus error. So both are looked up.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import inference

SHARED_MEMORY = Path("/dev/shm")
SHARE_TO_USE = 0.5  # of what is free there: others use it too
MAX_PREFETCH = 4


@dataclass(frozen=True)
class WorkerPlan:
    """Loader processes, and how many batches each prepares ahead. No workers: the training process loads itself."""

    workers: int
    prefetch: int


def plan_workers(batch_bytes: int, wanted: int | None = None) -> WorkerPlan:
    """Choose workers and prefetch depth so that all prepared batches fit into shared memory.

    Args:
        batch_bytes: size of one batch.
        wanted: number of workers; by default one for each core but one, as training itself keeps one busy.
    """
    workers = max(1, inference.default_threads() - 1) if wanted is None else wanted
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's, which share it
    room = int(free_shared_memory() * SHARE_TO_USE / processes) // max(1, batch_bytes)
    if workers > room // 2:  # each needs two: one being handed over, one being made
        workers = room // 2
        print(
            f"note: {workers} loader processes, as batches of more find no room in {SHARED_MEMORY}; give the container "
            "a larger one (docker run --shm-size 2g), or lower batch_size",
            flush=True,
        )
    return WorkerPlan(workers, min(MAX_PREFETCH, room // workers - 1) if workers else 0)


def free_shared_memory() -> int:
    """Return the free bytes of /dev/shm; where there is none (macOS), as good as unlimited."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 1 << 40
