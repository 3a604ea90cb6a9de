"""What recognizers have in common: how they begin, and a transformer that reads what they saw."""

from __future__ import annotations

from torch import Tensor, nn

from recognizer.models.base import FormulaRecognizer, Memory
from recognizer.models.conv import ConvEncoder
from recognizer.models.layers import TransformerDecoder


class ConvRecognizer(FormulaRecognizer):
    """Begins with convolutions and a norm of each cell."""

    conv: ConvEncoder
    norm: nn.LayerNorm

    def features(self, images: Tensor, sizes: Tensor) -> Tensor:
        return self.norm(self.conv(images, sizes).permute(0, 2, 3, 1))  # (B, h, w, D)


class TransformerRecognizer(ConvRecognizer):
    """Ends with a cached transformer decoder; `encode` gives what `decoder.memory` gives."""

    decoder: TransformerDecoder

    def decode(self, memory: Memory, tokens: Tensor) -> Tensor:
        return self.decoder(memory, tokens)

    def adopt_symbols(self, head: nn.Linear) -> None:
        # A decoder of another width sees other features than the head did.
        if head.in_features == self.decoder.output.in_features:
            self.decoder.adopt_symbols(head)

    def prefix(self, memory: Memory) -> Tensor:
        return self.decoder.empty_past(memory)

    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        return self.decoder.step(tokens, past, memory)
