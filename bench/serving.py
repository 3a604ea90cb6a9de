"""Command line: `python -m bench.serving` compares the bare model, our server, and servers of the usual kind.

All in one run, on this machine, with the same model and the same pictures in turn, so that the ratios mean something
where the numbers don't. Processor time is that of the server's processes for an answer: it says what the answer costs
where other work slows the clock down. `make bench-serving` runs it; MODEL=folder takes a trained model.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench import load
from bench.random_model import write_random_model
from bench.stages import formulas
from container.resources import suggested_threads
from container.train.processes import descendants_of
from inference import ModelError, Options, Recognizer, RequestError, read_image
from recognizer.latex import tokenize
from recognizer.synth.style import random_style, render_any

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
PING_PAUSE = 50  # milliseconds: enough pings to see a delay, too few to cause one
PORTS = {"our server": 18181, "one at a time": 18182}
CANDIDATES, ASKED = 600, 8  # formulas drawn; those of them that are read right, the surest, are asked for
IDLE_SECONDS = 0.5  # a server that has taken hardly any processor time for so long has nothing left to answer
IDLE_SHARE = 0.05  # of one core: a master and idle threads look round now and then
CROWD = 100  # clients, of whom /ping must notice nothing
TOOLKIT = ROOT / ".venv-aws-toolkit"
_barrier: Barrier  # of the processes of `bare_model`


class Row(NamedTuple):
    name: str
    load: load.Load
    ping: load.Load | None  # asked meanwhile
    processor: float  # milliseconds for an answer, or a picture
    processes: int


def bare_model(model_dir: Path, files: Sequence[Path], batch_size: int, seconds: int, processes: int) -> Row:
    """The model without a server around it: batches one after the other, from files that are read already.

    Each process has one of its own and its share of the cores, as in our server; their rates are added up.
    """
    context = multiprocessing.get_context("spawn")
    together = (context.Barrier(processes),)
    with ProcessPoolExecutor(processes, context, initializer=_begin_together, initargs=together) as pool:
        asked = (model_dir, files, batch_size, seconds, suggested_threads() // processes)
        runs = [each.result() for each in [pool.submit(_batches, *asked) for _ in range(processes)]]
    took = sorted(each for run, _ in runs for each in run)
    at = [load.percentile(took, percent) for percent in load.PERCENTILES]
    rate = sum(1000 * batch_size * len(run) / sum(run) for run, _ in runs)
    processor = sum(spent for _, spent in runs) / (batch_size * len(took))
    name = f"bare model, batches of {batch_size}, {_count(processes, 'process')}"
    return Row(name, load.Load(rate, (at[0], at[1], at[2]), 0), None, processor, processes)


def _begin_together(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _batches(
    model_dir: Path, files: Sequence[Path], batch_size: int, seconds: int, threads: int
) -> tuple[list[float], float]:
    """Milliseconds of each batch, and of the processor in all."""
    model = Recognizer.load(model_dir, threads=threads)
    pictures = [read_image(path.read_bytes()) for path in islice(cycle(files), batch_size)]
    model.predict(pictures)
    _barrier.wait()
    took: list[float] = []
    before = time.process_time()
    while sum(took) < 1000 * seconds:
        started = time.perf_counter()
        model.predict(pictures)
        took.append(1000 * (time.perf_counter() - started))
    return took, 1000 * (time.process_time() - before)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what.endswith('s') else 's'}"


def ask(name: str, server: int, port: int, pictures: Sequence[Path], clients: int, seconds: int, processes: int) -> Row:
    """So many clients, each with its next request as soon as it has its answer; /ping is timed meanwhile."""
    url = f"http://127.0.0.1:{port}"
    load.result(load.start(f"{url}/invocations", 2, clients, pictures))  # warm
    wait_until_idle(server)
    started, before = time.monotonic(), processor_seconds(server)
    asking = load.start(f"{url}/invocations", seconds, clients, pictures)
    pinging = load.start(f"{url}/ping", seconds, 1, pause=PING_PAUSE)
    asked, pinged = load.result(asking), load.result(pinging)
    answers = asked.rate * (time.monotonic() - started)
    return Row(name, asked, pinged, 1000 * (processor_seconds(server) - before) / answers, processes)


def wait_until_idle(server: int) -> None:
    """Until the process and all below it are done with what a load has left in their queues when it ended.

    Raises:
        LoadError: they never are.
    """
    deadline, spent = time.monotonic() + START_SECONDS, -math.inf
    while time.monotonic() < deadline:
        before, spent = spent, processor_seconds(server)
        if spent - before <= IDLE_SHARE * IDLE_SECONDS:
            return
        time.sleep(IDLE_SECONDS)
    raise load.LoadError(f"the server is still at work {START_SECONDS} s after its last request")


def processor_seconds(pid: int) -> float:
    """Processor time, the system's for it included, that a process and all below it have taken so far."""
    ticks = 0
    for each in (pid, *(process.pid for process in descendants_of(pid))):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime of proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that answers /ping.

    Raises:
        LoadError: it doesn't, with the end of what it wrote; or another program has the port, and would be measured.
    """
    if _is_taken(port):
        raise load.LoadError(f"port {port} is taken: stop the program that listens there, perhaps an earlier server")
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
            try:
                process.wait(60)
            finally:
                process.kill()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    return False


def compare(model_dir: Path, pictures: Sequence[Path], batch_size: int, clients: int, seconds: int) -> list[Row]:
    workers = suggested_threads()
    counts = sorted({1, workers})
    rows = [bare_model(model_dir, pictures, batch_size, seconds, processes) for processes in counts]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").symlink_to(model_dir.resolve())
        name, port = "our server", PORTS["our server"]
        settings = {
            "SAGEMAKER_BASE_DIR": folder,
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_TS_BATCH_SIZE": str(batch_size),
            "SERVE_QUEUE_SIZE": str(max(CROWD, clients)),  # nobody is refused: the rates are of answers
        }
        for processes in counts:
            row = f"{name}, {_count(processes, 'process')}"
            settings["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(processes)
            with running([sys.executable, "-m", "container.serve"], port, settings) as server:
                rows.append(ask(row, server.pid, port, pictures, clients, seconds, processes))
                if clients < CROWD:
                    rows.append(ask(f"{row}, {CROWD} clients", server.pid, port, pictures, CROWD, seconds, processes))
        name, port = "one at a time", PORTS["one at a time"]
        others = [(name, "functions()", processes) for processes in counts]
        if TOOLKIT.exists():
            others.insert(0, ("AWS's toolkit", "toolkit()", workers))
        for name, app, processes in others:
            command = [sys.executable, "-m", "gunicorn", "--workers", str(processes), "--timeout", "120"]
            command += ["--bind", f"127.0.0.1:{port}", f"bench.one_at_a_time:{app}"]
            with running(command, port, _usual_settings(Path(folder))) as server:
                row = f"{name}, {_count(processes, 'sync worker')}"
                rows.append(ask(row, server.pid, port, pictures, clients, seconds, processes))
    return rows


def _usual_settings(base_dir: Path) -> dict[str, str]:
    """The toolkit has an environment of its own, with the same versions of what the functions import."""
    packages = map(str, TOOLKIT.glob("lib/python*/site-packages"))
    return {
        "BENCH_MODEL": str(base_dir / "model"),
        "OMP_NUM_THREADS": "1",
        "SAGEMAKER_BASE_DIR": str(base_dir),
        "SAGEMAKER_PROGRAM": "inference.py",
        "PYTHONPATH": ":".join([str(ROOT), str(ROOT / "code"), *packages]),
    }


def write_pictures(model_dir: Path, folder: Path) -> list[Path]:
    """Draws formulas of about 25 tokens, and writes those that the model reads right, the surest first."""
    rng = np.random.default_rng(25)
    drawn = list(islice(formulas(rng), CANDIDATES))
    pictures = [render_any(formula, random_style(rng))[0] for formula in drawn]
    answers = Recognizer.load(model_dir).predict(pictures, Options(views=1))

    def merit(place: int) -> tuple[bool, float]:
        return list(answers[place].tokens) == tokenize(drawn[place]), answers[place].confidence

    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for place in sorted(range(CANDIDATES), key=merit, reverse=True)[:ASKED]:
        paths.append(folder / f"formula{len(paths)}.png")
        Image.fromarray(pictures[place]).save(paths[-1])
    return paths


def _note(model_dir: Path, files: Sequence[Path]) -> str:
    """What is asked, and whether it says what a server adds."""
    model, pictures = Recognizer.load(model_dir), [read_image(path.read_bytes()) for path in files]
    once, usual = (model.predict(pictures, options) for options in (Options(views=1), Options()))
    lines = []
    for path, first, answer in zip(files, once, usual, strict=True):
        read = "" if first == answer else ", read at several sizes, which hides what a server adds"
        lines.append(f"  {path.name}: {len(answer.tokens)} tokens, {answer.latex}{read}")
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> str:
    """With each rate by that of the bare model in as many processes, and of the last row, one request at a time."""
    head = (
        f"{'':42}{'requests/s':>11}{'of bare':>9}{'of last':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}"
        f"{'processor ms':>14}{'/ping p99 ms':>14}"
    )
    lines = [head]
    bare = {row.processes: row for row in reversed(rows) if row.ping is None}
    for row in rows:
        ping = f"{row.ping.milliseconds[-1]:14.1f}" if row.ping else f"{'':14}"
        times = "".join(f"{value:9.1f}" for value in row.load.milliseconds)
        ratios = "".join(f"{row.load.rate / other.load.rate:9.2f}" for other in (bare[row.processes], rows[-1]))
        lines.append(f"{row.name:42}{row.load.rate:11.1f}{ratios}{times}{row.load.errors:8}{row.processor:14.2f}{ping}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="model directory (default: random weights, in build/bench/model)")
    parser.add_argument(
        "--pictures", type=Path, nargs="+", help=f"asked for in turn (default: {ASKED} formulas of about 25 tokens)"
    )
    parser.add_argument("--batch", type=int, default=8, help="pictures in a call of the model (default %(default)s)")
    parser.add_argument("--clients", type=int, default=32, help="clients at once (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=15, help="for each measurement (default %(default)s)")
    options = parser.parse_args()
    try:
        load.find_wrk()
        model = options.model or write_random_model(ROOT / "build" / "bench" / "model")
        pictures = options.pictures or write_pictures(model, ROOT / "build" / "bench")
        print(f"{model} is asked for\n{_note(model, pictures)}", flush=True)
        print(f"{options.clients} clients, {options.seconds} s each, {suggested_threads()} cores", flush=True)
        if not TOOLKIT.exists():
            print(f"without AWS's toolkit, as there is no {TOOLKIT.name}: make venv-aws-toolkit", flush=True)
        print(table(compare(model, pictures, options.batch, options.clients, options.seconds)), flush=True)
    except (load.LoadError, ModelError, RequestError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
