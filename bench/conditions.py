"""Command line: `python -m bench.conditions --model MODEL --data DATA`: what paper, light and pen do to the answers.

`make bench-conditions MODEL=weights DATA=folder` reads clean pictures as they are and under one condition at a time:
light pens, lines of the paper, a table around the sheet, dust. Each is what a user's picture may be; a condition under
which much less is right than in the first row is a fault of the preprocessing, or something that training lacks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from bench.reading import Change, run, share_right
from inference import Options, Recognizer
from recognizer.data.sample import Sample
from recognizer.synth.augment import with_dust
from recognizer.synth.degrade import degrade

HEAD = ["pictures, read once", "exactly right"]
WHITE = (255, 255, 255)


def _with_margin(rgb: np.ndarray, pixels: int = 20) -> np.ndarray:
    return cv2.copyMakeBorder(rgb, pixels, pixels, pixels, pixels, cv2.BORDER_CONSTANT, value=WHITE)


def in_colours(ink: tuple[int, ...], paper: tuple[int, ...], grain: float = 0) -> Change:
    """Other ink on other paper, with the grain of a camera (its standard deviation, of 255)."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        light = _with_margin(rgb).astype(np.float32) / 255
        coloured = light * np.array(paper) + (1 - light) * np.array(ink)
        return _shown(coloured + rng.normal(0, grain, light.shape[:2])[:, :, None])

    return change


def on_lines(gray: int, squared: bool, degrees: float = 0, margin: int = 0) -> Change:
    """On ruled or squared paper: lines of that gray, a third of the picture's height apart, 12 pixels at least.

    They fall by `degrees` to the right, and end `margin` pixels before the sheet does.
    """

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = max(12, rgb.shape[0] // 3)
        height, width = rgb.shape[0] + 40, rgb.shape[1] + 40
        side = 2 * max(height, width)  # of paper that is turned, then cut out
        paper = np.full((side, side), 255, np.uint8)
        thick = max(1, step // 40)
        for at in range(int(rng.integers(step)), side, step):
            cv2.line(paper, (0, at), (side, at), gray, thick)
            if squared:
                cv2.line(paper, (at, 0), (at, side), gray, thick)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), -degrees, 1)
        paper = cv2.warpAffine(paper, turn, (side, side), borderValue=255) if degrees else paper
        top, left = (side - height) // 2, (side - width) // 2
        lined = _with_margin(paper[top : top + height, left : left + width], margin)
        return np.minimum(_with_margin(rgb, 20 + margin), lined[:, :, None])

    return change


def on_dots(gray: int) -> Change:
    """On dotted paper: dots of that gray, a third of the picture's height apart, 12 pixels at least."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = max(12, rgb.shape[0] // 3)
        paper = np.full_like(_with_margin(rgb), 255)
        for y in range(int(rng.integers(step)), paper.shape[0], step):
            for x in range(step // 2, paper.shape[1], step):
                cv2.circle(paper, (x, y), max(1, step // 25), (gray, gray, gray), -1, cv2.LINE_AA)
        return np.minimum(_with_margin(rgb), paper)

    return change


def on_table(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sheet with 8 to 60 pixels of a dark table on each side."""
    sheet = in_colours((40, 40, 50), (225, 222, 215), 2)(rgb, rng)
    top, bottom, left, right = rng.integers(8, 60, 4).tolist()
    return cv2.copyMakeBorder(sheet, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(70, 85, 110))


def in_frame(gap: float) -> Change:
    """In a frame that keeps `gap` heights of the picture from it."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        framed = _with_margin(rgb, max(4, round(gap * rgb.shape[0])))
        cv2.rectangle(framed, (1, 1), (framed.shape[1] - 2, framed.shape[0] - 2), (0, 0, 0), 1 + rgb.shape[0] // 80)
        return _with_margin(framed)

    return change


def blurred(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus by a fortieth of the picture's height."""
    return cv2.GaussianBlur(_with_margin(rgb), (0, 0), max(0.3, rgb.shape[0] / 80))


def tilted(degrees: float) -> Change:
    """Turned counterclockwise."""

    def change(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wide = _with_margin(rgb, 10 + round(rgb.shape[1] * abs(np.sin(np.radians(degrees)))))
        height, width = wide.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return cv2.warpAffine(wide, turn, (width, height), borderValue=WHITE)

    return change


def _shown(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


CONDITIONS: dict[str, Change] = {
    "as they are": lambda rgb, rng: rgb,
    "light on dark": in_colours((235, 235, 230), (35, 60, 50), 4),
    "a fifth of black's contrast": in_colours((204, 204, 204), WHITE),
    "the same, with grain": in_colours((180, 180, 180), (225, 225, 225), 2),
    "yellow on white": in_colours((230, 200, 0), WHITE),
    "ruled, pale lines": on_lines(210, squared=False),
    "ruled, dark lines": on_lines(150, squared=False),
    "squared, pale lines": on_lines(210, squared=True),
    "squared, dark lines": on_lines(150, squared=True),
    "ruled, dark lines, tilted by 7 degrees": on_lines(150, squared=False, degrees=7),
    "squared, dark lines, tilted by 7 degrees": on_lines(150, squared=True, degrees=-7),
    "ruled, dark lines that end before the sheet": on_lines(150, squared=False, margin=40),
    "squared, dark lines that end before the sheet": on_lines(150, squared=True, margin=40),
    "dotted, dark dots": on_dots(150),
    "a table around the sheet": on_table,
    "a frame close by": in_frame(0.15),
    "a frame far off": in_frame(0.8),
    "tilted by 3 degrees": tilted(3),
    "tilted by 8 degrees": tilted(-8),
    "out of focus": blurred,
    "dust": lambda rgb, rng: with_dust(_with_margin(rgb), rng),
    "photographed, simulated": lambda rgb, rng: degrade(_with_margin(rgb), rng),
}


def rows(model: Recognizer, samples: Sequence[Sample]) -> Iterator[list[str]]:
    """Of the table; each picture is read once."""
    for name, change in CONDITIONS.items():
        yield [name, f"{100 * share_right(model, samples, change, Options(views=1)):.1f}%"]


def main(arguments: Sequence[str] | None = None) -> int:
    data = "clean pictures, dark on white, with labels"
    return run(arguments, "bench.conditions", __doc__, data, 100, HEAD, rows)


if __name__ == "__main__":
    sys.exit(main())
