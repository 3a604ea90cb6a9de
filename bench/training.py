"""Command line: `python -m bench.training` says what training costs, and what its design gains: `make bench-training`.

* a step in fp32 and in bf16
* decoding all tokens at once against a loop over them, in `satrn`
* where the time of a step of the default recognizer goes, and how many formulas of 25 tokens it learns from in an hour
* pictures at full and at half size: time of an epoch, and accuracy

Compare ratios of one run, not numbers of two: other work on the machine changes these.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

import inference
from bench import input_size, precisions, processes, stages, teacher_forcing
from recognizer.latex import tokenize
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.training.heap import keep_freed_memory
from recognizer.training.precision import Precision

AIM = 350_000  # formulas of 25 tokens an hour, on two cores
LEAST_GAIN = 5.0
LENGTHS = (stages.LENGTH, 50, 80)  # tokens


def decoding(quick: bool) -> None:
    torch.set_num_threads(inference.default_threads())
    precision = Precision("auto", torch.device("cpu"), 1.0).name
    batch, turns, batches = (4, 1, 1) if quick else (8, 5, 10)
    for length in LENGTHS:
        print(_rates(f"{length} tokens", batch, teacher_forcing.compare(batch, length, turns), precision), flush=True)
    rng = np.random.default_rng(0)
    lengths = [len(tokenize(generate_formula(rng, level))) for level in islice(cycle(LEVELS), batches * batch)]
    rates = teacher_forcing.compare_unlike(batch, lengths)
    what = f"embedded formulas of {min(lengths)} to {max(lengths)} tokens, {fmean(lengths):.0f} on average"
    print(_rates(what, batch, rates, precision), flush=True)


def _rates(what: str, batch: int, rates: teacher_forcing.Comparison, precision: str) -> str:
    loops = rates.step_by_step, rates.with_cache
    by_job, by_fp32 = (
        " and ".join(f"{rate / loop:.1f}" for loop in loops) for rate in (rates.as_a_job, rates.parallel)
    )
    return (
        f"satrn, {what}, batches of {batch}, pictures a second in training: all at once {rates.parallel:.1f}, as a job "
        f"trains, in {precision}, {rates.as_a_job:.1f}; one by one {rates.step_by_step:.1f}, with a cache "
        f"{rates.with_cache:.1f}: a job is {by_job} times as fast (aim {LEAST_GAIN:.0f}), in fp32 {by_fp32} times"
    )


def default_recognizer(quick: bool) -> None:
    count, steps, minutes = (32, 10, 0.05) if quick else (2000, 500, 1.0)
    cores = inference.default_threads()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages.write_formulas(folder / "data", count)
        joined = processes.formulas_an_hour(folder / "data", cores, minutes)
        seen = stages.measure(folder, steps)
    print(
        f"default recognizer, {stages.LENGTH} tokens, {cores} cores, formulas an hour: {joined:,.0f} by a job of "
        f"{cores} processes with batches of {processes.BATCH} (aim {AIM:,}), {seen.an_hour:,.0f} by one with the "
        f"default batches of 8, {cores} threads and {seen.workers} workers; there {seen.waiting:.0%} of the time "
        f"waited for the loader\n{seen.table()}\n{seen.operations}",
        flush=True,
    )


def sizes(quick: bool) -> None:
    pictures, epochs, symbol_steps = (120, 1, 5) if quick else (2000, 4, 600)
    outcomes = []
    for scale in input_size.SCALES:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(input_size.train(Path(folder), scale, pictures, epochs, symbol_steps))
    print(f"{pictures} embedded pictures, {epochs} epochs\n{input_size.table(outcomes)}", flush=True)


def steps(quick: bool) -> None:
    took = precisions.measure(2 if quick else 20)
    rows = ", ".join(f"{case} {milliseconds:.1f} ms" for case, milliseconds in took.items())
    print(
        f"a training step of fast, processor time a picture on one core: {rows}; fp32 for bf16 "
        f"{took['fp32'] / took['bf16']:.2f} times",
        flush=True,
    )


PARTS = {"steps": steps, "decoding": decoding, "stages": default_recognizer, "sizes": sizes}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--quick", action="store_true", help="a fraction of everything: shows that it runs, no more")
    parser.add_argument("--give-back", action="store_true", help="freed memory to the system, as training doesn't")
    options = parser.parse_args(arguments)
    if not options.give_back:
        keep_freed_memory()
    for part in [options.only] if options.only else PARTS:
        PARTS[part](options.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
