"""What a training step costs in fp32 and in bf16, with torch's fused attention and with ours, in turns on one core.

The heap is kept (`training/heap.py`) unless told otherwise, which can't be changed back within a process: its share is
the difference of two runs, with `--give-back` and without.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

from recognizer.models import build, layers
from recognizer.training.loss import sequence_loss
from recognizer.training.optimizer import make_optimizer
from recognizer.training.precision import Precision

BATCH, LINE, LENGTH = 16, (64, 320), 25
VOCABULARY, PAD = 400, 0
CASES = ("fp32", "bf16, fused attention", "bf16")


def measure(turns: int) -> dict[str, float]:
    """Processor milliseconds of a picture in a step of `fast` with default sizes; of each case the fastest step."""
    torch.set_num_threads(1)
    steps = {case: _Step(case) for case in CASES}
    took = [{case: step.run() for case, step in steps.items()} for _ in range(turns + 1)][1:]  # the first warms up
    return {case: 1000 / BATCH * min(each[case] for each in took) for case in CASES}


class _Step:
    def __init__(self, case: str) -> None:
        torch.manual_seed(0)
        self.fused = "fused" in case
        self.model = build("fast", VOCABULARY, LENGTH, {}).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.model.parameters(), 1e-4, 0.05)
        self.precision = Precision(case[:4], torch.device("cpu"), 1.0)
        self.images = torch.rand(BATCH, 1, *LINE).contiguous(memory_format=torch.channels_last)
        self.sizes = torch.tensor([LINE] * BATCH)
        self.tokens = torch.randint(1, VOCABULARY, (BATCH, LENGTH + 1))

    def run(self) -> float:
        ours = layers._attention_in_parts
        if self.fused:
            layers._attention_in_parts = F.scaled_dot_product_attention  # type: ignore[assignment]
        began = time.process_time()
        try:
            with self.precision.autocast():
                logits = self.model(self.images, self.sizes, self.tokens[:, :-1])
            total, count = sequence_loss(logits, self.tokens[:, 1:], PAD)
            self.precision.step(total / count, self.model, self.optimizer, str)
        finally:
            layers._attention_in_parts = ours
        return time.process_time() - began
