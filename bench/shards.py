"""Pictures a second from single files, from shards at random, and from shards in a row: `python -m bench.shards DATA`.

`bytes` reads the picture files, `batches` makes training batches of them: decoded, preprocessed, padded. All files were
read before, so this is what opening and seeking cost where no disk or network is waited for. The best round counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import inference
from recognizer.data.batching import BatchLimits, plan_epoch, plan_stream
from recognizer.data.dataset import FormulaDataset
from recognizer.data.formats import Dataset, read_dataset
from recognizer.data.loader import BatchLoader
from recognizer.data.measure import measure
from recognizer.data.pack_shards import pack_shards
from recognizer.data.sample import DataError
from recognizer.data.shards import EncodedPicture
from recognizer.data.stream import ShardStream
from recognizer.data.workers import WorkerPlan
from recognizer.latex import Vocabulary

LIMITS = BatchLimits(32, 2_000_000)
EPOCH = 9  # all lengths


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shards", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with a data set of picture files")
    parser.add_argument("--count", type=int, default=1000, help="pictures (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    try:
        loose = Dataset(read_dataset(options.data).samples[: options.count])
    except DataError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        pack_shards(loose, Path(folder) / "set", megabytes=8, progress=False)
        packed = time.perf_counter() - began
        began = time.perf_counter()
        sharded = read_dataset(Path(folder) / "set")
        print(f"packing {len(loose.samples) / packed:.0f} pictures a second and process; ", end="")
        print(f"reading an index {len(loose.samples) / (time.perf_counter() - began):.0f} lines a second")
        ways = _reading(loose, sharded) | _batches(loose, sharded)
        best = {name: min(_seconds(way) for _ in range(options.rounds)) for name, way in ways.items()}
    for name, seconds in best.items():
        print(f"{name:32} {len(loose.samples) / seconds:10.0f} pictures a second")
    return 0


def _reading(loose: Dataset, sharded: Dataset) -> dict[str, Callable[[], Iterable[object]]]:
    stream = ShardStream(sharded.samples, 0)
    everything = [range(len(sharded.samples))]
    return {
        "bytes, single files": lambda: map(EncodedPicture.of, loose.samples),
        "bytes, shards at random": lambda: (sample.picture.read() for sample in sharded.samples),  # type: ignore[attr-defined]
        "bytes, shards in a row": lambda: stream(EPOCH, everything),
    }


def _batches(loose: Dataset, sharded: Dataset) -> dict[str, Callable[[], Iterable[object]]]:
    spec = inference.PreprocessSpec()
    vocabulary = Vocabulary.from_labels(sample.tokens for sample in loose.samples)
    sets = [FormulaDataset(each.samples, vocabulary, spec) for each in (loose, sharded)]
    sizes = [measure(each.samples, spec).sizes for each in (loose, sharded)]
    stream = ShardStream(sharded.samples, 0)
    alone = WorkerPlan(0, 0)
    loaders = [
        BatchLoader(each, partial(plan_epoch, size, LIMITS, 0), alone) for each, size in zip(sets, sizes, strict=True)
    ]
    in_a_row = BatchLoader(
        sets[1], lambda epoch: plan_stream(sizes[1], stream.order(epoch), LIMITS, 0, epoch)[0], alone, fetch=stream
    )
    return {
        "batches, single files": lambda: loaders[0].epoch(EPOCH),
        "batches, shards at random": lambda: loaders[1].epoch(EPOCH),
        "batches, shards in a row": lambda: in_a_row.epoch(EPOCH),
    }


def _seconds(way: Callable[[], Iterable[object]]) -> float:
    began = time.perf_counter()
    for _ in way():
        pass
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
