"""Small sizes of every recognizer, for tests that need a real network and no accuracy."""

from __future__ import annotations

from typing import Any

from recognizer.models import REGISTRY

TOKENS = ("x", "y", "1", "2", "+", "=", "a", "b", "\\alpha", "\\frac", "{", "}", "^", "_", "(", ")")

_SMALL = {
    "stem": 8,
    "width": 48,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "semantic_layers": 2,
    "heads": 4,
    "dropout": 0,
}
SMALL: dict[str, dict[str, Any]] = {
    name: {size: value for size, value in _SMALL.items() if size in sizes.model_fields}
    for name, (_, sizes) in REGISTRY.items()
}
