"""What half of the picture costs and saves: two real jobs on the same embedded data set, `scale=1` and `scale=0.5`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from recognizer.config import Hyperparameters
from recognizer.training import checkpoint
from recognizer.training.job import Folders, run
from recognizer.training.stop import StopSignal

SCALES = (1.0, 0.5)


class Outcome(NamedTuple):
    scale: float
    epoch_seconds: float  # validation included
    loss: float  # of validation
    exprate: float
    within_2: float


def train(folder: Path, scale: float, pictures: int, epochs: int, symbol_steps: int) -> Outcome:
    """A whole job; what it prints goes to stderr."""
    chosen: dict[str, float] = {"synthetic": pictures, "strips": pictures // 2, "symbol_steps": symbol_steps}
    chosen |= {"epochs": epochs, "scale": scale}
    settings = Hyperparameters.from_strings({name: str(value) for name, value in chosen.items()})
    folders = Folders(folder / "model", folder / "output", folder / "checkpoints", None, None)
    with redirect_stdout(sys.stderr):
        run(settings, folders, StopSignal().listen())
    last = checkpoint.read(folders.checkpoints, checkpoint.LAST, settings.recognizer)
    assert last is not None
    row = last["history"][-1]
    return Outcome(scale, last["progress"]["seconds"] / epochs, row["loss"], row["exprate"], row["within_2"])


def table(outcomes: list[Outcome]) -> str:
    lines = [f"{'scale':>6}{'s an epoch':>12}{'loss':>8}{'exact':>8}{'within 2':>10}"]
    for each in outcomes:
        lines.append(
            f"{each.scale:6}{each.epoch_seconds:12.1f}{each.loss:8.3f}{each.exprate:8.1%}{each.within_2:10.1%}"
        )
    return "\n".join(lines)
