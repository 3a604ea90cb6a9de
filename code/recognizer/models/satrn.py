"""`satrn`: "On Recognizing Texts of Arbitrary Shapes with 2D Self-Attention" (Lee et al., 2019, arXiv:1910.04396).

A shallow convolutional network, and self-attention over the whole grid: made for text that doesn't stand in one line.
Three things are as in the paper: row and column encodings whose strengths depend on the picture, feed-forward layers
with a depthwise 3x3 convolution, and a transformer decoder. Three are not: convolutions are strided instead of pooled
and there are three of them (symbols here are half as high), none has batch statistics, and norms come first.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from recognizer.models.base import Memory
from recognizer.models.common import TransformerRecognizer, TransformerSizes
from recognizer.models.conv import ConvEncoder
from recognizer.models.layers import (
    Attention,
    Residual,
    TransformerDecoder,
    additive_mask,
    bridge,
    sinusoid,
    size_mask,
    zero,
)


class SatrnSizes(TransformerSizes):
    """Sizes that hyperparameters can change, beside those of the decoder."""

    stem: int = Field(32, ge=8, description="channels of the first convolution")
    width: int = Field(256, ge=32, description="of the encoder's layers")
    encoder_layers: int = Field(4, ge=1, description="layers of self-attention over the grid")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> SatrnSizes:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads ({self.heads})")
        return self


class AdaptivePositions(nn.Module):
    """Adds row and column sinusoids, each channel as strongly as the mean of the picture's features says (3.2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.row_strength = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.Sigmoid())
        self.column_strength = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.Sigmoid())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, h, w, D), bool mask (B, h, w, 1) -> (B, h, w, D)."""
        count = mask.sum(dim=(1, 2)).clamp(min=1)  # a row may be all padding
        mean = (x * mask).sum(dim=(1, 2)) / count  # (B, D), padding left out
        rows = sinusoid(torch.arange(x.shape[1], device=x.device), x.shape[3])[:, None]  # (h, 1, D)
        columns = sinusoid(torch.arange(x.shape[2], device=x.device), x.shape[3])  # (w, D)
        row_strength, column_strength = self.row_strength(mean), self.column_strength(mean)  # (B, D)
        return x + row_strength[:, None, None] * rows + column_strength[:, None, None] * columns


class LocalFeedForward(nn.Module):
    """MLP with a depthwise 3x3 convolution in the middle, so that a cell sees its neighbours (3.2)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden)
        self.local = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.reduce = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, h, w, D), bool mask (B, h, w, 1) -> (B, h, w, D)."""
        y = self.expand(x).relu() * mask  # (B, h, w, hidden), zero outside of the pictures
        y = self.local(y.permute(0, 3, 1, 2)).relu()  # (B, hidden, h, w)
        return self.reduce(y.permute(0, 2, 3, 1))

    def add_nothing(self) -> None:
        zero(self.reduce)


class SatrnLayer(Residual):
    """Pre-norm self-attention over the grid, and the feed-forward layer with a view of the neighbours."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.local_norm, self.local = nn.LayerNorm(dim), LocalFeedForward(dim, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, attention_mask: Tensor) -> Tensor:
        """x (B, h, w, D), bool mask (B, h, w, 1), additive mask (B, 1, 1, h * w) -> (B, h, w, D)."""
        y = self.attention_norm(x).flatten(1, 2)  # (B, h * w, D)
        y = self.attention.attend(y, *self.attention.keys_values(y), attention_mask)
        x = x + self.dropout(y.reshape(x.shape))
        return x + self.dropout(self.local(self.local_norm(x), mask))

    def pass_through(self) -> None:
        self.attention.add_nothing()
        self.local.add_nothing()


class SatrnRecognizer(TransformerRecognizer):
    name = "satrn"
    Sizes = SatrnSizes
    stride = (8, 8)

    def __init__(self, vocabulary: int, max_tokens: int, sizes: SatrnSizes) -> None:
        super().__init__()
        self.conv = ConvEncoder([sizes.stem, 2 * sizes.stem, sizes.width], [(2, 2)] * 3, [0] * 3)
        self.norm = nn.LayerNorm(sizes.width)
        self.positions = AdaptivePositions(sizes.width)
        self.layers = nn.ModuleList(
            SatrnLayer(sizes.width, sizes.heads, 2 * sizes.width, sizes.dropout) for _ in range(sizes.encoder_layers)
        )
        self.memory_norm = nn.LayerNorm(sizes.width)
        dim = sizes.decoder_width or sizes.width
        self.bridge = bridge(sizes.width, dim)
        self.decoder = TransformerDecoder(
            vocabulary, dim, sizes.decoder_layers, sizes.heads, 2 * dim, sizes.dropout, max_tokens, sizes.coverage
        )

    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        x = self.features(images, sizes)
        mask = size_mask(sizes, x.shape[1], x.shape[2], self.stride).permute(0, 2, 3, 1)  # (B, h, w, 1)
        keep = mask.flatten(1)  # (B, h * w)
        attention_mask = additive_mask(keep, x.dtype)[:, None, None]  # (B, 1, 1, h * w)
        x = self.positions(x, mask)
        for layer in self.layers:
            x = layer(x, mask, attention_mask)
        return self.decoder.memory(self.bridge(self.memory_norm(x)).flatten(1, 2), keep)
