"""An exponential moving average of the weights: smoother than the last step, and usually a little more accurate."""

from __future__ import annotations

import copy

import torch

from recognizer.models import FormulaRecognizer


class Average:
    """A copy of a network whose weights follow it slowly; with decay 0 it is always equal to it."""

    def __init__(self, model: FormulaRecognizer, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: FormulaRecognizer, step: int) -> None:
        """Moves the average towards the weights after this step; early on faster, as the start is worth nothing."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
