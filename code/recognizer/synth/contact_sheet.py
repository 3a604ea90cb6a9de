"""Command line: a sheet of sample pictures over their labels, to look at before training on them.

`python -m recognizer.synth.contact_sheet --out sheet.png --seed 1 --count 24` shows embedded pictures;
`--data FOLDER` what composition makes of a data set's, `--count` for each way of it; with `--composed none` the set's
own; `--typefaces FORMULA` one formula in all typefaces.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import inference
from recognizer.data.compose import KINDS, composed_samples
from recognizer.data.formats import read_dataset
from recognizer.data.measure import PictureCache
from recognizer.data.sample import DataError, Sample
from recognizer.latex import normalize, tokenize
from recognizer.synth.corpus import EVERY, in_typeface
from recognizer.synth.dataset import sample
from recognizer.synth.tex import TexError, TexStyle, misdraws

CELL_WIDTH, PICTURE_HEIGHT, LABEL_LINES, LABEL_WIDTH, LINE_HEIGHT = 420, 100, 4, 78, 15
AS_THEY_ARE = "none"  # of the ways to compose
SHEET_DPI = 200
LARGEST_SCALE = 2.0  # small pictures are enlarged


def contact_sheet(
    entries: Sequence[tuple[np.ndarray, str]], columns: int = 3, height: int = PICTURE_HEIGHT
) -> np.ndarray:
    """A grid of pictures, shrunk where too large, enlarged where small, each over its label.

    Args:
        entries: pictures (H, W, 3) uint8 with their labels.
        columns: pictures in a row.
        height: pixels that a picture has at most; pages need more than formulas.

    Returns:
        (H, W, 3) uint8.
    """
    cells = [_cell(picture, label, height) for picture, label in entries]
    return np.concatenate([_row(cells[at : at + columns], columns) for at in range(0, len(cells), columns)])


def _row(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """As high as the highest of the cells; empty ones fill it up."""
    height = max(map(len, cells))
    padded = [np.pad(cell, ((0, height - len(cell)), (0, 0), (0, 0)), constant_values=255) for cell in cells]
    blank = np.full((height, CELL_WIDTH * (columns - len(cells)), 3), 255, np.uint8)
    return np.concatenate([*padded, blank], axis=1)


def _cell(picture: np.ndarray, label: str, most: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(LARGEST_SCALE, (CELL_WIDTH - 12) / width, most / height)
    shown = inference.resize(picture, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    lines = [line[at : at + LABEL_WIDTH] for line in label.splitlines() for at in range(0, len(line), LABEL_WIDTH)]
    if len(lines) > LABEL_LINES:
        lines = [*lines[: LABEL_LINES - 1], lines[LABEL_LINES - 1][:-4] + " ..."]
    cell = np.full((shown.shape[0] + len(lines) * LINE_HEIGHT + 24, CELL_WIDTH, 3), 255, np.uint8)
    top, left, bottom = 5, 6, 5 + shown.shape[0]
    cell[top:bottom, left : left + shown.shape[1]] = shown
    cv2.rectangle(cell, (left - 1, top - 1), (left + shown.shape[1], bottom), (200, 200, 200), 1)
    for number, line in enumerate(lines):
        place = (6, bottom + 3 + (number + 1) * LINE_HEIGHT)
        cv2.putText(cell, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (60, 60, 160), 1, cv2.LINE_AA)
    return cell


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m recognizer.synth.contact_sheet", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument(
        "--height", type=int, default=PICTURE_HEIGHT, help="of a picture, at most (default %(default)s)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, help="labelled folder to compose pictures from")
    source.add_argument("--typefaces", metavar="FORMULA", help="what to draw in every typeface (LaTeX is needed)")
    ways = (*KINDS, AS_THEY_ARE)
    parser.add_argument("--composed", nargs="+", choices=ways, default=KINDS, help="how (default: all but none)")
    parser.add_argument("--max-tokens", type=int, default=200, help="bound of composed labels (default %(default)s)")
    options = parser.parse_args()
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)  # what can't be written is told before all are drawn
        entries = _entries(options)
    except (DataError, TexError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sheet = contact_sheet(entries, options.columns, options.height)
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    options.out.write_bytes(data.tobytes())
    return 0


def _entries(options: argparse.Namespace) -> list[tuple[np.ndarray, str]]:
    if options.typefaces:
        return _in_typefaces(options.typefaces)
    return _composed(options) if options.data else _embedded(options)


def _in_typefaces(formula: str) -> list[tuple[np.ndarray, str]]:
    entries = []
    for name in EVERY:
        (ink,) = in_typeface([formula], TexStyle(name, SHEET_DPI))
        if ink is None or misdraws(name, tokenize(normalize(formula))):
            ink = np.full((20, 20), 255, np.uint8)  # it has a sign that this typeface doesn't show
        entries.append((np.repeat(ink[:, :, None], 3, axis=2), name))
    return entries


def _embedded(options: argparse.Namespace) -> list[tuple[np.ndarray, str]]:
    drawn = (sample(index, options.seed) for index in range(options.first, options.first + options.count))
    return [(picture, " ".join(tokens)) for picture, tokens, _, _ in drawn]


def _composed(options: argparse.Namespace) -> list[tuple[np.ndarray, str]]:
    """Composed pictures as training shows them in its first epoch, before augmentation."""
    members, last = read_dataset(options.data).samples, options.first + options.count
    shown: list[Sample] = []
    for kind in options.composed:
        if kind == AS_THEY_ARE:
            order = np.random.default_rng(options.seed).permutation(len(members))
            made = [members[index] for index in order[:last]]
        else:
            made = composed_samples(kind, members, last, options.seed, options.max_tokens, PictureCache(budget=0))
        shown += made[options.first :]
    if not shown:
        raise DataError(f"{options.data}: no two labels together are shorter than {options.max_tokens} tokens")
    return [(each.load(), inference.join_tokens(each.tokens)) for each in shown]


if __name__ == "__main__":
    sys.exit(main())
