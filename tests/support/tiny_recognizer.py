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
from recognizer.models import REGISTRY, FormulaRecognizer, build

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
# By a name for the test report: recognizer and sizes.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, sizes) for name, sizes in SMALL.items()} | {
    f"{name} with coverage": (name, SMALL[name] | {"coverage": True, "decoder_layers": 3}) for name in ("fast", "satrn")
}


def build_variant(variant: str, vocabulary: int, max_tokens: int, seed: int) -> FormulaRecognizer:
    """With random weights; also where they begin at zero, as those of the coverage do."""
    torch.manual_seed(seed)
    name, sizes = VARIANTS[variant]
    model = build(name, vocabulary, max_tokens, sizes).eval()
    for weights in model.parameters():
        if weights.ndim > 1 and not weights.any():
            torch.nn.init.normal_(weights, std=3.0)
    return model


def write_start(
    folder: Path, variant: str, vocabulary: Vocabulary, seed: int, changes: Mapping[str, Any] | None = None
) -> Path:
    """What is read of a model directory to go on from it, to learn from it, to see where it looks: random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    name, sizes = VARIANTS[variant]
    weights = build_variant(variant, len(vocabulary), 20, seed).state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "weights.safetensors")
    description = {
        "format_version": inference.FORMAT_VERSION,
        "version": f"{name}-{seed}",
        "recognizer": {"name": name, "sizes": sizes},
        "preprocess": inference.PreprocessSpec().to_dict(),
        "vocabulary": vocabulary.to_dict(),
        "limits": {"max_tokens": 20},
        **(changes or {}),
    }
    (folder / "model.json").write_text(json.dumps(description))
    return folder
