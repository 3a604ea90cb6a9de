"""Knowledge distillation: a student learns from a trained teacher how likely every other token was, too.

"Distilling the Knowledge in a Neural Network" (Hinton et al., 2015, arXiv:1503.02531), under teacher forcing: both
networks see the same pictures and the label's tokens. The teacher may be another recognizer and know other tokens.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import inference
from recognizer.config import ConfigError, Hyperparameters
from recognizer.data.dataset import Batch
from recognizer.latex import SPECIALS, Vocabulary
from recognizer.model_dir import Start, read_model

TEMPERATURE = 2.0  # of both distributions: what is unlikely shows


def read_teacher(path: Path, spec: inference.PreprocessSpec) -> Start:
    """Reads the model that teaches.

    Raises:
        ConfigError: there is no such model, it can't be read, or it sees other pictures than the student; names the
            field of its preprocessing that differs.
    """
    start = read_model(path, "teacher")
    for key, value in spec.to_dict().items():
        if (taught := getattr(start.preprocess, key)) != value:
            remedy = f"set {key}={taught}, or take" if key in Hyperparameters.model_fields else "take"
            raise ConfigError(
                f"teacher: {path} was trained with {key}={taught}, this job has {value}; {remedy} another"
            )
    return start


class Teacher:
    """A trained network, which stays as it is, and which of its tokens are which of the student's."""

    def __init__(self, start: Start, vocabulary: Vocabulary, device: torch.device) -> None:
        """Raises ConfigError if the weights don't fit the model's sizes, or it knows no token of the labels."""
        self.version, self._max_tokens, self._pad = start.version, start.max_tokens, vocabulary.pad
        self._network = start.build("teacher").to(device).eval().requires_grad_(False)
        self.shared = [token for token in vocabulary.tokens if token in start.vocabulary]
        if not self.knows:
            raise ConfigError(
                f"teacher: {start.version} knows none of the {len(vocabulary) - len(SPECIALS)} tokens of the labels; "
                "take another, or leave it out"
            )
        here, there = (torch.tensor(known.encode(self.shared)) for known in (vocabulary, start.vocabulary))
        ids = torch.full((len(vocabulary),), -1).index_copy_(0, here, there)
        self._here, self._there, self._ids = here.to(device), there.to(device), ids.to(device)

    @property
    def knows(self) -> list[str]:
        """The tokens of formulas that it knows."""
        return [token for token in self.shared if token not in SPECIALS]

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The student's logits (B, T, V) -> Kullback-Leibler divergence from the teacher, summed over tokens.

        It is taken over the tokens that both know, and times the square of the temperature, as its gradients shrink by
        that. From the first token on that the teacher lacks, and beyond the longest formula that it can read, a
        label has no term.
        """
        tokens = self._ids[batch.tokens]  # (B, T + 1), -1 for those that it lacks
        length = min(logits.shape[1], self._max_tokens)
        known = (tokens >= 0).cumprod(dim=1).bool() & (batch.tokens != self._pad)
        counted = known[:, 1 : length + 1]  # (B, T)
        with torch.no_grad():
            taught = self._network(batch.images, batch.sizes, tokens[:, :length].clamp(min=0))
        return TEMPERATURE**2 * F.kl_div(
            _log_softmax(logits[:, :length][counted][:, self._here]),
            _log_softmax(taught[counted][:, self._there]),
            reduction="sum",
            log_target=True,
        )


def _log_softmax(logits: Tensor) -> Tensor:
    return F.log_softmax(logits.float() / TEMPERATURE, dim=1)
