"""What the shipped weights are worth on a style they have never seen: `make bench-finetune MINUTES=10`.

The style is chalk on a blackboard: formulas of the embedded generator whose strokes wobble, crumble and smear. Two jobs
train on the same pictures, side by side with one core each: one begins with the shipped model (`init=default`), the
other from scratch. Both, and the shipped model as it is, then read chalk formulas that neither has seen.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.jobs import ROOT, table
from recognizer.latex import tokenize
from recognizer.synth.dataset import Row, write_picture, write_tables
from recognizer.synth.grammar import generate_formula
from recognizer.synth.style import Style, render

TRAINED, UNSEEN = 1500, 300  # formulas
POLL_SECONDS = 0.5
JOBS: dict[str, list[str]] = {"fine-tuned": ["init=default", "learning_rate=0.001"], "from scratch": []}


def chalk(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8, dark ink on white -> the same formula in chalk, light on dark."""
    ink = 1 - cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255  # (H, W)
    height, width = ink.shape
    rows, columns = np.indices(ink.shape, dtype=np.float32)
    shift = [rng.uniform(1.2, 2.2) * _noise(height, width, 14, rng) for _ in range(2)]
    wobbly = cv2.remap(ink, columns + shift[0], rows + shift[1], cv2.INTER_LINEAR, borderValue=0.0)
    thick = cv2.dilate(wobbly, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    crumbled = thick * np.clip(0.85 + 0.5 * _noise(height, width, 2, rng), 0, 1)
    smeared = np.maximum(crumbled, 0.25 * cv2.GaussianBlur(thick, (0, 0), 3))
    board = np.array([[[38, 62, 50]]], np.float32) * (1 + 0.08 * _noise(height, width, 40, rng)[:, :, None])
    light = np.array([[[235, 235, 220]]], np.float32)
    return np.clip(board + smeared[:, :, None] * (light - board), 0, 255).astype(np.uint8)


def _noise(height: int, width: int, cell: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (height, width) float32, a value every `cell` pixels."""
    coarse = rng.standard_normal((2 + height // cell, 2 + width // cell), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_blackboard(folder: Path, count: int, seed: int) -> Path:
    """A data set of `count` formulas of school and first terms (levels 1 and 2), in chalk."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        level = int(rng.integers(1, 3))
        formula = generate_formula(rng, level)
        clean = render(formula, Style(x_height=float(rng.uniform(12, 24)), margins=(1, 1, 1, 1)))
        rows.append(
            Row(write_picture(folder / "images", index, chalk(clean, rng), True), tuple(tokenize(formula)), level)
        )
    write_tables(folder, rows)
    return folder


def train(data: Path, out: Path, minutes: float, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "container.local_job", "--data", str(data), "--out", str(out)]
    hyperparameters = [f"max_minutes={minutes}", "epochs=1000", "threads=1", "workers=0", *settings]
    return subprocess.Popen([*command, "--hp", *hyperparameters], cwd=ROOT, stdout=subprocess.DEVNULL)


def failures(jobs: Mapping[str, subprocess.Popen[bytes]]) -> list[str]:
    """Waits for all jobs and says which failed; the others are stopped when one has, or when it is interrupted."""
    try:
        while None in (statuses := [job.poll() for job in jobs.values()]) and not any(statuses):
            time.sleep(POLL_SECONDS)
        return [f"the job {title!r} failed with status {job.poll()}" for title, job in jobs.items() if job.poll()]
    finally:
        for job in jobs.values():
            job.terminate()  # local_job passes it on to the job
            job.wait()


def evaluate(model: Path, data: Path, out: Path) -> dict[str, float]:
    options = {"--model": model, "--data": data, "--out": out}
    pairs = [str(part) for pair in options.items() for part in pair]
    subprocess.run([sys.executable, ROOT / "code/evaluate.py", *pairs], check=True, stdout=subprocess.DEVNULL)
    metrics: dict[str, float] = json.loads((out / "metrics.json").read_text())["metrics"]
    return metrics


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of training (default %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for pictures and models (default: none is kept)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        base = options.keep or Path(name)
        seen, unseen = write_blackboard(base / "seen", TRAINED, 1), write_blackboard(base / "unseen", UNSEEN, 2)
        jobs = {title: train(seen, base / title, options.minutes, settings) for title, settings in JOBS.items()}
        if failed := failures(jobs):
            print("\n".join(failed), file=sys.stderr)
            return 1
        models = {"shipped, as it is": ROOT / "weights", **{title: base / title / "ml/model" for title in jobs}}
        print(f"{TRAINED} chalk formulas, {options.minutes:g} minutes on one core each; read: {UNSEEN} others\n")
        rows = []
        for title, model in models.items():
            row = evaluate(model, unseen, base / f"read {title}")
            rows.append([title, *(f"{row[metric]:.1%}" for metric in ("exprate", "within_1", "wer"))])
        print(table(["model", "exact", "within 1 edit", "WER"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
