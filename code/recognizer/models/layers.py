"""Layers that the recognizers share. All are safe for padding: no batch statistics, masks where neighbours mix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST_WAVE = 100.0  # times 2 pi, in tokens or in cells of the grid
COVERAGE_CHANNELS, COVERAGE_HIDDEN = 4, 16
RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))  # makes the variance of relu(x) that of x again, for normal x


def size_mask(sizes: Tensor, height: int, width: int, stride: tuple[int, int]) -> Tensor:
    """Sizes in pixels (B, 2) -> (B, 1, height, width) bool on a grid of that stride: True where there is picture.

    A cell counts if any of its pixels does (rounded up), so that a picture's last strokes aren't cut off.
    """
    rows = torch.arange(height, device=sizes.device) * stride[0] < sizes[:, :1]  # (B, H)
    columns = torch.arange(width, device=sizes.device) * stride[1] < sizes[:, 1:]  # (B, W)
    return (rows[:, :, None] & columns[:, None, :])[:, None]  # (B, 1, H, W)


def additive_mask(keep: Tensor, dtype: torch.dtype) -> Tensor:
    """Bool mask -> 0 where it is True, else the lowest finite number: no row of a softmax can become NaN."""
    return torch.zeros(keep.shape, dtype=dtype, device=keep.device).masked_fill(~keep, torch.finfo(dtype).min)


def sinusoid(positions: Tensor, dim: int) -> Tensor:
    """positions (N,) -> (N, dim): sines and cosines of geometrically growing wave length (arXiv:1706.03762, 3.5).

    The longest wave is as long as the sequences here get, not a hundred times longer: no channel is next to constant.
    """
    rates = torch.exp(torch.arange(0, dim, 2, device=positions.device) * (-math.log(LONGEST_WAVE) / dim))  # (dim / 2,)
    angles = positions[:, None].float() * rates  # (N, dim / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def grid_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """(height * width, dim): half of the channels tell the row, half the column."""
    rows = sinusoid(torch.arange(height, device=device), dim // 2)[:, None].expand(height, width, dim // 2)
    columns = sinusoid(torch.arange(width, device=device), dim // 2)[None].expand(height, width, dim // 2)
    return torch.cat([rows, columns], dim=2).reshape(height * width, dim)


def zero(layer: nn.Linear | nn.Conv2d) -> None:
    """Makes a layer's answer 0, whatever it is given; it learns nevertheless."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


class ScaledConv(nn.Conv2d):
    """3x3 convolution with standardised weights (arXiv:2101.08692): normalisation that never looks at the data.

    Batch statistics would let what stands beside a picture change its answer, and a layer norm at each position makes
    empty paper as loud as ink. Here the weights of each output channel have mean 0 and the variance that keeps the
    signal's after a ReLU. It learns about as fast as batch normalisation and costs nothing when served.
    """

    def __init__(self, channels: int, out_channels: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__(channels, out_channels, 3, stride, padding=1)
        self.gain = nn.Parameter(torch.ones(out_channels, 1, 1, 1))
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, out_channels, H / stride, W / stride)."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        inputs = self.weight[0].numel()
        weight = (self.weight - mean) * torch.rsqrt(inputs * variance + 1e-6) * (RELU_GAIN * self.gain)
        return self._conv_forward(x, weight, self.bias)


class Residual(nn.Module):
    """A layer that adds something to its input, and can be made to add nothing: how a trained network is deepened."""

    def pass_through(self) -> None:
        """Makes it the identity, from which it learns as from any other beginning (arXiv:2003.04887)."""
        raise NotImplementedError


class ResidualConv(Residual):
    """x + strength * conv(relu(x)): at first nearly the identity, so that depth doesn't slow learning.

    The input must be zero outside of the picture, and so is the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ScaledConv(channels, channels)
        self.strength = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, H, W), mask (B, 1, H, W) -> (B, C, H, W)."""
        return (x + self.strength * self.conv(F.relu(x))) * mask

    def pass_through(self) -> None:
        nn.init.zeros_(self.strength)


def _is_half_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype != torch.float32


def _attention_in_parts(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float, is_causal: bool
) -> Tensor:
    """What `scaled_dot_product_attention` computes at `scale=1`, with its arguments, in half precision on a CPU.

    There the matrix products of torch 2.13 have their own instructions and its fused attention has not: its backward
    pass took a third of a training step. The softmax is in fp32.
    """
    scores = (query @ keys.transpose(2, 3)).float()  # (B, heads, M, N)
    if is_causal:
        mask = additive_mask(torch.ones(scores.shape[2:], dtype=torch.bool, device=query.device).tril(), scores.dtype)
    weights = F.dropout((scores if mask is None else scores + mask).softmax(dim=3), dropout)
    return weights.to(values.dtype) @ values


class Attention(nn.Module):
    """Multi-head attention, split in two so that a decoder can keep keys and values.

    Keys are scaled, not queries or scores: those of a picture once, instead of something at each token. ONNX Runtime
    would make the factor a part of the matrix product, which for a single query then takes more than twice as long.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.scale = (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, D) -> keys and values, each (B, heads, N, D / heads)."""
        keys, values = self.key_value(x).chunk(2, dim=2)
        return self._split(keys * self.scale), self._split(values)

    def attend(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Queries of x (B, M, D) over keys and values (B, heads, N, D / heads) -> (B, M, D)."""
        query = self._split(self.query(x))
        dropout = self.dropout if self.training else 0.0
        fused = partial(F.scaled_dot_product_attention, scale=1.0)
        attention = _attention_in_parts if _is_half_on_cpu(query) else fused
        y = attention(query, keys, values, mask, dropout, is_causal=causal)  # (B, heads, M, D / heads)
        return self.out(y.transpose(1, 2).reshape(x.shape))

    def weights(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """How much of each of the N places every query of x (B, M, D) takes: (B, heads, M, N), in fp32.

        With `taken` this is `attend` for a decoder that must know the weights.
        """
        return _weights(self._split(self.query(x)), keys, mask)

    def taken(self, weights: Tensor, values: Tensor) -> Tensor:
        """What those weights (B, heads, M, N) take of the values (B, heads, N, D / heads) -> (B, M, D)."""
        kept = F.dropout(weights, self.dropout, self.training)
        return self.out((kept.to(values.dtype) @ values).transpose(1, 2).flatten(2))

    def step_memory(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`weights` and `taken` for one query of each picture: x (B, D) -> (B, D), weights (B, heads, 1, N)."""
        query = self.query(x).reshape(x.shape[0], self.heads, 1, -1)
        weights = _weights(query, keys, mask)
        return self.out((weights.to(values.dtype) @ values).reshape(x.shape)), weights

    def step_past(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """One query x (B, D) over what was (T, B, D) and itself -> (B, D), and its own key and value (B, 2 * D).

        The past stays as it lies in the server's buffer, time first: products and sums instead of matrix products,
        for which it would have to be transposed and extended at every step, at most of the step's cost.
        """
        own = self.key_value(x)
        query, key, value = (part.reshape(x.shape[0], self.heads, -1) for part in (self.query(x), *own.chunk(2, dim=1)))
        query = query * self.scale  # (B, heads, D / heads)
        split = (*keys.shape[:2], *query.shape[1:])  # T, B, heads, D / heads
        keys, values = keys.reshape(split), values.reshape(split)
        scores = torch.cat([(keys * query).sum(dim=3), (key * query).sum(dim=2)[None]])  # (T + 1, B, heads)
        weights = scores.softmax(dim=0)[..., None]
        y = (values * weights[:-1]).sum(dim=0) + value * weights[-1]
        return self.out(y.reshape(x.shape)), own

    def add_nothing(self) -> None:
        zero(self.out)

    def pass_values(self) -> None:
        """Makes the attended values come out as they went in."""
        dim = self.out.in_features
        nn.init.eye_(self.out.weight)
        self.key_value.weight[dim:].copy_(torch.eye(dim))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _weights(query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """(B, heads, M, D / heads) over keys (B, heads, N, D / heads) -> (B, heads, M, N), in fp32."""
    return ((query @ keys.transpose(2, 3)).float() + mask).softmax(dim=3)


class AdditiveAttention(nn.Module):
    """score . tanh(query + key) (arXiv:1409.0473), with keys that are projected once for a picture."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, hidden)
        self.key = nn.Linear(dim, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Queries of x (B, M, D) over keys (B, N, hidden), values (B, N, D), additive mask (B, N) -> (B, M, D)."""
        return self.weights(x, keys, mask) @ values

    def weights(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """How much of each of the N places every query takes, (B, M, N)."""
        energy = torch.tanh(self.query(x)[:, :, None] + keys[:, None])  # (B, M, N, hidden)
        scores = self.score(energy)[..., 0] + mask[:, None]  # (B, M, N)
        return scores.softmax(dim=2)


@torch.no_grad()
def adopt_head(output: nn.Linear, head: nn.Linear) -> bool:
    """Makes an output layer the head that was taught to name symbols, unless it sees features of another width."""
    if head.in_features != output.in_features:
        return False
    output.weight.copy_(head.weight)
    output.bias.copy_(head.bias)
    return True


def bridge(dim: int, other: int) -> nn.Module:
    """From the encoder's width to the decoder's; nothing where they are the same."""
    return nn.Identity() if dim == other else nn.Linear(dim, other)


class FeedForward(nn.Sequential):
    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))

    def add_nothing(self) -> None:
        last = self[-1]
        assert isinstance(last, nn.Linear)
        zero(last)


class EncoderLayer(Residual):
    """Pre-norm self-attention and MLP."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.mlp_norm, self.mlp = nn.LayerNorm(dim), FeedForward(dim, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), additive mask (B, 1, 1, N) -> (B, N, D)."""
        y = self.attention_norm(x)
        x = x + self.dropout(self.attention.attend(y, *self.attention.keys_values(y), mask))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))

    def pass_through(self) -> None:
        self.attention.add_nothing()
        self.mlp.add_nothing()


class Coverage(nn.Module):
    """Where a layer has read before, and what that changes in the next layer's scores (arXiv:2207.04410, section 3.3).

    A decoder that isn't told doubles digits (0.2999 for 0.299) and skips what it takes for already read. As there, the
    weights of all earlier tokens are summed up. There is no convolution over the grid, which pictures of unlike size
    in one batch don't have in common; instead each place also knows what the last token took of it. At first it
    changes nothing.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(heads, COVERAGE_CHANNELS, 1, bias=False)  # 1x1: each place by itself
        self.hidden = nn.Conv2d(2 * COVERAGE_CHANNELS, COVERAGE_HIDDEN, 1)
        self.out = nn.Conv2d(COVERAGE_HIDDEN, heads, 1)
        zero(self.out)

    def reads(self, weights: Tensor) -> Tensor:
        """weights (B, heads, T, N) -> what is remembered of them, (B, C, T, N)."""
        mixed: Tensor = self.mix(weights)
        return mixed.float()

    def forward(self, total: Tensor, last: Tensor) -> Tensor:
        """Sums of earlier reads and the last read, each (B, C, T, N) -> to be added to scores (B, heads, T, N)."""
        refinement: Tensor = self.out(F.relu(self.hidden(torch.cat([total, last], dim=1))))
        return refinement

    @staticmethod
    def step(layers: Sequence[Coverage], total: Tensor, last: Tensor) -> Tensor:
        """`forward` for one token and all layers that have one: (B, layers, C, N) -> (B, layers, heads, N)."""
        weight, bias = _stacked(each.hidden for each in layers)  # (layers, hidden, 2 * C), (layers, hidden, 1)
        hidden = F.relu(weight @ torch.cat([total, last], dim=2) + bias)
        weight, bias = _stacked(each.out for each in layers)
        return weight @ hidden + bias

    @staticmethod
    def step_reads(layers: Sequence[Coverage], weights: Sequence[Tensor]) -> Tensor:
        """`reads` for one token: weights (B, heads, 1, N) of each layer -> (B, layers, C, N)."""
        mixes = torch.stack([each.mix.weight.flatten(1) for each in layers])  # (layers, C, heads)
        return mixes @ torch.stack([each[:, :, 0] for each in weights], dim=1)

    def of_all(self, weights: Tensor) -> Tensor:
        """`forward` for all tokens at once, each of which knows the weights (B, heads, T, N) of those before it."""
        reads = self.reads(weights)
        last = F.pad(reads[:, :, :-1], (0, 0, 1, 0))  # (B, C, T, N)
        return self(reads.cumsum(dim=2) - reads, last)


def _stacked(convs: Iterable[nn.Conv2d]) -> tuple[Tensor, Tensor]:
    """1x1 convolutions of several layers as matrices (layers, out, in), with their biases (layers, out, 1)."""
    weights, biases = zip(*((each.weight.flatten(1), each.bias) for each in convs), strict=True)
    return torch.stack(weights), torch.stack(biases)[..., None]


class DecoderLayer(Residual):
    """Pre-norm self-attention over the tokens so far, attention over the memory, MLP.

    Attributes:
        coverage: tells the next layer where this one has read; None if it isn't told.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, coverage: bool = False) -> None:
        super().__init__()
        self.self_norm, self.self_attention = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.memory_norm, self.memory_attention = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.mlp_norm, self.mlp = nn.LayerNorm(dim), FeedForward(dim, hidden, dropout)
        self.dropout = nn.Dropout(dropout)
        self.coverage = Coverage(heads) if coverage else None

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """All tokens at once, none of which sees a later one: x (B, T, D) -> (B, T, D), and what the coverage says.

        The mask (B, heads or 1, T or 1, N) is added to the scores of the memory's places.
        """
        y = self.self_norm(x)
        x = x + self.dropout(self.self_attention.attend(y, *self.self_attention.keys_values(y), causal=True))
        attention, y, refinement = self.memory_attention, self.memory_norm(x), None
        if self.coverage is None:
            attended = attention.attend(y, keys, values, mask)
        else:
            weights = attention.weights(y, keys, mask)
            attended, refinement = attention.taken(weights, values), self.coverage.of_all(weights)
        x = x + self.dropout(attended)
        return x + self.dropout(self.mlp(self.mlp_norm(x))), refinement

    def step(
        self, x: Tensor, past_keys: Tensor, past_values: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One token: x (B, D), past keys and values (T, B, D) -> x, its own key and value (B, 2 * D), and its weights
        on the memory (B, heads, 1, N)."""
        attended, own = self.self_attention.step_past(self.self_norm(x), past_keys, past_values)
        x = x + attended
        attended, weights = self.memory_attention.step_memory(self.memory_norm(x), keys, values, mask)
        x = x + attended
        return x + self.mlp(self.mlp_norm(x)), own, weights

    def pass_through(self) -> None:
        self.self_attention.add_nothing()
        self.memory_attention.add_nothing()
        self.mlp.add_nothing()


class TransformerDecoder(nn.Module):
    """Tokens and memory -> logits, all at once or step by step with a cache.

    A row of its state (S numbers) is each layer's key and value (2 * layers * D), and with coverage what each layer but
    the last has read at each of the memory's N places until then ((layers - 1) * C * N).
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
        max_tokens: int,
        coverage: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = nn.Embedding(vocabulary, dim)
        self.layers = nn.ModuleList(
            DecoderLayer(dim, heads, hidden, dropout, coverage and each < layers - 1) for each in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dim, vocabulary)
        nn.init.normal_(self.output.weight, std=0.02)  # an even guess to begin with
        self.positions: Tensor
        self.register_buffer("positions", sinusoid(torch.arange(max_tokens + 1), dim), persistent=False)

    def adopt_symbols(self, head: nn.Linear) -> None:
        """Begins near a decoder that names what it looks at: what is left to learn is mostly where to look.

        The memory's values come through as they are (the identity), and the output layer is the head that was
        taught to name them. After 600 steps on short layouts, 49% of the symbols were right, without this 18%.
        """
        if adopt_head(self.output, head):
            with torch.no_grad():
                for layer in self._decoder_layers():
                    layer.memory_attention.pass_values()

    def memory(self, x: Tensor, keep: Tensor) -> dict[str, Tensor]:
        """Encoder output (B, N, D) and its bool mask (B, N) -> the keys and values of every layer, and the mask.

        Projected once for a picture, instead of once for a token; and a tensor (B, heads, N, D / heads) for each, as
        to cut one for all layers up would be a third of a step's cost.
        """
        memory = {"memory_mask": additive_mask(keep, x.dtype)}
        for i, layer in enumerate(self._decoder_layers()):
            memory[f"keys_{i}"], memory[f"values_{i}"] = layer.memory_attention.keys_values(x)
        return memory

    def forward(self, memory: dict[str, Tensor], tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, V)."""
        x = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])  # (B, T, D)
        mask = memory["memory_mask"][:, None, None]  # (B, 1, 1, N)
        refined = mask
        for i, layer in enumerate(self.layers):
            x, refinement = layer(x, memory[f"keys_{i}"], memory[f"values_{i}"], refined)
            refined = mask if refinement is None else mask + refinement  # (B, heads or 1, T or 1, N)
        return self._logits(x)

    def step(self, tokens: Tensor, past: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """tokens (B,), past (T, B, S) -> logits (B, V), present (B, S)."""
        x = self.embedding(tokens) + self.positions[past.shape[0]]  # (B, D)
        mask = memory["memory_mask"][:, None, None]  # (B, 1, 1, N)
        masks = [mask] * len(self.layers)
        if covers := self._coverages():
            total, before = (self._covered(past, memory, back) for back in (1, 2))
            refinements = Coverage.step(covers, total, total - before)  # (B, covers, heads, N)
            masks[1:] = [mask + refinements[:, i, :, None] for i in range(len(covers))]
        present, read = [], []
        for i, layer in enumerate(self._decoder_layers()):
            keys, values = (past.narrow(2, part * self.dim, self.dim) for part in (2 * i, 2 * i + 1))  # (T, B, D)
            x, row, weights = layer.step(x, keys, values, memory[f"keys_{i}"], memory[f"values_{i}"], masks[i])
            present.append(row)  # (B, 2 * D)
            read.append(weights)
        if covers:
            present.append((total + Coverage.step_reads(covers, read[:-1])).flatten(1))
        return self._logits(x), torch.cat(present, dim=1)

    def _covered(self, past: Tensor, memory: dict[str, Tensor], back: int) -> Tensor:
        """(B, covers, C, N): what was read until the last token (`back` 1) or the one before; zero without one.

        A sum of one row or of none, so that ONNX needs no choice.
        """
        batch, places = memory["memory_mask"].shape
        rows = past[-back : 1 - back or None, :, 2 * len(self.layers) * self.dim :]
        return rows.sum(dim=0).reshape(batch, len(self._coverages()), COVERAGE_CHANNELS, places)

    def empty_past(self, memory: dict[str, Tensor]) -> Tensor:
        """No rows of state for the pictures of this memory: (0, B, S)."""
        batch, places = memory["memory_mask"].shape
        size = 2 * len(self.layers) * self.dim + len(self._coverages()) * places * COVERAGE_CHANNELS
        return memory["keys_0"].new_zeros(0, batch, size)

    def _coverages(self) -> list[Coverage]:
        """Of all layers but the last, or none."""
        return [layer.coverage for layer in self._decoder_layers() if layer.coverage is not None]

    def _decoder_layers(self) -> Iterator[DecoderLayer]:
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            yield layer

    def _logits(self, x: Tensor) -> Tensor:
        return self.output(self.norm(x))
