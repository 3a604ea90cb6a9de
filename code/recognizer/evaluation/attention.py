"""Where a recognizer looked while it wrote a token: a heat map over the picture as the network saw it.

ONNX hands out no attention, so the stored weights are read into the torch network again. It takes recognizers that end
with our transformer decoder; for others there is nothing to show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

import inference
from recognizer.latex import Vocabulary
from recognizer.models import REGISTRY, build
from recognizer.models.common import TransformerRecognizer
from recognizer.models.layers import DecoderLayer
from recognizer.training.warmstart import DESCRIPTION, WEIGHTS, read_start

HEAT_SHARE = 0.65  # of the colour where attention is strongest; the rest is ink


@dataclass(frozen=True)
class AttentionReader:
    """The torch network of a model directory."""

    model: TransformerRecognizer
    vocabulary: Vocabulary
    spec: inference.PreprocessSpec

    @torch.inference_mode()
    def weights(self, image: np.ndarray, tokens: Sequence[str]) -> np.ndarray:
        """Attention of the last layer over the picture, mean of its heads, for each token and the end.

        Args:
            image: prepared, (h, w).
            tokens: what was recognized, all of them in the vocabulary.

        Returns:
            (tokens + 1, rows, columns) float32, each summing to 1: what was looked at to write that token.
        """
        images, sizes = inference.make_batch([image], self.spec)
        memory = self.model.encode(torch.from_numpy(images), torch.from_numpy(sizes))
        ids = [self.vocabulary.bos, *self.vocabulary.encode(tokens)]
        layer = self.model.decoder.layers[-1]
        assert isinstance(layer, DecoderLayer)
        queries: list[Tensor] = []
        hook = layer.memory_norm.register_forward_hook(lambda _module, _inputs, output: queries.append(output))
        try:
            self.model.decode(memory, torch.tensor([ids]))
        finally:
            hook.remove()
        attention = layer.memory_attention
        query = attention.query(queries[0]).unflatten(2, (attention.heads, -1)).transpose(1, 2)  # (1, heads, T, D / h)
        keys = memory[f"keys_{len(self.model.decoder.layers) - 1}"]  # (1, heads, N, D / h)
        scores = query @ keys.transpose(2, 3) / query.shape[3] ** 0.5 + memory["memory_mask"][:, None, None]
        rows = images.shape[2] // self.model.stride[0]
        return scores.softmax(dim=3).mean(dim=1)[0].unflatten(1, (rows, -1)).numpy()

    def map(self, rgb: np.ndarray, tokens: Sequence[str], place: int) -> np.ndarray | None:
        """The prepared picture, ink black, under the heat of the token at that place (or of the end, behind the last).

        Returns:
            (h, w, 3) uint8 RGB; None for tokens that the network doesn't know, or more than it can write.
        """
        if not all(token in self.vocabulary for token in tokens) or len(tokens) >= len(self.model.decoder.positions):
            return None
        image = inference.preprocess(rgb, self.spec)
        heat = self.weights(image, tokens)[place]
        high, wide = self.model.stride
        heat = cv2.resize(heat, (heat.shape[1] * wide, heat.shape[0] * high), interpolation=cv2.INTER_LINEAR)
        heat = heat[: image.shape[0], : image.shape[1], None]
        share = HEAT_SHARE * np.sqrt(heat / max(float(heat.max()), 1e-9))  # the root shows the weaker places too
        paper = 1 - np.clip(image * self.spec.std + self.spec.mean, 0, 1)[..., None]
        colour = np.array(colormaps["autumn"](0.35)[:3])
        return (255 * paper * (1 - share + share * colour)).astype(np.uint8)


def read_attention(model_dir: Path) -> AttentionReader | None:
    """The network of a model directory; None where it has no attention that can be shown, or no weights.

    Raises:
        recognizer.config.ConfigError: its weights or description can't be read.
    """
    if not (model_dir / WEIGHTS).is_file():
        return None
    description: dict[str, Any] = json.loads((model_dir / DESCRIPTION).read_text(encoding="utf-8"))
    name = description["recognizer"]["name"]
    if name not in REGISTRY or not issubclass(REGISTRY[name][0], TransformerRecognizer):
        return None
    start = read_start(model_dir, name)
    model = build(name, len(start.vocabulary), description["limits"]["max_tokens"], start.sizes)
    assert isinstance(model, TransformerRecognizer)
    model.load_state_dict(start.weights)
    return AttentionReader(model.eval(), start.vocabulary, inference.PreprocessSpec.from_dict(start.preprocess))
