"""Command line: `python -m bench.soak` keeps our server saturated for long, to see whether its memory grows.

A line a minute; at the end the growth after warm-up, and PASS or FAIL. `make bench-soak MINUTES=30` runs it. Memory is
the resident set of the server's whole process tree, without what the clients take, who are threads of this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.load import LoadError, percentile
from bench.mix import Client, Outcome
from bench.random_model import write_random_model
from bench.serving import ROOT, running

PORT = 18183
SAMPLE_SECONDS = 1
WARM_UP = 0.2  # of the run: pools of memory and threads fill up
COMPARED = 0.1  # of the run, after warm-up and at the end
LIMIT_PERCENT = 5.0


class Crowd:
    """So many clients, each with its next request as soon as it has its answer."""

    def __init__(self, port: int, pictures: Sequence[bytes], size: int) -> None:
        self._outcomes: list[Outcome] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        clients = [Client(port, pictures, seed) for seed in range(size)]
        self._threads = [threading.Thread(target=self._work, args=(client,), daemon=True) for client in clients]

    @contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def take(self) -> list[Outcome]:
        """What has come out since the last call."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _work(self, client: Client) -> None:
        while not self._stop.is_set():
            outcome = client.ask()
            with self._lock:
                self._outcomes.append(outcome)
        client.close()


def resident_bytes(pid: int) -> int:
    """Of a process and all its descendants; what forks share counts for each."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in _words(path)]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(resident_bytes, children))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
        return []


def growth_percent(samples: Sequence[int]) -> float:
    """How much more memory at the end than after warm-up: medians over COMPARED of the samples each.

    Raises:
        LoadError: too few samples.
    """
    count = int(len(samples) * COMPARED)
    if not count:
        raise LoadError(f"{len(samples)} samples of memory are too few: let it run longer")
    warm = int(len(samples) * WARM_UP)
    before, after = median(samples[warm : warm + count]), median(samples[-count:])
    return 100 * (after - before) / before


def line(minute: float, outcomes: Sequence[Outcome], seconds: float, memory: int) -> str:
    """What happened in a minute. Latencies are of answers, refusals among them, not of who hung up."""
    took = sorted(1000 * outcome.seconds for outcome in outcomes if outcome.code != "hung up")
    p50, p99 = (percentile(took, percent) if took else 0.0 for percent in (50, 99))
    errors = Counter(outcome.code for outcome in outcomes if outcome.code != "ok")
    counts = " ".join(f"{code}={count}" for code, count in sorted(errors.items()))
    rate = len(outcomes) / seconds
    return f"{minute:6.1f}{rate:12.1f}{p50:9.1f}{p99:9.1f}{memory / 2**20:9.1f}  {counts}"


def soak(model_dir: Path, clients: int, minutes: float) -> list[int]:
    """Prints a line a minute, and returns the samples of memory, in bytes.

    Raises:
        LoadError: the server doesn't start, or ends.
    """
    pictures = [path.read_bytes() for path in sorted((model_dir / "golden").glob("*.png"))]
    samples: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").symlink_to(model_dir.resolve())
        settings = {"SAGEMAKER_BASE_DIR": folder, "SAGEMAKER_BIND_TO_PORT": str(PORT)}
        crowd = Crowd(PORT, pictures, clients)
        with running([sys.executable, "-m", "container.serve"], PORT, settings) as server, crowd.asking():
            print(f"minute{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'RSS MiB':>9}  errors and hang-ups by code")
            begin = last = time.monotonic()
            while (now := time.monotonic()) < begin + 60 * minutes:
                time.sleep(SAMPLE_SECONDS)
                if server.poll() is not None:
                    raise LoadError(f"the server ended with status {server.returncode}")
                samples.append(resident_bytes(server.pid))
                if now - last >= 60 or now + SAMPLE_SECONDS >= begin + 60 * minutes:
                    print(line((now - begin) / 60, crowd.take(), now - last, samples[-1]), flush=True)
                    last = now
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="model directory (default: random weights, in build/bench/model)")
    parser.add_argument("--minutes", type=float, default=30, help="(default %(default)s)")
    parser.add_argument("--clients", type=int, default=32, help="clients at once (default %(default)s)")
    options = parser.parse_args()
    try:
        model = options.model or write_random_model(ROOT / "build" / "bench" / "model")
        print(f"{model}: {options.clients} clients, {options.minutes:g} minutes", flush=True)
        growth = growth_percent(soak(model, options.clients, options.minutes))
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    has_passed = growth <= LIMIT_PERCENT
    verdict = "PASS" if has_passed else "FAIL"
    print(f"{verdict}: memory after warm-up changed by {growth:+.1f}% (at most +{LIMIT_PERCENT:g}%)", flush=True)
    return 0 if has_passed else 1


if __name__ == "__main__":
    sys.exit(main())
