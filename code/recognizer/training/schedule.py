"""The learning rate, and the share of true tokens, as pure functions of how far the run is: resuming can't shift them.

Nothing here counts or remembers: torch's schedulers hold a state of their own, which a resumed run has to restore.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from recognizer.config import Schedule

LOWEST = 0.02  # of the highest rate
DROPS = (0.5, 0.75)  # of the run, at which `step` falls to a tenth
CLIMB, FIRST, LAST = 0.3, 1 / 25, 1e-4  # of `one_cycle`: share of the run, first and last rate
PATIENCE, GAIN, CUT = 2, 1e-3, 0.5  # of `plateau`: validations, share of the loss, factor


def learning_rate(
    step: int,
    progress: float,
    highest: float,
    warmup_steps: int,
    schedule: Schedule = "cosine",
    losses: Sequence[float] = (),
) -> float:
    """Linear warm-up over `warmup_steps`, times the schedule's share of the highest rate.

    cosine      half a cosine down to 2% of the highest
    step        a tenth of it after half of the run, a hundredth after three quarters (arXiv:1512.03385)
    plateau     halved after every two validations whose loss wasn't 0.1% better than the best, down to 2%
    one_cycle   up from 1/25 in the first 30% of the run, then down to next to nothing (arXiv:1708.07120)
    constant    the highest

    Args:
        step: optimizer steps done.
        progress: share of the whole run that is done, 0..1.
        losses: of all validations so far; only `plateau` looks at them.
    """
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    share = _plateau(losses) if schedule == "plateau" else _SHAPES[schedule](min(progress, 1.0))
    return highest * warmup * share


def true_tokens(progress: float, last: float) -> float:
    """Share of true tokens that a recurrent decoder is fed: from 1 down to `last` (the linear decay of
    arXiv:1506.03099), the rest being its own."""
    return 1 - (1 - last) * progress


def _cosine(progress: float) -> float:
    return LOWEST + (1 - LOWEST) * _fall(progress)


def _step(progress: float) -> float:
    return 0.1 ** sum(progress >= drop for drop in DROPS)


def _one_cycle(progress: float) -> float:
    if progress < CLIMB:
        return 1 - (1 - FIRST) * _fall(progress / CLIMB)
    return LAST + (1 - LAST) * _fall((progress - CLIMB) / (1 - CLIMB))


def _plateau(losses: Sequence[float]) -> float:
    """The share after these validations; a loss that isn't finite is no gain."""
    share, best, waited = 1.0, math.inf, 0
    for loss in losses:
        if loss < best * (1 - GAIN):
            best, waited = loss, 0
        else:
            waited += 1
        if waited == PATIENCE:
            share, waited = max(LOWEST, share * CUT), 0
    return share


def _constant(progress: float) -> float:
    return 1.0


def _fall(x: float) -> float:
    """Half a cosine from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * x))


_SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "step": _step,
    "one_cycle": _one_cycle,
    "constant": _constant,
}
