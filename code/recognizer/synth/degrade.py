"""From a clean picture to a phone's or a scanner's: paper, rulings, highlighter, shadows, tilt, blur, JPEG.

Works on any picture of dark ink on a light ground, drawn or real. Chance comes from the given generator alone: the same
state gives the same bytes, in whichever process.
"""

from __future__ import annotations

import os
import random
import sys
from functools import cache
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from recognizer.synth.augment import jpeg_compressed, symbol_height


def _albumentations() -> ModuleType:
    """Albumentations without what it does unasked at import.

    It looks for a newer version of itself on the network, and it loads torch where there is torch, for transforms that
    nobody here uses: 3 s and 300 MB in each process. `None` in `sys.modules` is Python's way to say "not there".
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    without_torch = "torch" not in sys.modules
    if without_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import albumentations
    finally:
        if without_torch:
            del sys.modules["torch"]
    return albumentations


CLEAN_SHARE = 0.33
LIGHT_ON_DARK_SHARE = 0.04

INK = 160  # of 255: what is darker
FEWEST_PIECES, LONGEST_PIECE = 4, 1.5  # of a neighbouring line; in heights of a symbol

HIGHLIGHTERS = ((255, 245, 90), (255, 240, 60), (150, 245, 130), (255, 160, 200), (140, 220, 255), (255, 200, 110))
RULING_COLOURS = ((150, 180, 225), (170, 200, 235), (190, 190, 190), (225, 165, 170), (150, 205, 190))


def degrade(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph or scan of `rgb`; a third stays clean or nearly so.

    Args:
        rgb: (H, W, 3) uint8, dark ink on a light ground.
        rng: the only source of chance.

    Returns:
        (H', W', 3) uint8: tilt and neighbouring lines change the size a little.
    """
    if rng.random() < CLEAN_SHARE:
        picture = jpeg_compressed(rgb, int(rng.integers(60, 98))) if rng.random() < 0.4 else rgb
    else:
        picture = _photograph(rgb, rng)
    if rng.random() < LIGHT_ON_DARK_SHARE:
        picture = 255 - picture
    return np.ascontiguousarray(picture)


def _photograph(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = symbol_height(rgb)
    if rng.random() < 0.25:
        rgb = _with_neighbours(rgb, size, rng)
    angle = float(np.clip(rng.normal(0, 3.0), -10, 10)) if rng.random() < 0.6 else 0.0
    if angle or rng.random() < 0.5:
        rgb = _viewed(rgb, angle, rng)
    # Reflectances and light multiply: paper x rulings x highlighter x ink x shadow.
    scene = rgb.astype(np.float32) / 255
    scene *= _paper(scene.shape[0], scene.shape[1], rng)
    if rng.random() < 0.28:
        _rule(scene, size, angle, rng)
    if rng.random() < 0.2:
        _highlight(scene, size, rng)
    if rng.random() < 0.6:
        scene *= _light(scene.shape[0], scene.shape[1], rng)[:, :, None]
    photo = np.rint(np.clip(scene, 0, 1) * 255).astype(np.uint8)
    photo = _blurred(photo, size, rng)
    camera = _camera()
    camera.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    return camera(image=photo)["image"]


def _with_neighbours(rgb: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Adds the cut-off feet of a line above, the cut-off heads of one below, or both; not where they'd be bars."""
    height, width = rgb.shape[:2]
    gap = max(2, round(size * rng.uniform(0.5, 1.2)))
    strip = max(2, min(round(size * rng.uniform(0.25, 0.6)), height // 3))
    # The line's own middle, shifted sideways and mirrored half of the time, stands in for another formula.
    centre = height // 2
    middle = rgb[centre - strip // 2 : centre - strip // 2 + strip]
    if not _is_of_letters(middle, size):
        return rgb
    slices = []
    for _ in range(2):
        shifted = np.roll(middle, int(rng.integers(width)), axis=1)
        slices.append(shifted[:, ::-1] if rng.random() < 0.5 else shifted)
    white = np.full((gap, width, 3), 255, np.uint8)
    share = rng.random()
    above = [slices[0], white] if share < 0.66 else []
    below = [white, slices[1]] if share > 0.33 else []
    return np.concatenate([*above, rgb, *below])


def _is_of_letters(strip: np.ndarray, size: float) -> bool:
    """(H, W, 3): several pieces, none long. A bar, or the only sign's middle, would belong to the formula: `=` or `-`
    with another bar is `\\equiv` or `=`, a fraction below one is overlined."""
    ink = strip.min(axis=(0, 2)) < INK  # (W,)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ink, [False]])))
    lengths = edges[1::2] - edges[::2]
    return len(lengths) >= FEWEST_PIECES and bool(lengths.max() <= LONGEST_PIECE * size)


def _viewed(rgb: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """Turned by `angle` degrees and seen slightly from the side; grows so that no ink is lost."""
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    depth = rng.uniform(-0.06, 0.06, (4, 2)) * [height, height] + rng.uniform(-0.02, 0.02, (4, 2)) * [width, height]
    moved = corners @ rotation.T + depth.astype(np.float32)
    moved -= moved.min(axis=0)
    target = np.ceil(moved.max(axis=0)).astype(int)
    view = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(
        rgb, view, (int(target[0]), int(target[1])), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255),
    )  # fmt: skip


def _field(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (height, width) float32 of standard normal values on a grid `cells` wide."""
    rows = max(2, min(cells, round(cells * height / width) + 1))
    coarse = rng.standard_normal((rows, cells), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _paper(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Reflectance of a sheet: its tint, blotches and grain. (height, width, 3) float32."""
    tint = np.array((1.0, rng.uniform(0.95, 1.0), rng.uniform(0.84, 1.0)), np.float32)
    tint *= np.float32(rng.uniform(0.78, 1.0))
    texture = 1 + rng.uniform(0, 0.03) * _field(height, width, int(rng.integers(3, 12)), rng)
    if rng.random() < 0.5:
        grain = _field(height, width, max(4, width // int(rng.integers(2, 5))), rng)
        texture += np.float32(rng.uniform(0.005, 0.025)) * grain
    return texture[:, :, None] * tint


def _rule(scene: np.ndarray, size: float, angle: float, rng: np.random.Generator) -> None:
    """Draws ruled or squared lines over the picture, nearly along the text, through the ink too."""
    height, width = scene.shape[:2]
    squared = rng.random() < 0.4
    spacing = max(6.0, size * (rng.uniform(0.9, 2.0) if squared else rng.uniform(1.6, 3.5)))
    colour = np.array(RULING_COLOURS[int(rng.integers(len(RULING_COLOURS)))], np.float32) / 255
    thickness = max(1, round(size * rng.uniform(0.02, 0.09)))
    lines = np.zeros((height, width), np.uint8)
    slope = np.tan(np.deg2rad(angle + rng.normal(0, 0.6)))
    reach = abs(slope) * max(height, width)
    for start in np.arange(rng.uniform(0, spacing) - reach, height + reach, spacing):
        _line(lines, (0, start), (width, start + slope * width), thickness)
    if squared:
        for start in np.arange(rng.uniform(0, spacing) - reach, width + reach, spacing):
            _line(lines, (start, 0), (start - slope * height, height), thickness)
    cover = (lines.astype(np.float32) / 255 * np.float32(rng.uniform(0.5, 1.0)))[:, :, None]
    scene *= 1 - cover * (1 - colour)


def _line(canvas: np.ndarray, start: tuple[float, float], end: tuple[float, float], thickness: int) -> None:
    fixed = [(round(x * 16), round(y * 16)) for x, y in (start, end)]  # 4 fractional bits
    cv2.line(canvas, fixed[0], fixed[1], 255, thickness, cv2.LINE_AA, 4)


def _highlight(scene: np.ndarray, size: float, rng: np.random.Generator) -> None:
    """Draws a marker's band over the picture or most of it."""
    height, width = scene.shape[:2]
    colour = np.array(HIGHLIGHTERS[int(rng.integers(len(HIGHLIGHTERS)))], np.float32) / 255
    band = np.zeros((height, width), np.float32)
    left, right = (-0.1, 1.1) if rng.random() < 0.5 else (rng.uniform(-0.1, 0.4), rng.uniform(0.6, 1.1))
    middle, half = rng.uniform(0.4, 0.6) * height, rng.uniform(0.3, 0.7) * height
    tilt = rng.normal(0, 0.02) * width
    points = np.array([
        (left * width, middle - half), (right * width, middle - half + tilt),
        (right * width, middle + half + tilt), (left * width, middle + half),
    ])  # fmt: skip
    cv2.fillPoly(band, [np.rint(points).astype(np.int32)], 1.0)
    cover = cv2.GaussianBlur(band, (0, 0), max(0.5, size * 0.05)) * np.float32(rng.uniform(0.55, 1.0))
    scene *= 1 - cover[:, :, None] * (1 - colour)


def _light(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Light falling on the sheet: a slope, and perhaps the edge of a shadow. (height, width) float32."""
    direction = rng.uniform(0, 2 * np.pi)
    across = np.cos(direction) * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.sin(direction) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    place = (across + down).astype(np.float32)
    light = 1 - np.float32(rng.uniform(0.0, 0.18)) * (1 + place) / 2
    if rng.random() < 0.5:
        softness = rng.uniform(0.01, 0.25)
        edge = np.clip((place - rng.uniform(-0.8, 0.8)) / softness, -1, 1)
        light *= 1 - np.float32(rng.uniform(0.12, 0.45)) * (edge + 1) / 2
    return light * np.float32(rng.uniform(0.75, 1.08))


def _blurred(photo: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, shaken, or seen from too far away; in proportion to the symbols, so that they stay legible."""
    kind = rng.random()
    if kind < 0.3:
        return cv2.GaussianBlur(photo, (0, 0), max(0.3, size * rng.uniform(0.01, 0.07)))
    if kind < 0.42:
        length = int(np.clip(size * rng.uniform(0.05, 0.2), 2, 15))
        kernel = np.zeros((length, length), np.float32)
        shake = rng.uniform(0, np.pi)
        reach = (length - 1) / 2 * np.array((np.cos(shake), np.sin(shake)))
        centre = (length - 1) / 2
        _line(kernel, (centre - reach[0], centre - reach[1]), (centre + reach[0], centre + reach[1]), 1)
        return cv2.filter2D(photo, -1, kernel / max(kernel.sum(), 1e-6))
    if kind < 0.52 and size > 14 and min(photo.shape[:2]) > 1:  # a row of one pixel would get none
        height, width = photo.shape[:2]
        factor = max(rng.uniform(0.35, 0.8), 9 / size)
        small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return photo


@cache
def _camera() -> Any:
    """Sensor and file: tones, noise, JPEG. Its chance is set anew for each picture."""
    A = _albumentations()  # noqa: N806
    return A.Compose([
        A.RandomBrightnessContrast(brightness_limit=(-0.12, 0.12), contrast_limit=(-0.25, 0.15), p=0.5),
        A.RandomToneCurve(scale=0.12, p=0.2),
        A.OneOf([
            A.GaussNoise(std_range=(0.01, 0.05), per_channel=True),
            A.GaussNoise(std_range=(0.01, 0.06), per_channel=False),
            A.ISONoise(color_shift=(0.01, 0.04), intensity=(0.1, 0.35)),
        ], p=0.45),
        A.ImageCompression(compression_type="jpeg", quality_range=(30, 92), p=0.5),
    ], seed=0)  # fmt: skip
