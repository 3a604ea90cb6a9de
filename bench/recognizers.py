"""The four recognizers, trained for the same minutes on the same pictures: `make bench-recognizers MINUTES=5`.

They have about as many parameters as `fast` has by default; for that only the width of the others was changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.jobs import ACCURACY, Jobs, accuracy, main

WIDTHS = {"fast": 192, "attention": 228, "satrn": 176, "srn": 168}  # 2.3 to 2.5 million parameters with 338 tokens
HEAD = ["recognizer", "parameters", "images/s", "CPU min", *ACCURACY, "directory"]


def rows(jobs: Jobs) -> Iterator[list[str]]:
    for name, width in WIDTHS.items():
        trained = jobs.train(name, {"recognizer": name, "width": str(width)})
        yield [
            f"`{name}`, width {width}",
            f"{trained.parameters() / 1e6:.2f} M",
            f"{trained.images_per_second:.0f}",
            f"{trained.cpu_minutes:.1f}",
            *accuracy(jobs.measure(trained.model)),
            f"{trained.size() / 1e6:.1f} MB",
        ]


if __name__ == "__main__":
    sys.exit(main(__doc__, "build/bench-jobs", HEAD, rows))
