"""Command line: `python -m bench.serving` compares the bare model, our server, and a server of the usual kind.

All in one run, on this machine, with the same model and the same picture, so that the ratios mean something where the
numbers don't. `make bench-serving` runs it; MODEL=folder takes a trained model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import load
from bench.random_model import write_random_model
from container.resources import suggested_threads
from inference import Recognizer, read_image

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
PINGS = ("-q", "20")  # a second: enough to see a delay, too few to cause one
PORTS = {"our server": 18181, "one at a time": 18182}


class Row(NamedTuple):
    name: str
    load: load.Load
    ping: load.Load | None  # asked meanwhile


def bare_model(model_dir: Path, picture: Path, batch_size: int, seconds: int) -> Row:
    """Batches one after the other, from decoded pictures: the model without a server around it."""
    model = Recognizer.load(model_dir)
    pictures = [read_image(picture.read_bytes())] * batch_size
    model.predict(pictures)
    took: list[float] = []
    while sum(took) < 1000 * seconds:
        started = time.perf_counter()
        model.predict(pictures)
        took.append(1000 * (time.perf_counter() - started))
    took.sort()
    at = [load.percentile(took, percent) for percent in load.PERCENTILES]
    rate = 1000 * batch_size * len(took) / sum(took)
    return Row(f"bare model, batches of {batch_size}", load.Load(rate, (at[0], at[1], at[2]), 0), None)


def ask(name: str, port: int, picture: Path, clients: int, seconds: int) -> Row:
    """So many clients, each with its next request as soon as it has its answer; /ping is timed meanwhile."""
    url = f"http://127.0.0.1:{port}"
    load.result(load.post(f"{url}/invocations", 2, clients, picture))  # warm
    asking = load.post(f"{url}/invocations", seconds, clients, picture)
    pinging = load.start(f"{url}/ping", seconds, 1, *PINGS)
    return Row(name, load.result(asking), load.result(pinging))


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that answers /ping.

    Raises:
        LoadError: it doesn't, with the end of what it wrote.
    """
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'code'}", **environment}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(command), cwd=ROOT, env=variables, stdout=output, stderr=output)
        try:
            if not _answers(port, process):
                output.seek(0)
                raise load.LoadError(f"{' '.join(command)} did not start:\n{output.read()[-2000:]}")
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    return False


def compare(model_dir: Path, batch_size: int, clients: int, seconds: int) -> list[Row]:
    picture = min((model_dir / "golden").glob("*.png"))
    rows = [bare_model(model_dir, picture, batch_size, seconds)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").symlink_to(model_dir.resolve())
        ours, usual = PORTS.items()
        settings = {
            "SAGEMAKER_BASE_DIR": folder,
            "SAGEMAKER_BIND_TO_PORT": str(ours[1]),
            "SAGEMAKER_TS_BATCH_SIZE": str(batch_size),
            "SERVE_QUEUE_SIZE": str(max(64, clients)),  # nobody is refused: the rates are of answers
        }
        with running([sys.executable, "-m", "container.serve"], ours[1], settings):
            rows.append(ask(ours[0], ours[1], picture, clients, seconds))
        workers = suggested_threads()
        command = [sys.executable, "-m", "gunicorn", "--workers", str(workers), "--timeout", "120"]
        command += ["--bind", f"127.0.0.1:{usual[1]}", "bench.one_at_a_time:app"]
        with running(command, usual[1], {"BENCH_MODEL": str(model_dir), "OMP_NUM_THREADS": "1"}):
            rows.append(ask(f"{usual[0]}, {workers} sync workers", usual[1], picture, clients, seconds))
    return rows


def table(rows: Sequence[Row]) -> str:
    head = (
        f"{'':34}{'requests/s':>11}{'ratio':>7}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}{'/ping p99 ms':>14}"
    )
    lines = [head]
    for row in rows:
        ping = f"{row.ping.milliseconds[-1]:14.1f}" if row.ping else f"{'':14}"
        times = "".join(f"{value:9.1f}" for value in row.load.milliseconds)
        ratio = row.load.rate / rows[-1].load.rate
        lines.append(f"{row.name:34}{row.load.rate:11.1f}{ratio:7.2f}{times}{row.load.errors:8}{ping}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="model directory (default: random weights, in build/bench/model)")
    parser.add_argument("--batch", type=int, default=8, help="pictures in a call of the model (default %(default)s)")
    parser.add_argument("--clients", type=int, default=32, help="clients at once (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=15, help="for each measurement (default %(default)s)")
    options = parser.parse_args()
    try:
        load.find_hey()
        model = options.model or write_random_model(ROOT / "build" / "bench" / "model")
        print(f"{model}: {options.clients} clients, {options.seconds} s each, {suggested_threads()} cores", flush=True)
        print(table(compare(model, options.batch, options.clients, options.seconds)), flush=True)
    except load.LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
