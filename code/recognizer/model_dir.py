"""A model directory as the training side sees it: what its description says, and its weights.

What serves it needs no more than the networks (inference.py); to go on from it, to learn from it or to take a mean of
several, the weights are read back.
"""

from __future__ import annotations

import json
import os.path
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import inference
from recognizer.archive import unpacked
from recognizer.config import ConfigError
from recognizer.latex import Vocabulary, VocabularyError
from recognizer.models import FormulaRecognizer, build

DESCRIPTION, WEIGHTS, ARCHIVE = "model.json", "weights.safetensors", "model.tar.gz"


@dataclass(frozen=True)
class Start:
    """A trained model to begin with, or to learn from."""

    version: str
    recognizer: str
    sizes: dict[str, Any]
    vocabulary: Vocabulary
    max_tokens: int
    preprocess: inference.PreprocessSpec
    weights: dict[str, Tensor]
    description: dict[str, Any] = field(default_factory=dict)  # model.json as it stands

    def build(self, option: str) -> FormulaRecognizer:
        """The network with its weights, in fp32; no random number is drawn.

        Raises:
            ConfigError: the weights don't fit what model.json says; names `option`, for which it was read.
        """
        try:
            with torch.random.fork_rng(devices=[]):
                network = build(self.recognizer, len(self.vocabulary), self.max_tokens, self.sizes)
            network.load_state_dict({name: weight.float() for name, weight in self.weights.items()})
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{option}: {self.version} can't be built: {error}") from error
        return network


def read_model(path: Path, option: str = "init") -> Start:
    """Reads a model directory, a folder with a model.tar.gz, or the archive itself.

    Raises:
        ConfigError: there is no such model, or it can't be read; names the hyperparameter `option` and the file.
    """
    try:
        with _opened(path) as folder:
            described = _describe(folder / DESCRIPTION, path)
            vocabulary = Vocabulary.from_dict(described.vocabulary)
            spec = inference.PreprocessSpec.from_dict(described.preprocess)
            weights = load_file(folder / WEIGHTS)
    except (_UnusableError, inference.ModelError) as error:
        raise ConfigError(f"{option}: {error}") from error
    except (OSError, SafetensorError, VocabularyError) as error:
        raise ConfigError(f"{option}: {path} can't be used: {error}") from error
    recognizer, limits = described.recognizer, described.limits
    return Start(
        described.version,
        recognizer.name,
        recognizer.sizes,
        vocabulary,
        limits.max_tokens,
        spec,
        weights,
        described.model_dump(),
    )


class _UnusableError(Exception):
    """What is wrong with a model; the hyperparameter that names it is known to the caller."""


class _Recognizer(BaseModel, extra="allow"):
    name: str
    sizes: dict[str, Any]


class _Limits(BaseModel, extra="allow"):
    max_tokens: int


class _Description(BaseModel, extra="allow"):
    """What a start needs of model.json, and the rest as it is."""

    version: str
    recognizer: _Recognizer
    limits: _Limits
    preprocess: dict[str, Any]
    vocabulary: dict[str, Any]


def _describe(file: Path, path: Path) -> _Description:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _UnusableError(f"{path} has neither {DESCRIPTION} nor {ARCHIVE}; give a model directory") from None
    except (OSError, ValueError) as error:
        raise _UnusableError(f"{path}: {DESCRIPTION} can't be read: {error}") from error
    version = stored.get("format_version") if isinstance(stored, dict) else None
    if version != inference.FORMAT_VERSION:
        raise _UnusableError(
            f"{path}: {DESCRIPTION} has format_version {version!r}; this program reads "
            f"{inference.FORMAT_VERSION}: use the version that wrote it"
        )
    try:
        return _Description.model_validate(stored)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise _UnusableError(f"{path}: {DESCRIPTION}, key {key}: {problem['msg']}") from None


def refuse_existing(target: Path) -> None:
    """Raises FileExistsError where a model is to be written and something is."""
    if target.exists():
        raise FileExistsError(f"{target} is there already; choose another folder")


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """Yields the model directory; of an archive, its two files that matter, unpacked for the time being."""
    archive = path if path.is_file() else path / ARCHIVE
    if not archive.is_file() or (path / DESCRIPTION).is_file():
        yield path
        return
    with unpacked(archive, _is_read) as folder:
        yield folder


def _is_read(member: tarfile.TarInfo) -> bool:
    return member.isfile() and os.path.normpath(member.name) in (DESCRIPTION, WEIGHTS)


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Writes weights that others may read; safetensors makes the file its owner's alone."""
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
    path.chmod(0o644)
