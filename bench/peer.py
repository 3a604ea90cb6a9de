"""Our shipped model beside `latex-ocr-junia`, on the same renderings in one run: `make bench-peer`.

The peer is a package with weights of its own that runs on a plain machine. It is installed into an environment of its
own and called as it calls itself, greedily. Both sides answer the same pictures one at a time; right is what has the
label's tokens after normalisation of both. CPU seconds are of the answering processes, all threads, without loading.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import inference
from recognizer.latex import normalize, tokenize
from recognizer.synth.grammar import generate_formula
from recognizer.synth.style import Style, render

DPI = (72, 100, 150, 200, 300, 400)
X_HEIGHT = 0.06  # pixels of 10-point type for one dpi
LONGEST = 25  # tokens

PEER = r"""
import json, sys, time
from pathlib import Path
import torch
from latex_ocr_junia.data import load_and_preprocess_image
from latex_ocr_junia.model import build_model, load_checkpoint
from latex_ocr_junia.predict import ASSETS_DIR
from latex_ocr_junia.tokenizer import LatexTokenizer
from latex_ocr_junia.utils import load_model_config

tokenizer = LatexTokenizer.load(ASSETS_DIR / "tokenizer.json")
config = load_model_config(ASSETS_DIR / "model_config.json")
model = build_model(config)
load_checkpoint(model, ASSETS_DIR / "best.pt", device=torch.device("cpu"))
model.eval()
for line in sys.stdin:
    began = time.process_time()
    image = load_and_preprocess_image(
        Path(line.strip()), image_height=config.image_height, image_width=config.image_width, channels=1
    ).unsqueeze(0)
    with torch.no_grad():
        ids = model.generate(
            images=image, bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id, max_length=config.max_length,
            beam_size=1, length_penalty=0.6, no_repeat_ngram_size=0,
        )
    latex = tokenizer.decode(ids[0].numpy())
    print(json.dumps({"latex": latex, "seconds": time.process_time() - began}), flush=True)
"""


def formulas(count: int) -> list[str]:
    """Simple formulas of the embedded generator, of all lengths up to 25 tokens; no other seed was tried."""
    rng = np.random.default_rng(2026)
    found: list[str] = []
    while len(found) < count:
        formula = generate_formula(rng, 1 + len(found) % 2)
        if len(tokenize(formula)) <= LONGEST and formula not in found:
            found.append(formula)
    return found


def write_pictures(folder: Path, labels: Sequence[str]) -> dict[int, list[Path]]:
    """For each resolution a picture of each formula, in MathJax's font."""
    paths: dict[int, list[Path]] = {}
    for dpi in DPI:
        for number, label in enumerate(labels):
            path = folder / f"{dpi}-{number}.png"
            picture = render(label, Style(x_height=X_HEIGHT * dpi))
            cv2.imwrite(str(path), picture[:, :, ::-1])
            paths.setdefault(dpi, []).append(path)
    return paths


def ask_us(model: Path, paths: Sequence[Path]) -> list[tuple[str, float]]:
    recognizer = inference.Recognizer.load(model)
    recognizer.check_golden()  # warm
    answers = []
    for path in paths:
        began = time.process_time()
        answer = recognizer.predict([inference.read_image(path.read_bytes())])[0]
        answers.append((answer.latex, time.process_time() - began))
    return answers


def ask_peer(python: Path, paths: Sequence[Path]) -> list[tuple[str, float]]:
    lines = "".join(f"{path}\n" for path in paths)
    done = subprocess.run([python, "-c", PEER], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [(row["latex"], row["seconds"]) for row in map(json.loads, done.stdout.splitlines())]


def is_right(latex: str, label: str) -> bool:
    return tokenize(normalize(latex)) == tokenize(normalize(label))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True, help="Python that has latex-ocr-junia")
    parser.add_argument("--count", type=int, default=20, help="formulas (default %(default)s)")
    options = parser.parse_args(arguments)
    labels = formulas(options.count)
    with tempfile.TemporaryDirectory() as name:
        paths = write_pictures(Path(name), labels)
        flat = [path for dpi in DPI for path in paths[dpi]]
        ours, peers = ask_us(options.model, flat), ask_peer(options.peer_python, flat)
    print(f"{len(labels)} formulas of the embedded generator, levels 1 and 2, at most {LONGEST} tokens\n")
    print("| dpi | ours right | peer right | ours, CPU s | peer, CPU s | ratio |\n|---|---|---|---|---|---|")
    for place, dpi in enumerate(DPI):
        part = slice(place * len(labels), (place + 1) * len(labels))
        us, them = (
            [is_right(latex, label) for (latex, _), label in zip(side[part], labels, strict=True)]
            for side in (ours, peers)
        )
        our_time, their_time = (sum(seconds for _, seconds in side[part]) / len(labels) for side in (ours, peers))
        print(
            f"| {dpi} | {sum(us)} | {sum(them)} | {our_time:.3f} | {their_time:.2f} | 1/{their_time / our_time:.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
