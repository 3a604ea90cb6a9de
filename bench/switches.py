"""What each switch of training and decoding brings, as a markdown table: `make bench-switches MINUTES=5`.

Seventeen times the minutes in all. A row differs from its recognizer's first one in what is named, and in nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.jobs import ACCURACY, Jobs, accuracy, main
from bench.recognizers import WIDTHS
from inference import Options
from recognizer.data.compose import Kind, composed_samples
from recognizer.data.measure import PictureCache
from recognizer.data.sample import Sample
from recognizer.data.turned import turned_samples
from recognizer.ensemble import write_ensemble

# name of the job: recognizer, what the table says, hyperparameters
SWITCHES: dict[str, tuple[str, str, dict[str, str]]] = {
    "fast": ("fast", "defaults: `label_smoothing` 0.05, `ema_decay` 0.998, `beam` 1", {}),
    "smoothing-0": ("fast", "`label_smoothing` 0", {"label_smoothing": "0"}),
    "smoothing-0.1": ("fast", "`label_smoothing` 0.1", {"label_smoothing": "0.1"}),
    "no-average": ("fast", "`ema_decay` 0: no average of the weights", {"ema_decay": "0"}),
    "coverage": ("fast", "`coverage` true", {"coverage": "true"}),
    "zoom": ("fast", "`zoom` 0.15", {"zoom": "0.15"}),
    "as-shipped": ("fast", "`glyph_height` 17", {"glyph_height": "17"}),
    "taught-by-shipped": (
        "fast",
        "`teacher` default: the shipped model, larger and hours old; `glyph_height` 17 as it has",
        {"teacher": "default", "glyph_height": "17"},
    ),
    "half": ("fast", "`scale` 0.5: pictures of half the size", {"scale": "0.5"}),
    "attention": ("attention", "defaults: `teacher_forcing` 1", {}),
    "own-tokens": ("attention", "`teacher_forcing` 0.5", {"teacher_forcing": "0.5"}),
}
ADDED: dict[str, tuple[str, dict[str, str]]] = {  # pictures that a switch adds, measured on some of their kind as well
    "on their side": ("turned", {"turned": "1000"}),
    "put together": ("composed", {"joined": "1000", "stacked": "500"}),
}
COMPOSED: tuple[Kind, ...] = ("joined", "stacked")  # of these; two minutes are too few for pages
TEACHER_TIMES = 3  # the minutes
TESTS = 400  # of a kind that is added
MOST_TOKENS = 60  # of a picture that is put together
AS_EVER = "upright, single"
HEAD = ["recognizer", "switch", "pictures", *ACCURACY]


def rows(jobs: Jobs) -> Iterator[list[str]]:
    models = {}
    for name, (recognizer, what, changed) in SWITCHES.items():
        models[name] = _trained(jobs, name, recognizer, changed)
        yield [recognizer, what, AS_EVER, *accuracy(jobs.measure(models[name]))]
    yield from _added(jobs, models["fast"])
    teacher = jobs.train("teacher", {}, TEACHER_TIMES).model
    yield ["fast", f"the teacher: {TEACHER_TIMES} times the minutes", AS_EVER, *accuracy(jobs.measure(teacher))]
    taught = jobs.train("taught", {"teacher": str(teacher)}).model
    yield ["fast", "`teacher`: that one", AS_EVER, *accuracy(jobs.measure(taught))]
    yield ["fast", "`beam` 4", AS_EVER, *accuracy(jobs.measure(models["fast"], Options(beam=4, views=1)))]
    yield ["fast", "`views` 4, of those that aren't sure", AS_EVER, *accuracy(jobs.measure(models["fast"], Options()))]
    both = jobs.folder / "ensemble"
    if not both.exists():
        write_ensemble([models["fast"], models["attention"]], both)
    yield ["fast and attention", "ensemble of their first rows", AS_EVER, *accuracy(jobs.measure(both))]


def _trained(jobs: Jobs, name: str, recognizer: str, changed: dict[str, str]) -> Path:
    return jobs.train(name, {"recognizer": recognizer, "width": str(WIDTHS[recognizer]), **changed}).model


def _added(jobs: Jobs, plain: Path) -> Iterator[list[str]]:
    """Rows of the recognizer with and without pictures of a kind, on that kind and on plain ones."""
    for kind, (name, changed) in ADDED.items():
        said = ", ".join(f"`{switch}` {count}" for switch, count in changed.items())
        model, tests = _trained(jobs, name, "fast", changed), _tests(name, jobs.tests)
        yield ["fast", "defaults", kind, *accuracy(jobs.measure(plain, samples=tests))]
        yield ["fast", said, kind, *accuracy(jobs.measure(model, samples=tests))]
        yield ["fast", said, AS_EVER, *accuracy(jobs.measure(model))]


def _tests(name: str, samples: Sequence[Sample]) -> list[Sample]:
    cache = PictureCache(0)
    if name == "turned":
        return turned_samples(samples, TESTS, 0, cache)
    half = TESTS // len(COMPOSED)
    return [one for kind in COMPOSED for one in composed_samples(kind, samples, half, 0, MOST_TOKENS, cache)]


if __name__ == "__main__":
    sys.exit(main(__doc__, "build/bench-jobs", HEAD, rows))
