"""`fast`: the default. A small convolutional encoder, one transformer layer, a cached transformer decoder.

The encoder is a short residual network of plain 3x3 convolutions down to one cell for 16 x 8 pixels. Per second on a
CPU it learned symbols several times faster than the depthwise blocks it replaced (see `docs/recognizers.md`).
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor, nn

from recognizer.models.base import Memory
from recognizer.models.common import TransformerRecognizer, TransformerSizes
from recognizer.models.conv import CellEncoder
from recognizer.models.layers import EncoderLayer, TransformerDecoder, additive_mask, bridge, grid_positions, size_mask


class FastSizes(TransformerSizes):
    """Sizes that hyperparameters can change, beside those of the decoder."""

    stem: int = Field(24, ge=8, description="channels of the first convolution")
    width: int = Field(192, ge=32, description="of the encoder's layers")
    blocks: int = Field(1, ge=0, description="residual blocks at each of the two smallest sizes of the picture")
    encoder_layers: int = Field(1, ge=0)
    heads: int = Field(6, ge=1, description="attention heads of every layer")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> FastSizes:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of heads ({self.heads}) and of 4")
        return self


class FastRecognizer(TransformerRecognizer):
    name = "fast"
    Sizes = FastSizes
    stride = (16, 8)

    def __init__(self, vocabulary: int, max_tokens: int, sizes: FastSizes) -> None:
        super().__init__()
        self.conv = CellEncoder(sizes.stem, sizes.width, sizes.blocks)
        self.norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(
            EncoderLayer(sizes.width, sizes.heads, 2 * sizes.width, sizes.dropout) for _ in range(sizes.encoder_layers)
        )
        self.memory_norm = nn.LayerNorm(sizes.width)
        dim = sizes.decoder_width or sizes.width
        self.bridge = bridge(sizes.width, dim)
        self.decoder = TransformerDecoder(
            vocabulary, dim, sizes.decoder_layers, sizes.heads, 2 * dim, sizes.dropout, max_tokens, sizes.coverage
        )

    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        features = self.features(images, sizes)
        batch, height, width, dim = features.shape
        x = features.reshape(batch, height * width, dim) + grid_positions(height, width, dim, features.device)
        keep = size_mask(sizes, height, width, self.stride).reshape(batch, height * width)
        attention_mask = additive_mask(keep, x.dtype)[:, None, None]  # (B, 1, 1, N)
        for layer in self.layers:
            x = layer(x, attention_mask)  # (B, N, D)
        return self.decoder.memory(self.bridge(self.memory_norm(x)), keep)
