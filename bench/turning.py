"""Command line: `python -m bench.turning --model MODEL --data DATA`: what trying pictures on their sides gives, costs.

`make bench-turning MODEL=weights DATA=folder` reads the pictures as they are and lying on either side, with `turn` as
it is by default and off. A picture that lies must not cost one that stands.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from bench.reading import Change, run, share_right
from inference import Options, Recognizer
from recognizer.data.sample import Sample

HEAD = ["pictures", "`turn`", "exactly right", "CPU ms a picture"]
POSES = {"as they are": 0, "lying, turned left": 1, "lying, turned right": 3}  # quarter turns


def turned(quarters: int) -> Change:
    """By so many quarters of a turn to the left."""
    return lambda rgb, rng: np.rot90(rgb, quarters)


def rows(model: Recognizer, samples: Sequence[Sample]) -> Iterator[list[str]]:
    """Of the table."""
    for pose, quarters in POSES.items():
        for turn in ("off", "auto"):
            began = time.process_time()
            right = share_right(model, samples, turned(quarters), Options(turn=turn))
            took = 1000 * (time.process_time() - began) / len(samples)
            yield [pose, turn, f"{100 * right:.1f}%", f"{took:.1f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    return run(arguments, "bench.turning", __doc__, "pictures that stand upright, with labels", 200, HEAD, rows)


if __name__ == "__main__":
    sys.exit(main())
