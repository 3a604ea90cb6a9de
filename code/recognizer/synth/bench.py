"""Command line: `python -m recognizer.synth.bench` prints pictures per second with one and with two processes.

On a busy machine look at the second number: pictures per second of processor time, all processes together.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from recognizer.synth.dataset import write_dataset


def measure(count: int, workers: int, seed: int = 1) -> tuple[float, float]:
    """Pictures per second and per processor second of `write_dataset`, start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), _processor_seconds()
        write_dataset(Path(folder) / "data", count, seed, workers, progress=False)
        return count / (time.perf_counter() - start), count / (_processor_seconds() - processor)


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=1500, help="pictures a run (default %(default)s)")
    count = parser.parse_args().count
    for workers in (1, 2):
        rate, processor_rate = measure(count, workers)
        print(
            f"workers={workers} pictures={count} pictures_per_second={rate:.1f} "
            f"pictures_per_processor_second={processor_rate:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
