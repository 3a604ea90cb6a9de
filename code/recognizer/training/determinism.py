"""Only algorithms whose answer has the same bits each time, for the hyperparameter `deterministic`.

On a CPU this is so anyway, as long as the number of threads is the same. On a GPU some kernels add up in the order in
which their threads arrive, and cuDNN chooses among kernels by timing them; torch names an operation that has no
deterministic kernel (https://pytorch.org/docs/stable/notes/randomness.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Nothing but deterministic algorithms within, if wanted. To be entered before CUDA is first used.

    Raises (within):
        RuntimeError: by torch, for an operation that has no deterministic form.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
