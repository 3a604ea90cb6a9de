"""Small sizes of every recognizer, for tests that need a real network and no accuracy."""

from __future__ import annotations

from typing import Any

TOKENS = ("x", "y", "1", "2", "+", "=", "a", "b", "\\alpha", "\\frac", "{", "}", "^", "_", "(", ")")

SMALL: dict[str, dict[str, Any]] = {
    "attention": {"stem": 8, "width": 48, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0},
    "fast": {"stem": 8, "width": 48, "encoder_layers": 1, "decoder_layers": 2, "heads": 4, "dropout": 0.0},
    "satrn": {"stem": 8, "width": 48, "encoder_layers": 2, "decoder_layers": 2, "heads": 4, "dropout": 0.0},
    "srn": {"stem": 8, "width": 48, "encoder_layers": 1, "semantic_layers": 2, "heads": 4, "dropout": 0.0},
}
