"""The registry: the hyperparameter `recognizer` names one of these. Adding one takes a file and a line here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from recognizer.models.attention import AttentionRecognizer, AttentionSizes
from recognizer.models.base import FormulaRecognizer, Memory, RecurrentRecognizer
from recognizer.models.fast import FastRecognizer, FastSizes
from recognizer.models.satrn import SatrnRecognizer, SatrnSizes
from recognizer.models.srn import SrnRecognizer, SrnSizes

REGISTRY: dict[str, tuple[type[FormulaRecognizer], type[BaseModel]]] = {
    "attention": (AttentionRecognizer, AttentionSizes),
    "fast": (FastRecognizer, FastSizes),
    "satrn": (SatrnRecognizer, SatrnSizes),
    "srn": (SrnRecognizer, SrnSizes),
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
