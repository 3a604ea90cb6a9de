"""Command line: `python -m bench.turning --model MODEL --data DATA`: what trying pictures on their sides gives, costs.

`make bench-turning MODEL=weights DATA=folder` reads the pictures as they are and lying on either side, with `turn` as
it is by default and off. A picture that lies must not cost one that stands.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.jobs import table
from inference import ModelError, Options, Recognizer
from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError, Sample
from recognizer.latex import normalize, tokenize

HEAD = ["pictures", "`turn`", "exactly right", "CPU ms a picture"]
POSES = {"as they are": 0, "lying, turned left": 1, "lying, turned right": 3}  # quarter turns


def measure(model: Recognizer, samples: list[Sample], quarters: int, turn: str) -> tuple[float, float]:
    """Share of the samples that are read exactly right, and processor milliseconds of each."""
    right, began = 0, time.process_time()
    for sample in samples:
        (answer,) = model.predict([np.rot90(sample.load(), quarters)], Options(turn=turn))
        right += tuple(tokenize(normalize(answer.latex))) == sample.tokens  # as evaluate.py has it
    return right / len(samples), 1000 * (time.process_time() - began) / len(samples)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.turning", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="pictures that stand upright, with labels")
    parser.add_argument("--limit", type=int, default=200, help="pictures, spread over the data (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.limit < 1:
        parser.error(f"--limit: expected a whole number from 1, got {options.limit}")
    try:
        model = Recognizer.load(options.model, threads=1)
        samples = read_dataset(options.data, on_bad_sample="skip").samples
        chosen = list(samples[:: max(1, len(samples) // options.limit)][: options.limit])
        rows = []
        for pose, quarters in POSES.items():
            for turn in ("off", "auto"):
                exact, took = measure(model, chosen, quarters, turn)
                rows.append([pose, turn, f"{100 * exact:.1f}%", f"{took:.1f}"])
    except (ModelError, DataError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{options.model}, {len(chosen)} pictures of {options.data}\n{table(HEAD, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
