"""What training gains from decoding all tokens at once, masked, over a loop that decodes them one after the other.

The loop is teacher-forced as well and gives the same loss: for each token it runs the decoder over all tokens so far.
Both take whole training steps in turns, the encoder, the way back and the optimizer included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recognizer.models import FormulaRecognizer, build
from recognizer.training.loss import sequence_loss
from recognizer.training.optimizer import make_optimizer

LINE = (48, 256)  # pixels of a prepared picture: a line of about 25 tokens
VOCABULARY, PAD = 400, 0


class Comparison(NamedTuple):
    """Pictures a second in training, of the fastest step."""

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
    model = build("satrn", VOCABULARY, length, {})
    optimizer = make_optimizer(model.parameters(), 1e-4, 0.05)
    images, sizes = torch.rand(batch, 1, *LINE), torch.tensor([LINE] * batch)
    tokens = torch.randint(1, VOCABULARY, (batch, length + 1))

    def seconds(forward: Callable[[FormulaRecognizer, Tensor, Tensor, Tensor], Tensor]) -> float:
        began = time.perf_counter()
        total, count = sequence_loss(forward(model, images, sizes, tokens[:, :-1]), tokens[:, 1:], PAD)
        (total / count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - began

    took = [(seconds(parallel), seconds(step_by_step)) for _ in range(turns + 1)][1:]  # the first is to warm up
    fastest = (min(each) for each in zip(*took, strict=True))
    return Comparison(*(batch / each for each in fastest))
