"""`srn`: "Towards Accurate Scene Text Recognition with Semantic Reasoning Networks" (Yu et al., arXiv:2003.12294).

Nothing here is read token by token. All positions of the formula look at the picture at once (parallel visual
attention), their guesses are read as one sentence in both directions (global semantic reasoning), and a gate weighs
what was seen against what was understood (visual-semantic fusion). So the whole answer stands in the memory, `step`
only hands out its next position, and tokens that were given are ignored: teacher forcing has nothing to force.

The paper also has losses on the guesses and on the reasoning alone. The interface has one output, so only the fused
logits are trained, and two things stand in: guesses come from the output layer that the fused logits come from, and
the reasoning reads the mean embedding under each guess (a softmax), not the embedding of its best token, through
which no gradient could pass. Positions after the end are trained on nothing, in either kind of logits.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from recognizer.models.base import Memory
from recognizer.models.common import ConvRecognizer
from recognizer.models.conv import CellEncoder
from recognizer.models.layers import (
    AdditiveAttention,
    EncoderLayer,
    additive_mask,
    adopt_head,
    bridge,
    grid_positions,
    sinusoid,
    size_mask,
)


class SrnSizes(BaseModel):
    """Sizes that hyperparameters can change."""

    model_config = ConfigDict(extra="forbid")
    stem: int = Field(32, ge=8, description="channels of the first convolution")
    width: int = Field(256, ge=32, description="of the encoder's layers")
    decoder_width: int | None = Field(None, ge=32, description="of all that follows the encoder; else `width`")
    encoder_layers: int = Field(2, ge=0, description="transformer layers over the picture")
    semantic_layers: int = Field(2, ge=1, description="transformer layers over the guesses, for each direction")
    heads: int = Field(8, ge=1, description="attention heads of every layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="after attention and feed-forward layers")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> SrnSizes:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of heads ({self.heads}) and of 4")
        if (self.decoder_width or 0) % (2 * self.heads):
            raise ValueError(f"decoder_width {self.decoder_width} must be a multiple of twice the heads ({self.heads})")
        return self


class VisualAttention(nn.Module):
    """Parallel visual attention (3.2): each position of the reading order looks at the picture by itself."""

    def __init__(self, dim: int, positions: int) -> None:
        super().__init__()
        # Learned as in the paper, but neighbours begin alike: late positions occur in few formulas.
        self.order = nn.Parameter(sinusoid(torch.arange(positions), dim))  # (T, D)
        self.attention = AdditiveAttention(dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Picture features x (B, N, D), additive mask (B, N) -> features of each position (B, T, D)."""
        order = self.order.expand(x.shape[0], -1, -1)  # (B, T, D)
        return self.attention(order, self.attention.key(x), x, mask)


class SemanticStream(nn.Module):
    """One direction: each position reads the guesses before it, and not its own."""

    def __init__(self, dim: int, layers: int, heads: int, dropout: float, positions: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(dim))
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, 2 * dim, dropout) for _ in range(layers))
        self.positions: Tensor
        self.register_buffer("positions", sinusoid(torch.arange(positions), dim), persistent=False)
        self.mask: Tensor
        causal = torch.ones(positions, positions, dtype=torch.bool).tril()
        self.register_buffer("mask", additive_mask(causal, torch.float32), persistent=False)

    def forward(self, words: Tensor) -> Tensor:
        """words (B, T, D) -> (B, T, D)."""
        start = self.start.expand(words.shape[0], 1, -1)
        x = torch.cat([start, words[:, :-1]], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x, self.mask)
        return x


class SemanticReasoning(nn.Module):
    """Global semantic reasoning (3.3): the meaning of each position, from the guesses on both of its sides."""

    def __init__(self, dim: int, layers: int, heads: int, dropout: float, positions: int) -> None:
        super().__init__()
        self.forwards = SemanticStream(dim, layers, heads, dropout, positions)
        self.backwards = SemanticStream(dim, layers, heads, dropout, positions)
        self.norm = nn.LayerNorm(dim)

    def forward(self, words: Tensor) -> Tensor:
        """words (B, T, D) -> (B, T, D)."""
        return self.norm(self.forwards(words) + self.backwards(words.flip(1)).flip(1))


class SrnRecognizer(ConvRecognizer):
    name = "srn"
    Sizes = SrnSizes
    stride = (16, 8)

    def __init__(self, vocabulary: int, max_tokens: int, sizes: SrnSizes) -> None:
        super().__init__()
        self.conv = CellEncoder(sizes.stem, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(
            EncoderLayer(sizes.width, sizes.heads, 2 * sizes.width, sizes.dropout) for _ in range(sizes.encoder_layers)
        )
        self.memory_norm = nn.LayerNorm(sizes.width)
        dim = sizes.decoder_width or sizes.width
        self.bridge = bridge(sizes.width, dim)
        self.visual = VisualAttention(dim, max_tokens)
        self.embedding = nn.Embedding(vocabulary, dim)
        self.semantic = SemanticReasoning(dim, sizes.semantic_layers, sizes.heads, sizes.dropout, max_tokens)
        self.gate = nn.Linear(2 * dim, dim)
        self.output = nn.Linear(dim, vocabulary)
        nn.init.normal_(self.output.weight, std=0.02)  # an even guess to begin with

    def adopt_symbols(self, head: nn.Linear) -> None:
        """The output layer is the head that was taught to name symbols, and what is seen counts more at first."""
        if adopt_head(self.output, head):
            nn.init.constant_(self.gate.bias, 2.0)

    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        """The logits of all positions, (B, max_tokens, V): they are all that later steps need."""
        features = self.features(images, sizes)
        _, height, width, dim = features.shape
        x = features.flatten(1, 2) + grid_positions(height, width, dim, features.device)  # (B, N, D)
        mask = additive_mask(size_mask(sizes, height, width, self.stride).flatten(1), x.dtype)  # (B, N)
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        return {"memory_logits": self._read(self.visual(self.bridge(self.memory_norm(x)), mask))}

    def _read(self, seen: Tensor) -> Tensor:
        """Visual features of each position (B, T, D) -> logits (B, T, V) of what was seen and understood."""
        words = self.output(seen).float().softmax(dim=2) @ self.embedding.weight  # (B, T, D)
        understood = self.semantic(words)
        gate = self.gate(torch.cat([seen, understood], dim=2)).sigmoid()  # (B, T, D)
        return self.output(gate * seen + (1 - gate) * understood)

    def decode(self, memory: Memory, tokens: Tensor) -> Tensor:
        """The first T positions; of `tokens` (B, T), at most `max_tokens` of them, only the number counts."""
        return memory["memory_logits"][:, : tokens.shape[1]]

    def prefix(self, memory: Memory) -> Tensor:
        """The state is the position that comes next, (1, B, 1)."""
        logits = memory["memory_logits"]
        return torch.zeros(1, logits.shape[0], 1, device=logits.device)

    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        logits, position = memory["memory_logits"], past[-1]  # (B, T, V), (B, 1)
        index = position.long()[:, :, None].expand(-1, 1, logits.shape[2])  # (B, 1, V)
        return logits.gather(1, index)[:, 0], position + 1
