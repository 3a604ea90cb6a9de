"""A training of a second, with all that a real one has: its data, its network, its trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import inference
from recognizer.config import Hyperparameters
from recognizer.data.dataset import Batch
from recognizer.models import build
from recognizer.training.data import JobData, prepare
from recognizer.training.distributed import Ranks
from recognizer.training.loop import Trainer
from tests.support.tiny_model import formula_picture
from tests.support.tiny_recognizer import SMALL

SPEC = inference.PreprocessSpec()
SMALLEST = {"stem": 8, "width": 32, "blocks": 0, "encoder_layers": 0, "decoder_layers": 1, "heads": 2, "dropout": 0.1}
LABELS = ("x + y", "a = 2", "x ^ { 2 }", "\\frac { a } { b }", "( x )")


class Recorded(Trainer):
    """Notes the learning rate and the loss of each step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rates: list[float] = []
        self.losses: list[float] = []

    def _train_batch(self, batch: Batch, stop: bool) -> tuple[float, int, bool]:
        done = super()._train_batch(batch, stop)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.losses.append(done[0])
        return done


def write_pictures(folder: Path) -> Path:
    """20 pictures as JSON Lines."""
    rows = []
    for number in range(20):
        Image.fromarray(formula_picture(number)).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "latex": LABELS[number % 5], "group": str(number)})
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(workers: int = 0, **more: object) -> Hyperparameters:
    values = {
        "epochs": 3,
        "batch_size": 4,
        "warmup_steps": 2,
        "strips": 0,
        "symbol_steps": 0,
        "max_tokens": 20,
        "workers": workers,
        "precision": "fp32",  # the same on every machine
        "sizes": {**SMALL["fast"], "dropout": 0.1},
    }
    return Hyperparameters.model_validate({**values, **more})


def trainer(
    chosen: Hyperparameters, folder: Path, checkpoints: Path, kind: type[Trainer] = Trainer, ranks: Ranks | None = None
) -> Trainer:
    ranks = ranks or Ranks()
    data: JobData = prepare(chosen, folder, None, SPEC, None, ranks)
    torch.manual_seed(0)
    model = build(chosen.recognizer, len(data.vocabulary), chosen.max_tokens, chosen.sizes)
    made = kind(chosen, model, data.vocabulary, data.training, data.validation, checkpoints, ranks, {"seed": 0})
    made.resume()
    return made


def weights(made: Trainer) -> torch.Tensor:
    both = [*made.model.parameters(), *made.average.model.parameters()]
    return torch.cat([parameter.detach().flatten() for parameter in both])
