"""What a step has freed is there for the next one without the system's help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = Path(__file__).parents[3] / "code"

ROUNDS = """
import resource, sys
import numpy as np
from recognizer.training.heap import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def fill():
    for size in (40, 60, 80):  # MB: larger than what glibc keeps by itself
        np.ones(size << 20, np.uint8)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", ROUNDS, how]
    done = subprocess.run(command, cwd=CODE, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_not_cleared_again_by_the_system() -> None:
    given_back, kept = faults("plain"), faults("kept")
    assert kept < given_back / 10, (kept, given_back)
