"""Command line: a data set as tar shards: `python -m recognizer.data.pack_shards DATA OUT`.

Samples are put into a random order (the same each time), as streaming mixes only what is near. Which samples are in
which shard is settled before the first is written, so several processes write them, and a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

import inference
from recognizer.data.formats import Dataset, read_dataset
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.data.shards import INDEX_FOLDER, OnBadSample, claim_folder, is_written, write_shard
from recognizer.disk import write_whole
from recognizer.latex import SPECIALS
from recognizer.processes import in_processes
from recognizer.progress import Progress

DRAWN_BYTES = 5_000  # about, of a picture that is drawn while packing
OVERHEAD = 1_500  # bytes of a tar beside the picture: two headers, the label, and what fills their blocks

Job = tuple[int, int, list[Sample]]  # number of the shard, key of its first sample, samples


def pack_shards(
    dataset: Dataset,
    folder: Path,
    name: str = "shard",
    megabytes: float = 64,
    workers: int = 1,
    on_bad_sample: OnBadSample = "error",
    progress: bool = True,
) -> list[str]:
    """Write the data set as shards of about so many megabytes, but those that are there already.

    Returns:
        Messages about the samples left out by this run.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip").
        FileExistsError: the folder holds something else.
    """
    jobs = _jobs(dataset.samples, megabytes)
    claim_folder(folder, {"shards": len(jobs), "name": name, "megabytes": megabytes, "data": _checksum(dataset)})
    if dataset.vocabulary:
        tokens = [token for token in dataset.vocabulary.tokens if token not in SPECIALS]
        write_whole(folder / INDEX_FOLDER / "tokens.txt", "".join(f"{token}\n" for token in tokens))
    left = [job for job in jobs if not is_written(folder, _stem(name, job[0]))]
    skipped: list[str] = []
    with Progress(sum(len(samples) for _, _, samples in left), "pack", progress) as shown:
        write = partial(_write, folder, name, on_bad_sample)
        for (_, _, samples), messages in zip(left, in_processes(write, left, workers), strict=True):
            skipped += messages
            shown.advance(len(samples))
    return skipped


def _jobs(samples: Sequence[Sample], megabytes: float) -> list[Job]:
    order = np.random.default_rng(0).permutation(len(samples)).tolist()
    jobs: list[Job] = []
    room = 0.0
    for key, index in enumerate(order):
        if room <= 0:
            jobs.append((len(jobs), key, []))
            room = megabytes * 1e6
        jobs[-1][2].append(samples[index])
        room -= _bytes(samples[index])
    return jobs


def _bytes(sample: Sample) -> int:
    picture = sample.picture
    return OVERHEAD + (picture.path.stat().st_size if isinstance(picture, FilePicture) else DRAWN_BYTES)


def _checksum(dataset: Dataset) -> int:
    """What makes another data set of the same size another one."""
    facts = ([sample.name, sample.tokens, sample.source, sample.level, sample.group] for sample in dataset.samples)
    checksum = 0
    for fact in facts:
        checksum = zlib.crc32(repr(fact).encode(), checksum)
    return checksum


def _stem(name: str, number: int) -> str:
    return f"{name}-{number:06}"


def _write(folder: Path, name: str, on_bad_sample: OnBadSample, job: Job) -> list[str]:
    number, first, samples = job
    return write_shard(folder, _stem(name, number), samples, first, on_bad_sample)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.data.pack_shards", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with a data set, of any format that training reads")
    parser.add_argument("out", type=Path, help="folder to write; must not hold anything but shards to go on with")
    parser.add_argument("--name", default="shard", help="how the files' names begin (default %(default)s)")
    parser.add_argument("--megabytes", type=float, default=64, help="of a shard, about (default %(default)s)")
    parser.add_argument("--workers", type=int, default=inference.default_threads(), help="processes (%(default)s)")
    parser.add_argument("--on-bad-sample", choices=("error", "skip"), default="error", help="default %(default)s")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args(arguments)
    if options.megabytes <= 0 or options.workers < 1:
        parser.error("--megabytes must be above 0, and --workers at least 1")
    try:
        dataset = read_dataset(options.data, options.on_bad_sample)
        skipped = pack_shards(
            dataset,
            options.out,
            options.name,
            options.megabytes,
            options.workers,
            options.on_bad_sample,
            not options.quiet,
        )
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for message in [*dataset.skipped, *skipped]:
        print(f"left out: {message}", file=sys.stderr)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
