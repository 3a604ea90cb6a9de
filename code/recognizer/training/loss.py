"""The loss of a sequence: cross entropy over its tokens, in fp32, padding left out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sequence_loss(logits: Tensor, targets: Tensor, pad: int, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
    """logits (B, T, V), targets (B, T) -> the loss summed over all tokens but padding, and how many these are.

    Raises:
        ValueError: the logits are laid out in another way, which as one list of tokens would go unnoticed.
    """
    if logits.shape[:2] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} for tokens {tuple(targets.shape)}; decode gives them as (B, T, V)"
        )
    loss = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=pad,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return loss, int((targets != pad).sum())
