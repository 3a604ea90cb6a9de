"""The first lessons: the encoder learns single symbols before the decoder learns formulas.

From formulas alone, a recognizer gets one faint hint about all symbols of a picture together, and for thousands of
steps it learns only what formulas usually look like. Here strips of random symbols say which symbol stands in which
cell of the encoder's grid. One step teaches a hundred symbols, and costs a fraction of an ordinary step.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import inference
from recognizer.latex import Vocabulary
from recognizer.models import FormulaRecognizer
from recognizer.synth.glyphs import EM, GLYPH_HEIGHT, GlyphBank
from recognizer.synth.strips import draw_strip
from recognizer.training import checkpoint
from recognizer.training.diagnose import describe, find_culprit
from recognizer.training.optimizer import make_optimizer
from recognizer.training.precision import Precision
from recognizer.training.schedule import learning_rate
from recognizer.training.stop import StopSignal

CHECKPOINT = "symbols.pt"
BATCH = 8
SYMBOLS = (8, 12)  # in one strip
CANVAS = (4, 12)  # height and width in glyph heights; what sticks out is cut off
LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY, CLIP_NORM = 6e-3, 50, 0.05, 1.0
EMPTY_WEIGHT = 0.1  # of the mean loss over cells without a symbol
LOG_SECONDS = 10


class SymbolLessons:
    """Trains `model.features` on strips. Batches are a function of (seed, step), so a stopped run goes on exactly."""

    def __init__(
        self,
        model: FormulaRecognizer,
        recognizer: str,
        vocabulary: Vocabulary,
        bank: GlyphBank,
        spec: inference.PreprocessSpec,
        seed: int,
        precision: Precision,
        identity: dict[str, Any],
    ) -> None:
        """`identity` is what a checkpoint must share with the run that resumes from it, beside the recognizer.

        Raises:
            ValueError: the recognizer's features aren't those of its stride.
        """
        self.model, self.recognizer, self.vocabulary, self.bank = model, recognizer, vocabulary, bank
        self.spec, self.seed, self.precision, self.device = spec, seed, precision, precision.device
        self.identity = identity
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = nn.LazyLinear(len(vocabulary)).to(self.device)
        with torch.no_grad():
            images, sizes, labels = self._batch(0)
            cells = self._logits(images, sizes).shape[:3]  # the call gives the head its width
        if cells != labels.shape:
            raise ValueError(
                f"{type(model).__name__}.features: cells {tuple(cells)} of images {tuple(images.shape)}; "
                f"by its stride {model.stride} they are {tuple(labels.shape)} and D"
            )
        self.trained = nn.ModuleDict({"model": self.model, "head": self.head})
        self.optimizer = make_optimizer(self.trained.parameters(), LEARNING_RATE, WEIGHT_DECAY)
        self.step = 0

    def run(self, steps: int, checkpoints: Path, stop: StopSignal, checkpoint_minutes: float) -> bool:
        """Trains up to `steps` and returns True; when asked to stop, returns False. Saves now and then, and at the end:
        the checkpoint is for the caller to remove, when the model is saved elsewhere.

        Raises:
            checkpoint.CheckpointError: there is a checkpoint of other sizes, another vocabulary or other pictures.
        """
        self._resume(checkpoints)
        began, first = time.monotonic(), self.step
        told = saved = began
        self.model.train()
        while self.step < steps:
            stopping = bool(stop)
            if stopping or time.monotonic() - saved > 60 * checkpoint_minutes:
                checkpoint.write(checkpoints, CHECKPOINT, self._state())
                saved = time.monotonic()
            if stopping:
                return False
            loss, right = self._train_batch(self.step / steps)
            self.step += 1
            if time.monotonic() - told > LOG_SECONDS or self.step == steps:
                told = time.monotonic()
                left = (steps - self.step) * (told - began) / (self.step - first)
                print(
                    f"symbols, step {self.step}/{steps}: symbols:loss={loss:.4f}; symbols:accuracy={right:.4f}; "
                    f"left={left:.0f} s;",
                    flush=True,
                )
        checkpoint.write(checkpoints, CHECKPOINT, self._state())
        with torch.no_grad():
            self.head.bias[self.vocabulary.pad] = 0  # it stood for cells without a symbol, which are many
        self.model.adopt_symbols(self.head)
        return True

    def _train_batch(self, share_done: float) -> tuple[float, float]:
        """One step; returns the loss, and the share of symbols that were right."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, share_done, LEARNING_RATE, WARMUP_STEPS)
        images, sizes, labels = self._batch(self.step)
        logits = self._logits(images, sizes).flatten(0, 2).float()  # (B * h * w, V)
        losses = F.cross_entropy(logits, labels.flatten(), reduction="none")
        drawn = labels.flatten() != self.vocabulary.pad
        loss = losses[drawn].mean() + EMPTY_WEIGHT * losses[~drawn].mean()
        self.precision.step(loss, self.trained, self.optimizer, lambda: self._explain_skip(images, sizes))
        right = (logits.argmax(dim=1) == labels.flatten())[drawn].float().mean()
        return float(loss.detach()), float(right)

    def _explain_skip(self, images: Tensor, sizes: Tensor) -> str:
        """Looks for what isn't finite, and prints it. A strip has no name: the step says which these were."""
        reason = describe(find_culprit(self.trained, lambda: self._logits(images, sizes), BATCH), ())
        where = f"step {self.step} of the lessons on symbols"
        print(f"warning: {where} skipped, its gradient isn't finite: {reason}", flush=True)
        return f"{where}, {reason}"

    def _logits(self, images: Tensor, sizes: Tensor) -> Tensor:
        """images (B, 1, H, W), sizes (B, 2) -> logits (B, h, w, V) of the symbol in each cell; <pad> is none."""
        with self.precision.autocast():
            logits: Tensor = self.head(self.model.features(images, sizes))
        return logits

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 1, H, W), sizes (B, 2), and the token in each cell (B, h, w), <pad> where there is none."""
        rng = np.random.default_rng((self.seed, 2, step))
        strips = [self._strip(rng) for _ in range(BATCH)]
        images, sizes = inference.make_batch([image for image, _ in strips], self.spec)
        height, width = images.shape[2] // self.model.stride[0], images.shape[3] // self.model.stride[1]
        labels = np.full((BATCH, height, width), self.vocabulary.pad)
        for cells, (image, glyphs) in zip(labels, strips, strict=True):
            for token, y, x in glyphs:
                if y < image.shape[0] and x < image.shape[1]:
                    cells[int(y / self.model.stride[0]), int(x / self.model.stride[1])] = self.vocabulary.encode(
                        [token]
                    )[0]
        tensors = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        return tensors, torch.from_numpy(sizes).to(self.device), torch.from_numpy(labels).to(self.device)

    def _strip(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
        """A preprocessed picture (h, w) of the lesson's canvas, and its symbols as (token, y, x)."""
        glyph = self.spec.glyph_height * self.spec.scale
        height, width = inference.canvas_size(round(CANVAS[0] * glyph), round(CANVAS[1] * glyph), self.spec)
        symbols = int(rng.integers(SYMBOLS[0], SYMBOLS[1] + 1))
        strip = draw_strip(self.bank, self.vocabulary.tokens, symbols, EM * glyph / GLYPH_HEIGHT, rng, rng)
        ink = strip.ink[:height, :width]
        shift = int(rng.integers(0, height - ink.shape[0] + 1))
        picture = np.zeros((height, width), np.float32)
        picture[shift : shift + ink.shape[0], : ink.shape[1]] = ink
        glyphs = [(glyph.token, glyph.y + shift, glyph.x) for glyph in strip.glyphs]
        return (picture - self.spec.mean) / self.spec.std, glyphs

    def _state(self) -> dict[str, Any]:
        return {
            "recognizer": self.recognizer,
            "identity": self.identity,
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "step": self.step,
        }

    def _resume(self, checkpoints: Path) -> None:
        state = checkpoint.read(checkpoints, CHECKPOINT, self.recognizer)
        if state is None or "identity" not in state:  # of an earlier version: nobody knows whether it fits
            return
        checkpoint.check_identity(checkpoints / CHECKPOINT, state, self.identity)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.resume(state["scaler"])
        self.step = state["step"]
        print(f"resumed the symbols at step {self.step}", flush=True)
