"""Command line: `python -m recognizer.synth --out DIR --count N --seed S --workers 2` writes the embedded data set.

Several machines share the work with `--shard 1/4`, `--shard 2/4`, ...; those of one SageMaker Processing job with
`--shard host`. With `--per-shard` they write tar shards that are the same however many machines there are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from recognizer.synth.dataset import write_dataset
from recognizer.synth.shards import write_shards

HOSTS = Path("/opt/ml/config/resourceconfig.json")  # of a Processing job


def _shard(text: str) -> tuple[int, int]:
    if text == "host":
        return _place_among_hosts()
    part, slash, parts = text.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"expected i/n with 1 <= i <= n, such as 2/4, got {text!r}")
    return int(part), int(parts)


def _place_among_hosts() -> tuple[int, int]:
    try:
        resources = json.loads(HOSTS.read_text(encoding="utf-8"))
        hosts = sorted(resources["hosts"])
        return 1 + hosts.index(resources["current_host"]), len(hosts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"host: {HOSTS} doesn't say which of the hosts this is ({error!r})") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not hold anything else")
    parser.add_argument("--count", type=int, default=20_000, help="pictures of the whole set (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="only the i-th of n parts: i/n, or host")
    parser.add_argument("--per-shard", type=int, help="write tar shards of so many pictures, not single files")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args(arguments)
    try:
        request = (options.count, options.seed, options.workers, not options.quiet, options.shard)
        if options.per_shard is None:
            folder = write_dataset(options.out, *request)
        else:
            folder = write_shards(options.out, options.per_shard, *request)
    except (ValueError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
