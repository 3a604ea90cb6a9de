"""Threads that allocate at the same time have few heaps, as glibc's own statistics tell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from container.serve.heap import HEAPS

COUNT = """
import ctypes, threading
from container.serve.heap import share_heaps
share_heaps()
meet = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (bytearray(5000), meet.wait())) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
@pytest.mark.parametrize(("variable", "heaps"), [({}, HEAPS), ({"MALLOC_ARENA_MAX": "1"}, 1)])
def test_threads_share_heaps(variable, heaps):
    environment = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"} | variable
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, stderr=subprocess.PIPE, text=True, check=True)
    assert len([line for line in done.stderr.splitlines() if line.startswith("Arena ")]) == heaps
