"""Killed with SIGKILL twenty times, at random moments, a run ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from recognizer.data.dataset import Batch
from recognizer.training import checkpoint
from recognizer.training.stop import StopSignal
from tests.support.forks import fork_context
from tests.support.tiny_training import SMALLEST, Recorded, settings, trainer, weights, write_pictures

KILLS = 20
EPOCHS = 12  # of five steps: more than all lives together get through
# A kill falls on one of so many calls made by this file, or by what it calls
PLACES = {"loop.py": 150, "checkpoint.py": 60, "validate.py": 60, "loader.py": 40}


class Written(Recorded):
    """Appends each step's learning rate to a file, which outlives the process."""

    log: Path

    def _train_batch(self, batch: Batch, stop: bool) -> tuple[float, int, bool]:
        step, done = self.progress.step, super()._train_batch(batch, stop)
        with self.log.open("a") as file:
            file.write(f"{step} {self.rates[-1]!r}\n")
        return done


def train(folder: Path, target: Path, watch: Callable[..., Any] | None) -> None:
    """Goes on from the last checkpoint, of which there is one a step, to the end, or until `watch` ends the process."""
    multiprocessing.set_start_method("fork", force=True)  # of loader workers, as in a job
    torch.set_num_threads(1)
    made = trainer(settings(2, epochs=EPOCHS, sizes=SMALLEST, checkpoint_minutes=1e-9), folder, target, Written)
    assert isinstance(made, Written)
    made.log = target / "rates.txt"
    sys.setprofile(watch)
    assert made.run(StopSignal())
    sys.setprofile(None)
    torch.save(weights(made), target / "weights.pt")


class KilledAt:
    """Ends the process at the call number `calls`, of Python or C, that a file of this name makes."""

    def __init__(self, file: str, calls: int) -> None:
        self.file, self.calls = file, calls

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        if event not in ("call", "c_call"):
            return
        names = [each.f_code.co_filename for each in (frame, frame.f_back) if each]
        if any(name.endswith(f"/{self.file}") for name in names):
            self.calls -= 1
            if self.calls <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(folder: Path, target: Path, watch: KilledAt | None) -> int | None:
    process = fork_context().Process(target=train, args=(folder, target, watch))
    process.start()
    process.join(300)
    return process.exitcode


def rates(target: Path) -> dict[int, set[str]]:
    """All learning rates that each step was made with, in whichever life."""
    found: dict[int, set[str]] = {}
    for line in (target / "rates.txt").read_text().splitlines():
        step, rate = line.split()
        found.setdefault(int(step), set()).add(rate)
    return found


@pytest.mark.slow
def test_L7_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    folder, calm, killed = (tmp_path / name for name in ("data", "calm", "killed"))
    for each in (folder, calm, killed):
        each.mkdir()
    write_pictures(folder)
    assert in_a_process(folder, calm, None) == 0
    chance = random.Random(7)
    for number in range(KILLS):
        file, most = list(PLACES.items())[number % len(PLACES)]
        assert in_a_process(folder, killed, KilledAt(file, chance.randint(1, most))) == -signal.SIGKILL
    assert in_a_process(folder, killed, None) == 0
    assert torch.equal(*(torch.load(target / "weights.pt", weights_only=True) for target in (calm, killed)))
    best, undisturbed = (checkpoint.read(target, checkpoint.BEST) for target in (killed, calm))
    assert best and undisturbed and best["metrics"] == undisturbed["metrics"] and best["epoch"] == undisturbed["epoch"]
    torch.testing.assert_close(best["weights"], undisturbed["weights"], rtol=0, atol=0)
    assert rates(killed) == rates(calm), "a step has the same learning rate in every life"
    left = {path.name for path in killed.iterdir()}
    assert left == {checkpoint.LAST, checkpoint.BEST, "rates.txt", "weights.pt"}
