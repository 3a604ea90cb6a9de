"""Validation in training: loss by teacher forcing, and the real thing, greedy decoding as the server does it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import inference
from recognizer.data.dataset import Batch
from recognizer.evaluation.calibration import fit_calibration
from recognizer.evaluation.metrics import Metrics, Result, compute_metrics
from recognizer.latex import Vocabulary
from recognizer.models import FormulaRecognizer
from recognizer.training.loss import sequence_loss
from recognizer.training.precision import NotFiniteError


@dataclass(frozen=True)
class Validation:
    loss: float  # mean over tokens
    metrics: Metrics
    calibration: dict[str, float]  # that fits the confidences


@torch.inference_mode()
def validate(
    model: FormulaRecognizer, batches: Iterable[Batch], vocabulary: Vocabulary, max_tokens: int, device: torch.device
) -> Validation:
    """Recognises every sample of `batches`; no batch is dropped, and each sample (or token) weighs the same.

    Raises:
        NotFiniteError: the weights have diverged, and there is nothing to decode.
    """
    model.eval()
    loss, count = 0.0, 0
    results: list[Result] = []
    for batch in batches:
        moved = batch.to(device)
        memory = model.encode(moved.images, moved.sizes)
        total, tokens = sequence_loss(model.decode(memory, moved.tokens[:, :-1]), moved.tokens[:, 1:], vocabulary.pad)
        loss, count = loss + float(total), count + tokens
        if not math.isfinite(loss):
            raise NotFiniteError(
                "the validation loss isn't finite: the weights have diverged; lower learning_rate, and start afresh "
                "without the checkpoint"
            )
        decoded = decode(model, memory, vocabulary, max_tokens)
        for sample, (ids, score) in zip(batch.samples, decoded, strict=True):
            results.append(Result(sample.name, sample.tokens, tuple(vocabulary.decode(ids)), math.exp(min(score, 0.0))))
    return Validation(loss / count, compute_metrics(results), fit_calibration(results))


def decode(
    model: FormulaRecognizer, memory: dict[str, torch.Tensor], vocabulary: Vocabulary, max_tokens: int
) -> list[tuple[list[int], float]]:
    """Token ids of each picture and their log probability, by the server's own greedy decoding over this model."""
    device = next(iter(memory.values())).device

    seen: dict[str, Any] = {}

    def step(tokens: np.ndarray, past: np.ndarray, arrays: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        if seen.get("arrays") is not arrays:  # the same until a picture leaves the batch: not to the GPU at each step
            tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
            seen.update(arrays=arrays, tensors=tensors)
        last, before = torch.from_numpy(tokens).to(device), torch.from_numpy(past).to(device)
        logits, present = model.step(last, before, seen["tensors"])
        return logits.float().cpu().numpy(), present.float().cpu().numpy()

    arrays = {name: tensor.float().cpu().numpy() for name, tensor in memory.items()}
    prefix = model.prefix(memory).float().cpu().numpy()
    reader = inference.Reader(step, prefix, arrays, max_tokens)
    search = inference.BeamSearch([reader], vocabulary.bos, vocabulary.eos)
    return [(list(best.ids), best.total) for best, *_ in search.run()]
