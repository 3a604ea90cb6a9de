"""Where the time of training goes: what the loader does for a formula, what a step does, and who waits for whom.

The step is that of the real `Trainer`, watched from outside; the loader's stages are run one after the other. A stage
is given in processor time as well: on a busy machine the clock says how busy it is, the processor time what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import inference
from recognizer.config import Hyperparameters
from recognizer.data.dataset import Batch, FormulaDataset
from recognizer.latex import tokenize
from recognizer.models import build
from recognizer.synth.dataset import Row, write_picture, write_tables
from recognizer.synth.degrade import degrade
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.style import random_style, render_any
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from recognizer.training.loop import Trainer
from recognizer.training.stop import StopSignal

LENGTH, LENGTHS = 25, range(23, 28)  # tokens of a formula
WARM_STEPS = 5  # not counted
LISTED = 8  # operations of torch


class Laps:
    """Seconds by the clock and of the processor, each lap added to its stage."""

    def __init__(self) -> None:
        self.clock: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self._before = time.perf_counter(), time.process_time()

    def lap(self, stage: str) -> None:
        """What has happened since the last lap was this stage."""
        now = time.perf_counter(), time.process_time()
        for seconds, before, after in zip((self.clock, self.processor), self._before, now, strict=True):
            seconds[stage] = seconds.get(stage, 0.0) + after - before
        self._before = now


class Watched(Trainer):
    """A trainer whose stages are timed from the sixth step on; it neither validates nor saves."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.laps, self.formulas = Laps(), 0
        self.optimizer.register_step_pre_hook(lambda *_: self.laps.lap("backward"))
        self.optimizer.register_step_post_hook(lambda *_: self.laps.lap("optimizer"))

    def _train_batch(self, batch: Batch, stop: bool) -> tuple[float, int, bool]:
        if self.progress.step == WARM_STEPS:
            self.laps, self.formulas = Laps(), 0
        self.laps.lap("wait")
        done = super()._train_batch(batch, stop)
        self.laps.lap("average")
        self.formulas += len(batch)
        return done

    def _forward(self, network: nn.Module, batch: Batch) -> Tensor:
        logits = super()._forward(network, batch)
        self.laps.lap("forward")
        return logits

    def _validate_here(self) -> dict[str, float]:
        return {"loss": 0.0}

    def save(self) -> None:
        pass


class Stages(NamedTuple):
    """What was measured, in seconds for a formula."""

    step: Laps
    formulas: int  # in the steps
    loader: Laps
    pictures: int  # in the loader
    workers: int
    operations: str  # torch's table

    @property
    def an_hour(self) -> float:
        """Formulas that were trained on in an hour."""
        return 3600 * self.formulas / sum(self.step.clock.values())

    @property
    def waiting(self) -> float:
        """Share of the time in which the step waited for the loader."""
        return self.step.clock["wait"] / sum(self.step.clock.values())

    def table(self) -> str:
        lines = [f"{'stage':22}{'ms a formula':>14}{'processor ms':>14}"]
        for where, laps, count in (("loader", self.loader, self.pictures), ("step", self.step, self.formulas)):
            for stage, seconds in laps.clock.items():
                processor = laps.processor[stage]
                lines.append(f"{where}: {stage:14}{1000 * seconds / count:14.3f}{1000 * processor / count:14.3f}")
        return "\n".join(lines)


def formulas(rng: np.random.Generator) -> Iterator[str]:
    """Embedded formulas of 23 to 27 tokens without end, of all levels in turn."""
    levels = cycle(LEVELS)
    level = next(levels)
    while True:
        formula = generate_formula(rng, level)
        if len(tokenize(formula)) in LENGTHS:
            yield formula
            level = next(levels)


def write_formulas(folder: Path, count: int) -> None:
    """Embedded pictures of formulas of 23 to 27 tokens."""
    rng = np.random.default_rng(25)
    (folder / "images").mkdir(parents=True)
    rows: list[Row] = []
    for number, formula in enumerate(islice(formulas(rng), count)):
        clean, _ = render_any(formula, random_style(rng))
        name = write_picture(folder / "images", number, degrade(clean, rng), lossless=False)
        rows.append(Row(name, tuple(tokenize(formula)), None))
    write_tables(folder, rows)


def measure(folder: Path, steps: int) -> Stages:
    """Trains the default recognizer with the job's own settings, loader and trainer, on the formulas in folder/data.

    All steps are one epoch, however often it comes back to the same pictures, so that workers start only once.
    """
    settings = Hyperparameters.from_strings({"epochs": "1", "strips": "0", "symbol_steps": "0"})
    torch.set_num_threads(inference.default_threads())
    torch.manual_seed(0)
    data = prepare(settings, folder / "data", None, inference.PreprocessSpec(), None, Ranks())
    loader = data.training
    once = loader.plan(0)
    epoch = list(islice(cycle(once), WARM_STEPS + steps))
    loader.plan = lambda number: epoch
    model = build(settings.recognizer, len(data.vocabulary), settings.max_tokens, settings.sizes)
    trainer = Watched(settings, model, data.vocabulary, loader, data.validation, folder, Ranks(), {})
    trainer.run(StopSignal())
    laps, formulas = trainer.laps, trainer.formulas
    batches = list(islice(loader.epoch(0), WARM_STEPS))
    trainer.laps = Laps()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for batch in batches:
            trainer._train_batch(batch, False)
    operations = seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=LISTED, max_name_column_width=40)
    loaded, pictures = load(loader.dataset, once)
    return Stages(laps, formulas, loaded, pictures, loader.workers, operations)


def load(dataset: FormulaDataset, batches: Sequence[Sequence[int]]) -> tuple[Laps, int]:
    """The loader's stages, one after the other in this process, and how many pictures went through them."""
    laps, pictures = Laps(), 0
    assert dataset.augment is not None
    for batch in batches:
        images = []
        for index in batch:
            rng = np.random.default_rng(index)
            picture = dataset.samples[index].load(rng)
            laps.lap("load")
            picture = dataset.augment(picture, rng)
            laps.lap("augment")
            images.append(inference.preprocess(picture, dataset.spec))
            laps.lap("preprocess")
        inference.make_batch(images, dataset.spec)
        laps.lap("collate")
        pictures += len(batch)
    return laps, pictures
