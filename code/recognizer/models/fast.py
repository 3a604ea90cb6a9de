"""`fast`: the default. A small convolutional encoder, one transformer layer, a cached transformer decoder.

The encoder is a ConvNeXt (arXiv:2201.03545) down to one cell for 16 x 8 pixels; on a CPU its depthwise convolutions
run in channels-last memory, where they train several times faster than in the usual layout.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from recognizer.models.base import FormulaRecognizer, Memory
from recognizer.models.layers import (
    ConvBlock,
    EncoderLayer,
    LayerNorm2d,
    TransformerDecoder,
    additive_mask,
    grid_positions,
    size_mask,
)


class FastSizes(BaseModel):
    """Sizes that hyperparameters can change."""

    model_config = ConfigDict(extra="forbid")
    stem: int = Field(32, ge=8, description="channels of the first convolution")
    width: int = Field(192, ge=32, description="width of the transformer layers")
    encoder_layers: int = Field(1, ge=0)
    decoder_layers: int = Field(3, ge=1)
    heads: int = Field(6, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> FastSizes:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of heads ({self.heads}) and of 4")
        return self


class ConvEncoder(nn.Module):
    """(B, 1, H, W) -> (B, width, H / 16, W / 8)."""

    def __init__(self, stem: int, width: int) -> None:
        super().__init__()
        channels = [stem, 2 * stem, 4 * stem, width]
        depths = [1, 2, 3, 3]
        strides = [(2, 2), (2, 2), (2, 2), (2, 1)]
        self.downs, self.stages = nn.ModuleList(), nn.ModuleList()
        previous = 1
        for i, (channel, depth, stride) in enumerate(zip(channels, depths, strides, strict=True)):
            kernel, padding = ((3, 3), (1, 1)) if i < 2 else (stride, (0, 0))
            conv = nn.Conv2d(previous, channel, kernel, stride, padding)
            self.downs.append(nn.Sequential(conv, LayerNorm2d(channel)))
            self.stages.append(nn.ModuleList(ConvBlock(channel) for _ in range(depth)))
            previous = channel
        self.strides = strides

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, w) that are zero outside of the pictures, and the mask (B, 1, h, w) that says where."""
        stride = (1, 1)
        mask = size_mask(sizes, images.shape[2], images.shape[3], stride)
        x = images * mask
        for down, blocks, step in zip(self.downs, self.stages, self.strides, strict=True):
            assert isinstance(blocks, nn.ModuleList)
            x = down(x)
            stride = stride[0] * step[0], stride[1] * step[1]
            mask = size_mask(sizes, x.shape[2], x.shape[3], stride)
            x = x * mask
            for block in blocks:
                x = block(x, mask)
        return x, mask


class FastRecognizer(FormulaRecognizer):
    def __init__(self, vocabulary: int, max_tokens: int, sizes: FastSizes) -> None:
        super().__init__()
        self.conv = ConvEncoder(sizes.stem, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(
            EncoderLayer(sizes.width, sizes.heads, 2 * sizes.width, sizes.dropout) for _ in range(sizes.encoder_layers)
        )
        self.memory_norm = nn.LayerNorm(sizes.width)
        self.decoder = TransformerDecoder(
            vocabulary,
            sizes.width,
            sizes.decoder_layers,
            sizes.heads,
            2 * sizes.width,
            sizes.dropout,
            max_tokens,
        )

    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        features, mask = self.conv(images, sizes)
        batch, dim, height, width = features.shape
        x = self.norm(features.permute(0, 2, 3, 1).reshape(batch, height * width, dim))  # (B, N, D)
        x = x + grid_positions(height, width, dim, x.device)
        keep = mask.reshape(batch, height * width)
        attention_mask = additive_mask(keep, x.dtype)[:, None, None]  # (B, 1, 1, N)
        for layer in self.layers:
            x = layer(x, attention_mask)  # (B, N, D)
        return self.decoder.memory(self.memory_norm(x), keep)

    def decode(self, memory: Memory, tokens: Tensor) -> Tensor:
        return self.decoder(memory, tokens)

    def prefix(self, memory: Memory) -> Tensor:
        return self.decoder.empty_past(memory)

    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        return self.decoder.step(tokens, past, memory)
