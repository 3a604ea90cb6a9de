"""What training gains from decoding all tokens at once, masked, over a loop that decodes them one after the other.

The loops are teacher-forced as well and give the same loss: one runs the decoder over all tokens so far for each token,
the other keeps the keys and values of those before. All take whole training steps in turns, the encoder, the way back
and the optimizer included, in fp32; and a further step is what a job here takes, in the precision that `auto` chooses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recognizer.models import FormulaRecognizer, build
from recognizer.training.loss import sequence_loss
from recognizer.training.optimizer import make_optimizer
from recognizer.training.precision import Precision

LINE = (48, 256)  # pixels of a prepared picture: a line of about 25 tokens
VOCABULARY, PAD = 400, 0
Forward = Callable[[FormulaRecognizer, Tensor, Tensor, Tensor], Tensor]


class Comparison(NamedTuple):
    """Pictures a second in training, of the fastest step."""

    as_a_job: float
    parallel: float
    step_by_step: float
    with_cache: float


def parallel(model: FormulaRecognizer, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
    """tokens (B, T) -> logits (B, T, V), as we train."""
    logits: Tensor = model(images, sizes, tokens)
    return logits


def step_by_step(model: FormulaRecognizer, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
    """The same logits, each from a run of its own over the tokens before it."""
    memory = model.encode(images, sizes)
    lengths = range(1, tokens.shape[1] + 1)
    return torch.stack([model.decode(memory, tokens[:, :length])[:, -1] for length in lengths], dim=1)


def with_cache(model: FormulaRecognizer, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
    """The same logits, each from one token and the keys and values of those before it."""
    memory = model.encode(images, sizes)
    past, logits = model.prefix(memory), []
    for token in tokens.unbind(dim=1):
        one, present = model.step(token, past, memory)
        past = torch.cat([past, present[None]])
        logits.append(one)
    return torch.stack(logits, dim=1)


def compare(batch: int, length: int, turns: int) -> Comparison:
    """Steps of labels of one length."""
    steps = _Steps(length)
    took = [steps.of_one_length(batch, length) for _ in range(turns + 1)]
    fastest = (min(each) for each in zip(*took[1:], strict=True))  # the first is to warm up
    return Comparison(*(batch / each for each in fastest))


def compare_unlike(batch: int, lengths: Sequence[int]) -> Comparison:
    """An epoch of labels of these lengths: a loop takes them as they come, on to the longest of each batch; all at once
    they are taken in the order of their lengths, as our batches are (`data.batching`)."""
    steps, ordered = _Steps(max(lengths)), sorted(lengths)
    steps.of_one_length(batch, ordered[len(ordered) // 2])  # to warm up
    seconds = dict.fromkeys(Comparison._fields, 0.0)
    for start in range(0, len(lengths), batch):
        size = len(lengths[start : start + batch])
        joined, as_they_come = (max(each[start : start + batch]) for each in (ordered, lengths))
        seconds["as_a_job"] += steps.seconds(parallel, size, joined, "auto")
        seconds["parallel"] += steps.seconds(parallel, size, joined)
        seconds["step_by_step"] += steps.seconds(step_by_step, size, as_they_come)
        seconds["with_cache"] += steps.seconds(with_cache, size, as_they_come)
    return Comparison(*(len(lengths) / each for each in seconds.values()))


class _Steps:
    """Training steps of `satrn` in its default sizes, on pictures of noise: what they show doesn't change the cost."""

    def __init__(self, longest: int) -> None:
        torch.manual_seed(0)
        model = build("satrn", VOCABULARY, longest, {})
        self._model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = make_optimizer(self._model.parameters(), 1e-4, 0.05)

    def of_one_length(self, batch: int, length: int) -> Comparison:
        """Seconds of one step each."""
        return Comparison(
            self.seconds(parallel, batch, length, "auto"),
            *(self.seconds(forward, batch, length) for forward in (parallel, step_by_step, with_cache)),
        )

    def seconds(self, forward: Forward, batch: int, length: int, name: str = "fp32") -> float:
        images = torch.rand(batch, 1, *LINE).contiguous(memory_format=torch.channels_last)
        sizes, tokens = torch.tensor([LINE] * batch), torch.randint(1, VOCABULARY, (batch, length + 1))
        precision = Precision(name, torch.device("cpu"), 1.0)
        began = time.perf_counter()
        with precision.autocast():
            logits = forward(self._model, images, sizes, tokens[:, :-1])
        total, count = sequence_loss(logits, tokens[:, 1:], PAD)
        precision.step(total / count, self._model, self._optimizer, str)
        return time.perf_counter() - began
