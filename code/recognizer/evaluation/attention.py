"""Where a recognizer looked while it wrote a token: a heat map over the picture as the network saw it.

ONNX hands out no attention, so the stored weights are read into the torch network again. It takes recognizers that end
with our transformer decoder or look at the picture by one additive attention; others have nothing to show.
"""

from __future__ import annotations

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
from recognizer.model_dir import WEIGHTS, read_model
from recognizer.models import REGISTRY, FormulaRecognizer
from recognizer.models.common import TransformerRecognizer
from recognizer.models.layers import AdditiveAttention, DecoderLayer

HEAT_SHARE = 0.65  # of the colour where attention is strongest; the rest is ink


@dataclass(frozen=True)
class AttentionReader:
    """The torch network of a model directory."""

    model: FormulaRecognizer
    vocabulary: Vocabulary
    spec: inference.PreprocessSpec
    max_tokens: int

    @torch.inference_mode()
    def weights(self, image: np.ndarray, tokens: Sequence[str]) -> np.ndarray:
        """Attention over the picture for each token and the end; of a transformer its last layer's, mean of the heads.

        Args:
            image: prepared, (h, w).
            tokens: what was recognized, fewer than `max_tokens` and all in the vocabulary.

        Returns:
            (tokens + 1, rows, columns) float32, each summing to 1: what was looked at to write that token.
        """
        images, sizes = map(torch.from_numpy, inference.make_batch([image], self.spec))
        ids = torch.tensor([[self.vocabulary.bos, *self.vocabulary.encode(tokens)]])
        if isinstance(self.model, TransformerRecognizer):
            (weights,) = _of_transformer(self.model, images, sizes, ids)  # (T, N)
        else:
            (weights,) = _of_additive(self.model, images, sizes, ids)
        return weights.unflatten(1, (images.shape[2] // self.model.stride[0], -1)).numpy()

    def map(self, rgb: np.ndarray, tokens: Sequence[str], place: int) -> np.ndarray | None:
        """The prepared picture, ink black, under the heat of the token at that place (or of the end, behind the last).

        Returns:
            (h, w, 3) uint8 RGB; None for tokens that the network doesn't know, or more than it can write.
        """
        if not all(token in self.vocabulary for token in tokens) or len(tokens) >= self.max_tokens:
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


def _of_transformer(model: TransformerRecognizer, images: Tensor, sizes: Tensor, ids: Tensor) -> Tensor:
    """ids (B, T) -> (B, T, N), of the last layer."""
    layer = model.decoder.layers[-1]
    assert isinstance(layer, DecoderLayer)
    seen: list[Tensor] = []

    def watch_layer(_module: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
        _, keys, _, mask = inputs
        seen.extend([keys, mask])

    def watch_query(_module: Any, _inputs: Any, query: Tensor) -> None:
        seen.append(query)

    with layer.register_forward_pre_hook(watch_layer), layer.memory_norm.register_forward_hook(watch_query):
        model.decode(model.encode(images, sizes), ids)
    keys, mask, query = seen
    return layer.memory_attention.weights(query, keys, mask).mean(dim=1)


def _of_additive(model: FormulaRecognizer, images: Tensor, sizes: Tensor, ids: Tensor) -> Tensor:
    """ids (B, T) -> (B, T, N), from all queries of the one attention, be they asked in one call or in T."""
    (attention,) = _additive(model)
    seen: list[Tensor] = []

    def watch(_module: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor], _output: Tensor) -> None:
        queries, keys, _, mask = inputs
        seen.append(attention.weights(queries, keys, mask))  # (B, M, N)

    with attention.register_forward_hook(watch):
        model.decode(model.encode(images, sizes), ids)
    return torch.cat(seen, dim=1)[:, : ids.shape[1]]


def _additive(model: FormulaRecognizer) -> list[AdditiveAttention]:
    return [module for module in model.modules() if isinstance(module, AdditiveAttention)]


def read_attention(model_dir: Path) -> AttentionReader | None:
    """The network of a model directory; None where it has no attention that can be shown, or no weights.

    Raises:
        recognizer.config.ConfigError: its weights or description can't be read.
    """
    if not (model_dir / WEIGHTS).is_file():
        return None
    start = read_model(model_dir, "model")
    if start.recognizer not in REGISTRY:
        return None
    model = start.build("model").eval()
    if not isinstance(model, TransformerRecognizer) and len(_additive(model)) != 1:
        return None
    return AttentionReader(model, start.vocabulary, start.preprocess, start.max_tokens)
