"""Runs a model over labelled samples, as the server would, and keeps what measuring and reporting need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

import inference
from recognizer.data.formats import OnBadSample
from recognizer.data.sample import DataError, Sample
from recognizer.evaluation.mathml import renders_same
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.slices import HEIGHT_BOUNDS, WIDTH_BOUNDS, bucket
from recognizer.latex import normalize, tokenize
from recognizer.progress import Progress

CHUNK = 64  # pictures that a thread holds in memory at a time


@dataclass(frozen=True)
class Recognized:
    """What a model made of samples.

    samples, results    those whose pictures could be read, and what was recognized, in the same order
    skipped             messages about the others
    seconds_per_picture that recognition took, reading files included, all cores together
    """

    samples: list[Sample]
    results: list[Result]
    skipped: list[str]
    seconds_per_picture: float


def recognize(
    recognizer: inference.Recognizer,
    samples: Sequence[Sample],
    options: inference.Options,
    on_bad_sample: OnBadSample = "error",
    show_progress: bool = False,
) -> Recognized:
    """Recognize every sample, and look whether it renders as its label does.

    Each core reads, prepares and recognizes pictures of its own (OpenCV and ONNX Runtime let go of Python meanwhile),
    which keeps cores busier than several at one small network: load the recognizer with threads=1.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip"), or none can.
    """
    kept: list[Sample] = []
    results: list[Result] = []
    skipped: list[str] = []

    def work(chunk: Sequence[Sample]) -> tuple[list[Sample], list[Result], list[str]]:
        unreadable: list[str] = []
        readable, pictures = _load(chunk, on_bad_sample, unreadable)
        return readable, list(map(_result, readable, pictures, recognizer.predict(pictures, options))), unreadable

    chunks = [samples[start : start + CHUNK] for start in range(0, len(samples), CHUNK)]
    began = time.perf_counter()
    with (
        ThreadPoolExecutor(inference.default_threads()) as threads,
        Progress(len(samples), "recognize", show_progress) as progress,
    ):
        for chunk, (readable, found, unreadable) in zip(chunks, threads.map(work, chunks), strict=True):
            kept += readable
            results += found
            skipped += unreadable
            progress.advance(len(chunk))
    seconds = time.perf_counter() - began
    if not results:
        raise DataError(f"none of the {len(samples)} pictures can be read: {' '.join(skipped[:1])}")
    return Recognized(kept, list(map(_rendered, results)), skipped, seconds / len(results))


def _rendered(result: Result) -> Result:
    return replace(result, renders_same=renders_same(result.reference, result.prediction))


def _load(
    samples: Sequence[Sample], on_bad_sample: OnBadSample, skipped: list[str]
) -> tuple[list[Sample], list[np.ndarray]]:
    readable: list[Sample] = []
    pictures: list[np.ndarray] = []
    for sample in samples:
        try:
            pictures.append(sample.load())
            readable.append(sample)
        except DataError as error:
            if on_bad_sample == "error":
                raise
            skipped.append(str(error))
    return readable, pictures


def _result(sample: Sample, picture: np.ndarray, prediction: inference.Prediction) -> Result:
    slices = {
        "source": sample.source,
        "level": sample.level,
        "dataset": sample.dataset or "all",
        "height (pixels)": bucket(picture.shape[0], HEIGHT_BOUNDS),
        "width (pixels)": bucket(picture.shape[1], WIDTH_BOUNDS),
    }
    tokens = tuple(tokenize(normalize(prediction.latex)))
    own, turned = len(prediction.tokens), prediction.turned
    return Result(sample.name, sample.tokens, tokens, prediction.confidence, slices, own_tokens=own, turned=turned)
