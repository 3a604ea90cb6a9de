"""Runs a model over labelled samples, as the server would, and keeps what measuring and reporting need."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import inference
from recognizer.data.formats import OnBadSample
from recognizer.data.sample import DataError, Sample
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.slices import HEIGHT_BOUNDS, WIDTH_BOUNDS, bucket
from recognizer.latex import normalize, tokenize

Progress = Callable[[int, int], None]  # (samples done, samples in all)

CHUNK = 64  # pictures held in memory at a time


@dataclass(frozen=True)
class Recognized:
    """What a model made of samples.

    samples, results    those whose pictures could be read, and what was recognized, in the same order
    skipped             messages about the others
    seconds_per_picture that recognition took, without reading files
    """

    samples: list[Sample]
    results: list[Result]
    skipped: list[str]
    seconds_per_picture: float


def recognize(
    recognizer: inference.Recognizer,
    samples: Sequence[Sample],
    on_bad_sample: OnBadSample = "error",
    progress: Progress | None = None,
) -> Recognized:
    """Recognize every sample.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip"), or none can.
    """
    kept: list[Sample] = []
    results: list[Result] = []
    skipped: list[str] = []
    seconds = 0.0
    for start in range(0, len(samples), CHUNK):
        readable, pictures = _load(samples[start : start + CHUNK], on_bad_sample, skipped)
        began = time.perf_counter()
        predictions = recognizer.predict(pictures)
        seconds += time.perf_counter() - began
        kept += readable
        results += map(_result, readable, pictures, predictions)
        if progress is not None:
            progress(min(start + CHUNK, len(samples)), len(samples))
    if not results:
        raise DataError(f"none of the {len(samples)} pictures can be read: {' '.join(skipped[:1])}")
    return Recognized(kept, results, skipped, seconds / len(results))


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
    return Result(sample.name, sample.tokens, tokens, prediction.confidence, slices)
