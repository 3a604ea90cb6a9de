"""The embedded data set: formulas from a grammar, drawn by real math renderers, photographed by simulation.

`grammar` makes formulas, `style` (with `mathjax`, `mathtext`) draws them, `degrade` photographs them, `dataset` writes
them in the competition's format; `augment` varies pictures at training time. The names below are looked up when first
used: importing `recognizer.synth.augment` in a training worker loads neither V8 nor albumentations.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "augment": "augment",
    "degrade": "degrade",
    "generate_formula": "grammar",
    "random_style": "style",
    "render": "style",
    "sample": "dataset",
    "write_dataset": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
