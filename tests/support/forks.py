"""Real processes that start in no time: forked from one that has imported everything, for tests that need many."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fork_context() -> ForkServerContext:
    """The standard library's fork server with torch and a tiny training in it; it has no threads that a fork loses."""
    context = multiprocessing.get_context("forkserver")
    # torch loads the second, hundreds of modules, when the first optimizer is made
    context.set_forkserver_preload(["tests.support.tiny_training", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "code")]))  # it looks nowhere else
        forkserver.ensure_running()
    return context
