"""What benches that read a data set's pictures in several ways share: their options, and the share that is right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.jobs import table
from inference import ModelError, Options, Recognizer
from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError, Sample
from recognizer.evaluation.answers import spread
from recognizer.latex import normalize, tokenize

DPI = (72, 100, 150, 200, 300, 400)  # resolutions to compare at, of 10-point type

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # (H, W, 3) uint8 RGB -> another such picture
Rows = Callable[[Recognizer, Sequence[Sample]], Iterable[Sequence[str]]]


def is_right(latex: str, label: str) -> bool:
    return tokenize(normalize(latex)) == tokenize(normalize(label))


def share_right(
    model: Recognizer,
    samples: Sequence[Sample],
    change: Change,
    options: Options,
) -> float:
    """Share of the samples that are read exactly right, as evaluate.py has it; `change` makes the pictures to read."""
    right = 0
    for number, sample in enumerate(samples):
        picture = np.ascontiguousarray(change(sample.load(), np.random.default_rng(number)))
        (answer,) = model.predict([picture], options)
        right += tuple(tokenize(normalize(answer.latex))) == sample.tokens
    return right / len(samples)


def run(
    arguments: Sequence[str] | None, name: str, document: str | None, data: str, limit: int, head: list[str], rows: Rows
) -> int:
    """The command line of such a bench: prints its table; the status to exit with.

    Args:
        name, document: of the module.
        data: which pictures it takes; `limit`: how many, unless the user says.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=(document or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--limit", type=int, default=limit, help="pictures, spread over the data (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.limit < 1:
        parser.error(f"--limit: expected a whole number from 1, got {options.limit}")
    try:
        model = Recognizer.load(options.model, threads=1)
        samples = read_dataset(options.data, on_bad_sample="skip").samples
        chosen = [samples[place] for place in spread(options.limit, len(samples))]
        made = list(rows(model, chosen))
    except (ModelError, DataError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{options.model}, {len(chosen)} pictures of {options.data}\n{table(head, made)}")
    return 0
