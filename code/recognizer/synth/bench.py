"""Command line: `python -m recognizer.synth.bench` prints pictures per second with one and with two processes."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from recognizer.synth.dataset import write_dataset


def measure(count: int, workers: int, seed: int = 1) -> float:
    """Pictures per second of `write_dataset`, start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_dataset(Path(folder) / "data", count, seed, workers, progress=False)
        return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="pictures a run (default %(default)s)")
    count = parser.parse_args().count
    for workers in (1, 2):
        print(f"workers={workers} pictures={count} pictures_per_second={measure(count, workers):.1f}", flush=True)


if __name__ == "__main__":
    main()
