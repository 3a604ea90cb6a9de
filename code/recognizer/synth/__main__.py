"""Command line: `python -m recognizer.synth --out DIR --count N --seed S --workers 2` writes the embedded data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recognizer.synth.dataset import write_dataset


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"expected i/n with 1 <= i <= n, such as 2/4, got {text!r}")
    return int(part), int(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not hold anything else")
    parser.add_argument("--count", type=int, default=20_000, help="pictures of the whole set (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="write only the i-th of n parts, as i/n")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args(arguments)
    try:
        folder = write_dataset(
            options.out, options.count, options.seed, options.workers, not options.quiet, options.shard
        )
    except (ValueError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
