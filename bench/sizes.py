"""What sizes, input height and the order of lessons cost and bring, as a markdown table: `make bench-sizes MINUTES=5`.

Each row is the default recognizer, `fast`, with one thing changed, trained for the same minutes on the same pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.jobs import ACCURACY, Jobs, accuracy, main

CHANGES: dict[str, dict[str, str]] = {  # what the table says: hyperparameters
    "defaults": {},
    "`glyph_height` 12: pixels of a character, three quarters": {"glyph_height": "12"},
    "`glyph_height` 20": {"glyph_height": "20"},
    "`width` 128, 4 heads": {"width": "128", "heads": "4"},
    "`width` 256, 8 heads": {"width": "256", "heads": "8"},
    "`blocks` 0: no residual blocks": {"blocks": "0"},
    "`blocks` 2": {"blocks": "2"},
    "`encoder_layers` 0: convolutions alone": {"encoder_layers": "0"},
    "`encoder_layers` 2": {"encoder_layers": "2"},
    "`decoder_layers` 2": {"decoder_layers": "2"},
    "`decoder_layers` 4": {"decoder_layers": "4"},
    "`short_first` false: all lengths from the start": {"short_first": "false"},
    "`symbol_steps` 0: no lessons on symbols before": {"symbol_steps": "0"},
}
HEAD = ["`fast` with", "parameters", "pictures/s in training", *ACCURACY]


def rows(jobs: Jobs) -> Iterator[list[str]]:
    for what, changed in CHANGES.items():
        name = "-".join(f"{key}-{value}" for key, value in changed.items()) or "defaults"
        trained = jobs.train(name, changed)
        yield [
            what,
            f"{trained.parameters() / 1e6:.2f} M",
            f"{trained.images_per_second:.0f}",
            *accuracy(jobs.measure(trained.model)),
        ]


if __name__ == "__main__":
    sys.exit(main(__doc__, "build/bench-jobs", HEAD, rows))
