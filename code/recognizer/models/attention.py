"""`attention`: convolutions, a bidirectional LSTM along each row, an LSTM decoder with additive attention.

The classic of picture to LaTeX: "Image-to-Markup Generation with Coarse-to-Fine Attention" (Deng et al., 2017,
arXiv:1609.04938) without the coarse level, with additive attention (Bahdanau et al., arXiv:1409.0473). As there, the
output of a step is fed into the next one beside its token; unlike there, what the LSTMs read is added to the features,
so that the decoder can name them from the beginning. Rows are told apart by sinusoids instead of learned first
states, which would limit the height.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from recognizer.models.base import Memory, RecurrentRecognizer
from recognizer.models.common import ConvRecognizer
from recognizer.models.conv import CellEncoder
from recognizer.models.layers import AdditiveAttention, additive_mask, adopt_head, bridge, grid_positions, size_mask


class AttentionSizes(BaseModel):
    """Sizes that hyperparameters can change."""

    model_config = ConfigDict(extra="forbid")
    stem: int = Field(32, ge=8, description="channels of the first convolution")
    width: int = Field(256, ge=32, description="of features and the encoder's LSTM")
    decoder_width: int | None = Field(None, ge=32, description="of the decoder's LSTM and attention; else `width`")
    encoder_layers: int = Field(1, ge=1, description="bidirectional LSTM layers along the rows")
    decoder_layers: int = Field(1, ge=1, description="LSTM layers of the decoder")
    dropout: float = Field(0.0, ge=0, lt=1, description="of LSTM inputs and outputs")

    @field_validator("width")
    @classmethod
    def _two_directions_two_axes(cls, width: int) -> int:
        if width % 4:
            raise ValueError(f"width {width} must be a multiple of 4")
        return width


class RowLSTM(nn.Module):
    """Bidirectional LSTM along each row, (B, h, w, D) -> (B, h, w, D), that reads no padding.

    Going right, padding comes last and is never read. Going left, each row is first mirrored within its own length.
    (Packed sequences would do the same, but can't be exported.)
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.right = nn.LSTM(dim, dim // 2, batch_first=True)
        self.left = nn.LSTM(dim, dim // 2, batch_first=True)

    def forward(self, x: Tensor, columns: Tensor) -> Tensor:
        """x (B, h, w, D), columns (B,): how many columns of each picture aren't padding."""
        batch, height, width, dim = x.shape
        place = torch.arange(width, device=x.device)
        last = columns[:, None] - 1
        mirrored = torch.where(place <= last, last - place, place)  # (B, w)
        index = mirrored[:, None, :, None].expand(batch, height, width, dim).reshape(batch * height, width, dim)
        with torch.autocast(x.device.type, enabled=False):  # not every CPU has an LSTM in bf16
            rows = x.reshape(batch * height, width, dim).float()
            right, _ = self.right(rows)  # (B * h, w, D / 2)
            left, _ = self.left(rows.gather(1, index))
        left = left.gather(1, index[:, :, : dim // 2])  # each column back in its place
        return torch.cat([right, left], dim=2).reshape(batch, height, width, dim)


class AttentionDecoder(nn.Module):
    """LSTM decoder. Its state (B, 2 * layers + 1, D): hidden and cell of every layer, and the output of the step."""

    def __init__(self, vocabulary: int, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.first = nn.Linear(dim, (2 * layers + 1) * dim)
        self.cells = nn.ModuleList(nn.LSTMCell(dim if i else 2 * dim, dim) for i in range(layers))
        self.attention = AdditiveAttention(dim, dim)
        self.combine = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dim, vocabulary)
        nn.init.normal_(self.output.weight, std=0.02)  # an even guess to begin with

    def adopt_symbols(self, head: nn.Linear) -> None:
        """Begins near a decoder that names what it looks at, as `TransformerDecoder.adopt_symbols` has it."""
        if adopt_head(self.output, head):
            with torch.no_grad():
                nn.init.eye_(self.combine.weight[:, head.in_features :])

    def memory(self, x: Tensor, keep: Tensor) -> Memory:
        """Encoder output (B, N, D) and its bool mask (B, N) -> keys, values and additive mask."""
        return {"memory_keys": self.attention.key(x), "memory_values": x, "memory_mask": additive_mask(keep, x.dtype)}

    def first_state(self, memory: Memory) -> Tensor:
        """From the mean of the picture's features, (B, 2 * layers + 1, D)."""
        even = memory["memory_mask"].softmax(dim=1)  # (B, N): the same for each cell that isn't padding
        mean = (even[:, None] @ memory["memory_values"])[:, 0]  # (B, D)
        return torch.tanh(self.first(mean)).unflatten(1, (-1, mean.shape[1]))

    def forward(self, tokens: Tensor, memory: Memory, given: Tensor | None = None) -> Tensor:
        """tokens (B, T), bool mask (B, T) of those that are fed (None: all) -> logits (B, T, V)."""
        embedded, state = self.embedding(tokens), self.first_state(memory)
        outputs: list[Tensor] = []
        for position in range(tokens.shape[1]):
            fed = embedded[:, position]
            if given is not None and outputs:
                own = self.embedding(self.output(outputs[-1]).argmax(dim=1))
                fed = torch.where(given[:, position, None], fed, own)
            state = self._next_state(fed, state, memory)
            outputs.append(state[:, -1])
        return self._logits(torch.stack(outputs, dim=1))

    def step(self, tokens: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """tokens (B,), state (B, 2 * layers + 1, D) -> logits (B, V) and the new state."""
        state = self._next_state(self.embedding(tokens), state, memory)
        return self._logits(state[:, -1]), state

    def _next_state(self, embedded: Tensor, state: Tensor, memory: Memory) -> Tensor:
        x = torch.cat([self.dropout(embedded), state[:, -1]], dim=1)  # (B, 2 * D)
        rows = []
        for i, cell in enumerate(self.cells):
            x, kept = cell(x, (state[:, 2 * i], state[:, 2 * i + 1]))  # (B, D)
            rows += [x, kept]
        seen = self.attention(x[:, None], memory["memory_keys"], memory["memory_values"], memory["memory_mask"])
        rows.append(torch.tanh(self.combine(torch.cat([x, seen[:, 0]], dim=1))))
        return torch.stack(rows, dim=1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.output(self.dropout(x))


class AttentionRecognizer(ConvRecognizer, RecurrentRecognizer):
    name = "attention"
    Sizes = AttentionSizes
    stride = (16, 8)

    def __init__(self, vocabulary: int, max_tokens: int, sizes: AttentionSizes) -> None:
        super().__init__()
        self.conv = CellEncoder(sizes.stem, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(RowLSTM(sizes.width) for _ in range(sizes.encoder_layers))
        self.dropout = nn.Dropout(sizes.dropout)
        dim = sizes.decoder_width or sizes.width
        self.bridge = bridge(sizes.width, dim)
        self.decoder = AttentionDecoder(vocabulary, dim, sizes.decoder_layers, sizes.dropout)

    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        x = self.features(images, sizes)
        _, height, width, dim = x.shape
        x = x + grid_positions(height, width, dim, x.device).unflatten(0, (height, width))
        columns = (sizes[:, 1] + self.stride[1] - 1) // self.stride[1]
        for layer in self.layers:
            x = x + layer(self.dropout(x), columns)  # (B, h, w, D)
        keep = size_mask(sizes, height, width, self.stride).flatten(1)  # (B, N)
        return self.decoder.memory(self.bridge(x.flatten(1, 2)), keep)

    def adopt_symbols(self, head: nn.Linear) -> None:
        self.decoder.adopt_symbols(head)

    def decode(self, memory: Memory, tokens: Tensor, given: Tensor | None = None) -> Tensor:
        return self.decoder(tokens, memory, given)

    def prefix(self, memory: Memory) -> Tensor:
        return self.decoder.first_state(memory)[None]

    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        return self.decoder.step(tokens, past[-1], memory)
