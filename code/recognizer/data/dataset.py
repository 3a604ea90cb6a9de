"""From samples to training batches: load, augment, preprocess, number the tokens, pad.

What a sample looks like depends on (seed, epoch, index) alone: each has its own random generator, so the number of
workers, and the batch that it is in, change nothing. Preprocessing and padding are those of the server
(`inference.py`); augmentation comes before them, for training only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

import inference
from recognizer.data.measure import PictureCache
from recognizer.data.sample import DataError, Sample
from recognizer.data.shards import ShardPicture
from recognizer.latex import UnknownTokenError, Vocabulary

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # RGB (H, W, 3) uint8 -> the same, other size
Key = tuple[int, int] | tuple[int, int, bytes]  # (epoch, index), and the picture's file if that was read before


@dataclass(frozen=True)
class Example:
    """One sample as the recognizer sees it."""

    image: np.ndarray  # (h, w) float32, normalised
    token_ids: list[int]  # begins with bos, ends with eos
    index: int


@dataclass(frozen=True)
class Batch:
    """Samples padded to one size. Loss and attention must leave out what lies beyond `sizes` and pad tokens.

    images  (B, 1, H, W) float32
    sizes   (B, 2) int64, height and width of each picture within H and W
    tokens  (B, T) int64, bos ... eos pad pad
    samples the B samples; none in a batch without weight
    epoch, position  which batch of which epoch; a run that has done it resumes at position + 1
    """

    images: torch.Tensor
    sizes: torch.Tensor
    tokens: torch.Tensor
    indices: tuple[int, ...]
    samples: tuple[Sample, ...] = ()
    epoch: int = 0
    position: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    def without_weight(self, pad: int) -> Batch:
        """Return the batch without a token to learn from, for a rank that has no sample of its own in this step."""
        return replace(self, tokens=torch.full_like(self.tokens, pad), indices=())

    def to(self, device: torch.device, **options: Any) -> Batch:
        """Return the batch on another device; options such as non_blocking=True or memory_format go to torch."""
        return self._map(lambda tensor: tensor.to(device, **options))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; torch's loader calls this."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        return replace(self, images=change(self.images), sizes=change(self.sizes), tokens=change(self.tokens))


class FormulaDataset(Dataset[Example | DataError]):
    """Samples by (epoch, index). A picture that can't be read is returned as its DataError, not raised: raised in
    a worker, it would reach the user wrapped in the worker's traceback."""

    def __init__(
        self,
        samples: Sequence[Sample],
        vocabulary: Vocabulary,
        spec: inference.PreprocessSpec,
        seed: int = 0,
        augment: Augment | None = None,
        cache: PictureCache | None = None,
        canvases: np.ndarray | None = None,
        zoom: float = 0.0,
    ) -> None:
        """With `augment` each epoch sees each picture differently; without, always the same.

        `zoom` is how much smaller or larger than preprocessing makes them augmented pictures may be, as a share.

        `canvases` (N, 2 or more), height and width of each sample's canvas as batches were planned: an augmented
        picture that has outgrown its own would blow up the whole batch, so it is shrunk to fit.
        """
        self.samples = list(samples)
        self.vocabulary = vocabulary
        self.spec = spec
        self.seed = seed
        self.augment = augment
        self.cache = cache or PictureCache(budget=0)
        self.canvases = canvases
        self.zoom = zoom
        self.token_ids = [[vocabulary.bos, *_encode(sample, vocabulary), vocabulary.eos] for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> Example | DataError:
        epoch, index, *file = key
        try:
            image = self._image(epoch, index, *file)
        except DataError as error:
            return error
        return Example(image, self.token_ids[index], index)

    def _image(self, epoch: int, index: int, file: bytes | None = None) -> np.ndarray:
        sample = self.samples[index]
        if file is not None and isinstance(sample.picture, ShardPicture):
            sample = replace(sample, picture=sample.picture.streamed(file))
        if self.augment is None:
            return inference.preprocess(self.cache.load(sample, None), self.spec)
        rng = np.random.default_rng((self.seed, epoch, index))
        rgb = self.augment(self.cache.load(sample, rng), rng)
        image = inference.preprocess(rgb, self._zoomed(rng) if self.zoom else self.spec)
        return image if self.canvases is None else _shrunk_to_fit(image, *self.canvases[index, :2].tolist())

    def _zoomed(self, rng: np.random.Generator) -> inference.PreprocessSpec:
        """Preprocessing scales all glyphs to one height, and not always rightly."""
        return replace(self.spec, scale=self.spec.scale * rng.uniform(1 - self.zoom, 1 + self.zoom))

    def collate(self, examples: Sequence[Example | DataError]) -> Batch | DataError:
        """Pad examples to one batch, as the server does; the first error wins."""
        for example in examples:
            if isinstance(example, DataError):
                return example
        good = [example for example in examples if isinstance(example, Example)]
        images, sizes = inference.make_batch([example.image for example in good], self.spec)
        return Batch(
            images=torch.from_numpy(images),
            sizes=torch.from_numpy(sizes),
            tokens=pad_tokens([example.token_ids for example in good], self.vocabulary.pad),
            indices=tuple(example.index for example in good),
        )


def _shrunk_to_fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture (h, w) as it is, or smaller, its proportions kept, if it is higher or wider than that."""
    factor = min(height / image.shape[0], width / image.shape[1])
    return image if factor >= 1 else inference.resize(image, factor, cv2.INTER_AREA)


def pad_tokens(rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Return (B, T) int64, each row filled up with `pad` to the longest one."""
    tokens = torch.full((len(rows), max(map(len, rows))), pad, dtype=torch.int64)
    for target, row in zip(tokens, rows, strict=True):
        target[: len(row)] = torch.tensor(row)
    return tokens


def _encode(sample: Sample, vocabulary: Vocabulary) -> list[int]:
    try:
        return vocabulary.encode(sample.tokens)
    except UnknownTokenError as error:
        raise DataError(f"{sample.origin}: {error}; correct the label, or add the token to tokens.txt") from error
