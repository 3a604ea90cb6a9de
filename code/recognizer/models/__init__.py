"""The registry: the hyperparameter `recognizer` names one of these. Adding one takes a file beside this one."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from inference import PreprocessSpec
from recognizer.models.base import FormulaRecognizer, Memory, RecurrentRecognizer

CANVAS_STEPS = (PreprocessSpec.height_step, PreprocessSpec.width_step)


def _recognizers() -> Iterator[type[FormulaRecognizer]]:
    """The classes of this folder's files that have a name."""
    for file in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{file.name}")
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, FormulaRecognizer) and "name" in vars(found):
                yield found


def make_registry(
    networks: Iterable[type[FormulaRecognizer]],
) -> dict[str, tuple[type[FormulaRecognizer], type[BaseModel]]]:
    """Recognizers, and what their sizes may be, by name.

    Raises:
        TypeError: one isn't complete, or two have one name; found here, and not when a job has read its data.
    """
    registry: dict[str, tuple[type[FormulaRecognizer], type[BaseModel]]] = {}
    for network in networks:
        place = f"{network.__module__}.{network.__qualname__}"
        missing = network.__abstractmethods__ | {need for need in ("Sizes", "stride") if not hasattr(network, need)}
        if missing:
            raise TypeError(f"{place} lacks {', '.join(sorted(missing))}; models/base.py says what each is")
        if any(step % pixels for step, pixels in zip(CANVAS_STEPS, network.stride, strict=True)):
            raise TypeError(
                f"{place}: stride {network.stride} must divide {CANVAS_STEPS}, of which pictures are multiples"
            )
        other, _ = registry.setdefault(network.name, (network, network.Sizes))
        if other is not network:
            raise TypeError(f"{place} has the name of {other.__module__}.{other.__qualname__}, {network.name!r}")
    return registry


REGISTRY = make_registry(_recognizers())

RECURRENT = sorted(name for name, (network, _) in REGISTRY.items() if issubclass(network, RecurrentRecognizer))

__all__ = ["RECURRENT", "REGISTRY", "FormulaRecognizer", "Memory", "build", "make_registry"]


def build(name: str, vocabulary: int, max_tokens: int, sizes: dict[str, Any]) -> FormulaRecognizer:
    """A recognizer by its name, with `sizes` over its own defaults.

    Raises:
        ValueError: the name isn't in the registry, or a size isn't one of this recognizer's.
    """
    if name not in REGISTRY:
        raise ValueError(f"recognizer {name!r} is not one of {', '.join(sorted(REGISTRY))}")
    network, size_model = REGISTRY[name]
    constructor: Any = network
    built: FormulaRecognizer = constructor(vocabulary, max_tokens, size_model.model_validate(sizes))
    return built
