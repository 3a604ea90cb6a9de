"""What training gains from decoding all tokens at once, masked, over a loop that decodes them one after the other.

The loop is teacher-forced as well and gives the same loss: for each token it runs the decoder over all tokens so far.
Both take whole training steps in turns, the encoder, the way back and the optimizer included, in fp32; and a third step
is what a job here takes, in the precision that `auto` chooses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from recognizer.models import FormulaRecognizer, build
from recognizer.training.loss import sequence_loss
from recognizer.training.optimizer import make_optimizer
from recognizer.training.precision import Precision

LINE = (48, 256)  # pixels of a prepared picture: a line of about 25 tokens
VOCABULARY, PAD = 400, 0


class Comparison(NamedTuple):
    """Pictures a second in training, of the fastest step."""

    as_a_job: float
    parallel: float
    step_by_step: float


def parallel(model: FormulaRecognizer, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
    """tokens (B, T) -> logits (B, T, V), as we train."""
    logits: Tensor = model(images, sizes, tokens)
    return logits


def step_by_step(model: FormulaRecognizer, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
    """The same logits, each from a run of its own over the tokens before it."""
    memory = model.encode(images, sizes)
    lengths = range(1, tokens.shape[1] + 1)
    return torch.stack([model.decode(memory, tokens[:, :length])[:, -1] for length in lengths], dim=1)


def compare(batch: int, length: int, turns: int) -> Comparison:
    """Training steps of `satrn` in its default sizes, on pictures of noise: what they show doesn't change the cost."""
    torch.manual_seed(0)
    model = build("satrn", VOCABULARY, length, {}).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model.parameters(), 1e-4, 0.05)
    images = torch.rand(batch, 1, *LINE).contiguous(memory_format=torch.channels_last)
    sizes, tokens = torch.tensor([LINE] * batch), torch.randint(1, VOCABULARY, (batch, length + 1))

    def seconds(forward: Callable[[FormulaRecognizer, Tensor, Tensor, Tensor], Tensor], name: str = "fp32") -> float:
        precision = Precision(name, torch.device("cpu"), 1.0)
        began = time.perf_counter()
        with precision.autocast():
            logits = forward(model, images, sizes, tokens[:, :-1])
        total, count = sequence_loss(logits, tokens[:, 1:], PAD)
        precision.step(total / count, model, optimizer, str)
        return time.perf_counter() - began

    took = [(seconds(parallel, "auto"), seconds(parallel), seconds(step_by_step)) for _ in range(turns + 1)]
    fastest = (min(each) for each in zip(*took[1:], strict=True))  # the first is to warm up
    return Comparison(*(batch / each for each in fastest))
