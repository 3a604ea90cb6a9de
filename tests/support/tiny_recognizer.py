"""Small sizes of every recognizer, for tests that need a real network and no accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import inference
from recognizer.latex import Vocabulary
from recognizer.models import REGISTRY, build

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


def write_start(
    folder: Path, name: str, vocabulary: Vocabulary, seed: int, changes: Mapping[str, Any] | None = None
) -> Path:
    """What is read of a model directory to go on from it, to learn from it, to see where it looks: random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    weights = build(name, len(vocabulary), 20, SMALL[name]).state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "weights.safetensors")
    description = {
        "format_version": inference.FORMAT_VERSION,
        "version": f"{name}-{seed}",
        "recognizer": {"name": name, "sizes": SMALL[name]},
        "preprocess": inference.PreprocessSpec().to_dict(),
        "vocabulary": vocabulary.to_dict(),
        "limits": {"max_tokens": 20},
        **(changes or {}),
    }
    (folder / "model.json").write_text(json.dumps(description))
    return folder
