"""Training jobs on the same embedded pictures for the same minutes, and what their models answer to others.

For the tables of `bench.switches` and `bench.recognizers`. Jobs run one after the other, each by `code/train.py` as on
SageMaker. A job that is done in the folder isn't done again, and one that was stopped goes on: tables take hours. What
was trained with other settings isn't taken for it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

import inference
from container.local_job import JobSetupError, parse_hyperparameters
from recognizer.data.formats import read_dataset
from recognizer.data.sample import Sample
from recognizer.evaluation.metrics import Metrics, Result, compute_metrics
from recognizer.latex import normalize, tokenize
from recognizer.synth.dataset import write_dataset

ROOT = Path(__file__).resolve().parents[1]
TRAINING_SEED, TEST_SEED = 0, 1
SETTINGS = {"epochs": "1000", "symbol_steps": "1200", "max_validation": "200"}  # the time ends a job, not the passes
ACCURACY = ("exact", "WER", "CPU ms")
GREEDY = inference.Options(views=1)


@dataclass(frozen=True)
class Trained:
    """A finished job."""

    model: Path
    images_per_second: float  # median of what it said while it trained
    cpu_minutes: float  # of the whole job: lessons, training, validation, export

    def parameters(self) -> int:
        return sum(weight.numel() for weight in load_file(self.model / "weights.safetensors").values())

    def size(self) -> int:
        """Bytes of the model directory."""
        return sum(path.stat().st_size for path in self.model.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Measured:
    metrics: Metrics
    milliseconds: float  # CPU time of one picture


def main(
    description: str | None,
    folder: str,
    head: Sequence[str],
    rows: Callable[[Jobs], Iterable[Sequence[str]]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Prints the table, and what its readers must know; returns the exit status."""
    options = _parser(description, folder).parse_args(arguments)
    try:
        jobs = Jobs(options)
    except (JobSetupError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{table(head, rows(jobs))}\n\n{jobs.caption()}")
    return 0


def _parser(description: str | None, folder: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--minutes", type=float, default=5, help="of training, each job (default %(default)s)")
    made.add_argument("--pictures", type=int, default=8000, help="embedded pictures to draw (default %(default)s)")
    made.add_argument("--tests", type=int, default=2000, help="other ones, to measure on (default %(default)s)")
    made.add_argument("--longest", type=int, default=12, help="tokens; longer ones are left out (default %(default)s)")
    made.add_argument("--hp", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of all jobs")
    made.add_argument("--out", type=Path, default=Path(folder), help="where jobs are kept (default %(default)s)")
    return made


class Jobs:
    """Trains and measures under the same conditions, as the options of the command line say."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises JobSetupError for a hyperparameter that isn't name=value, FileExistsError if `out` has other data."""
        self._minutes, self._hyperparameters = options.minutes, parse_hyperparameters(options.hp)
        self._longest, self.folder = options.longest, options.out / f"{options.minutes:g}-minutes-of-{options.pictures}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data = self._short(write_embedded(options.out / "train", options.pictures, TRAINING_SEED))
        self.tests = read_dataset(self._short(write_embedded(options.out / "test", options.tests, TEST_SEED))).samples

    def _short(self, whole: Path) -> Path:
        """The pictures of a data set that have short labels, in a folder beside it: minutes teach nobody long ones."""
        folder = whole.with_name(f"{whole.name}-up-to-{self._longest}")
        folder.mkdir(exist_ok=True)
        if not (folder / "images").exists():
            (folder / "images").symlink_to((whole / "images").resolve())
        short = [sample for sample in read_dataset(whole).samples if len(sample.tokens) <= self._longest]
        lines = [f"{sample.name}\t{' '.join(sample.tokens)}\n" for sample in short]
        (folder / "gt.txt").write_text("".join(lines), encoding="utf-8")
        return folder

    def train(self, name: str, hyperparameters: dict[str, str], times: float = 1) -> Trained:
        """Trains, for `times` the minutes. Ends the program if the job fails."""
        base, log = self.folder / name, self.folder / name / "log.txt"
        minutes = {"max_minutes": f"{times * self._minutes:g}"}
        chosen = {**SETTINGS, **self._hyperparameters, **minutes, **hyperparameters}
        self._note(base, {"data": self._data.name, **chosen})
        if not (base / "model" / "model.json").is_file():
            self._run(base, chosen)
        text = log.read_text()
        return Trained(base / "model", images_per_second(text), sum(_logged(text, "cpu_minutes")))

    def _note(self, base: Path, settings: dict[str, str]) -> None:
        """Ends the program if the folder has a job with other settings: the table would say that it had these."""
        noted, text = base / "settings.json", json.dumps(settings, indent=1, sort_keys=True) + "\n"
        if base.exists() and (not noted.is_file() or noted.read_text(encoding="utf-8") != text):
            raise SystemExit(f"error: {base} is of a job with other settings; remove it, or choose another --out")
        base.mkdir(parents=True, exist_ok=True)
        noted.write_text(text, encoding="utf-8")

    def _run(self, base: Path, hyperparameters: dict[str, str]) -> None:
        print(f"training {base}", file=sys.stderr, flush=True)
        command = [sys.executable, str(ROOT / "code" / "train.py")]
        command += [f"--{name}={value}" for name, value in hyperparameters.items()]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
        environment |= {"SAGEMAKER_BASE_DIR": str(base), "SM_CHANNEL_TRAIN": str(self._data)}
        before = _cpu_seconds()
        with (base / "log.txt").open("a", encoding="utf-8") as log:
            done = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
            log.write(f"cpu_minutes={(_cpu_seconds() - before) / 60:.2f};\n")
        if done.returncode or not (base / "model" / "model.json").is_file():
            raise SystemExit(f"error: {base.name} was not trained; see {base / 'log.txt'}")

    def measure(
        self, model: Path, options: inference.Options = GREEDY, samples: Sequence[Sample] | None = None
    ) -> Measured:
        """Reads the test pictures, or others, one at a time on one core."""
        recognizer = inference.Recognizer.load(model, threads=1)
        recognizer.check_golden()  # warm
        results, seconds = [], 0.0
        for sample in self.tests if samples is None else samples:
            began = time.process_time()
            answer = recognizer.predict([sample.load()], options)[0]
            seconds += time.process_time() - began
            results.append(Result(sample.name, sample.tokens, tuple(tokenize(normalize(answer.latex)))))
        return Measured(compute_metrics(results), 1000 * seconds / len(results))

    def caption(self) -> str:
        """What a reader of the table must know."""
        settings = " ".join(f"{name}={value}" for name, value in {**SETTINGS, **self._hyperparameters}.items())
        count = len(self.tests)
        return (
            f"{self._minutes:g} minutes of the clock for each training, after the lessons, on "
            f"{inference.default_threads()} cores, the same embedded pictures of up to {self._longest} tokens and seed "
            f"({settings}). Exact and WER: {count} such pictures of another seed; by chance alone a share moves by up "
            f"to {100 / count**0.5:.1f} points (two standard deviations). CPU ms: one picture, from its file to LaTeX, "
            "on one core."
        )


def write_embedded(folder: Path, count: int, seed: int) -> Path:
    return write_dataset(folder.with_name(f"{folder.name}-{count}"), count, seed, inference.default_threads())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def accuracy(measured: Measured) -> list[str]:
    """The columns ACCURACY."""
    metrics = measured.metrics
    return [f"{metrics.exprate:.1%}", f"{metrics.wer:.3f}", f"{measured.milliseconds:.1f}"]


def images_per_second(log: str) -> float:
    """Median of the rates that a job has logged.

    Raises:
        ValueError: it has logged none.
    """
    rates = _logged(log, "train:images_per_second")
    if not rates:
        raise ValueError(f"the job logged no train:images_per_second; the end of its log:\n{log[-1000:]}")
    return statistics.median(rates)


def _logged(log: str, key: str) -> list[float]:
    return [float(value) for value in re.findall(rf"{key}=([0-9.]+);", log)]


def _cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
