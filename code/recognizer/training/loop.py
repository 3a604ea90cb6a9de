"""The training loop, in the order in which things happen.

All state that a resumed run needs is in `Trainer.state`. What isn't there is a pure function of it: the learning rate
of the progress and the validations so far, the order of the data of (seed, epoch), dropout and the choice of true
tokens of (seed, step, rank).
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recognizer.config import Hyperparameters
from recognizer.data.dataset import Batch
from recognizer.data.loader import BatchLoader
from recognizer.latex import Vocabulary
from recognizer.models import FormulaRecognizer
from recognizer.training import checkpoint
from recognizer.training.compiled import compile_layers
from recognizer.training.diagnose import describe, find_culprit
from recognizer.training.distill import Teacher
from recognizer.training.distributed import Ranks
from recognizer.training.ema import Average
from recognizer.training.events import Events
from recognizer.training.loss import sequence_loss
from recognizer.training.optimizer import make_optimizer
from recognizer.training.precision import Precision
from recognizer.training.schedule import learning_rate, true_tokens
from recognizer.training.stop import StopSignal
from recognizer.training.validate import Validation, validate

LOG_SECONDS = 10


@dataclass
class Progress:
    """Where a run is: `position` batches of `epoch` are done."""

    epoch: int = 0
    position: int = 0
    step: int = 0
    seconds: float = 0.0
    best_exprate: float = -1.0
    best_loss: float = math.inf  # of those that validated so
    init: str | None = None  # version of the model that the run began with


class Trainer:
    def __init__(
        self,
        settings: Hyperparameters,
        model: FormulaRecognizer,
        vocabulary: Vocabulary,
        training: BatchLoader,
        validation: BatchLoader,
        checkpoints: Path,
        ranks: Ranks,
        identity: dict[str, Any],
        events: Events | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """`identity` is what a checkpoint must share with the run that resumes from it, beside the recognizer."""
        self.events, self.teacher = events or Events(), teacher
        self.settings, self.vocabulary, self.ranks = settings, vocabulary, ranks
        self.training, self.validation = training, validation
        self.checkpoints, self.identity = checkpoints, identity
        self.device = ranks.device
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.model, settings.ema_decay)
        if settings.compile:
            compile_layers(self.model, self.device)
        self.network: nn.Module = DistributedDataParallel(self.model) if ranks.world_size > 1 else self.model
        self.optimizer = make_optimizer(self.model.parameters(), settings.learning_rate, settings.weight_decay)
        self.precision = Precision(settings.precision, self.device, settings.clip_norm)
        self.progress = Progress()
        self.history: list[dict[str, float]] = []
        self._values = settings.to_dict()
        self.trained_with = self._values  # those of the last step: a resumed run may have others, and no step to go
        self._meter = _Meter()
        self._ticked = time.monotonic()

    def run(self, stop: StopSignal) -> bool:
        """Trains to the end of the schedule and returns True, or saves and returns False when asked to stop."""
        self._ticked = time.monotonic()
        while self._goes_on():
            if not self._train_epoch(stop):
                self.save()
                return False
            self._end_epoch()
        if self.progress.position:  # resumed without time left: nobody knows yet what it had learned since
            self._end_epoch()
        return True

    def _end_epoch(self) -> None:
        self._validate()
        self.progress.epoch, self.progress.position = self.progress.epoch + 1, 0
        self.save()
        self.ranks.wait()

    def _train_epoch(self, stop: StopSignal) -> bool:
        """Trains on what is left of the epoch; False if it was stopped."""
        self.network.train()
        self._meter.reset()  # what came before, validation above all, isn't the time of its first batches
        saved = time.monotonic()
        for batch in self.training.epoch(self.progress.epoch, self.progress.position):
            loss, tokens, stopping = self._train_batch(batch.to(self.device, non_blocking=True), bool(stop))
            self.progress.position, self.progress.step = batch.position + 1, self.progress.step + 1
            self.trained_with = self._values
            self._meter.add(loss, tokens, len(batch) * self.ranks.world_size)
            if self._meter.seconds() > LOG_SECONDS and self.ranks.is_main:
                self._log_step()
            if stopping:
                return False
            if time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
            if self._out_of_time():
                break
        if self.ranks.is_main and self._meter.images:
            self._log_step()
        return True

    def _train_batch(self, batch: Batch, stop: bool) -> tuple[float, int, bool]:
        """One optimizer step. Returns its loss per token, its tokens over all ranks, and whether any rank stops."""
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total, tokens = self._loss(self._forward(self.network, batch), batch)
        sums = self.ranks.sum(tokens, float(total.detach()), float(stop), self._elapsed())
        all_tokens, all_loss, stopping, seconds = sums
        self.progress.seconds += seconds
        loss = total * (self.ranks.world_size / all_tokens)  # ranks' gradients are averaged, tokens weigh the same
        if self.precision.step(loss, self.network, self.optimizer, lambda: self._explain_skip(batch)):
            self.average.update(self.model, self.progress.step)
        return all_loss / all_tokens, int(all_tokens), stopping > 0

    def _forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """Logits (B, T, V); the same again when it is called again in the same step, dropout included."""
        torch.manual_seed(hash((self.settings.seed, self.progress.step, self.ranks.rank)) % 2**63)
        tokens = batch.tokens[:, :-1]
        inputs = [batch.images, batch.sizes, tokens]
        if self.settings.teacher_forcing < 1:
            share = true_tokens(self.share_done(), self.settings.teacher_forcing)
            inputs.append(torch.rand(tokens.shape, device=self.device) < share)
        with self.precision.autocast():
            logits: Tensor = network(*inputs)
        return logits

    def _loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """The loss summed over this rank's tokens, and how many these are."""
        total, tokens = sequence_loss(logits, batch.tokens[:, 1:], self.vocabulary.pad, self.settings.label_smoothing)
        if self.teacher:
            with self.precision.autocast():
                total = total + self.settings.distill_weight * self.teacher.loss(logits, batch)
        return total, tokens

    def _explain_skip(self, batch: Batch) -> str:
        """Looks for what isn't finite, and prints it on the main rank and on those that have found something."""
        culprit = find_culprit(self.model, lambda: self._forward(self.model, batch), len(batch))
        reason = describe(culprit, batch.samples)
        if culprit or self.ranks.is_main:
            print(f"warning: step {self.progress.step} skipped, its gradient isn't finite: {reason}", flush=True)
        return reason

    def learning_rate(self) -> float:
        settings, losses = self.settings, [row["loss"] for row in self.history]
        return learning_rate(
            self.progress.step,
            self.share_done(),
            settings.learning_rate,
            settings.warmup_steps,
            settings.schedule,
            losses,
        )

    def share_done(self) -> float:
        """Share of the run that is done, by passes over the data or by time, whichever ends first."""
        batches = self.training.batches_in(self.progress.epoch)
        share = (self.progress.epoch + self.progress.position / batches) / self.settings.epochs
        if self.settings.max_minutes:
            share = max(share, self.progress.seconds / (60 * self.settings.max_minutes))
        return min(1.0, share)

    def _elapsed(self) -> float:
        """Seconds since it was last asked: computing, waiting for data, validating. Only the main rank's clock counts,
        or the ranks would end at different steps, and their learning rates drift apart."""
        now = time.monotonic()
        seconds, self._ticked = now - self._ticked, now
        return seconds if self.ranks.is_main else 0.0

    def _goes_on(self) -> bool:
        """Whether there is something left to train."""
        return self.progress.epoch < self.settings.epochs and not self._out_of_time()

    def _out_of_time(self) -> bool:
        limit = self.settings.max_minutes
        return limit is not None and self.progress.seconds >= 60 * limit

    def _log_step(self) -> None:
        share = max(self.share_done(), 1e-6)
        left = self.progress.seconds * (1 - share) / share
        images, loss, wait = self._meter.read(self.training.wait_seconds)
        rate, step = self.learning_rate(), self.progress.step
        batches = self.training.batches_in(self.progress.epoch)
        print(
            f"epoch {self.progress.epoch + 1}/{self.settings.epochs}, batch {self.progress.position}/{batches}: "
            f"train:loss={loss:.4f}; train:learning_rate={rate:.6f}; "
            f"train:images_per_second={images:.1f}; train:data_wait={wait:.2f}; "
            f"step={step}; left={_duration(left)};",
            flush=True,
        )
        values = {"loss": loss, "learning_rate": rate, "images_per_second": images, "data_wait": wait}
        self.events.add({f"train/{name}": value for name, value in values.items()}, step)

    def _validate(self) -> None:
        """Validates on the main rank. The others learn the loss, as the learning rate may depend on it."""
        row = self._validate_here() if self.ranks.is_main else {"loss": 0.0}
        row["loss"], seconds = self.ranks.sum(row["loss"], self._elapsed())
        self.progress.seconds += seconds
        self.history.append(row)

    def _validate_here(self) -> dict[str, float]:
        batches = self.validation.epoch(0)
        model = self.average.model
        result = validate(model, batches, self.vocabulary, self.settings.max_tokens, self.device)
        epoch = self.progress.epoch + 1
        print(
            f"epoch {epoch}/{self.settings.epochs} validated: validation:loss={result.loss:.4f}; "
            f"{result.metrics.lines('validation:')} epoch={epoch};",
            flush=True,
        )
        exprate, best = result.metrics.exprate, self.progress
        if (exprate, -result.loss) > (best.best_exprate, -best.best_loss):
            best.best_exprate, best.best_loss = exprate, result.loss
            weights = {"recognizer": self.settings.recognizer, "weights": model.state_dict(), "metrics": _row(result)}
            found = {"epoch": epoch, "calibration": result.calibration}
            checkpoint.write(self.checkpoints, checkpoint.BEST, {**weights, **found})
        self.events.add({f"validation/{name}": value for name, value in _row(result).items()}, self.progress.step)
        return {"epoch": epoch, "step": self.progress.step, **_row(result)}

    def save(self) -> None:
        """Writes the whole state, on the main rank."""
        if self.ranks.is_main:
            checkpoint.write(self.checkpoints, checkpoint.LAST, self.state())

    def state(self) -> dict[str, Any]:
        return {
            "recognizer": self.settings.recognizer,
            "identity": self.identity,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "progress": asdict(self.progress),
            "history": self.history,
            "settings": self.trained_with,
            "batches": self._batches() if self.progress.position else None,
        }

    def _batches(self) -> str:
        """What tells the batches of the epoch from others, of which a position would count something else."""
        return hashlib.sha256(repr(self.training.plan(self.progress.epoch)).encode()).hexdigest()

    def resume(self) -> bool:
        """Takes the state of the last checkpoint, if there is one, and tells of values that are others now.

        Raises:
            checkpoint.CheckpointError: it is of other sizes, another vocabulary or other data, or not the same on
                every rank.
        """
        state = self._restore()
        steps = self.ranks.gather(self.progress.step)
        if len(set(steps)) > 1:
            raise checkpoint.CheckpointError(
                f"the ranks would go on from steps {', '.join(map(str, steps))}: every host of the job needs the same "
                f"{self.checkpoints}"
            )
        if state and self.ranks.is_main:
            self._tell_changes()
        batches = state and state.get("batches")  # the main rank's; a checkpoint of an earlier version has none
        if self.ranks.from_main(bool(batches) and self._goes_on() and batches != self._batches()):
            if self.ranks.is_main:
                done, epoch = self.progress.position, self.progress.epoch + 1
                print(f"epoch {epoch} begins anew: its batches aren't those of which {done} are done", flush=True)
            self.progress.position = 0
        return state is not None

    def _tell_changes(self) -> None:
        """Says which values differ from those of the run before, so that none is taken without a word."""
        before = self.trained_with
        changed = [
            f"{name} {before[name]} -> {now}" for name, now in self._values.items() if before.get(name, now) != now
        ]
        if changed:
            end = "" if self._goes_on() else "; the training is done, so they change nothing in the model"
            print(f"other values than before: {', '.join(changed)}{end}", flush=True)

    def _restore(self) -> dict[str, Any] | None:
        state = checkpoint.read(self.checkpoints, checkpoint.LAST, self.settings.recognizer)
        if state is None:
            return None
        checkpoint.check_identity(self.checkpoints / checkpoint.LAST, state, self.identity)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        decays = [group["weight_decay"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, decay in zip(self.optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay  # this job's: the state brings its own
        self.precision.resume(state["scaler"])
        self.progress = Progress(**state["progress"])
        self.history = state["history"]
        self.trained_with = state.get("settings", self.trained_with)  # an earlier version hasn't noted them
        return state


def _row(result: Validation) -> dict[str, float]:
    return {"loss": result.loss, **result.metrics.to_dict()}


class _Meter:
    """What happened since the last log line."""

    def __init__(self) -> None:
        self._wait_before = 0.0
        self.reset()

    def reset(self) -> None:
        self._since, self._loss, self._tokens, self.images = time.monotonic(), 0.0, 0, 0

    def seconds(self) -> float:
        return time.monotonic() - self._since

    def add(self, loss: float, tokens: int, images: int) -> None:
        self._loss += loss * tokens
        self._tokens += tokens
        self.images += images

    def read(self, wait_seconds: float) -> tuple[float, float, float]:
        """Images a second, mean loss, share of the time that was waited for data."""
        seconds = max(self.seconds(), 1e-9)
        values = self.images / seconds, self._loss / max(1, self._tokens), (wait_seconds - self._wait_before) / seconds
        self._wait_before = wait_seconds
        self.reset()
        return values


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m{seconds:02}s"
