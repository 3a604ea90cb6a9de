"""Command line: a trained model as it is given to others: `python -m recognizer.release MODEL OUT --measure ...`.

A job's model directory holds pictures of its training data as golden samples, a calibration by its own validation
samples, and the job's paths. A released one is made of it in four steps:

1. golden samples of embedded pictures instead, which it reads right
2. half the size (`recognizer.pack`)
3. a calibration fitted on labelled sets, read as a request's pictures are by default
4. in `model.json`, how the networks of each precision read the sets that are measured
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

import inference
from recognizer.config import ConfigError
from recognizer.data.formats import OnBadSample, read_dataset
from recognizer.data.sample import DataError, Sample
from recognizer.evaluation.calibration import calibration_error, fit_calibration, reliability
from recognizer.evaluation.metrics import Result, compute_metrics
from recognizer.evaluation.recognize import recognize
from recognizer.export import HISTORY, ExportError, Trained, amend, export, golden_pictures, write_golden
from recognizer.latex import tokenize
from recognizer.model_dir import DESCRIPTION, read_model, refuse_existing
from recognizer.pack import pack
from recognizer.snapshot import embedded_pictures
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.style import random_style, render_any

TOLD = ("samples", "exprate", "within_1", "within_2", "wer")  # of a measured set
CANDIDATES = 20  # formulas of a level to choose a golden sample from
PATHS = ("init", "teacher")  # hyperparameters that name folders of whoever trained; provenance has their versions


@dataclass(frozen=True)
class Sets:
    """Folders of labelled pictures.

    calibrate      on which the confidence is fitted, all samples alike; one that is named twice counts twice
    measure        by the name under which model.json tells of them
    on_bad_sample  "skip" leaves out pictures that can't be read, and says so
    """

    calibrate: Sequence[Path]
    measure: Mapping[str, Path]
    on_bad_sample: OnBadSample = "error"


def release(source: Path, target: Path, sets: Sets) -> dict[str, Any]:
    """Writes the model directory `target`, and returns what its model.json says.

    Raises:
        FileExistsError: target is there already.
        ConfigError, DataError: model or sets can't be read.
        ExportError, inference.ModelError: as `export` and `pack` do.
    """
    refuse_existing(target)
    trained = _trained(source, [path.name for path in sets.calibrate])
    reader = _Reader(sets)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as name:
        whole, packed = Path(name) / "whole", Path(name) / "packed"
        export(trained, embedded_pictures(), whole)
        if pictures := surely_read(inference.Recognizer.load(whole, threads=1)):
            write_golden(whole, golden_pictures(pictures))
        if (source / HISTORY).is_file():
            shutil.copyfile(source / HISTORY, whole / HISTORY)
        pack(whole, packed)
        description = amend(packed, _measured(packed, sets, reader))
        packed.rename(target)
    return description


def _trained(source: Path, calibrated_on: list[str]) -> Trained:
    if not (source / DESCRIPTION).is_file():
        raise ConfigError(f"{source} has no {DESCRIPTION}: name a model directory (unpack a model.tar.gz)")
    start = read_model(source, "model")
    provenance = json.loads((source / DESCRIPTION).read_text(encoding="utf-8")).get("provenance", {})
    return Trained(
        model=start.build("model"),
        recognizer=start.recognizer,
        sizes=start.sizes,
        vocabulary=start.vocabulary,
        spec=start.preprocess,
        max_tokens=start.max_tokens,
        provenance={**_without_paths(provenance), "calibration": calibrated_on},
    )


def _without_paths(provenance: dict[str, Any]) -> dict[str, Any]:
    if not (hyperparameters := provenance.get("hyperparameters")):
        return provenance
    kept = {name: value for name, value in hyperparameters.items() if name not in PATHS}
    return {**provenance, "hyperparameters": kept}


def surely_read(model: inference.Recognizer) -> list[np.ndarray]:
    """Of each level the longest of some embedded formulas that a model, not calibrated yet, reads exactly and surely.

    Golden samples say no more than that a model answers as it did; whoever looks at them takes them for right.
    """
    rng = np.random.default_rng(0)
    longest: dict[int, tuple[int, np.ndarray]] = {}
    for level in LEVELS * CANDIDATES:
        tokens = tokenize(generate_formula(rng, level))
        picture = render_any(" ".join(tokens), random_style(rng))[0]
        (answer,) = model.predict([picture], inference.Options(views=1, turn="off"))
        is_right = list(answer.tokens) == tokens and not inference.is_unsure(answer)
        if is_right and len(tokens) > longest.get(level, (0,))[0]:
            longest[level] = len(tokens), picture
    return [picture for _, (_, picture) in sorted(longest.items())]


class _Reader:
    """Reads labelled sets with a model; all sets are opened, and refused, before the first is read."""

    def __init__(self, sets: Sets) -> None:
        """Raises DataError: a set can't be read."""
        self._on_bad_sample = sets.on_bad_sample
        self._samples: dict[Path, list[Sample]] = {}
        for path in dict.fromkeys((*sets.calibrate, *sets.measure.values())):
            dataset = read_dataset(path, sets.on_bad_sample)
            self._samples[path] = dataset.samples
            _tell(path, dataset.skipped)

    def read(self, folder: Path, paths: Iterable[Path], precision: str) -> dict[Path, list[Result]]:
        """What the model's networks of this precision make of the sets, each read once."""
        recognizer = inference.Recognizer.load(folder, threads=1, precision=precision)
        return {path: self._read(recognizer, path) for path in dict.fromkeys(paths)}

    def _read(self, recognizer: inference.Recognizer, path: Path) -> list[Result]:
        samples = self._samples[path]
        print(f"{path}: {len(samples)} pictures, {recognizer.precision}", flush=True)
        done = recognize(recognizer, samples, inference.Options(), self._on_bad_sample, show_progress=True)
        _tell(path, done.skipped)
        return done.results


def _tell(path: Path, skipped: Sequence[str]) -> None:
    if skipped:
        print(f"{path}: {len(skipped)} samples left out; the first: {skipped[0]}", flush=True)


def _measured(folder: Path, sets: Sets, reader: _Reader) -> dict[str, Any]:
    """What model.json is told: calibration, accuracy by precision and set, and the metrics among them."""
    measured = sets.measure.values()
    read = {
        precision: reader.read(folder, (*sets.calibrate, *measured) if precision == "fp32" else measured, precision)
        for precision in inference.NETWORKS
    }
    calibration = fit_calibration([result for path in sets.calibrate for result in read["fp32"][path]])
    accuracy = {
        precision: {name: _told(results[path], calibration) for name, path in sets.measure.items()}
        for precision, results in read.items()
    }
    return {
        "calibration": calibration,
        "metrics": {f"{name}_exprate": round(told["exprate"], 3) for name, told in accuracy["fp32"].items()},
        "accuracy": accuracy,
    }


def _told(results: Sequence[Result], calibration: Mapping[str, float]) -> dict[str, float]:
    metrics = compute_metrics(results).to_dict()
    curve = inference.Calibration.from_dict(calibration).curve
    calibrated = [replace(each, confidence=curve(each.length)(each.confidence)) for each in results]
    return {name: metrics[name] for name in TOLD} | {"calibration_error": calibration_error(reliability(calibrated))}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.release", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a job's model directory, or one of recognizer.snapshot")
    parser.add_argument("out", type=Path, help="model directory to write; must not be there yet")
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, metavar="SET", help="labelled sets")
    parser.add_argument("--measure", type=_named, nargs="+", required=True, metavar="NAME=SET", help="labelled sets")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error")
    options = parser.parse_args(arguments)
    names = Counter(name for name, _ in options.measure)
    if twice := [name for name, count in names.items() if count > 1]:
        parser.error(f"--measure: {twice[0]} is given twice")
    sets = Sets(options.calibrate, dict(options.measure), options.on_bad_sample)
    try:
        description = release(options.model, options.out, sets)
    except (OSError, SafetensorError, ConfigError, DataError, ExportError, inference.ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for precision, accuracy in description["accuracy"].items():
        for name, told in accuracy.items():
            print(f"{precision} {name}:", *(f"{key}={value:.4g}" for key, value in told.items()))
    print(f"{options.out}: {description['version']}")
    return 0


def _named(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
