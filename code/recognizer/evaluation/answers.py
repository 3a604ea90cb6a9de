"""A sheet of pictures with the answers below them, right and wrong as they come: what a rate looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

import inference
from recognizer.data.sample import Sample
from recognizer.evaluation.metrics import Result
from recognizer.synth.contact_sheet import contact_sheet

SHOWN = 12


def write_answers(path: Path, results: Sequence[Result], samples: Sequence[Sample], shown: int = SHOWN) -> None:
    """Write a PNG of so many samples, spread evenly over the set; `results[i]` is of `samples[i]`."""
    places = spread(shown, len(samples))
    sheet = contact_sheet([(samples[place].load(), _words(results[place])) for place in places])
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    path.write_bytes(data.tobytes())


def spread(count: int, size: int) -> list[int]:
    """Return so many places, evenly spread over a list of that size; all of them if it is shorter."""
    count = min(count, size)
    return [place * size // count for place in range(count)]


def _words(result: Result) -> str:
    answer = inference.join_tokens(result.prediction)
    if result.edits == 0:
        return f"right: {answer}"
    edits = f"{result.edits} edit{'s' if result.edits > 1 else ''}"
    return f"{edits}: {answer}\n(is {inference.join_tokens(result.reference)})"
