"""What recognizers have in common: how they begin, and a transformer that reads what they saw."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator
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


class TransformerSizes(BaseModel):
    """Sizes that hyperparameters can change: those of the decoder. `heads` are the encoder's too."""

    model_config = ConfigDict(extra="forbid")
    decoder_width: int | None = Field(None, ge=32, description="of the decoder's layers; else `width`")
    decoder_layers: int = Field(3, ge=1, description="layers of the decoder")
    heads: int = Field(8, ge=1, description="attention heads of every layer")
    coverage: bool = Field(False, description="the decoder knows where it has read already")
    dropout: float = Field(0.0, ge=0, lt=1, description="after attention and feed-forward layers")

    @model_validator(mode="after")
    def _heads_divide_decoder_width(self) -> TransformerSizes:
        if (self.decoder_width or 0) % (2 * self.heads):
            raise ValueError(f"decoder_width {self.decoder_width} must be a multiple of twice the heads ({self.heads})")
        return self


class TransformerRecognizer(ConvRecognizer):
    """Ends with a cached transformer decoder; `encode` gives what `decoder.memory` gives."""

    decoder: TransformerDecoder

    def decode(self, memory: Memory, tokens: Tensor) -> Tensor:
        return self.decoder(memory, tokens)

    def adopt_symbols(self, head: nn.Linear) -> None:
        self.decoder.adopt_symbols(head)

    def prefix(self, memory: Memory) -> Tensor:
        return self.decoder.empty_past(memory)

    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        return self.decoder.step(tokens, past, memory)
