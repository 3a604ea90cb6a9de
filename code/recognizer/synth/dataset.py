"""Writes the embedded data set in the competition's own format, by several processes, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from recognizer.latex import tokenize
from recognizer.processes import in_processes
from recognizer.progress import Progress
from recognizer.synth.degrade import degrade
from recognizer.synth.grammar import LEVELS, generate_formula
from recognizer.synth.style import ALPHABETS, SHORTEST, random_style, render_any

# Changes whenever the same seed would give other pictures: nothing goes on with what an older generator has made.
GENERATOR_VERSION = 4

MANIFEST = "manifest.json"
LEVEL_SHARES = (0.2, 0.25, 0.2, 0.2, 0.15)
PHOTO_QUALITY = 92
# As many as keep the processes busy for about a second: small enough for a smooth progress display.
BATCH = 32


@dataclass(frozen=True)
class Row:
    """What the text files say of one picture."""

    name: str
    tokens: tuple[str, ...]
    level: int | None  # if it is known


@dataclass(frozen=True)
class Drawn:
    """A picture as the bytes of its file, with its label."""

    name: str
    data: bytes
    tokens: tuple[str, ...]
    level: int


def sample(index: int, seed: int) -> tuple[np.ndarray, tuple[str, ...], int, dict[str, object]]:
    """The picture number `index` of the endless data set `seed`; needs no other picture, so any worker can make it.

    Returns:
        picture (H, W, 3) uint8 RGB, normalised tokens, level 1 to 5, and the style it was drawn in.
    """
    rng = np.random.default_rng([seed, index])
    level = LEVELS[int(rng.choice(len(LEVELS), p=LEVEL_SHARES))]
    formula = generate_formula(rng, level)
    tokens = tuple(tokenize(formula))
    style = random_style(rng)
    if style.font in ALPHABETS and len(tokens) < SHORTEST:
        style = replace(style, font="tex")
    clean, style = render_any(formula, style)
    return degrade(clean, rng), tokens, level, style.to_dict()


def write_dataset(
    folder: Path | str, count: int, seed: int, workers: int = 1, progress: bool = True, shard: tuple[int, int] = (1, 1)
) -> Path:
    """Writes `count` pictures with `gt.txt`, `tokens.txt`, `source.txt`, `level.txt` and `images/`.

    The files are written to a neighbouring folder that takes its final name when all is there. A folder that already
    holds the very same data set is left as it is.

    Args:
        folder: where to; its parent must be writable.
        count: how many pictures the whole data set has.
        seed: the same seed gives the same bytes, whatever `workers` is.
        workers: processes.
        progress: show rate and time left on the standard error stream.
        shard: (i, n) writes the i-th of n parts (counted from 1): every n-th picture, under the names of the whole.

    Returns:
        The folder.

    Raises:
        ValueError: count, workers or shard make no sense.
        FileExistsError: the folder holds something else.
    """
    check_request(count, workers, shard)
    part, parts = shard
    folder = Path(folder)
    manifest = {"generator": GENERATOR_VERSION, "count": count, "seed": seed, "shard": [part, parts]}
    if _is_written(folder, manifest):
        return folder
    indices = range(part - 1, count, parts)
    batches = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    try:
        with whole_or_nothing(folder) as unfinished, Progress(len(indices), "synth", progress) as shown:
            rows = []
            for done in in_processes(partial(_write_batch, unfinished / "images", seed), batches, workers):
                rows += done
                shown.advance(len(done))
            write_tables(unfinished, rows)
            (unfinished / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
    except OSError:
        if not _is_written(folder, manifest):  # by another job meanwhile
            raise
    return folder


def check_request(count: int, workers: int, shard: tuple[int, int]) -> None:
    """Raises ValueError if they make no sense."""
    part, parts = shard
    if count < 1 or workers < 1:
        raise ValueError(f"count and workers must be at least 1, got count={count}, workers={workers}")
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be i/n with 1 <= i <= n, got {part}/{parts}")


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """A folder, with `images/` in it, that takes the name of the missing or empty `folder` when all went well."""
    unfinished = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        (unfinished / "images").mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_written(folder: Path, manifest: dict[str, object]) -> bool:
    """True if `folder` is this data set, False if it is free to be written."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == manifest:
        return True
    raise FileExistsError(
        f"{folder} holds {f'another data set ({found})' if found else 'other files'}; this run makes {manifest}. "
        "Remove the folder or choose another one."
    )


def _write_batch(images: Path, seed: int, indices: range) -> list[Row]:
    return [_write_picture(images, index, seed) for index in indices]


def _write_picture(images: Path, index: int, seed: int) -> Row:
    drawn = draw(index, seed)
    (images / drawn.name).write_bytes(drawn.data)
    return Row(drawn.name, drawn.tokens, drawn.level)


def draw(index: int, seed: int) -> Drawn:
    """`sample` as a file."""
    picture, tokens, level, _ = sample(index, seed)
    # As users' files are: two thirds photographs, the rest lossless screen shots and scans.
    return Drawn(*_encode(index, picture, lossless=index % 3 == 0), tokens, level)


def write_picture(images: Path, index: int, picture: np.ndarray, lossless: bool) -> str:
    """Writes (H, W, 3) uint8 RGB as PNG or JPEG; returns its name."""
    name, data = _encode(index, picture, lossless)
    (images / name).write_bytes(data)
    return name


def _encode(index: int, picture: np.ndarray, lossless: bool) -> tuple[str, bytes]:
    """(H, W, 3) uint8 RGB -> name and bytes of its file."""
    name = f"{index:07d}.{'png' if lossless else 'jpg'}"
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3] if lossless else [cv2.IMWRITE_JPEG_QUALITY, PHOTO_QUALITY]
    done, data = cv2.imencode(f".{name[-3:]}", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OSError(f"OpenCV can't encode picture {name} of shape {picture.shape}")
    return name, data.tobytes()


def write_tables(folder: Path, rows: list[Row]) -> None:
    """Writes what the text files of the competition's format say of the pictures."""
    tables = {
        "gt.txt": [f"{row.name}\t{' '.join(row.tokens)}" for row in rows],
        "source.txt": [f"{row.name}\t0" for row in rows],  # 0: printed
        "level.txt": [f"{row.name}\t{row.level}" for row in rows if row.level],
        "tokens.txt": sorted({token for row in rows for token in row.tokens}),
    }
    for name, lines in tables.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
