"""The learning rate as a pure function of how far the run is, so that resuming can't shift it."""

from __future__ import annotations

import math


def learning_rate(step: int, progress: float, highest: float, warmup_steps: int) -> float:
    """Linear warm-up over `warmup_steps`, then half a cosine down to 2% of the highest at progress 1.

    Args:
        step: optimizer steps done.
        progress: share of the whole run that is done, 0..1.
    """
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return highest * warmup * (0.02 + 0.98 * cosine)
