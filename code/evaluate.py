"""Measures a model on a labelled set: `python code/evaluate.py --model DIR|model.tar.gz --data FOLDER --out DIR`.

Prints the metrics and writes `metrics.json` (with slices and calibration), `predictions.jsonl`, `report.html` and
`answers.png` (a few pictures with their answers) to --out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import inference
from recognizer.archive import opened
from recognizer.config import ConfigError
from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError
from recognizer.evaluation.answers import SHOWN, write_answers
from recognizer.evaluation.attention import read_attention
from recognizer.evaluation.calibration import calibration_error, reliability
from recognizer.evaluation.metrics import Metrics, Result, compute_metrics
from recognizer.evaluation.recognize import Recognized, recognize
from recognizer.evaluation.report import write_report
from recognizer.evaluation.slices import metrics_by_slice
from recognizer.export import HISTORY

LEFT_OUT_SHOWN = 5  # of the pictures that were left out, on the standard output


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 when model or data can't be used."""
    options = _parser().parse_args(arguments)
    try:
        with opened(options.model) as folder:
            _evaluate(folder, options)
    except (OSError, ConfigError, DataError, inference.ModelError, inference.RequestError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure a formula recognizer on a labelled set.")
    parser.add_argument("--model", type=Path, required=True, help="a model directory, or its model.tar.gz")
    parser.add_argument("--data", type=Path, required=True, help="labelled folder: README, Your own data")
    parser.add_argument("--out", type=Path, required=True, help="folder for metrics.json and report.html")
    parser.add_argument("--history", type=Path, help="the training's history.jsonl, if the model has none")
    parser.add_argument("--options", default="", metavar="NAME=VALUE,...", help="a request's: beam=4,views=1")
    parser.add_argument("--precision", choices=inference.NETWORKS, default="fp32", help="which of its networks")
    parser.add_argument(
        "--shown", type=int, default=SHOWN, help="pictures on answers.png (default %(default)s, 0: none)"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="measure the first N samples only")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error")
    return parser


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _evaluate(model: Path, options: argparse.Namespace) -> None:
    pairs = (pair.partition("=") for pair in options.options.split(",") if pair)
    reading = inference.Options().changed({name.strip(): value.strip() for name, _, value in pairs})
    # one thread, as each core has pictures of its own: see `recognize`
    recognizer = inference.Recognizer.load(model, threads=1, precision=options.precision)
    dataset = read_dataset(options.data, options.on_bad_sample)
    history = _read_history(options.history or model / HISTORY, needed=options.history is not None)
    samples = dataset.samples[: options.limit]
    options.out.mkdir(parents=True, exist_ok=True)  # what can't be written is told before all are read
    recognized = recognize(recognizer, samples, reading, options.on_bad_sample, show_progress=True)
    skipped = [*dataset.skipped, *recognized.skipped]
    by_slice = metrics_by_slice(recognized.results)
    _write_results(options.out, recognized, skipped, by_slice)
    facts = {
        "model": f"{options.model.resolve().name}, version {recognizer.version}",
        "data": f"{options.data.resolve().name}: {len(recognized.results)} samples measured, {len(skipped)} left out",
        "speed": f"{1 / recognized.seconds_per_picture:.1f} pictures a second, {inference.default_threads()} cores",
        "options": options.options or "a request's defaults",
        "precision": options.precision,
        "confidence": "calibrated" if recognizer.calibration else "the network's own, not calibrated",
    }
    attention = read_attention(model)
    write_report(options.out / "report.html", recognized.results, recognized.samples, facts, history, attention)
    if options.shown > 0:
        write_answers(options.out / "answers.png", recognized.results, recognized.samples, options.shown)
    print(f"model: {facts['model']}")
    for reason in skipped[:LEFT_OUT_SHOWN]:
        print(f"left out: {reason}")
    if len(skipped) > LEFT_OUT_SHOWN:
        print(f"left out: {len(skipped) - LEFT_OUT_SHOWN} more, listed in {options.out / 'metrics.json'}")
    for kind, slices in by_slice.items():
        rates = ", ".join(f"{value} {each.exprate:.1%} of {each.samples}" for value, each in slices.items())
        print(f"exactly right by {kind}: {rates}")
    print(compute_metrics(recognized.results).lines("evaluation:"))
    print(f"report: {options.out / 'report.html'}")


def _write_results(
    out: Path, recognized: Recognized, skipped: list[str], by_slice: Mapping[str, Mapping[str, Metrics]]
) -> None:
    results, bins = recognized.results, reliability(recognized.results)
    summary: dict[str, Any] = {
        "metrics": compute_metrics(results).to_dict(),
        "seconds_per_picture": recognized.seconds_per_picture,
        "slices": {
            kind: {value: metrics.to_dict() for value, metrics in slices.items()} for kind, slices in by_slice.items()
        },
        "calibration": {"error": calibration_error(bins), "bins": [asdict(each) for each in bins]},
        "skipped": skipped,
    }
    (out / "metrics.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    rows = "".join(json.dumps(_row(result), ensure_ascii=False) + "\n" for result in results)
    (out / "predictions.jsonl").write_text(rows, encoding="utf-8")


def _row(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "latex": inference.join_tokens(result.reference),
        "prediction": inference.join_tokens(result.prediction),
        "edits": result.edits,
        "renders_same": result.renders_same,
        "confidence": float(f"{result.confidence:.6g}"),  # of a long formula a very small number
        **result.slices,
    }


def _read_history(path: Path, needed: bool) -> list[dict[str, float]]:
    if not needed and not path.is_file():  # models of earlier versions have none
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no training history ({error}); give the history.jsonl of a training job") from error
    if not all(isinstance(row, dict) and "epoch" in row for row in rows):
        raise DataError(f'{path}: a row lacks "epoch"; give the history.jsonl of a training job')
    return rows


if __name__ == "__main__":
    sys.exit(main())
