"""A process's share of the machine: torchrun allows each of several one thread, however many cores there are.

By `inference.default_threads` also go loaders, and whatever else is read or drawn by several processes: eight GPUs
would wait for one loader each, on a machine of 96 cores.
"""

from __future__ import annotations

import os

import inference

THREADS = "OMP_NUM_THREADS"


def share_cores() -> None:
    """Sets OMP_NUM_THREADS to this process's share of the cores, where it is torchrun's own 1. To be called before
    torch is imported, which reads it once."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes > 1 and os.environ.get(THREADS) == "1":
        del os.environ[THREADS]
        os.environ[THREADS] = str(max(1, inference.default_threads() // processes))
