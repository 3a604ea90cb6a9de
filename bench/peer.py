"""Our shipped model beside `latex-ocr-junia`, on the same renderings in one run: `make bench-peer`.

The peer is a package with weights of its own that runs on a plain machine. It is installed into an environment of its
own and called as it calls itself, greedily. Both sides answer the same pictures one at a time; right is what has the
label's tokens after normalisation of both. Formulas are those of the embedded generator or of a file, drawn by MathJax
or by LaTeX (`BENCH="--formulas bench/known_formulas.txt --typeface times"`). CPU seconds are of the answering
processes, without loading; the peer has one thread, which costs it least.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

import inference
from bench.reading import DPI, is_right
from bench.resolutions import pictures
from recognizer.evaluation.answers import spread
from recognizer.latex import normalize, tokenize
from recognizer.synth.corpus import EVERY, MATHJAX
from recognizer.synth.grammar import generate_formula
from recognizer.synth.tex import TexError

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
print("loaded", flush=True)
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


class PeerError(Exception):
    """The peer can't be asked, or about nothing."""


def formulas(count: int) -> list[str]:
    """Simple formulas of the embedded generator, of all lengths up to 25 tokens; no other seed was tried."""
    rng = np.random.default_rng(2026)
    found: list[str] = []
    while len(found) < count:
        formula = generate_formula(rng, 1 + len(found) % 2)
        if len(tokenize(formula)) <= LONGEST and formula not in found:
            found.append(formula)
    return found


def known(path: Path, count: int) -> list[str]:
    """So many formulas of a file with one a line, spread over it; raises PeerError if it has none that is short."""
    lines = path.read_text(encoding="utf-8").splitlines()
    short = [line for line in lines if len(tokenize(normalize(line))) <= LONGEST]
    if not short:
        raise PeerError(f"{path} has no formula of at most {LONGEST} tokens, one a line")
    return [short[place] for place in spread(count, len(short))]


def write_pictures(folder: Path, labels: Sequence[str], typeface: str) -> dict[int, list[Path]]:
    """For each resolution a picture of each formula.

    Raises:
        TexError: as `bench.resolutions.pictures`.
    """
    paths: dict[int, list[Path]] = {}
    for dpi in DPI:
        for number, picture in enumerate(pictures(labels, typeface, dpi)):
            path = folder / f"{dpi}-{number}.png"
            cv2.imwrite(str(path), picture[:, :, ::-1])
            paths.setdefault(dpi, []).append(path)
    return paths


Answer = tuple[str, float]  # LaTeX, CPU seconds


def our_side(model: Path) -> Callable[[Path], Answer]:
    recognizer = inference.Recognizer.load(model)
    recognizer.check_golden()  # warm

    def ask(path: Path) -> Answer:
        began = time.process_time()
        answer = recognizer.predict([inference.read_image(path.read_bytes())])[0]
        return answer.latex, time.process_time() - began

    return ask


@contextmanager
def peer_side(python: Path) -> Iterator[Callable[[Path], Answer]]:
    """Raises PeerError if the peer isn't installed there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # several threads would wait for each other, and that counts
    with subprocess.Popen(
        [python, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin and process.stdout
        questions, answers = process.stdin, process.stdout

        if not answers.readline():
            raise PeerError(f"{python} can't load latex-ocr-junia: see what it said above")

        def ask(path: Path) -> Answer:
            print(path, file=questions, flush=True)
            row = json.loads(answers.readline())
            return row["latex"], row["seconds"]

        yield ask
        questions.close()


def score(ask: Callable[[Path], Answer], paths: Sequence[Path], labels: Sequence[str]) -> tuple[int, float]:
    """How many answers are right, and the CPU seconds of one."""
    answers = [ask(path) for path in paths]
    right = sum(is_right(latex, label) for (latex, _), label in zip(answers, labels, strict=True))
    return right, sum(seconds for _, seconds in answers) / len(paths)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True, help="Python that has latex-ocr-junia")
    parser.add_argument("--count", type=int, default=20, help="formulas (default %(default)s)")
    parser.add_argument("--formulas", type=Path, help="a file of them, one a line (default: the embedded generator's)")
    parser.add_argument("--typeface", choices=EVERY, default=MATHJAX, metavar="NAME", help="default %(default)s")
    options = parser.parse_args(arguments)
    try:
        labels = known(options.formulas, options.count) if options.formulas else formulas(options.count)
        compare(options.model, options.peer_python, labels, options.typeface)
    except (OSError, PeerError, TexError, inference.ModelError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def compare(model: Path, peer_python: Path, labels: Sequence[str], typeface: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        paths = write_pictures(Path(name), labels, typeface)
        print(f"{len(labels)} formulas of at most {LONGEST} tokens, {typeface}\n")
        print(
            "| dpi | ours right | peer right | ours, CPU s | peer, CPU s | ratio |\n|---|---|---|---|---|---|",
            flush=True,
        )
        ask_us = our_side(model)
        with peer_side(peer_python) as ask_peer:
            for dpi in DPI:
                us, our_time = score(ask_us, paths[dpi], labels)
                them, their_time = score(ask_peer, paths[dpi], labels)
                ratio = f"1/{their_time / our_time:.0f}"
                print(f"| {dpi} | {us} | {them} | {our_time:.3f} | {their_time:.2f} | {ratio} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
