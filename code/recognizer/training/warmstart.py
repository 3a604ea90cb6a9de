"""A start from trained weights: what fits is taken over, the vocabulary's rows by token.

An id is only a token's place, and other data gives other places; rows taken over by id would teach the network that
`x` is `\\alpha`. Which axis of which weight counts tokens is found out, not guessed from names or sizes: it is the one
that grows with the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recognizer.config import ConfigError, Hyperparameters
from recognizer.latex import Vocabulary
from recognizer.model_dir import DESCRIPTION, Start, read_model
from recognizer.models import FormulaRecognizer, build
from recognizer.models.layers import Residual

NAMES_SHOWN = 10

SEEN_ALIKE = ("glyph_height", "scale", "frames")  # of preprocessing: a warm start follows the model that it begins with
DEFAULT = "default"  # the name of the shipped model
# Beside code/ in the repository and in the image; a job that brings its own source_dir has it in the image alone.
SHIPPED = (Path(__file__).resolve().parents[3] / "weights", Path("/opt/program/weights"))


@dataclass(frozen=True)
class TakenOver:
    """Names of weights, and tokens: what the start and the new network share, and what only one of them has.

    A weight of another shape is both: new here, and dropped there. `deeper` are the layers that the start lacks.
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]
    deeper: tuple[str, ...]
    dropped: tuple[str, ...]
    kept_tokens: tuple[str, ...]
    new_tokens: tuple[str, ...]
    dropped_tokens: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"  weights: {len(self.kept)} kept; new: {_some(self.new)}; dropped: {_some(self.dropped)}\n"
            f"  layers that add nothing to begin with: {_some(self.deeper)}\n"
            f"  tokens: {len(self.kept_tokens)} kept; new: {_some(self.new_tokens)}; "
            f"dropped: {_some(self.dropped_tokens)}"
        )


def start_path(value: str, option: str = "init") -> Path:
    """The folder that hyperparameter `option` means: a path, or `default` for the shipped model.

    Raises:
        ConfigError: there is no shipped model here.
    """
    if value != DEFAULT:
        return Path(value)
    found = next((folder for folder in SHIPPED if (folder / DESCRIPTION).is_file()), None)
    if found is None:
        raise ConfigError(
            f"{option}: the shipped model isn't in {' or '.join(map(str, SHIPPED))}; give a model directory"
        )
    return found


def follow(start: Start, settings: Hyperparameters) -> Hyperparameters:
    """The settings with the start's own sizes and preprocessing where none were given, and without first lessons."""
    sizes = {
        name: value if settings.is_given(name) else start.sizes.get(name, value)
        for name, value in settings.sizes.items()
    }
    update: dict[str, Any] = {"sizes": sizes, "symbol_steps": 0, "short_first": False}
    update |= {name: getattr(start.preprocess, name) for name in SEEN_ALIKE if not settings.is_given(name)}
    return settings.model_copy(update=update)


def read_start(path: Path, recognizer: str) -> Start:
    """Reads a model of this recognizer, as `read_model` does.

    Raises:
        ConfigError: as there, or it is another recognizer's.
    """
    start = read_model(path)
    if start.recognizer != recognizer:
        raise ConfigError(
            f"init: {path} is a model of recognizer {start.recognizer!r}, this job trains {recognizer!r}; "
            f"set recognizer={start.recognizer}, or start from another model"
        )
    return start


def token_axes(
    model: FormulaRecognizer, recognizer: str, vocabulary: int, max_tokens: int, sizes: dict[str, Any]
) -> dict[str, int]:
    """The axis that counts tokens, for each weight that has one: where the network for one token more differs."""
    with torch.random.fork_rng(devices=[]):
        larger = build(recognizer, vocabulary + 1, max_tokens, sizes).state_dict()
    shapes = {name: (weight.shape, larger[name].shape) for name, weight in model.state_dict().items()}
    return {
        name: next(axis for axis in range(len(one)) if one[axis] != other[axis])
        for name, (one, other) in shapes.items()
        if one != other
    }


@torch.no_grad()
def take_over(start: Start, model: FormulaRecognizer, vocabulary: Vocabulary, axes: dict[str, int]) -> TakenOver:
    """Copies into the model what has the same name and, apart from the number of tokens, the same shape.

    A layer more than the start has adds nothing at first, so that a deeper network begins by reading as the start does.

    Raises:
        ConfigError: nothing fits.
    """
    shared = [token for token in vocabulary.tokens if token in start.vocabulary]
    here, there = (torch.tensor(known.encode(shared)) for known in (vocabulary, start.vocabulary))
    kept, state = [], model.state_dict()
    for name, target in state.items():
        source, axis = start.weights.get(name), axes.get(name)
        if source is None or not _fits(source, target, axis):
            continue
        if axis is None:
            target.copy_(source)
        else:
            rows = source.index_select(axis, there).to(target)
            target.index_copy_(axis, here.to(target.device), rows)
        kept.append(name)
    if not kept:
        raise ConfigError(f"init: no weight of {start.version} fits; its sizes are {start.sizes}")
    new = tuple(name for name in state if name not in kept)
    return TakenOver(
        kept=tuple(kept),
        new=new,
        deeper=_deepened(start, model),
        dropped=tuple(name for name in start.weights if name not in kept),
        kept_tokens=tuple(shared),
        new_tokens=tuple(token for token in vocabulary.tokens if token not in start.vocabulary),
        dropped_tokens=tuple(token for token in start.vocabulary.tokens if token not in vocabulary),
    )


def _deepened(start: Start, model: FormulaRecognizer) -> tuple[str, ...]:
    """Names of the layers that the start has no weight of, once they have been made to add nothing."""
    names = []
    for name, layer in model.named_modules():
        if isinstance(layer, Residual) and not any(weight.startswith(f"{name}.") for weight in start.weights):
            layer.pass_through()
            names.append(name)
    return tuple(names)


def _fits(source: Tensor, target: Tensor, axis: int | None) -> bool:
    """Whether the shapes are equal, apart from the axis that counts tokens."""
    if source.ndim != target.ndim:
        return False
    return all(one == other or i == axis for i, (one, other) in enumerate(zip(source.shape, target.shape, strict=True)))


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} ({' '.join(names[:NAMES_SHOWN])}{more})"
