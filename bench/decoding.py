"""What decoding costs, and the ratios that its design rests on: `make bench-decoding`.

The networks are a `fast` of default sizes with random weights, since weights don't change the cost; MODEL=folder adds
what that model takes from picture to LaTeX. All is on one core, and the cases of a table are measured in turns, of
which the best counts: a busy machine slows both sides of a ratio.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import nn
from torch.export import Dim

import inference
from bench.random_model import random_recognizer
from bench.serving import write_pictures
from recognizer.export import export, write_onnx
from recognizer.latex import Vocabulary
from recognizer.models import FormulaRecognizer

LINE = (48, 256)  # pixels of a prepared picture: a line of about 25 tokens
BATCH, STEPS, SHORT = 8, 64, 25  # pictures, tokens, tokens of one ordinary formula
BUCKETS = (0, 16, 64, 128)  # tokens so far
TURNS = 7
TOKENS, MAX_TOKENS = 400, 200  # in the vocabulary, in a formula


def best_milliseconds(cases: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest time of each case over all turns but the first."""
    milliseconds = dict.fromkeys(cases, float("inf"))
    for turn in range(TURNS + 1):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            if turn:
                milliseconds[name] = min(milliseconds[name], 1000 * (time.perf_counter() - began))
    return milliseconds


class _WholeDecoder(nn.Module):
    def __init__(self, model: FormulaRecognizer, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, tokens: torch.Tensor, *memory: torch.Tensor) -> torch.Tensor:
        return self.model.decode(dict(zip(self.names, memory, strict=True)), tokens)[:, -1]


@torch.no_grad()
def whole_decoder(model: FormulaRecognizer, path: Path) -> ort.InferenceSession:
    """The decoder without a cache, tokens (B, T) -> logits (B, V) after the last, in the form of the served one."""
    memory = model.encode(torch.rand(2, 1, *LINE), torch.tensor([LINE, LINE]))
    write_onnx(
        _WholeDecoder(model, list(memory)),
        (torch.full((2, 7), 3), *(array.contiguous() for array in memory.values())),
        path,
        inputs=["tokens", *memory],
        outputs=["logits"],
        dynamic=({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, tuple({0: Dim.DYNAMIC} for _ in memory)),
    )
    one_thread = ort.SessionOptions()
    one_thread.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), one_thread, providers=["CPUExecutionProvider"])


class Bench:
    """One network as it is served, with and without its cache, and a line of noise to read."""

    def __init__(self, folder: Path) -> None:
        names = [f"\\symbol{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(TOKENS)]
        trained = random_recognizer(Vocabulary.from_labels([names]), MAX_TOKENS)
        noise = np.random.default_rng(0)
        export(trained, [noise.integers(0, 256, (*LINE, 3), dtype=np.uint8)], folder)
        self.whole = whole_decoder(trained.model, folder / "whole.onnx")
        self.served, self.rounded = (
            inference.Recognizer.load(folder, threads=1, precision=name) for name in inference.NETWORKS
        )
        self.line = noise.normal(0, 1, LINE).clip(0, 4).astype(np.float32)

    def encode(self, batch: int, model: inference.Recognizer | None = None) -> tuple[np.ndarray, inference.Memory]:
        return (model or self.served).encode([self.line] * batch)

    def step(self, batch: int, past_tokens: int) -> Callable[[], object]:
        prefix, memory = self.encode(batch)
        past = np.zeros((past_tokens, *prefix.shape[1:]), np.float32)
        tokens = np.full(batch, 5)
        return lambda: self.served.decoder.run(None, {"tokens": tokens, "past": past, **memory})

    def served_formulas(self, batch: int, tokens: int, model: inference.Recognizer | None = None) -> None:
        """Encoder and steps of a batch, each formula of this many tokens."""
        self._run_steps(*self.encode(batch, model), batch, tokens, model)

    def _run_steps(
        self,
        prefix: np.ndarray,
        memory: inference.Memory,
        batch: int,
        tokens: int,
        model: inference.Recognizer | None = None,
    ) -> None:
        decoder = (model or self.served).decoder
        past = np.empty((tokens, *prefix.shape[1:]), np.float32)
        for done in range(tokens):
            feeds = {"tokens": np.full(batch, 3 + done), "past": past[:done], **memory}
            _, past[done] = decoder.run(["logits", "present"], feeds)

    def cached(self, prefix: np.ndarray, memory: inference.Memory) -> None:
        self._run_steps(prefix, memory, BATCH, STEPS)

    def recomputed(self, memory: inference.Memory) -> None:
        tokens = np.tile(np.arange(3, 3 + STEPS), (BATCH, 1))
        for done in range(1, STEPS + 1):
            self.whole.run(None, {"tokens": tokens[:, :done], **memory})


def from_pictures(folder: Path, model: inference.Recognizer) -> None:
    """What a model takes for formulas of about 25 tokens, of unlike sizes, that it reads once."""
    with tempfile.TemporaryDirectory() as name:
        files = [path.read_bytes() for path in write_pictures(folder, Path(name))]
    once = inference.Options(views=1)

    def read(files: list[bytes]) -> list[inference.Prediction]:
        return model.predict([inference.read_image(file) for file in files], once)

    took = best_milliseconds({"alone": lambda: [read([file]) for file in files], "together": lambda: read(files)})
    tokens = np.mean([len(answer.tokens) for answer in read(files)])
    print(
        f"{folder}, from PNG to LaTeX, {len(files)} formulas of unlike sizes and {tokens:.0f} tokens on average: "
        f"{took['alone'] / len(files):.1f} ms each alone, {took['together'] / len(files):.1f} in one batch "
        f"({took['alone'] / took['together']:.2f} times as many)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.decoding", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a trained model, to measure with its own weights as well")
    options = parser.parse_args(arguments)
    try:
        model = inference.Recognizer.load(options.model, threads=1) if options.model else None
    except inference.ModelError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
    prefix, memory = bench.encode(BATCH)
    cases: dict[str, Callable[[], object]] = {
        "cached": lambda: bench.cached(prefix, memory),
        "recomputed": lambda: bench.recomputed(memory),
    }
    decoder = best_milliseconds(cases)
    print(
        f"batch={BATCH} tokens={STEPS} recomputed_ms={decoder['recomputed']:.0f} cached_ms={decoder['cached']:.0f} "
        f"ratio={decoder['recomputed'] / decoder['cached']:.1f}"
    )
    for batch in (1, BATCH):
        steps = best_milliseconds({str(tokens): bench.step(batch, tokens) for tokens in BUCKETS})
        print(f"batch={batch} step_ms by tokens so far:", *(f"{tokens}:{ms:.2f}" for tokens, ms in steps.items()))
    whole = best_milliseconds(
        {
            "encoder 1": lambda: bench.encode(1),
            "encoder 8": lambda: bench.encode(BATCH),
            "1": lambda: bench.served_formulas(1, SHORT),
            "8": lambda: bench.served_formulas(BATCH, SHORT),
            "1 int8": lambda: bench.served_formulas(1, SHORT, bench.rounded),
            "8 int8": lambda: bench.served_formulas(BATCH, SHORT, bench.rounded),
        }
    )
    steps_1, steps_8 = whole["1"] - whole["encoder 1"], whole["8"] - whole["encoder 8"]
    print(f"one formula of {SHORT} tokens: {whole['1']:.1f} ms, of which the encoder {whole['encoder 1']:.1f}")
    print(f"batch {BATCH} for batch 1, formulas a second: {BATCH * whole['1'] / whole['8']:.2f} times; "
          f"decoder alone {BATCH * steps_1 / steps_8:.2f}, encoder alone "
          f"{BATCH * whole['encoder 1'] / whole['encoder 8']:.2f}")  # fmt: skip
    print(f"fp32 for int8, milliseconds of a formula: {whole['1'] / whole['1 int8']:.2f} times, "
          f"in a batch of {BATCH} {whole['8'] / whole['8 int8']:.2f}")  # fmt: skip
    if model:
        from_pictures(options.model, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
