"""Quick variation of pictures at training time; see `degrade` for making photographs of drawings.

Light writing on a dark ground isn't among it: preprocessing turns that round, so the network would see the same ink.
Chance comes from the given generator alone, so a sample's own generator makes it independent of worker counts.
"""

from __future__ import annotations

import cv2
import numpy as np

import inference

DUSTY_SHARE = 0.04
BINARIZED_SHARE = 0.07
FADED_SHARE = 0.06
SALTED_SHARE = 0.03


def augment(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A quick variation of a picture for training: about a millisecond for a small one.

    Dust; ink that fades here and there; a little turn, scale, shear and stretch; thinner or thicker strokes; blur,
    noise, brightness, a slope of light, JPEG; stray pixels; one bit a pixel. Each happens to a part of the pictures
    only, so that plain ones stay common.

    Args:
        rgb: (H, W, 3) uint8, dark ink on a light ground.
        rng: the only source of chance.

    Returns:
        (H', W', 3) uint8.
    """
    rgb = inference.with_paper(rgb)  # while it can be told that it is drawn
    if rng.random() < DUSTY_SHARE:
        rgb = with_dust(rgb, rng)
    if rng.random() < FADED_SHARE:
        rgb = faded(rgb, rng)
    if rng.random() < 0.7:
        rgb = _affine(rgb, rng)
    if rng.random() < 0.3:
        rgb = _restroked(rgb, rng)
    if rng.random() < 0.25:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 1.0))
    if rng.random() < 0.5:
        left, right = rng.uniform(0.75, 1.1, 2)
        slope = np.linspace(left, right, rgb.shape[1], dtype=np.float32)[None, :, None]
        rgb = _to_bytes(rgb * slope + np.float32(rng.uniform(-12, 12)))
    if rng.random() < 0.25:
        noise = rng.standard_normal(rgb.shape[:2], dtype=np.float32)[:, :, None]
        rgb = _to_bytes(rgb + np.float32(rng.uniform(1, 10)) * noise)
    if rng.random() < 0.2:
        rgb = jpeg_compressed(rgb, int(rng.integers(35, 90)))
    if rng.random() < SALTED_SHARE:
        rgb = salted(rgb, rng)
    if rng.random() < BINARIZED_SHARE:
        rgb = _binarized(rgb, float(rng.uniform(0.35, 0.65)))
    return np.ascontiguousarray(rgb)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def with_dust(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Specks all over the sheet, up to half as wide as the dot of a sentence, of one darkness or of many."""
    height, width = rgb.shape[:2]
    size, darkest = symbol_height(rgb), rng.uniform(0.4, 1.0)
    widest = size * rng.uniform(0.03, 0.065)
    is_even = rng.random() < 0.5
    dust = np.zeros((height, width), np.uint8)
    most = int(np.clip(0.7 * height * width / size**2, 1, 60))
    for _ in range(int(rng.integers(1, most + 1))):
        x, y = (round(place * 16) for place in (rng.uniform(0, width), rng.uniform(0, height)))  # 4 fractional bits
        darkness = darkest if is_even else darkest * rng.uniform(0.3, 1.0)
        radius = widest * rng.uniform(0.2, 1.0)
        cv2.circle(dust, (x, y), round(radius * 16), round(255 * darkness), -1, cv2.LINE_AA, 4)
    return np.minimum(rgb, 255 - dust[:, :, None])


def faded(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink that is paler in places: a light hand, a marker that runs dry, glare. Never paler than a quarter."""
    height, width = rgb.shape[:2]
    cells = rng.uniform(0, 1, (int(rng.integers(2, 4)), int(rng.integers(3, 8)))).astype(np.float32)
    palest = rng.uniform(0.25, 0.7)
    share = palest + (1 - palest) * cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    ground = np.median(rgb, axis=(0, 1))
    return _to_bytes(ground + (rgb - ground) * share)


def salted(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to one pixel in a hundred turned black or white, fewer in small type, whose dots are no larger: a bad scan."""
    place = rng.random(rgb.shape[:2])
    share = rng.uniform(0.001, 0.01) * min(1.0, symbol_height(rgb) / 20)
    changed = rgb.copy()
    changed[place < share / 2] = 0
    changed[place > 1 - share / 2] = 255
    return changed


def _affine(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turned, scaled, sheared, stretched; the ground at the border is continued by its median colour."""
    height, width = rgb.shape[:2]
    turn = np.deg2rad(np.clip(rng.normal(0, 2.0), -6, 6))
    scale, stretch = rng.uniform(0.8, 1.2), rng.uniform(0.92, 1.08)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[scale * stretch, scale * rng.normal(0, 0.08)], [0, scale / stretch]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    target = np.maximum(1, np.ceil(high - low)).astype(int)
    moved = np.concatenate([matrix, -low[:, None]], axis=1)
    edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    ground = np.median(edge, axis=0)
    return cv2.warpAffine(
        rgb, moved, (int(target[0]), int(target[1])), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(float(value) for value in ground),
    )  # fmt: skip


def _restroked(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes up to a pixel thicker or thinner: a blend with the eroded or dilated picture."""
    kernel = np.ones((2, 2), np.uint8)
    changed = cv2.erode(rgb, kernel) if rng.random() < 0.6 else cv2.dilate(rgb, kernel)
    return cv2.addWeighted(rgb, share := float(rng.uniform(0.3, 0.8)), changed, 1 - share, 0)


def _binarized(rgb: np.ndarray, threshold: float) -> np.ndarray:
    """Black and white alone, as fax, old scanners and scanning apps leave it; told apart by ink, not by light."""
    ink = inference.extract_ink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    return np.repeat(np.where(ink > threshold, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def jpeg_compressed(rgb: np.ndarray, quality: int) -> np.ndarray:
    """The picture after a round through JPEG. `quality` 1 to 100."""
    done, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV can't write a picture of shape {rgb.shape} as JPEG")
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None  # it was encoded a line above
    return picture


def symbol_height(rgb: np.ndarray) -> float:
    """Median height in pixels of the connected pieces of ink (a third of the picture's height if there are none)."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    _, ink = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_16U)
    heights = boxes[1:, cv2.CC_STAT_HEIGHT]
    heights = heights[heights >= 4]
    return float(np.median(heights)) if len(heights) else rgb.shape[0] / 3
