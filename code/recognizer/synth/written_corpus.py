"""Command line: a file of formulas as pen strokes: `python -m recognizer.synth.written_corpus --formulas FILE ...`.

Collections of handwriting hold few formulas, and mostly those of school. Here the formulas of books are written with
the symbols of such a collection (`handwriting`). The hyperparameter `written` does the same with whatever formulas a
job's data has; a file of them says which, and can be looked at.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError
from recognizer.disk import written_whole
from recognizer.progress import Progress
from recognizer.synth.corpus import Formula, add_choice, chosen
from recognizer.synth.handwriting import write
from recognizer.synth.stroke_bank import CantWriteError, StrokeBank, make_stroke_bank, written_symbols

ENDING = ".jsonl.gz"
GRID = 120  # units of an em: whole numbers are a third of the file


def records(formulas: Iterable[Formula], bank: StrokeBank, seed: int) -> Iterator[dict[str, Any]]:
    """The formulas that the bank can write, as the reader of pen strokes takes them; each is its own writer's."""
    for number, formula in enumerate(formulas):
        try:
            strokes = write(bank, formula.tokens, np.random.default_rng((seed, number)))
        except CantWriteError:
            continue
        name = f"{formula.corpus}-{number}"
        points = [np.rint(GRID * stroke).astype(int).tolist() for stroke in strokes]
        yield {"id": name, "writer": name, "caption": " ".join(formula.tokens), "strokes": points}


def read_bank(folder: Path) -> StrokeBank:
    """The symbols of a collection of handwriting.

    Raises:
        DataError: it can't be read, or its strokes don't say which symbols they are.
    """
    bank = make_stroke_bank(written_symbols(read_dataset(folder).samples))
    if not bank.glyphs:
        raise DataError(f"{folder}: no record says which symbols its strokes are; expected `symbols` in JSON Lines")
    return bank


def write_records(path: Path, rows: Iterable[dict[str, Any]], count: int) -> int:
    """Writes the first `count` rows as gzipped JSON Lines, all or nothing, and returns how many there were."""
    written = 0
    with written_whole(path) as whole, gzip.open(whole, "wb") as file, Progress(count, "write") as shown:
        for row in islice(rows, count):
            file.write(json.dumps(row).encode() + b"\n")
            written += 1
            shown.advance(1)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth.written_corpus", description=__doc__)
    add_choice(parser)
    parser.add_argument("--strokes", type=Path, required=True, help="folder with handwriting whose symbols are known")
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as data/written.jsonl.gz")
    parser.add_argument("--count", type=int, default=60_000, help="formulas to write (default %(default)s)")
    options = parser.parse_args(arguments)
    if not options.out.name.endswith(ENDING):
        parser.error(f"--out: {options.out} doesn't end in {ENDING}, by which it is known as pen strokes")
    try:
        formulas, bank = chosen(options), read_bank(options.strokes)
        count = min(options.count, len(formulas))
        written = write_records(options.out, records(formulas, bank, options.seed), count)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {written} of {len(formulas)} formulas written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
