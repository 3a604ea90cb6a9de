"""The registry: the hyperparameter `recognizer` names one of these. Adding one takes a file beside this one."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from recognizer.models.base import FormulaRecognizer, Memory, RecurrentRecognizer


def _recognizers() -> Iterator[type[FormulaRecognizer]]:
    """The classes of this folder's files that have a name."""
    for file in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{file.name}")
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, FormulaRecognizer) and "name" in vars(found):
                yield found


REGISTRY: dict[str, tuple[type[FormulaRecognizer], type[BaseModel]]] = {
    network.name: (network, network.Sizes) for network in _recognizers()
}

RECURRENT = sorted(name for name, (network, _) in REGISTRY.items() if issubclass(network, RecurrentRecognizer))

__all__ = ["RECURRENT", "REGISTRY", "FormulaRecognizer", "Memory", "build"]


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
