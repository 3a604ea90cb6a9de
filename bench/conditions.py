"""Command line: `python -m bench.conditions --model MODEL --data DATA`: what paper, light and pen do to the answers.

`make bench-conditions MODEL=weights DATA=folder` reads clean pictures as they are and under one condition at a time:
light pens, lines of the paper, a table around the sheet, dust. Each is what a user's picture may be; a condition under
which much less is right than in the first row is a fault of the preprocessing, or something that training lacks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.jobs import table
from inference import ModelError, Options, Recognizer
from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError, Sample
from recognizer.latex import normalize, tokenize

HEAD = ["pictures", "exactly right"]
WHITE = (255, 255, 255)
Condition = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _with_margin(rgb: np.ndarray, pixels: int = 20) -> np.ndarray:
    return cv2.copyMakeBorder(rgb, pixels, pixels, pixels, pixels, cv2.BORDER_CONSTANT, value=WHITE)


def in_colours(ink: tuple[int, ...], paper: tuple[int, ...], grain: float = 0) -> Condition:
    """Other ink on other paper, with the grain of a camera (its standard deviation, of 255)."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        light = _with_margin(rgb).astype(np.float32) / 255
        coloured = light * np.array(paper) + (1 - light) * np.array(ink)
        return _shown(coloured + rng.normal(0, grain, light.shape[:2])[:, :, None])

    return change


def on_lines(gray: int, squared: bool) -> Condition:
    """On ruled or squared paper: lines of that gray, a third of the picture's height apart, 12 pixels at least."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = max(12, rgb.shape[0] // 3)
        paper = np.full_like(_with_margin(rgb), 255)
        height, width = paper.shape[:2]
        offset, thick = int(rng.integers(step)), max(1, step // 40)
        for y in range(offset, height, step):
            cv2.line(paper, (0, y), (width, y), (gray, gray, gray), thick)
        for x in range(offset, width, step) if squared else ():
            cv2.line(paper, (x, 0), (x, height), (gray, gray, gray), thick)
        return np.minimum(_with_margin(rgb), paper)

    return change


def on_table(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sheet with 8 to 60 pixels of a dark table on each side."""
    sheet = in_colours((40, 40, 50), (225, 222, 215), 2)(rgb, rng)
    top, bottom, left, right = rng.integers(8, 60, 4).tolist()
    return cv2.copyMakeBorder(sheet, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(70, 85, 110))


def in_frame(gap: float) -> Condition:
    """In a frame that keeps `gap` heights of the picture from it."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        framed = _with_margin(rgb, max(4, round(gap * rgb.shape[0])))
        cv2.rectangle(framed, (1, 1), (framed.shape[1] - 2, framed.shape[0] - 2), (0, 0, 0), 1 + rgb.shape[0] // 80)
        return _with_margin(framed)

    return change


def with_dust(specks: int) -> Condition:
    """Dark specks of up to a fortieth of the picture's height, all over it."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        dusty = _with_margin(rgb)
        for _ in range(specks):
            x, y = int(rng.integers(dusty.shape[1])), int(rng.integers(dusty.shape[0]))
            cv2.circle(dusty, (x, y), int(rng.integers(max(1, rgb.shape[0] // 80) + 1)), (60, 60, 60), -1)
        return dusty

    return change


def blurred(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus by a fortieth of the picture's height."""
    return cv2.GaussianBlur(_with_margin(rgb), (0, 0), max(0.3, rgb.shape[0] / 80))


def tilted(degrees: float) -> Condition:
    """Turned counterclockwise."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wide = _with_margin(rgb, 10 + round(rgb.shape[1] * abs(np.sin(np.radians(degrees)))))
        height, width = wide.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return cv2.warpAffine(wide, turn, (width, height), borderValue=WHITE)

    return change


def _shown(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


CONDITIONS: dict[str, Condition] = {
    "as they are": lambda rgb, rng: rgb,
    "light on dark": in_colours((235, 235, 230), (35, 60, 50), 4),
    "a fifth of black's contrast": in_colours((204, 204, 204), WHITE),
    "the same, with grain": in_colours((180, 180, 180), (225, 225, 225), 2),
    "yellow on white": in_colours((230, 200, 0), WHITE),
    "ruled, pale lines": on_lines(210, squared=False),
    "ruled, dark lines": on_lines(150, squared=False),
    "squared, pale lines": on_lines(210, squared=True),
    "squared, dark lines": on_lines(150, squared=True),
    "a table around the sheet": on_table,
    "a frame close by": in_frame(0.15),
    "a frame far off": in_frame(0.8),
    "tilted by 3 degrees": tilted(3),
    "tilted by 8 degrees": tilted(-8),
    "out of focus": blurred,
    "20 specks of dust": with_dust(20),
}


def measure(model: Recognizer, samples: Sequence[Sample], condition: Condition) -> float:
    """Share of the samples that are read exactly right, each once."""
    right = 0
    for number, sample in enumerate(samples):
        picture = np.ascontiguousarray(condition(sample.load(), np.random.default_rng(number)))
        (answer,) = model.predict([picture], Options(views=1))
        right += tuple(tokenize(normalize(answer.latex))) == sample.tokens  # as evaluate.py has it
    return right / len(samples)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.conditions", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="clean pictures, dark on white, with labels")
    parser.add_argument("--limit", type=int, default=100, help="pictures, spread over the data (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.limit < 1:
        parser.error(f"--limit: expected a whole number from 1, got {options.limit}")
    try:
        model = Recognizer.load(options.model, threads=1)
        samples = read_dataset(options.data, on_bad_sample="skip").samples
        chosen = samples[:: max(1, len(samples) // options.limit)][: options.limit]
        rows = [[name, f"{100 * measure(model, chosen, change):.1f}%"] for name, change in CONDITIONS.items()]
    except (ModelError, DataError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{options.model}, {len(chosen)} pictures of {options.data}, each read once\n{table(HEAD, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
