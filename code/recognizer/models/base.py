"""What a recognizer is: the methods that training, export and serving rely on, whatever is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel
from torch import Tensor, nn

Memory = dict[str, Tensor]  # what the encoder saw; every tensor has the batch first


class FormulaRecognizer(nn.Module, ABC):
    """A network from pictures to token logits.

    Two ways to decode must agree to float tolerance: `decode`, which sees all tokens at once and is trained, and
    `step`, which is exported and served. A step receives everything that earlier steps emitted (`past`) and emits one
    row of state (`present`): keys and values for a transformer, the hidden state for a recurrent decoder. So a server
    writes into one buffer and nothing is computed twice, and one server can run every recognizer.

    Padding (pixels beyond a picture's size, tokens after the end) never changes an answer, and no normalisation uses
    batch statistics: what stands beside a picture in its batch changes nothing either.

    Shapes: B pictures, T tokens, V vocabulary, P rows of state before the first token; `...` is the form of one row of
    state, which the recognizer chooses.
    """

    name: ClassVar[str]  # of the hyperparameter `recognizer`; what has none is no recognizer yet
    Sizes: ClassVar[type[BaseModel]]  # what hyperparameters can change: __init__'s third argument
    stride: tuple[int, int]  # pixels, high and wide, of one cell of the encoder's grid

    @abstractmethod
    def features(self, images: Tensor, sizes: Tensor) -> Tensor:
        """images (B, 1, H, W), sizes (B, 2) -> (B, H / stride, W / stride, D): each cell before cells are mixed."""

    @abstractmethod
    def encode(self, images: Tensor, sizes: Tensor) -> Memory:
        """images (B, 1, H, W) float, sizes (B, 2) int64 as (height, width) of each picture -> memory.

        What grows with the canvas is filled up at its end when memories of unlike pictures are joined: `memory_mask`,
        which is added to the scores of its places, with the lowest float, all else with zeros.
        """

    @abstractmethod
    def decode(self, memory: Memory, tokens: Tensor) -> Tensor:
        """tokens (B, T), beginning with <bos> -> logits (B, T, V) for the token after each."""

    def adopt_symbols(self, head: nn.Linear) -> None:
        """Takes over what the first lessons taught: `head` names the symbol in a cell of `features`."""

    @abstractmethod
    def prefix(self, memory: Memory) -> Tensor:
        """The state before the first token: (P, B, ...); P is 0 for a transformer."""

    @abstractmethod
    def step(self, tokens: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """tokens (B,), past (P + steps so far, B, ...) -> logits (B, V), present (B, ...)."""

    def forward(self, images: Tensor, sizes: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: logits (B, T, V) for the token after each of `tokens` (B, T)."""
        return self.decode(self.encode(images, sizes), tokens)


class RecurrentRecognizer(FormulaRecognizer):
    """Goes token by token in training too, so that it can be fed its own tokens there, as it is when it is served."""

    @abstractmethod
    def decode(self, memory: Memory, tokens: Tensor, given: Tensor | None = None) -> Tensor:
        """As above; where the bool mask `given` (B, T) is false, the step is fed the likeliest token of the one before
        instead of that of `tokens` (scheduled sampling, Bengio et al., 2015, arXiv:1506.03099)."""

    def forward(self, images: Tensor, sizes: Tensor, tokens: Tensor, given: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(images, sizes), tokens, given)
