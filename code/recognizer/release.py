"""Command line: a trained model as it is given to others: `python -m recognizer.release MODEL OUT --measure ...`.

A job's model directory holds pictures of its training data, a calibration by its own validation samples, and nothing
about other sets. Here golden samples are embedded pictures; the calibration is fitted anew on labelled sets, read as a
request's are by default; `model.json` says how the networks in each precision read the sets that are measured; and all
is packed to half its size. The shipped weights were made by it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

import inference
from recognizer.config import ConfigError
from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError
from recognizer.evaluation.calibration import calibration_error, fit_calibration, reliability
from recognizer.evaluation.metrics import Result, compute_metrics
from recognizer.evaluation.recognize import recognize
from recognizer.export import ExportError, Trained, export
from recognizer.models import build
from recognizer.pack import pack
from recognizer.snapshot import embedded_pictures
from recognizer.training.warmstart import DESCRIPTION, read_model

TOLD = ("samples", "exprate", "within_1", "within_2", "wer")  # of a measured set


@dataclass(frozen=True)
class Sets:
    """Folders of labelled pictures.

    calibrate    on which the confidence is fitted, all samples alike; one that is named twice counts twice
    measure      by the name under which model.json tells of them
    """

    calibrate: Sequence[Path]
    measure: Mapping[str, Path]


def release(source: Path, target: Path, sets: Sets) -> dict[str, Any]:
    """Writes the model directory `target`, and returns what its model.json says.

    Raises:
        FileExistsError: target is there already.
        ConfigError, DataError: model or sets can't be read.
        ExportError, inference.ModelError: as `export` and `pack` do.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already; choose another folder")
    trained = _trained(source)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as name:
        whole = Path(name) / "model"
        export(trained, embedded_pictures(), whole)
        description = json.loads((whole / DESCRIPTION).read_text(encoding="utf-8"))
        description |= _measured(whole, sets)
        text = json.dumps(description, ensure_ascii=False, indent=1) + "\n"
        (whole / DESCRIPTION).write_text(text, encoding="utf-8")
        pack(whole, target)
    return dict(description)


def _trained(source: Path) -> Trained:
    start = read_model(source, "model")
    described = json.loads((source / DESCRIPTION).read_text(encoding="utf-8"))
    model = build(start.recognizer, len(start.vocabulary), start.max_tokens, start.sizes)
    model.load_state_dict({name: weight.float() for name, weight in start.weights.items()})
    return Trained(
        model=model,
        recognizer=start.recognizer,
        sizes=start.sizes,
        vocabulary=start.vocabulary,
        spec=inference.PreprocessSpec.from_dict(start.preprocess),
        max_tokens=start.max_tokens,
        provenance=described.get("provenance", {}),
    )


def _measured(folder: Path, sets: Sets) -> dict[str, Any]:
    """What model.json is told: calibration, accuracy by precision and set, and the metrics among them."""
    read = {path: _read(folder, path, "fp32") for path in {*sets.calibrate, *sets.measure.values()}}
    calibration = fit_calibration([result for path in sets.calibrate for result in read[path]])
    accuracy = {
        precision: {
            name: _told(read[path] if precision == "fp32" else _read(folder, path, precision), calibration)
            for name, path in sets.measure.items()
        }
        for precision in inference.NETWORKS
    }
    return {
        "calibration": calibration,
        "metrics": {f"{name}_exprate": round(told["exprate"], 3) for name, told in accuracy["fp32"].items()},
        "accuracy": accuracy,
    }


def _read(folder: Path, path: Path, precision: str) -> list[Result]:
    recognizer = inference.Recognizer.load(folder, threads=1, precision=precision)
    samples = read_dataset(path, "skip").samples
    print(f"{path}: {len(samples)} pictures, {precision}", flush=True)
    return recognize(recognizer, samples, inference.Options(), "skip", show_progress=True).results


def _told(results: Sequence[Result], calibration: Mapping[str, float]) -> dict[str, float]:
    metrics = compute_metrics(results).to_dict()
    calibrated = [
        replace(each, confidence=inference.calibrated(each.confidence, calibration["slope"], calibration["offset"]))
        for each in results
    ]
    return {name: metrics[name] for name in TOLD} | {"calibration_error": calibration_error(reliability(calibrated))}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.release", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a job's model directory, or one of recognizer.snapshot")
    parser.add_argument("out", type=Path, help="model directory to write; must not be there yet")
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, metavar="SET", help="labelled sets")
    parser.add_argument("--measure", type=_named, nargs="+", required=True, metavar="NAME=SET", help="labelled sets")
    options = parser.parse_args(arguments)
    try:
        description = release(options.model, options.out, Sets(options.calibrate, dict(options.measure)))
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
