"""The pass over a data set before training: every picture is decoded and preprocessed once.

It finds the pictures that have a good header and a bad body, it gives the sizes by which batches are put together,
and it fills a cache, so that training doesn't decode again what fits into memory. Pictures in shards were decoded and
measured when they were packed, and are left alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import inference
from recognizer.data.formats import OnBadSample
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.data.shards import ShardPicture

Progress = Callable[[int, int], None]  # (samples done, samples in all)
QUEUED = 4096  # samples that wait for a thread; a job of millions would hold gigabytes of them


@dataclass
class PictureCache:
    """Decoded picture files, up to a budget of bytes. Forked workers share it without copying; others get none.

    They are kept by file: names are those of one channel, and another may have the same for other pictures.
    """

    budget: int
    used: int = 0
    pictures: dict[Path, np.ndarray] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """For workers that are started anew (macOS): to send each a copy would cost more than it saves."""
        return {"budget": 0, "used": 0, "pictures": {}}

    def offer(self, sample: Sample, rgb: np.ndarray) -> None:
        """Keep a picture if it came from a file, isn't here yet, and fits."""
        file = _file_of(sample)
        if file and file not in self.pictures and self.used + rgb.nbytes <= self.budget:
            rgb.flags.writeable = False  # augmentation must not change it for the epochs to come
            self.pictures[file] = rgb
            self.used += rgb.nbytes

    def load(self, sample: Sample, rng: np.random.Generator | None) -> np.ndarray:
        """Return the sample's picture, decoded now or before; it must not be written to."""
        file = _file_of(sample)
        cached = self.pictures.get(file) if file else None
        return sample.load(rng) if cached is None else cached


def _file_of(sample: Sample) -> Path | None:
    return sample.picture.path if isinstance(sample.picture, FilePicture) else None


@dataclass(frozen=True)
class Measured:
    """Samples whose pictures can be read.

    sizes    (N, 3) canvas height, canvas width and number of tokens, for `batching.plan_epoch`
    skipped  messages about those left out
    """

    samples: list[Sample]
    sizes: np.ndarray
    skipped: list[str]


def measure(
    samples: Sequence[Sample],
    spec: inference.PreprocessSpec,
    on_bad_sample: OnBadSample = "error",
    cache: PictureCache | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Measured:
    """Decode and preprocess every picture once, without augmentation, but those that a shard's index has sizes of.

    From when on the caller is `stopping`, which is asked after each picture, the rest is left out.

    Nothing may be left with on_bad_sample "skip": these may be one rank's share, or what a run before left out.

    Raises:
        DataError: a picture can't be decoded (unless on_bad_sample is "skip").
    """
    kept: list[Sample] = []
    sizes: list[tuple[int, int, int]] = []
    skipped: list[str] = []
    cache = cache or PictureCache(budget=0)

    def size_of(sample: Sample) -> tuple[int, int, int] | DataError:
        if isinstance(sample.picture, ShardPicture) and sample.picture.shard.spec == spec:
            return *sample.picture.canvas, len(sample.tokens)
        try:
            rgb = sample.load()
        except DataError as error:
            return error
        cache.offer(sample, rgb)
        height, width = inference.preprocess(rgb, spec).shape
        return *inference.canvas_size(height, width, spec), len(sample.tokens)

    threads: list[int] = []
    with ThreadPoolExecutor(max(1, workers), initializer=lambda: threads.append(threading.get_native_id())) as pool:
        parts = (samples[start : start + QUEUED] for start in range(0, len(samples), QUEUED))
        measured = chain.from_iterable(pool.map(size_of, part) for part in parts)
        for done, (sample, size) in enumerate(zip(samples, measured, strict=True), start=1):
            if isinstance(size, DataError):
                if on_bad_sample == "error":
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise size
                skipped.append(str(size))
            else:
                kept.append(sample)
                sizes.append(size)
            if progress is not None:
                progress(done, len(samples))
            if stopping():
                pool.shutdown(wait=False, cancel_futures=True)
                break
    _wait_until_gone(threads)
    return Measured(kept, np.array(sizes, dtype=np.int64).reshape(-1, 3), skipped)


def _wait_until_gone(threads: Sequence[int]) -> None:
    """Waits for threads that have been joined, by their native ids, to be gone indeed.

    At its very end a thread frees what OpenCV keeps for it, under a lock. A loader's worker that is forked at that
    moment finds the lock held, by nobody, and waits for good.
    """
    while any(Path(f"/proc/self/task/{thread}").exists() for thread in threads):  # where there is no /proc, none forks
        time.sleep(0.0005)


def enlarged(sizes: np.ndarray, factor: float, spec: inference.PreprocessSpec) -> np.ndarray:
    """Sizes (N, 3) as of `Measured`, if pictures may be seen so much larger than they were measured."""
    larger = np.minimum(np.ceil(sizes[:, :2] * factor), (spec.max_height, spec.max_width)).astype(np.int64)
    canvases = [inference.canvas_size(height, width, spec) for height, width in larger.tolist()]
    return np.column_stack([np.array(canvases, dtype=np.int64).reshape(-1, 2), sizes[:, 2:]])
