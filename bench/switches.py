"""What each switch of training and decoding brings, as a markdown table: `make bench-switches MINUTES=5`.

Ten times the minutes in all. Each row differs from its recognizer's first one in what is named, and in nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.jobs import ACCURACY, Jobs, accuracy, main
from inference import Options
from recognizer.ensemble import write_ensemble

# name of the job: recognizer, what the table says, hyperparameters
SWITCHES: dict[str, tuple[str, str, dict[str, str]]] = {
    "fast": ("fast", "defaults: `label_smoothing` 0.05, `ema_decay` 0.998, `beam` 1", {}),
    "smoothing-0": ("fast", "`label_smoothing` 0", {"label_smoothing": "0"}),
    "smoothing-0.1": ("fast", "`label_smoothing` 0.1", {"label_smoothing": "0.1"}),
    "no-average": ("fast", "`ema_decay` 0: no average of the weights", {"ema_decay": "0"}),
    "attention": ("attention", "defaults: `teacher_forcing` 1", {}),
    "own-tokens": ("attention", "`teacher_forcing` 0.5", {"teacher_forcing": "0.5"}),
}
TEACHER_TIMES = 3  # the minutes
HEAD = ["recognizer", "switch", *ACCURACY]


def rows(jobs: Jobs) -> Iterator[list[str]]:
    models = {}
    for name, (recognizer, what, hyperparameters) in SWITCHES.items():
        models[name] = jobs.train(name, {"recognizer": recognizer, **hyperparameters}).model
        yield [recognizer, what, *accuracy(jobs.measure(models[name]))]
    teacher = jobs.train("teacher", {}, TEACHER_TIMES).model
    yield ["fast", f"the teacher: {TEACHER_TIMES} times the minutes", *accuracy(jobs.measure(teacher))]
    taught = jobs.train("taught", {"teacher": str(teacher)}).model
    yield ["fast", "`teacher`: that one", *accuracy(jobs.measure(taught))]
    yield ["fast", "`beam` 4", *accuracy(jobs.measure(models["fast"], Options(beam=4)))]
    both = jobs.folder / "ensemble"
    if not both.exists():
        write_ensemble([models["fast"], models["attention"]], both)
    yield ["fast and attention", "ensemble of their first rows", *accuracy(jobs.measure(both))]


if __name__ == "__main__":
    sys.exit(main(__doc__, "build/bench-switches", HEAD, rows))
