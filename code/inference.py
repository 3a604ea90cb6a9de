"""Picture of a formula -> LaTeX, in one file that travels with the model.

SELF-CONTAINED: numpy, onnxruntime, Pillow and OpenCV, nothing of this project. The training side imports its
preprocessing and its token joining from here, so what is trained on and what is served are the same code.

The file sits in the model directory as `code/inference.py` and is used in three ways:
  * by this project's serving image and by AWS's PyTorch inference images, through the SageMaker handler
    functions `model_fn`, `input_fn`, `predict_fn` and `output_fn`;
  * as a library: `Recognizer.load(model_dir).predict([rgb_array])`;
  * from a shell: `python inference.py MODEL_DIR formula.png ...`.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import io
import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from difflib import SequenceMatcher
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import collapse_rfc2231_value
from functools import cache
from itertools import groupby, permutations
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import: nothing is reported to anybody
import onnxruntime as ort

cv2.setNumThreads(1)  # pictures are small; and a lock that another thread holds at a fork stays held in the child

FORMAT_VERSION = 1
NETWORKS = {  # by precision: encoder and decoder
    "fp32": ("encoder.onnx", "decoder.onnx"),
    "int8": ("encoder.int8.onnx", "decoder.int8.onnx"),
}
PICTURE_TYPES = {  # by Pillow's name: what is read. Of what else it knows, EPS would run Ghostscript for a stranger
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}
Image.init()
PICTURE_FORMATS = [name for name in PICTURE_TYPES if name in Image.OPEN]  # an older Pillow has no AVIF
MAX_SOURCE_PIXELS = 50_000_000  # a larger picture is refused before it is decoded
MAX_JPEG_PIXELS = 120_000_000  # of which no more detail is decoded than is used, unless it is progressive
JPEG_FORMATS = ("JPEG", "MPO")  # MPO: a phone's JPEG with a second picture behind the first
REDUCIBLE = ("L", "LA", "RGB", "RGBA", "I", "F")  # modes that Pillow can reduce; of I;16, P and others it can't
WHITES = (1.0, 255.0, 4095.0, 65535.0)  # of pictures of more than 8 bits: the lowest that isn't exceeded
MAX_REQUEST_PIXELS = 128_000_000  # of one request's pictures as they are read: they stand in memory together
MAX_REQUEST_PICTURES = 10_000  # of a list or a form: each takes memory, be it no picture
WORKING_SIDE = 1600  # larger pictures are reduced to this many pixels a side when they are read
DRAWN = 0.5  # share of pixels exactly alike, of which no photograph has so many
SPECK = 0.02  # of the typical component's area: what has less isn't ink
MANY = 8  # glyphs, of 5 pixels or more, beside which components that are thrice as large are not typical
FAINTEST_ON_WHITE = 240  # gray above which nothing is seen on white: light ink on a transparent ground
FAINTEST_RULE = 0.08  # how much darker than the paper; the pixels of paler lines are taken for paper anyway
BORDER = 4  # pixels of the picture's edge, which a rule reaches: drawn ones end a little before, see `with_paper`
RUN = 24  # pixels of a rule in one row: longer than most strokes, short enough for one that is askew
RUN_GAP = np.ones((3, 7), np.uint8)  # between two runs of one rule
LEAST_DOTS, MOST_DOTS = 12, 10_000  # of dotted paper: a formula has fewer that are alike in a lattice, grain has more
LARGE = 600  # pixels of the longer side, from which on a picture is looked at smaller first
ENOUGH, PLENTY = 34, 48  # pixels of a glyph: twice what the networks get, for thick strokes, and nearly three times
THICK = 0.15  # of the ink, that lies within strokes of three pixels or more
FINEST_GLYPH = 4  # pixels, below which nothing is legible
LARGE_GLYPH = 24  # pixels, of which crumbs are told from small print by less
THINNEST = 0.75  # pixels, of a stroke in the network's input
FAINTEST_TERM = 0.12  # of the darkest ink's strength, that a term of the line has
FAINTEST_INK = 0.05  # less everywhere is the grain of blank paper; writing of 15 gray levels, with noise, reaches 0.1
WANTED_EVERY = 8  # tokens, after which it is asked whether a picture is still waited for
LONGEST_CYCLE, LOOP_REPEATS, LOOP_TOKENS = 8, 6, 32  # in 70,000 real formulas: at most 8 repeats, 32 tokens in all
URL_ALPHABET = str.maketrans("-_", "+/")  # of base64
QUALITY = r"[01](\.\d{0,3})?"  # of a media type in `Accept`
JSON_LINES = (
    *("application/jsonlines", "application/x-jsonlines", "application/jsonl"),
    *("application/x-ndjson", "application/ndjson"),
)
BYTES = ("application/x-image", "application/octet-stream", "binary/octet-stream")  # a picture; the last is S3's
RECORD_TYPES = (*JSON_LINES, "text/csv")  # each line is a record: `input_fn` may be given a few lines at a time
RESAMPLE = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


class RequestError(Exception):
    """A request that can't be answered: an HTTP status, a stable code, and words for the person who sent it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def to_dict(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


class ModelError(Exception):
    """A model directory that can't be used: what is wrong with it, and what would be right."""


# ---------------------------------------------------------------------------------------------- picture files


def open_picture(file: Path | IO[bytes]) -> Image.Image:
    """A picture of PICTURE_TYPES, of which no more than the head is read. Raises whatever a damaged file leads to."""
    return Image.open(file, formats=PICTURE_FORMATS)


def read_image(data: bytes) -> np.ndarray:
    """A picture file of PICTURE_TYPES -> (H, W, 3) uint8 RGB of at most WORKING_SIDE pixels a side.

    It is turned upright by EXIF, alpha is laid on white (on black, where white would hide it), 16 bits are scaled to 8.

    Raises:
        RequestError: 400 `undecodable_image`, or 413 `too_many_pixels`.
    """
    try:
        picture = open_picture(io.BytesIO(data))
        in_rows = picture.format in JPEG_FORMATS and not picture.info.get("progressive")
        limit = MAX_JPEG_PIXELS if in_rows else MAX_SOURCE_PIXELS
        if picture.width * picture.height > limit:
            raise _too_many_pixels(f"the picture has {picture.width} x {picture.height} pixels; at most {limit} in all")
        picture.draft("RGB", (2 * WORKING_SIDE, 2 * WORKING_SIDE))
        ImageOps.exif_transpose(picture, in_place=True)
        return _reduced(_to_rgb(_halved(picture)))
    except RequestError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(f"the picture has too many pixels; at most {MAX_SOURCE_PIXELS} in all") from error
    except UnidentifiedImageError as error:
        kinds, other = ", ".join(PICTURE_FORMATS), _other_kind(data)
        hint = f"; they are {other}: convert it first" if other else ""
        raise RequestError(
            400, "undecodable_image", f"the bytes are no picture of these kinds: {kinds}{hint}"
        ) from error
    except Exception as error:  # Pillow's plugins raise whatever a damaged file leads them to
        raise RequestError(400, "undecodable_image", f"the picture can't be decoded: {error}") from error


def _other_kind(data: bytes) -> str | None:
    """What people take for a picture and send as one, by its first bytes."""
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "HEIC"
    if b"<svg" in data[:1000]:
        return "SVG"
    return "PDF" if data.startswith(b"%PDF") else None


def _too_many_pixels(message: str) -> RequestError:
    return RequestError(413, "too_many_pixels", message)


def _too_many_pictures() -> RequestError:
    limit = f"the request has more than {MAX_REQUEST_PICTURES} pictures or fields"
    return RequestError(413, "too_many_pictures", f"{limit}: send the others in another request, or as JSON Lines")


def _halved(picture: Image.Image) -> Image.Image:
    """A large picture with a whole fraction of its pixels, more than are used, so that what follows copies little."""
    factor = max(picture.size) // (2 * WORKING_SIDE)
    if factor < 2:
        return picture
    if picture.mode not in REDUCIBLE or "transparency" in picture.info:
        picture = picture.convert("RGBA" if _has_alpha(picture) else "I" if picture.mode.startswith("I") else "RGB")
    return picture.reduce(factor)


def _has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info


def _reduced(rgb: np.ndarray) -> np.ndarray:
    factor = WORKING_SIDE / max(rgb.shape)
    return resize(rgb, factor, cv2.INTER_AREA) if factor < 1 else rgb


def _to_rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith(("I", "F")):  # 16 and 32 bits: scaled by the range that is used, not cut off
        values = np.asarray(picture, dtype=np.float32)
        values = np.where(np.isfinite(values), values, 0)
        highest = values.max()
        white = next((each for each in WHITES if highest <= each), highest)
        gray = np.rint(np.clip(values * (255.0 / white), 0, 255)).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if _has_alpha(picture):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "black" if _is_light_ink(picture) else "white")
        picture = Image.alpha_composite(ground, picture)
    return np.asarray(picture.convert("RGB"))


def _is_light_ink(picture: Image.Image) -> bool:
    """Whether white paper would hide what is drawn on a transparent ground, some terms in colour and fringes aside."""
    opacity = np.asarray(picture.getchannel("A"), np.float32) / 255
    brightness = np.asarray(picture.convert("RGB").convert("L"))
    light, dark = (float(opacity[part].sum()) for part in (brightness >= FAINTEST_ON_WHITE, brightness < 16))
    seen_on_white = opacity * (255 - brightness) > 255 - FAINTEST_ON_WHITE
    if not seen_on_white.any():
        return True
    hidden = brightness[opacity == 0]
    if hidden.size and hidden.min() == 255 and not ((opacity > 0) & (opacity < 1)).any():
        return False  # the paper's white was made transparent, and not what is nearly white
    return bool(opacity.mean() < 0.5 and light > max(4 * dark, 0.2 * opacity.sum()))


# --------------------------------------------------------------------------------------------- preprocessing


@dataclass(frozen=True)
class PreprocessSpec:
    r"""How a picture becomes the network's input: one spec for training, validation, export and serving.

    A picture is reduced to its ink (0 paper, 1 ink; shadows, paper colour and highlighter divided out, light on dark
    turned), cropped to the ink, and scaled so that its typical glyph is `glyph_height * scale` pixels high. Characters
    so arrive at one size whatever the resolution of the scan, and the aspect ratio is kept.
    """

    glyph_height: float = 16.0  # pixels: height of the typical glyph
    scale: float = 1.0  # 0.5 halves every picture on every path
    frames: bool = False  # whether a drawn formula's frame is kept: it may be `\boxed`
    max_height: int = 320
    max_width: int = 1280
    max_pixels: int = 160_000
    margin: float = 0.3  # paper kept around the ink, in glyph heights
    resample: str = "area"
    mean: float = 0.0  # paper stays 0, as is what convolutions see beyond a border
    std: float = 0.25
    height_step: int = 16  # canvases are multiples of these, so that few shapes occur
    width_step: int = 32

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessSpec:
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ModelError(f"model.json: preprocess has unknown keys {sorted(unknown)}")
        spec = cls(**values)
        if spec.resample not in RESAMPLE:
            raise ModelError(f"model.json: preprocess.resample is {spec.resample!r}, not one of {sorted(RESAMPLE)}")
        return spec

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preprocess(rgb: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (h, w) float32 ink, normalised by mean and std, of any size within the spec's limits."""
    return scale_ink(find_ink(rgb, spec.frames), spec)


class Ink(NamedTuple):
    """What a picture shows, at its own size or a fraction of it that is plenty."""

    values: np.ndarray  # (H, W) float32 in 0..1
    box: tuple[int, int, int, int]  # top, bottom, left, right of the formula
    glyph: float  # height of the typical glyph in pixels


def find_ink(rgb: np.ndarray, frames: bool = False) -> Ink:
    """(H, W, 3) uint8 RGB -> its ink, and where the formula is; `frames` as in the spec.

    Raises:
        ValueError: it is no such array. With an alpha channel, for one, it would be read without its transparency.
    """
    if not (isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size):
        kind = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"a picture must be an array (H, W, 3) of uint8, as read_image(bytes) gives, not {kind}")
    if max(rgb.shape) < LARGE or min(rgb.shape[:2]) < 2 * ENOUGH:
        return _seek_ink(rgb, frames)
    found = _seek_ink(resize(rgb, 1 / 4, cv2.INTER_AREA), frames)
    if found.glyph >= ENOUGH / 2 and not _shows_all(found):
        found = _seek_ink(resize(rgb, 1 / 2, cv2.INTER_AREA), frames)
    return found if _shows_all(found) else _seek_ink(rgb, frames)


def _shows_all(found: Ink) -> bool:
    """Whether a larger picture would show the networks no more of the ink. Of thick strokes fewer pixels will do."""
    if not ENOUGH <= found.glyph < PLENTY:
        return found.glyph >= PLENTY
    is_ink = (found.values > 0.5).view(np.uint8)
    within = cv2.erode(is_ink, np.ones((3, 3), np.uint8))
    return cv2.countNonZero(within) > THICK * cv2.countNonZero(is_ink)


def _seek_ink(rgb: np.ndarray, frames: bool) -> Ink:
    """`find_ink` at the size that the picture has."""
    found = _find_ink(rgb, frames)
    if found.glyph < FINEST_GLYPH and len(ink_boxes(found.values)) >= 100:  # a dither's dots, perhaps, or grain
        smoothed = _find_ink(cv2.GaussianBlur(rgb, (0, 0), 1.2), frames)
        found = smoothed if smoothed.glyph > 2 * found.glyph else found
    return _without_crumbs(found, rgb, frames)


def _without_crumbs(found: Ink, rgb: np.ndarray, frames: bool) -> Ink:
    """The ink: where pencil and chalk leave it in crumbs, of the picture out of focus, until they hang together."""
    blur = 0.0
    for _ in range(4):
        if not _is_in_crumbs(found):
            break
        blur = max(1.5 * blur, float(np.clip(found.glyph / 18, 1.2, 6)))
        smoothed = _find_ink(cv2.GaussianBlur(rgb, (0, 0), blur), frames)
        if smoothed.glyph < (1 if found.glyph >= LARGE_GLYPH else 1.5) * found.glyph:
            break
        found = smoothed
    return found


def _is_in_crumbs(found: Ink) -> bool:
    """Whether most pieces of ink come together when each grows by a little of a glyph."""
    if found.glyph < 8:
        return False
    is_ink = (found.values > 0.5).astype(np.uint8)
    count = cv2.connectedComponents(is_ink)[0] - 1
    many, share = (12, 0.4) if found.glyph >= LARGE_GLYPH else (40, 0.25)
    if count < many:
        return False
    size = max(3, round(found.glyph / 16) | 1)
    grown = cv2.dilate(is_ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return bool(cv2.connectedComponents(grown)[0] - 1 <= share * count)


def _find_ink(rgb: np.ndarray, frames: bool) -> Ink:
    rgb = without_strips(without_cut_lines(rgb))
    framed = with_paper(rgb)
    ink = extract_ink(without_table(_without_ringing(cv2.cvtColor(framed, cv2.COLOR_RGB2GRAY))))
    values = without_dots(without_surround(ink, keeps_close=frames and framed is not rgb))
    return Ink(values, *measure_ink(values))


def scale_ink(found: Ink, spec: PreprocessSpec) -> np.ndarray:
    """The formula's ink as `preprocess` gives it."""
    ink, (top, bottom, left, right), glyph = found
    factor = float(np.clip(spec.glyph_height * spec.scale / glyph, 0.02, 6.0))
    border = math.ceil(spec.margin * spec.glyph_height * spec.scale / factor)
    beyond = [
        (max(0, border - start), max(0, end + border - size))  # the paper that a close crop lacks
        for start, end, size in ((top, bottom, ink.shape[0]), (left, right, ink.shape[1]))
    ]
    cropped = ink[max(0, top - border) : bottom + border, max(0, left - border) : right + border]
    cropped = np.pad(cropped, beyond)
    height, width = cropped.shape
    factor = min(
        factor, spec.max_height / height, spec.max_width / width, math.sqrt(spec.max_pixels / (height * width))
    )
    resized = resize(_thickened(cropped, factor), factor, RESAMPLE[spec.resample])
    return ((resized - spec.mean) / spec.std).astype(np.float32)


def _thickened(ink: np.ndarray, factor: float) -> np.ndarray:
    """(H, W) ink to be scaled by `factor`: with thicker strokes if they would come out under a pixel, and pale."""
    if factor >= 0.5:
        return ink
    is_ink = (ink > 0.5).astype(np.uint8)
    area = int(is_ink.sum())
    edges = int(cv2.dilate(is_ink, np.ones((3, 3), np.uint8)).sum()) - area  # of a line a pixel on either side
    width = 2 * area / max(1, edges)
    if not area or width * factor >= THINNEST:
        return ink
    size = 1 + round(0.95 / factor - width)
    return cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def without_cut_lines(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a drawn picture without what is left of the lines above and below it, where these were cut off.

    In a photograph what touches the border is left out later (`measure_ink`); in a drawn picture it may be the formula.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    paper = _drawn_on(gray)
    if paper is None or (np.abs(gray[[0, -1]].astype(np.int16) - paper) <= 40).all():
        return rgb
    is_ink = np.abs(gray.astype(np.int16) - paper) > 40
    return _without_cut_line(_without_cut_line(rgb, is_ink)[::-1], is_ink[::-1])[::-1]


def _without_cut_line(rgb: np.ndarray, is_ink: np.ndarray) -> np.ndarray:
    """(H, W, 3) without the feet of a line above: several pieces of ink, which nearly all touch the upper border."""
    is_blank = ~is_ink.any(axis=1)
    end = int(is_blank.argmax())
    if end == 0 or end > 0.35 * len(is_ink) or is_ink[end:].sum() < is_ink[:end].sum():
        return rgb
    _, _, boxes, _ = cv2.connectedComponentsWithStats(is_ink[:end].astype(np.uint8), connectivity=8)
    touches = boxes[1:, cv2.CC_STAT_TOP] == 0
    if touches.sum() < 5 or touches.mean() < 0.7:
        return rgb
    whole = rgb.copy()
    whole[:end] = rgb[end, int((~is_ink[end]).argmax())]
    return whole


def without_strips(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: without a dark strip along one side, or a light one in a dark picture: a scroll bar, a desk."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    step = 1 + min(gray.shape) // 64
    light, dark = np.percentile(gray[::step, ::step], (60, 40))
    for values, paper in ((gray, float(light)), (255 - gray, 255 - float(dark))):
        darkest = min(0.6 * paper, paper - 60)
        for turns in range(4):
            side = np.rot90(values, turns)
            end = _strip_end(side < darkest) if (side[0] < darkest).mean() > 0.9 else 0
            if end:
                turned = np.rot90(rgb, turns).copy()
                turned[:end] = np.median(turned[end : end + 2].reshape(-1, 3), axis=0)
                return np.ascontiguousarray(np.rot90(turned, -turns))
    return rgb


def _strip_end(is_dark: np.ndarray) -> int:
    """How many rows from the top are a dark strip and its blurred edge, if it is the only one and has paper below."""
    rows = is_dark.mean(axis=1)
    thick = int((rows < 0.9).argmax())
    if thick < max(3, 0.15 * min(is_dark.shape)) or thick > 0.6 * len(rows):
        return 0
    edge = int((rows[thick : thick + 8] < 0.1).argmax())
    rest = is_dark[thick + edge :]
    borders = (rest[0], rest[-1], rest[:, 0], rest[:, -1])
    is_paper = rows[thick + edge] < 0.1 and max(float(border.mean()) for border in borders) < 0.02
    return thick + edge + 2 if is_paper and 0.002 < rest.mean() < 0.3 else 0


def with_paper(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a drawn picture, as its pixels of paper are all alike, gets a little paper all around.

    Drawn formulas are often cropped to their ink. Without this their outermost glyphs would look like what touches
    the border of a photograph: lines beside the formula that were cut off.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    commonest = _drawn_on(gray)
    if commonest is None:
        return rgb
    edge = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    has_margin = bool((edge == edge[0]).all())
    is_sign = has_margin and _is_compact_sign(gray, commonest)
    paper = rgb[0, 0] if has_margin else rgb[np.unravel_index(int((gray == commonest).argmax()), gray.shape)]
    width = max(2, min(gray.shape)) if is_sign else 2  # around a sign so much that most of the picture is paper
    return cv2.copyMakeBorder(rgb, width, width, width, width, cv2.BORDER_CONSTANT, value=tuple(map(float, paper)))


def _without_ringing(gray: np.ndarray) -> np.ndarray:
    """(H, W) uint8: a drawn picture that was compressed much as JPEG, a little softer.

    Around its strokes the paper has waves, which a clean picture has not, nor one of JPEG's higher qualities.
    """
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()
    paper = int(counts.argmax())
    off = np.abs(np.arange(256) - paper)
    waves, strokes = counts[(off >= 8) & (off <= 24)].sum(), counts[off > 60].sum()
    is_drawn = counts[paper] > 0.2 * gray.size
    return cv2.GaussianBlur(gray, (0, 0), 0.5) if is_drawn and 0 < 0.6 * strokes < waves else gray


def _drawn_on(gray: np.ndarray) -> int | None:
    """The commonest gray of (H, W) uint8, if so much has it that the picture is drawn: most often the paper's."""
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256])
    return int(counts.argmax()) if counts.max() >= DRAWN * gray.size else None


def _is_compact_sign(gray: np.ndarray, commonest: int) -> bool:
    r"""Whether the commonest gray is the ink of a sign like `\bullet`: all that is light is one margin around it.

    A dark ground in a light frame has light writing within.
    """
    if commonest >= int(gray[0, 0]):
        return False
    is_light = gray > (commonest + int(gray[0, 0])) / 2
    return cv2.connectedComponents(is_light.astype(np.uint8))[0] == 2


def without_table(gray: np.ndarray) -> np.ndarray:
    """(H, W) uint8: what lies around a light sheet of paper, or a dark box on a page, takes its brightness.

    A small sheet on a large dark table would pass for light writing on a dark ground, and a box for a blot.
    """
    small = resize(gray, min(1.0, 256 / max(gray.shape)), cv2.INTER_AREA)
    sheet = _find_sheet(small)
    if sheet is None:
        sheet = _find_sheet(255 - small)
    if sheet is None:
        return gray
    within = cv2.resize(sheet, gray.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return np.where(within, gray, np.uint8(np.median(small[sheet > 0])))


def _find_sheet(gray: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8 -> (H, W) uint8, 1 where a light sheet lies, less its edge; None if there is no table around one.

    A sheet differs from light writing by its straight sides and by how little of it is dark, and a table from a shadow
    by its darkness, in which nothing is written.
    """
    _, light = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    is_dark = [float(border.mean()) < 0.4 for border in (light[0], light[-1], light[:, 0], light[:, -1])]
    if sum(is_dark) < 2:
        return None
    contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    outline = max(contours, key=cv2.contourArea)
    filled = cv2.drawContours(np.zeros_like(light), [outline], 0, 1, cv2.FILLED)
    edge = np.ones((5, 5), np.uint8)
    sheet, around = cv2.erode(filled, edge, borderValue=1), cv2.dilate(filled, edge)
    (_, sides, _), area = cv2.minAreaRect(outline), int(filled.sum())
    if min(sides) < 16 or area < max(0.05 * gray.size, 0.9 * sides[0] * sides[1]) or around.all():
        return None
    inside, outside = gray[sheet > 0], gray[around == 0]
    paper, table = float(np.median(inside)), float(np.median(outside))
    is_written = 0.002 < float((inside < 0.8 * paper).mean()) < 0.2
    is_empty = float(((outside < 0.6 * table - 4) | (outside > (table + paper) / 2)).mean()) < 0.002
    is_table = table < min(0.7 * paper, paper - 40) and is_empty
    return sheet if is_written and is_table else None


def extract_ink(gray: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (H, W) float32 in 0..1: how much darker than the paper around it each pixel is.

    The paper is a morphological closing of a reduced copy: it follows shadows and highlighters, and skips
    strokes. Light writing shows as a positive skew of the detail, and is turned; on a light ground only if the skew is
    as clear as strokes make it, which glare and paper that ends within the picture don't reach.
    """
    reduction = min(1.0, 96 / min(gray.shape))
    small = resize(gray, reduction, cv2.INTER_AREA)
    detail = small.astype(np.float32) - cv2.blur(small, (25, 25))
    squared = detail * detail  # products: a power of three takes thirty times as long
    skew = float((squared * detail).mean()) / max(float(squared.mean()), 1e-6) ** 1.5
    if skew > (0 if float(np.median(small)) < 128 else 1):
        gray, small = 255 - gray, 255 - small
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    paper = cv2.blur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel), (9, 9))
    paper = cv2.resize(paper, gray.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    ink = np.clip(1 - gray / np.maximum(paper, 1), 0, 1).astype(np.float32)
    return _stretch(without_rules(ink))


def without_rules(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) without the lines of ruled or squared paper, where they are clearly lighter than what is written.

    Glyphs on a line hang together through it, and many lines have more ink than the glyphs.
    """
    level_rules, upright_rules = _runs_across(ink), _runs_across(ink.T).T
    is_rule = level_rules | upright_rules
    if not is_rule.any():
        return ink
    is_dark = ink > FAINTEST_RULE
    middle = np.where(
        level_rules, cv2.dilate(ink, np.ones((5, 1))), cv2.dilate(ink, np.ones((1, 5)))
    )  # not their skirts
    rules, others = middle[is_rule & is_dark], ink[is_dark & ~is_rule]
    if not rules.size or not others.size:
        return ink
    level = float(np.median(rules))
    if level > 0.7 * float(np.percentile(others, 90)):
        return ink
    return np.where(is_rule & (ink < 1.3 * level), np.float32(0), ink)  # what is darker crosses the line


def _runs_across(ink: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W) bool: thin lines from border to border that are level or slant, and families of such lines, as
    of paper that ends within the picture.

    One to three of them between glyphs that reach both borders are none: `|` spans a picture that was cropped closely.
    """
    shape = ink.shape
    small = resize(ink, min(1.0, 512 / shape[1]), cv2.INTER_AREA)
    is_dark = (small > FAINTEST_RULE).astype(np.uint8)
    found = np.zeros(small.shape, bool)
    if small.shape[1] >= 24:
        closed = cv2.morphologyEx(is_dark, cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
        level, slanting = _level_rules(small, closed), _slanting_rules(small, closed)
        found = level | slanting if slanting.sum() > 1.15 * level.sum() else level
    if not found.any():
        return np.zeros(shape, bool)
    thick = np.ones((3, 1), np.uint8)
    found &= cv2.dilate(is_dark, thick) > 0
    return cv2.dilate(cv2.resize(found.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), thick) > 0


def _level_rules(small: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Ink (H, W), 512 pixels wide at most -> (H, W) bool: lines that are level or a little askew, and span it.

    `closed` (H, W) uint8 is 1 where it is dark, gaps of two pixels closed.
    """
    none = np.zeros(small.shape, bool)
    if not (closed[:, :BORDER].any() or closed[:, -BORDER:].any()):
        return none
    width = small.shape[1]
    length = RUN if width >= 64 else round(0.6 * width)
    runs = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    lines, boxes, _ = _labelled(cv2.dilate(runs, RUN_GAP))
    is_rule = _span(boxes, small.shape)
    found = is_rule[lines]
    return none if is_rule.sum() < 4 and _is_between_glyphs(found, small) else found


def _span(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N, 5) components, the ground first -> (N,) bool: which are as flat as a line, and end at two borders."""
    at_left, at_right, at_top, at_bottom = _touched(boxes, shape)
    wide, high = boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]
    spans = (at_left & at_right) | ((at_left ^ at_right) & (at_top ^ at_bottom) & (wide >= 0.5 * shape[1]))
    spans &= high <= 6 + 0.08 * shape[1]
    spans[0] = False
    return spans


def _touched(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N, 5) components -> (4, N) bool: which touch the left, the right, the upper and the lower border."""
    left, top, wide, high, _ = boxes.T
    height, width = shape
    return np.stack([
        left <= BORDER, left + wide >= width - BORDER, top <= BORDER, top + high >= height - BORDER
    ])  # fmt: skip


def _is_between_glyphs(rules: np.ndarray, small: np.ndarray) -> bool:
    """Whether beside the rules (H, W) the ink (H, W) has something at the left border and at the right one."""
    glyphs = (small > 0.3) & ~rules
    return bool(glyphs[:, : BORDER + 2].any() and glyphs[:, -BORDER - 2 :].any())


def _slanting_rules(small: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Ink (H, W) and what is dark of it, as above -> (H, W) bool: lines of the commonest slope up to 15 degrees.

    They are rules if they span the picture, or if at least four of them, a third as wide as the picture or more, lie at
    regular distances.
    """
    none = np.zeros(small.shape, bool)
    if min(small.shape) < 24 or small.shape[1] < 64:
        return none
    runs, tilt = _slanting_runs(closed)
    width = small.shape[1]
    if np.count_nonzero(runs.max(axis=0)) < 0.5 * width and cv2.countNonZero(runs) < 4 * 0.35 * width:
        return none
    lines, boxes, centres = _labelled(cv2.dilate(runs, RUN_GAP))
    wide, high = boxes[:, cv2.CC_STAT_WIDTH] / width, boxes[:, cv2.CC_STAT_HEIGHT]
    is_flat = high <= 6 + (abs(tilt) + 0.1) * wide * width
    is_flat[0] = False
    ends_at_two = is_flat & (_touched(boxes, small.shape).sum(axis=0) >= 2)
    is_rule = ends_at_two & (wide >= 0.5)
    if is_rule.sum() >= 2:
        is_rule = ends_at_two & (wide >= 0.06)  # those in the corners too
    is_long, on_lines = is_flat & (wide >= 0.35), none
    if is_long.sum() >= 4:
        darkness = _darkness(small, runs, lines, len(boxes))
        is_long &= darkness <= 1.7 * np.median(darkness[is_long])
        heights = centres[:, 1] - tilt * centres[:, 0]  # (N,) at which each meets the left border
        family = _family(np.sort(heights[is_long]))
        if len(family):
            is_rule |= is_long
            on_lines = _along(runs, tilt, family)
    found = is_rule[lines] | on_lines
    return none if is_rule.sum() < 4 and _is_between_glyphs(found, small) else found


def _along(runs: np.ndarray, tilt: float, heights: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W) bool: those of the runs that lie on straight lines which begin at these heights (N,)."""
    y, x = np.nonzero(runs)
    away = (y - tilt * x)[:, None] - heights
    found = np.zeros(runs.shape, bool)
    found[y, x] = np.abs(away).min(axis=1) <= 3
    return found


def _slanting_runs(closed: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W) uint8 -> (H, W) uint8: what lies in straight runs of the commonest slope, and that slope, rise by run.

    The slope is looked for at half the size: an eighth of the work.
    """
    halved = np.ascontiguousarray(cv2.dilate(closed, np.ones((2, 2), np.uint8))[::2, ::2])
    counts = {
        degrees: cv2.countNonZero(cv2.erode(halved, line, borderValue=0))
        for degrees, line in _slanting_lines(RUN // 2).items()
    }
    most = max(counts.values())
    if most < halved.shape[1]:  # a rule has two in nearly every column
        return np.zeros_like(closed), 0.0
    alike = [degrees for degrees in counts if counts[degrees] >= 0.85 * most]  # thick lines have many
    slope = float(np.mean(alike))
    low, high = max(min(alike) - 3, slope - 6), min(max(alike) + 3, slope + 6)
    lines = [line for degrees, line in _slanting_lines(RUN).items() if low <= degrees <= high]
    runs = [cv2.morphologyEx(closed, cv2.MORPH_OPEN, line) for line in lines]
    return np.maximum.reduce(runs), math.tan(math.radians(slope))


@cache
def _slanting_lines(length: int) -> dict[int, np.ndarray]:
    """By degrees downwards: (H, length) uint8, a line of that slope as a mask."""
    lines = {}
    for degrees in range(-15, 16, 3):
        fall = np.rint(math.tan(math.radians(degrees)) * np.arange(length)).astype(int)
        line = np.zeros((int(np.ptp(fall)) + 1, length), np.uint8)
        line[fall - fall.min(), np.arange(length)] = 1
        lines[degrees] = line
    return lines


def _darkness(small: np.ndarray, runs: np.ndarray, lines: np.ndarray, count: int) -> np.ndarray:
    """(count,): the mean ink in the middle of each line's runs."""
    place = runs > 0
    peaks = cv2.dilate(small, np.ones((5, 1), np.uint8))[place]
    return np.bincount(lines[place], weights=peaks, minlength=count) / np.maximum(
        np.bincount(lines[place], minlength=count), 1
    )


def _family(heights: np.ndarray) -> np.ndarray:
    """(N,) sorted places, and those that are missing between them; none unless four or more are at like distances."""
    heights = heights[np.diff(heights, prepend=-np.inf) > 4]
    if len(heights) < 4:
        return heights[:0]
    gaps = np.diff(heights)
    gap = float(np.median(gaps))
    steps = np.rint(gaps / gap).astype(int)
    is_regular = (np.abs(gaps - steps * gap) <= 0.2 * gap).mean() >= 0.7 and (steps <= 2).mean() >= 0.7
    if gap < 8 or not is_regular:
        return heights[:0]
    between = zip(heights[:-1], heights[1:], np.maximum(steps, 1), strict=True)
    return np.concatenate([*(np.linspace(*each, endpoint=False) for each in between), heights[-1:]])


def without_surround(ink: np.ndarray, keeps_close: bool) -> np.ndarray:
    r"""Ink (H, W) without what lies around a sheet: a table, which covers borders that meet in a corner, or a frame.

    Two borders that face each other are covered by brackets and bars too, where a picture was cropped closely.

    `keeps_close`: not without a frame that is as close to what it has within as that of `\boxed`. In a photograph it
    is more likely the sheet's edge, or a box around an answer.
    """
    is_ink = ink > 0.5
    most_ink = [  # of a column, and of a row
        cv2.reduce(is_ink.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).max() / ink.shape[axis]
        for axis in (0, 1)
    ]
    if min(most_ink) <= 0.2 or min(ink.shape) < 20:
        return ink
    labels, boxes = _components(ink)
    borders = _borders(labels)
    longest = [int(np.bincount(border, minlength=2)[1:].argmax()) + 1 for border in borders]
    covers = [(border == label).mean() > 0.6 for border, label in zip(borders, longest, strict=True)]
    if any(covers[:2]) and any(covers[2:]):
        is_around = np.isin(labels, np.array(longest)[covers])
    else:
        frame = _frame(boxes[1:], ink)
        if frame is None or (keeps_close and not _is_apart(boxes[1 + frame], np.delete(boxes[1:], frame, axis=0))):
            return ink
        is_around = labels == 1 + frame
        if _has_cells(is_around, boxes[1 + frame]):
            return ink
    if (is_ink & ~is_around).sum() < 0.001 * ink.size:
        return ink
    rest = np.where(cv2.dilate(is_around.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0, np.float32(0), ink)
    _, labels = cv2.connectedComponents((rest > 0.1).astype(np.uint8), connectivity=8)
    outside = np.setdiff1d(np.concatenate(_borders(labels)), [0])
    return without_surround(np.where(np.isin(labels, outside), np.float32(0), rest), keeps_close)  # an edge may be left


def _borders(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    """The upper, lower, left and right border of (H, W), behind paper that was added, and a drawn picture's frame."""
    inset = 5
    return picture[inset], picture[-1 - inset], picture[:, inset], picture[:, -1 - inset]


def _has_cells(frame: np.ndarray, box: np.ndarray) -> bool:
    """Whether the frame (H, W) bool, whose box is (5,), has lines within: it is a table's."""
    left, top, wide, high, _ = box
    across, down = wide // 6, high // 6  # beyond these, as the sides of a sheet lie askew
    inner = frame[top + down : top + high - down, left + across : left + wide - across]
    return bool(max(inner.mean(axis=0).max(), inner.mean(axis=1).max()) > 0.9)


def _is_apart(frame: np.ndarray, others: np.ndarray) -> bool:
    """Whether the glyphs in a frame keep a glyph's height away from it."""
    glyphs = others[_have_shape_of_glyphs(others)]
    left, top, wide, high, _ = frame
    away = min(
        *(glyphs[:, :2] - (left, top)).ravel(), *((left + wide, top + high) - glyphs[:, :2] - glyphs[:, 2:4]).ravel()
    )
    return bool(away > _glyph_height(others))


def without_dots(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) without the dots of dotted paper: a dozen or more that are alike, each with two of the four neighbours
    that a lattice gives it."""
    labels, boxes = _components(ink, 0.3)
    wide, high, area = boxes.T[2:]
    sizes = np.maximum(wide, high)
    is_dot = (area >= 0.45 * wide * high) & (sizes <= 1.5 * np.minimum(wide, high) + 1)
    is_dot[0] = False
    size = float(np.median(sizes[is_dot])) if is_dot.any() else 0.0
    dots = np.flatnonzero(is_dot & (sizes >= 0.5 * size) & (sizes <= 1.6 * size + 1))
    if not LEAST_DOTS <= len(dots) <= MOST_DOTS:
        return ink
    centres = boxes[dots, :2] + boxes[dots, 2:4] / 2
    some = centres[:: 1 + len(dots) // 200]
    away = np.abs(some[:, None] - centres).max(axis=2)
    pitch = float(np.median(np.partition(away, 1, axis=1)[:, 1]))
    if pitch < 3 * size:
        return ink
    neighbours = _lattice_neighbours(centres, pitch)
    if (neighbours >= 2).sum() < LEAST_DOTS:
        return ink
    is_grid = np.zeros(len(boxes), bool)
    is_grid[dots[neighbours >= 1]] = True
    gone = cv2.dilate(is_grid[labels].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(gone & ((labels == 0) | is_grid[labels]), np.float32(0), ink)


def _lattice_neighbours(centres: np.ndarray, pitch: float) -> np.ndarray:
    """(N, 2) places -> (N,): how many others lie a pitch to the left, to the right, above and below."""
    reach, step = max(2, round(0.12 * pitch)), round(pitch)
    places = np.rint(centres).astype(int) + step + 1
    marks = np.zeros(places.max(axis=0)[::-1] + step + 2, np.uint8)
    marks[places[:, 1], places[:, 0]] = 1
    near = cv2.dilate(marks, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return sum(near[places[:, 1] + y, places[:, 0] + x] for x, y in ((step, 0), (-step, 0), (0, step), (0, -step)))


def _stretch(ink: np.ndarray) -> np.ndarray:
    """Brings the strokes to 1 and the paper, with the noise on it, to 0: Otsu's threshold tells which is which.

    What is faint may be grain, which falls into two parts as well: but into parts of like size that are hardly apart.
    """
    threshold, _ = cv2.threshold((ink * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    is_stroke = ink > threshold / 255
    if not is_stroke.any() or is_stroke.all():
        return np.zeros_like(ink)
    typical = float(np.median(ink[is_stroke]))
    ground, grain = (float(value[0, 0]) for value in cv2.meanStdDev(ink, mask=(~is_stroke).view(np.uint8)))
    is_writing = typical > 0.03 and typical - ground > 8 * grain and is_stroke.mean() < 0.25
    faintest = float(np.clip(typical, 0.06, 0.25)) if is_writing else 0.25
    full = max(faintest, typical)
    noise = min(ground + max(0.16 * faintest, 2 * grain), 0.6 * full)
    return np.clip((ink - noise) / (full - noise), 0, 1)


def ink_boxes(ink: np.ndarray) -> np.ndarray:
    """Connected components of ink (H, W): (N, 5) left, top, width, height and area of each."""
    return _components(ink)[1][1:]  # the first is the paper


def _components(ink: np.ndarray, least: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Connected components of ink: (H, W) the number of each pixel's, and (N + 1, 5) boxes; number 0 is the paper."""
    return _labelled((ink > least).view(np.uint8))[:2]


def _labelled(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected components of (H, W) uint8: labels (H, W), boxes (N + 1, 5), centres (N + 1, 2); 0 is the ground.

    In 16 bits where they are sure to do, which takes a third of the time: of no four neighbours two begin a component.
    """
    height, width = mask.shape
    bits = cv2.CV_16U if (height + 1) // 2 * ((width + 1) // 2) < 0xFFFE else cv2.CV_32S
    return cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=bits)[1:]


def typical_area(areas: np.ndarray) -> int:
    """Half of all ink is in components of this area or more; (N,), one at least."""
    by_area = np.sort(areas)[::-1]
    return int(by_area[np.searchsorted(by_area.cumsum(), 0.5 * by_area.sum())])


def measure_ink(ink: np.ndarray) -> tuple[tuple[int, int, int, int], float]:
    """The ink's bounding box (top, bottom, left, right) and the height of its typical glyph.

    Glyphs are connected components of an ordinary shape. Their median height is weighted by area, so that specks,
    dots and accents hardly count. What touches the border (cut-off lines, rulings, shadow edges) is left out unless
    there is little else; not so the first and the last glyph of the line, where a picture was cropped closely.
    """
    height, width = ink.shape
    boxes = _of_the_line(ink_boxes(ink), ink.shape)
    if not len(boxes):
        return (0, height, 0, width), float(height) / 2
    glyphs = _without_enclosing(_without_giants(_without_frame(boxes, ink)))
    boxes = boxes[boxes[:, cv2.CC_STAT_AREA] >= SPECK * typical_area(glyphs[:, cv2.CC_STAT_AREA])]
    box = top, bottom, left, right = _bounds(boxes)
    wide, high, area = boxes.T[2:]
    if len(boxes) <= 6 and (area >= 0.6 * wide * high).all():  # bars and dots: a sign alone, `-`, `=`, `\ldots`, `:`
        return box, float(max(wide.max(), (right - left) / 1.5, bottom - top))
    return _bounds(np.concatenate([boxes, _fainter(ink, boxes, glyphs)])), _glyph_height(glyphs)


def _of_the_line(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Components (N, 5) without those that touch the border of the picture (H, W), as `measure_ink` says."""
    height, width = shape
    left, top, wide, high, area = boxes.T
    at_left, at_right = left == 0, left + wide == width
    between = (top > 0) & (top + high < height)
    inside = between & ~at_left & ~at_right
    if area[inside].sum() <= 0.3 * area.sum():
        return boxes
    middle = top + high / 2
    in_line = (middle >= top[inside].min()) & (middle <= (top + high)[inside].max()) & (wide <= 4 * high)
    return boxes[inside | (between & (at_left ^ at_right) & in_line)]


def _bounds(boxes: np.ndarray) -> tuple[int, int, int, int]:
    """Components (N, 5), one at least -> top, bottom, left, right of all."""
    left, top, wide, high, _ = boxes.T
    return int(top.min()), int((top + high).max()), int(left.min()), int((left + wide).max())


def _fainter(ink: np.ndarray, boxes: np.ndarray, glyphs: np.ndarray) -> np.ndarray:
    """Components (M, 5) that are fainter than the others (N, 5), and glyphs of their line: a term in a light colour."""
    top, bottom, left, right = _bounds(boxes)
    is_faint = ink > FAINTEST_TERM
    blurred = is_faint[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2]
    if np.count_nonzero(blurred) == np.count_nonzero(is_faint):
        return boxes[:0]
    labels, fainter = _components(ink, FAINTEST_TERM)
    is_new = np.ones(len(fainter), bool)
    is_new[labels[ink > 0.5]] = is_new[0] = False
    size, least = _glyph_height(glyphs), 0.25 * typical_area(glyphs[:, cv2.CC_STAT_AREA])
    height, width = ink.shape
    x, y, wide, high, area = fainter.T
    middle = y + high / 2
    is_bar = (wide > 0.4 * size) & (wide >= 2 * high) & (area >= 0.6 * wide * high)  # thin, and so antialiased
    is_bar &= np.bincount(labels[ink > 2 * FAINTEST_TERM], minlength=len(fainter)) > 0
    is_new &= ((area >= least) & (high > 0.3 * size) & (high < 3 * size)) | is_bar
    is_new &= wide < 4 * size
    is_new &= (x > 0) & (x + wide < width) & (y > 0) & (y + high < height)
    is_new &= (middle > top - size / 2) & (middle < bottom + size / 2)
    is_new &= (x < right + 3 * size) & (x + wide > left - 3 * size)
    return fainter[is_new]


def _glyph_height(boxes: np.ndarray) -> float:
    """The typical one of components (N, 5), one at least."""
    _, _, wide, high, area = boxes.T
    is_glyph = _have_shape_of_glyphs(boxes)
    if not is_glyph.any():
        is_ink = area >= SPECK * typical_area(area)
        return max(float(high[is_ink].max()), float(wide[is_ink].max()) / 4)
    order = np.argsort(high[is_glyph])
    weights = area[is_glyph][order].cumsum()
    return float(high[is_glyph][order][np.searchsorted(weights, weights[-1] / 2)])


def _have_shape_of_glyphs(boxes: np.ndarray) -> np.ndarray:
    """(N, 5) -> (N,) bool: neither bars nor specks."""
    _, _, wide, high, area = boxes.T
    return (wide <= 4 * high) & (high <= 6 * wide) & (area >= 0.1 * typical_area(area))


def _is_dot(boxes: np.ndarray) -> np.ndarray:
    """(N, 5) -> (N,) bool."""
    _, _, wide, high, area = boxes.T
    return (area >= 0.6 * wide * high) & (np.maximum(wide, high) <= 1.5 * np.minimum(wide, high))


def _without_frame(boxes: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Components (N, 5) without a frame, however few glyphs it has around it."""
    frame = _frame(boxes, ink)
    return boxes if frame is None else np.delete(boxes, frame, axis=0)


def _frame(boxes: np.ndarray, ink: np.ndarray) -> int | None:
    """Which of the components (N, 5) of the ink has four full sides and all glyphs within it."""
    if len(boxes) < 2:
        return None
    largest = int((boxes[:, cv2.CC_STAT_WIDTH] * boxes[:, cv2.CC_STAT_HEIGHT]).argmax())
    left, top, wide, high, _ = boxes[largest]
    others = np.delete(boxes, largest, axis=0)
    glyphs = others[_have_shape_of_glyphs(others)]
    ends = glyphs[:, :2] + glyphs[:, 2:4]
    is_sign = len(others) == 1 and _is_dot(others)[0]  # `\boxdot`
    if is_sign or not len(glyphs) or (glyphs[:, :2] <= (left, top)).any() or (ends >= (left + wide, top + high)).any():
        return None
    shown = ink[top : top + high, left : left + wide] > 0.5
    thick = max(3, min(shown.shape) // 25)  # of a side, with the slant of a sheet that lies askew
    sides = (shown[:thick], shown[-thick:], shown[:, :thick].T, shown[:, -thick:].T)
    return largest if all(side.any(axis=0).mean() > 0.8 for side in sides) else None


def _without_enclosing(boxes: np.ndarray) -> np.ndarray:
    """Components (N, 5) without roots, and pairs of high brackets, that are far larger than the few glyphs in them."""
    left, top, wide, high, _ = boxes.T
    right, bottom = left + wide, top + high
    is_glyph = _have_shape_of_glyphs(boxes) & ~_is_dot(boxes)
    largest = np.argsort(-high, kind="stable")[:4]
    for first, last in [*((i, i) for i in largest), *permutations(largest, 2)]:
        if first == last:
            is_within = (left > left[first]) & (right <= right[first])
        else:
            is_bracket = min(high[first] / wide[first], high[last] / wide[last]) > 2
            are_alike = abs(top[first] - top[last]) + abs(bottom[first] - bottom[last]) < 0.1 * high[first]
            is_within = (left > right[first]) & (right < left[last]) & is_bracket & are_alike
        is_within &= is_glyph & (top >= top[first]) & (bottom <= bottom[first])
        if is_within.sum() > 1 and min(high[first], high[last]) >= 2.5 * _glyph_height(boxes[is_within]) >= 12:
            return _without_enclosing(np.delete(boxes, [first, last], axis=0))
    return boxes


def _without_giants(boxes: np.ndarray) -> np.ndarray:
    """Components (N, 5) without one to three, if they are far larger than many others: frames, rules, tall brackets.

    They often have more ink than all others together, and would be taken for the typical glyphs.
    """
    _, _, wide, high, area = boxes.T
    is_dot = _is_dot(boxes)
    size = np.maximum(high, wide / 4)
    by_size = np.argsort(-size, kind="stable")
    for count in (1, 2, 3):
        giants, others = by_size[:count], np.sort(by_size[count:])
        share = area[giants].sum() / area.sum()
        if not 0.4 < share < 0.85 or (_have_shape_of_glyphs(boxes[others]) & ~is_dot[others]).sum() < MANY:
            continue
        if size[giants].min() >= 3 * _glyph_height(boxes[others]) >= 15:
            return boxes[others]
    return boxes


def resize(image: np.ndarray, factor: float, interpolation: int) -> np.ndarray:
    """(H, W) or (H, W, 3), scaled with its proportions kept, to a pixel at least."""
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=interpolation)


def make_batch(images: Sequence[np.ndarray], spec: PreprocessSpec) -> tuple[np.ndarray, np.ndarray]:
    """Preprocessed pictures -> (B, 1, H, W) float32 filled up with paper, and their sizes (B, 2) int64 as (h, w)."""
    sizes = np.array([image.shape for image in images], dtype=np.int64)
    height, width = canvas_size(int(sizes[:, 0].max()), int(sizes[:, 1].max()), spec)
    batch = np.full((len(images), 1, height, width), -spec.mean / spec.std, dtype=np.float32)
    for row, image in zip(batch, images, strict=True):
        row[0, : image.shape[0], : image.shape[1]] = image
    return batch, sizes


def canvas_size(height: int, width: int, spec: PreprocessSpec) -> tuple[int, int]:
    """The size of the smallest canvas that holds a picture of this size."""
    return -(-height // spec.height_step) * spec.height_step, -(-width // spec.width_step) * spec.width_step


# ---------------------------------------------------------------------------------------------------- tokens


def join_tokens(tokens: Iterable[str]) -> str:
    r"""Tokens -> LaTeX text, with what its readers need: a space between `\alpha` and a letter; `{}` between `\\` and a
    bracket or asterisk, which LaTeX would take for its own; a space between `\\` and a letter, as `\\max` may be a
    command whose backslash was doubled."""
    text: list[str] = []
    for token in tokens:
        last = text[-1] if text else ""
        if token[:1].isalpha() and (last == r"\\" or (last[:1] == "\\" and last[-1:].isalpha())):
            text.append(" ")
        elif last == r"\\" and token[:1] in ("[", "*"):
            text.append("{}")
        text.append(token)
    return "".join(text)


def balance(tokens: Iterable[str]) -> tuple[str, ...]:
    r"""The tokens with every brace, `\left` and `\begin` closed once, in order; balanced ones as they are.

    A brace or environment that stays open is closed where what is around it ends. A brace or `\end` that closes
    nothing goes. A `\left(` or `\right)` without its partner becomes the plain delimiter that it shows.
    """
    balanced: list[str] = []
    opened: list[tuple[str, int]] = []  # the kinds of what is open, and where each stands in `balanced`

    def close(partner: str | None) -> None:
        kind, place = opened.pop()
        if kind == "left" and partner is None:
            balanced[place] = _plain_delimiter(balanced[place])
        elif kind == "left":
            balanced.append(partner or "")
        else:
            balanced.append("}" if kind == "brace" else r"\end" + balanced[place].removeprefix(r"\begin"))

    for token in tokens:
        kind, closes = _bracket(token)
        if not closes:
            if kind:
                opened.append((kind, len(balanced)))
            balanced.append(token)
        elif kind in dict(opened):
            while opened[-1][0] != kind:
                close(None)
            close(token)
        elif kind == "left":
            balanced.append(_plain_delimiter(token))
    while opened:
        close(None)
    return tuple(token for token in balanced if token)


def _bracket(token: str) -> tuple[str, bool]:
    r"""What kind of bracket a token is ("" for none), and whether it closes: `\right)` -> ("left", True)."""
    if token in ("{", "}"):
        return "brace", token == "}"
    if token.startswith((r"\begin{", r"\end{")):
        return "environment", token.startswith(r"\end")
    for command in (r"\left", r"\right"):
        if token.startswith(command) and not token[len(command) :][:1].isalpha():  # not \leftarrow
            return "left", command == r"\right"
    return "", False


def _plain_delimiter(token: str) -> str:
    plain = token.removeprefix(r"\left").removeprefix(r"\right").removeprefix(".")
    return "\\" + plain if plain in ("{", "}") else plain


# --------------------------------------------------------------------------------------------------- grammar


def _commands(names: str) -> frozenset[str]:
    return frozenset("\\" + name for name in names.split())


# Commands of the normalised labels with their braced arguments; in an answer, others stand alone.
TWO_ARGUMENTS = _commands("frac binom stackrel underset")
ONE_ARGUMENT = _commands(
    """mathbb mathbf mathcal mathfrak mathit mathrm mathscr mathsf mathtt boldsymbol acute bar breve check dot ddot
    dddot ddddot grave hat mathring tilde vec overline underline widehat widetilde overarc underparen boxed cancel
    bcancel xcancel overbrace underbrace overrightarrow overleftarrow overleftrightarrow underrightarrow underleftarrow
    underleftrightarrow pmod pod sqrt xrightarrow xleftarrow xmapsto xhookrightarrow xrightleftharpoons substack not
    text textit textbf texttt textsf textsc ce cee"""
)
NOT_IN_FORMULAS = frozenset([r"\P", r"\AA", r"\O", r"\'"])  # commands of text: MathJax has none of them
OPTIONAL_ARGUMENT = _commands("sqrt xrightarrow xleftarrow xmapsto xhookrightarrow xrightleftharpoons")
ARGUMENT_KINDS = {  # what an argument may hold, where that isn't any formula
    **dict.fromkeys(_commands("text textit textbf texttt textsf textsc"), "text"),
    **dict.fromkeys([r"\begin{array}", r"\begin{tabular}", r"\begin{darray}"], "columns"),
    r"\substack": "substack",
}


class Opened(NamedTuple):
    """Something that must be closed, and the state to which that leads back."""

    kind: str  # "{", "text", "columns", "substack", "[", "left", or the \\end that an environment needs
    needed: int
    after: str
    argument: str


class State(NamedTuple):
    """Where the grammar is after some tokens: all that decides what may follow."""

    opened: tuple[Opened, ...] = ()
    needed: int = 0  # arguments that must follow
    after: str = ""  # what the last token forbids or allows: "_", "^", "option", "not", "row" or "start" (of a table)
    argument: str = "{"  # kind of the next argument


class Grammar:
    r"""Which tokens may follow, so that an answer is LaTeX: the grammar of the normalised labels as an automaton.

    Braces, `\left`, environments and options are closed in order, arguments and scripts have their braces, nothing has
    two scripts of a kind, and the end comes when all is closed. A token that could never be completed, as its partner
    is not in the vocabulary, is never allowed.
    """

    def __init__(self, tokens: Sequence[str], specials: Iterable[int], eos: int) -> None:
        self._tokens, self._specials, self._eos = tokens, frozenset(specials), eos
        self._known = frozenset(tokens)
        rights = (token for token in (r"\right.", *tokens) if token in self._known and _is_right(token))
        self._right = min(rights, key=lambda token: token.endswith("]"), default="")  # the first that may be anywhere
        self._masks: dict[tuple[str, bool, str, bool], np.ndarray] = {}

    def mask(self, state: State) -> np.ndarray:
        """(V,) bool: which tokens may follow."""
        inner = state.opened[-1].kind if state.opened else ""
        key = (inner, state.needed > 0, state.after, _in_option(state.opened))
        if key not in self._masks:
            allowed = [self._allows(token, *key) for token in self._tokens]
            for special in self._specials:
                allowed[special] = special == self._eos and not key[0] and not key[1]
            self._masks[key] = np.array(allowed)
        return self._masks[key]

    def follow(self, state: State, token: str) -> State:
        """The state after one more token, which must be allowed."""
        opened, needed, after, argument = state
        inner = opened[-1].kind if opened else ""
        if inner and self._closes(token, inner):
            return State(opened[:-1], *opened[-1][1:])
        if token == "{":
            kind = argument if needed else "text" if inner == "text" else "{"
            back = after if needed and after in ("_", "^", "start") else ""
            return State((*opened, Opened(kind, max(0, needed - 1), back, argument)))
        if token == "[" and after == "option":
            return State((*opened, Opened("[", needed, "", argument)))
        if _bracket(token)[0] == "left":
            return State((*opened, Opened("left", 0, "", "{")))
        if token.startswith(r"\begin{"):
            kind = r"\end" + token.removeprefix(r"\begin")
            return State((*opened, Opened(kind, 0, "", "{")), int(token in ARGUMENT_KINDS), "start", "columns")
        if needed:  # `\not=`: the only argument without braces
            return State(opened)
        after = (
            "option" if token in OPTIONAL_ARGUMENT else {r"\not": "not", r"\\": "row", r"\hline": "row"}.get(token, "")
        )
        return State(opened, _arguments(token), token if token in ("_", "^") else after, ARGUMENT_KINDS.get(token, "{"))

    def completion(self, tokens: Iterable[str]) -> list[str]:
        """The fewest tokens that complete an answer which was cut off; its tokens were all allowed."""
        state = State()
        for token in tokens:
            state = self.follow(state, token)
        closing: list[str] = []
        while state.needed or state.opened:
            closing.append("{" if state.needed else self._closer(state.opened[-1].kind))
            state = self.follow(state, closing[-1])
        return closing

    def _allows(self, token: str, inner: str, needed: bool, after: str, in_option: bool) -> bool:
        if token.endswith("]") and in_option:  # `\right]` would end it as well
            return token == "]" and inner == "[" and not needed
        if token in NOT_IN_FORMULAS:
            return False
        if needed:
            is_struck = after == "not" and not _arguments(token) and self._is_symbol(token)
            # Directly inside another option its `]` would end both.
            return token == "{" or is_struck or (token == "[" and after == "option" and not in_option)
        if inner and self._closes(token, inner):
            return True
        if not self._can_be_completed(token):
            return False
        if in_option and _bracket(token)[0] == "left" and self._right.endswith("]"):
            return False
        if inner == "columns":
            return token in ("c", "l", "r", "|")
        if inner == "text":
            return token == "{" or (self._is_symbol(token) and not token[1:2].isalpha() and token != r"\|")
        in_table = inner.startswith(r"\end")
        special = {
            "_": after not in ("_", "^"),  # labels have the subscript first
            "^": after != "^",
            "&": in_table,
            r"\\": in_table or inner == "substack",
            r"\hline": in_table and after in ("row", "start"),
            "[": after != "row",  # TeX would take it for an option of the row's end
            "*": after != "row",
        }
        return special.get(token, inner == "left" or not token.startswith(r"\middle"))

    def _is_symbol(self, token: str) -> bool:
        return (
            token not in ("{", "_", "^", "&", r"\\", r"\hline")
            and not token.startswith(r"\middle")
            and (_bracket(token)[0] == "")
        )

    def _can_be_completed(self, token: str) -> bool:
        kind, closes = _bracket(token)
        if closes:
            return False  # and it isn't what closes the innermost
        if kind == "left":
            return bool(self._right)
        if kind == "environment":
            return self._closer(r"\end" + token.removeprefix(r"\begin")) in self._known
        return not (kind or _arguments(token)) or {"{", "}"} <= self._known

    def _closes(self, token: str, kind: str) -> bool:
        return _is_right(token) if kind == "left" else token == self._closer(kind)

    def _closer(self, kind: str) -> str:
        return {"left": self._right, "[": "]"}.get(kind, kind if kind.startswith(r"\end") else "}")


def _in_option(opened: Sequence[Opened]) -> bool:
    r"""Whether a `]` would end an option: only braces hide it, not `\left` or an environment in between."""
    kinds = (each.kind for each in reversed(opened))
    return next((kind == "[" for kind in kinds if kind != "left" and not kind.startswith(r"\end")), False)


def _is_right(token: str) -> bool:
    return _bracket(token) == ("left", True)


def _arguments(token: str) -> int:
    return 2 if token in TWO_ARGUMENTS else int(token in ONE_ARGUMENT or token in ("_", "^"))


# -------------------------------------------------------------------------------------------------- decoding

Memory = dict[str, np.ndarray]  # what the encoder saw; every array has the batch first
PREFIX = "prefix"  # the encoder's output that is the state before the first token, not memory
MASK = "memory_mask"  # of a memory whose size follows the picture: what is added to the scores of its places
Step = Callable[[np.ndarray, np.ndarray, Memory], tuple[np.ndarray, np.ndarray]]
IsWanted = Callable[[int], bool]  # whether anyone still waits for the picture in that place


def always_wanted(place: int) -> bool:
    return True


def _at(places: Sequence[int], is_wanted: IsWanted) -> IsWanted:
    """The same question for things that belong to pictures in these places."""
    return lambda row: is_wanted(places[row])


class Hypothesis(NamedTuple):
    """One reading of a picture so far; at the end, with the end token if that was reached."""

    picture: int  # its place in the batch
    ids: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()  # log probability that the network gave to each
    state: State = State()

    @property
    def total(self) -> float:
        return sum(self.scores)


class Reader:
    """One network that reads a batch: what it saw, and the state that its steps emitted.

    A step emits one row of state, which is written into a buffer that has room for all steps: nothing is computed
    twice, and only when rows leave is anything copied.

    Args:
        step: tokens (B,), past (P + steps so far, B, ...), memory -> logits (B, V), present (B, ...).
        prefix: state before the first token, (P, B, ...).
        max_tokens: steps that will be taken, at most.
    """

    def __init__(self, step: Step, prefix: np.ndarray, memory: Memory, max_tokens: int) -> None:
        self._step, self._memory, self.max_tokens = step, memory, max_tokens
        self._filled, self.batch, *state = prefix.shape
        self._past = np.empty((self._filled + max_tokens, self.batch, *state), dtype=np.float32)
        self._past[: self._filled] = prefix

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """The last token of each row (B,) -> logits of the next (B, V)."""
        logits, self._past[self._filled] = self._step(tokens, self._past[: self._filled], self._memory)
        self._filled += 1
        return logits

    def keep(self, rows: list[int], other_pictures: bool) -> None:
        """Brings past and memory to these rows; memory is the same for all hypotheses of a picture."""
        past = np.empty((len(self._past), len(rows), *self._past.shape[2:]), dtype=np.float32)
        past[: self._filled] = self._past[: self._filled, rows]
        self._past = past
        if other_pictures:
            self._memory = {name: array[rows] for name, array in self._memory.items()}


def join_memories(memories: Sequence[Memory]) -> Memory:
    """Memories of pictures, or of batches of them -> one for all: (B, ...), each array filled up to the largest."""
    if len(memories) == 1:
        return memories[0]
    joined = {}
    for name in memories[0]:
        arrays = [memory[name] for memory in memories]
        shape = np.max([array.shape[1:] for array in arrays], axis=0)
        filling = np.finfo(np.float32).min if name == MASK else 0.0
        joined[name] = np.full((sum(map(len, arrays)), *shape), filling, dtype=np.float32)
        row = 0
        for array in arrays:
            joined[name][(slice(row, row + len(array)), *map(slice, array.shape[1:]))] = array
            row += len(array)
    return joined


class BeamSearch:
    """The likeliest readings of a batch of pictures; with a beam of 1, greedy decoding.

    At each step the best continuations are kept, `beam` for a picture less those that have ended. What has ended, or
    goes round in a loop (of which the first round is kept), leaves the batch.

    Args:
        readers: networks that read the same pictures with the same tokens; each step averages their log probabilities.
        grammar: with the tokens by id, what may follow what; None allows everything.
        margin: a hypothesis that is less likely than the picture's best by more than this (in log probability) is
            dropped, so that there may be fewer than `beam`.
        is_wanted: asked now and then; a picture that nobody waits for leaves the batch as far as it was read.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        bos: int,
        eos: int,
        beam: int = 1,
        grammar: tuple[Grammar, Sequence[str]] | None = None,
        margin: float = math.inf,
        is_wanted: IsWanted = always_wanted,
    ) -> None:
        self._readers, self._eos, self._beam, self._grammar, self._margin = readers, eos, beam, grammar, margin
        self._is_wanted = is_wanted
        self._max_tokens, batch = readers[0].max_tokens, readers[0].batch
        self._tokens = np.full(batch, bos, dtype=np.int64)
        self.alive = [Hypothesis(picture) for picture in range(batch)]
        self._ended: list[list[Hypothesis]] = [[] for _ in range(batch)]

    def run(self) -> list[list[Hypothesis]]:
        """For each picture its hypotheses, the likeliest first; those without an end come last."""
        while self.alive:
            self.advance()
        return [sorted(ended, key=self._rank, reverse=True) for ended in self._ended]

    def advance(self) -> None:
        """One token more for every hypothesis in `alive`."""
        # Normalised, the mean of logits is that of log probabilities: the two differ by a constant in each row.
        read = [reader.read(self._tokens) for reader in self._readers]
        logits = read[0] if len(read) == 1 else np.mean(read, axis=0)
        scores = logits - _log_sum_exp(logits)[:, None]  # (B, V)
        parents: list[int] = []
        grown: list[Hypothesis] = []
        asks = len(self.alive[0].ids) % WANTED_EVERY == 0  # all are as long
        for row, token in self._continuations(scores):
            hypothesis, is_over = self._grow(self.alive[row], token, float(scores[row, token]))
            is_over = is_over or len(hypothesis.ids) == self._max_tokens
            if is_over or (asks and not self._is_wanted(hypothesis.picture)):
                self._ended[hypothesis.picture].append(hypothesis)
            else:
                parents.append(row)
                grown.append(hypothesis)
        self._keep(parents)
        self.alive = grown
        self._tokens = np.array([hypothesis.ids[-1] for hypothesis in grown], dtype=np.int64)

    def _continuations(self, scores: np.ndarray) -> Iterator[tuple[int, int]]:
        """Rows and the tokens that continue them, for each picture the best."""
        vocabulary = scores.shape[1]
        if self._grammar:
            allowed = np.stack([self._grammar[0].mask(hypothesis.state) for hypothesis in self.alive])
            scores = np.where(allowed, scores, -np.inf)
        if self._beam == 1:
            yield from enumerate(scores.argmax(axis=1).tolist())
            return
        for picture, group in groupby(range(len(self.alive)), key=lambda row: self.alive[row].picture):
            rows = list(group)
            totals = (scores[rows] + [[self.alive[row].total] for row in rows]).ravel()
            width = min(self._beam - len(self._ended[picture]), totals.size)
            best = np.argpartition(totals, -width)[-width:] if width > 1 else [totals.argmax()]
            top = max([totals.max(), *(ended.total for ended in self._ended[picture])])
            for place in sorted(best, key=totals.__getitem__, reverse=True):
                if totals[place] > top - self._margin:
                    yield rows[place // vocabulary], int(place % vocabulary)

    def _grow(self, hypothesis: Hypothesis, token: int, score: float) -> tuple[Hypothesis, bool]:
        """The hypothesis with one more token, and whether that was its last."""
        picture, ids, scores, state = hypothesis
        ids, scores = (*ids, token), (*scores, score)
        if repeated := count_repeated(ids):
            return Hypothesis(picture, ids[:-repeated], scores[:-repeated]), True
        if self._grammar and token != self._eos:
            state = self._grammar[0].follow(state, self._grammar[1][token])
        return Hypothesis(picture, ids, scores, state), token == self._eos

    def _keep(self, parents: list[int]) -> None:
        """Brings the networks to the rows that go on."""
        if parents == list(range(len(self.alive))):
            return
        before = [hypothesis.picture for hypothesis in self.alive]
        for reader in self._readers:
            reader.keep(parents, [before[row] for row in parents] != before)

    def _rank(self, hypothesis: Hypothesis) -> tuple[bool, float]:
        return hypothesis.ids[-1] == self._eos, hypothesis.total


def count_repeated(ids: Sequence[int]) -> int:
    """How many ids at the end only repeat the cycle before them, if that is more than a formula can mean; else 0."""
    for cycle in range(1, LONGEST_CYCLE + 1):
        length = max(LOOP_TOKENS, LOOP_REPEATS * cycle)
        if len(ids) >= length and ids[-length + cycle :] == ids[-length:-cycle]:
            return length - cycle
    return 0


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1))


# ----------------------------------------------------------------------------------------------------- model


@dataclass(frozen=True)
class Options:
    """How a request wants its pictures read; the names and bounds of its JSON fields or query parameters."""

    beam: int = 1  # hypotheses followed at a time, 1 to 8: beam search (at least `n_best`; for `views` at least VOTES)
    n_best: int = 1  # most answers to give, 1 to 8: the likeliest, no two of the same LaTeX
    tokens: bool = False  # a confidence for each token
    constrained: bool = False  # nothing but LaTeX: see Grammar
    turn: str = "auto"  # "auto" also tries a tall picture as one that lies on its side; "off" takes it as it is
    views: int = 4  # sizes at which a picture is read, 1 to 4, if the first reading isn't sure

    def changed(self, values: Mapping[str, Any]) -> Options:
        """These options with others in their place, numbers or texts.

        Raises:
            RequestError: 400 `unknown_option` or `invalid_option`, naming the field.
        """
        for name in values:
            if name not in OPTION_NAMES:
                raise RequestError(400, "unknown_option", f"{name!r} is no option; there are {', '.join(OPTION_NAMES)}")
        changed: dict[str, Any] = {name: _option(name, value) for name, value in values.items()}
        return replace(self, **changed)


OPTION_NAMES = tuple(sorted(field.name for field in fields(Options)))
MAX_BEAM = 8
ZOOMS = (1.15, 0.85, 1.3)  # of the further views: larger ones are good for handwriting, smaller ones for print
LIMITS = {"beam": MAX_BEAM, "n_best": MAX_BEAM, "views": 1 + len(ZOOMS)}
CHOICES = {"turn": ("auto", "off")}


def _option(name: str, value: Any) -> int | bool | str:
    text = str(value).lower() if isinstance(value, int | str) else ""
    if name in LIMITS:
        if text.isdecimal() and len(text) < 9 and 1 <= int(text) <= LIMITS[name]:
            return int(text)
        expected = f"a whole number from 1 to {LIMITS[name]}"
    elif name in CHOICES:
        if text in CHOICES[name]:
            return text
        expected = " or ".join(CHOICES[name])
    else:
        if text in ("true", "1", "false", "0"):
            return text in ("true", "1")
        expected = "true or false"
    raise RequestError(400, "invalid_option", f"{name} is {value!r}, not {expected}")


@dataclass(frozen=True)
class Prediction:
    latex: str
    tokens: tuple[str, ...]
    confidence: float  # 0..1: that the answer is right, if the model is calibrated; else the network's, of all tokens
    truncated: bool  # no end was found: the model's limit of tokens was reached, or it went round in a loop
    model_version: str
    repaired: bool = False  # a brace, \left or \begin lacked its partner: see `balance`
    blank: bool = False  # the picture has no ink; nothing was guessed, and the confidence in that is 1
    token_confidences: tuple[float | None, ...] | None = None  # on request; None for a token that a repair put in
    n_best: tuple[Prediction, ...] = ()  # on request: this one and the next likeliest
    turned: int = 0  # degrees clockwise, 90 or 270, by which the picture was turned to be read

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {name: getattr(self, name) for name in ROW_FIELDS}
        row |= {"tokens": list(self.tokens), "confidence": round(self.confidence, 6)}
        if self.token_confidences is not None:
            pairs = zip(self.tokens, self.token_confidences, strict=True)
            row["tokens"] = [{"token": token, "confidence": _rounded(value)} for token, value in pairs]
        if self.n_best:
            row["n_best"] = [{"latex": one.latex, "confidence": _rounded(one.confidence)} for one in self.n_best]
        return row


ROW_FIELDS = [field.name for field in fields(Prediction) if field.name not in ("token_confidences", "n_best")]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


LEAST_CONFIDENCE = 1e-300  # a probability below has no logarithm
BATCH_PIXELS = 320_000  # of prepared inputs in a batch: two of the largest, for which the encoder takes 0.4 GB
MOST_FILLING = 2  # times the inputs' own pixels, in a batch
Prepared = Any  # what `prepare` makes of a picture: (h, w) float32, in an ensemble one for each member

# When a picture is tried as one that lies on its side; set on embedded pictures with the shipped weights.
TURNS = (90, 270)  # degrees clockwise
TALL = 1.5  # times as high as wide: 2% of upright pictures
SURE = 0.9  # probability of a reading that needs no other
LOST = 0.1  # of one so poor that a squarish picture may lie, too: half of those that did were read, none less upright
BETTER = 0.15  # in log probability of a token: nothing that was right as it stood was lost by this
FEWEST_TURNED = 3  # tokens: less has another meaning on its side, as `|` and `-`
LONG = 200  # tokens: at this length a calibration's second curve holds
UNSURE = 0.72  # to the power of a root of the length: a less likely reading's picture is read at other sizes too
VOTES = 2  # readings of each size that vote then; with one, 2 in 100 handwritten formulas fewer were right
MARGIN = 2.5  # in log probability: what is 12 times less likely than the best of its size has no vote


class Calls:
    """How many calls of networks run in this process: what runs alone may use all cores."""

    def __init__(self) -> None:
        self.count, self._lock = 0, threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1


CALLS = Calls()


Read = Mapping[int, tuple[np.ndarray, Prediction]]  # by its place: a picture, and what it was read as


@dataclass(frozen=True)
class Calibration:
    """How often answers are right: Platt scaling (arXiv:1706.04599, 4.1) whose two numbers go with the answer's length.

    The probability of a whole sequence falls with its length, and how often it is right doesn't fall as fast.

    slope, offset            of an answer of one token: it is right with probability sigmoid(slope * log(p) + offset)
    long_slope, long_offset  of one of LONG tokens; between them they go with the logarithm of the length
    """

    slope: float
    offset: float
    long_slope: float
    long_offset: float

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """Older models have one curve for all lengths. Raises KeyError, TypeError, ValueError."""
        slope, offset = float(stored["slope"]), float(stored["offset"])
        return cls(slope, offset, float(stored.get("long_slope", slope)), float(stored.get("long_offset", offset)))

    def curve(self, length: int) -> Callable[[float], float]:
        """From the network's probability of an answer of so many tokens to that of being right."""
        share = length_share(length)
        slope = (1 - share) * self.slope + share * self.long_slope
        offset = (1 - share) * self.offset + share * self.long_offset

        def calibrated(probability: float) -> float:
            return (1 + math.tanh((slope * math.log(max(probability, LEAST_CONFIDENCE)) + offset) / 2)) / 2

        return calibrated


def length_share(length: int) -> float:
    """0 for an answer of one token, 1 for one of LONG, and between them by the logarithm."""
    return math.log(min(max(length, 1), LONG)) / math.log(LONG)


class GoldenSample(NamedTuple):
    """A picture that a model directory keeps, and what became of it at export."""

    name: str
    picture: np.ndarray  # (H, W, 3) uint8
    pixels: np.ndarray  # the network's input
    latex: str
    confidence: float


class Recognizer:
    """A model directory, loaded: `predict` turns RGB pictures into LaTeX. Safe to call from several threads.

    Attributes:
        providers: of ONNX Runtime, as they are used: where CUDA can't start, its CUDA build falls back to the CPU.
        on_stage: told "encoder" or "decoder" and the seconds that this took for a batch.
    """

    tokens: list[str]
    bos: int
    eos: int
    pad: int
    max_tokens: int
    providers: list[str]

    def __init__(self, model_dir: Path, description: dict[str, Any], threads: int, precision: str) -> None:
        self.model_dir, self.precision = model_dir, precision
        self.version: str = description["version"]
        stored = description.get("calibration")  # older models have none
        self.calibration = Calibration.from_dict(stored) if stored else None
        self.on_stage: Callable[[str, float], None] = lambda stage, seconds: None
        self.batch_size = 32  # pictures that go through the networks together, at most
        self._open(description, threads)
        self._grammar = Grammar(self.tokens, (self.pad, self.bos, self.eos), self.eos)

    def _open(self, description: dict[str, Any], threads: int) -> None:
        """Loads the networks, and what they can write."""
        self.spec = PreprocessSpec.from_dict(description["preprocess"])
        vocabulary = description["vocabulary"]
        self.tokens = vocabulary["tokens"]
        self.bos, self.eos, self.pad = vocabulary["bos"], vocabulary["eos"], vocabulary["pad"]
        self.max_tokens = description["limits"]["max_tokens"]
        encoder, decoder = (self.model_dir / name for name in NETWORKS[self.precision])
        self.encoder = _session(encoder, threads)
        # For calls side by side, which would wait for each other's threads; and ONNX Runtime waits by spinning.
        self._narrow_encoder = _session(encoder, 1) if threads > 1 else self.encoder
        # A step is too small to be divided: with more threads it takes as long, and more of the processor.
        self.decoder = _session(decoder, 1)
        self._encoder_outputs = [output.name for output in self.encoder.get_outputs()]
        self.providers = self.encoder.get_providers()
        self._on_cpu = self.providers[0] == "CPUExecutionProvider"

    @classmethod
    def load(cls, model_dir: str | os.PathLike[str], threads: int | None = None, precision: str = "fp32") -> Recognizer:
        """Loads `model.json` and the two networks, or those of an ensemble's members.

        Args:
            precision: "fp32", or "int8": matrix products in 8 bits, faster and a little less accurate.

        Raises:
            ModelError: a file or key is missing, or the format is newer than this code.
        """
        if precision not in NETWORKS:
            raise ModelError(f"precision {precision!r} is not one of {', '.join(NETWORKS)}")
        folder = Path(model_dir)
        try:
            description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{folder} is no model directory: it has no model.json") from None
        except ValueError as error:
            raise ModelError(f"{folder / 'model.json'} is not JSON: {error}") from None
        version = description.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{folder / 'model.json'} has format_version {version!r}; this inference.py reads {FORMAT_VERSION}: "
                "use the inference.py that came with the model, or export the model again"
            )
        try:
            kind = Ensemble if "members" in description else cls
            return kind(folder, description, threads or default_threads(), precision)
        except (KeyError, TypeError, AttributeError) as error:
            problem = (
                f"lacks the key {error}" if isinstance(error, KeyError) else f"has a value of a wrong kind: {error}"
            )
            raise ModelError(f"{folder / 'model.json'} {problem}") from None

    def prepare(self, rgb: np.ndarray) -> Prepared:
        """(H, W, 3) uint8 RGB -> the network's input (h, w) float32."""
        return self.prepare_views(rgb, [1.0])[0]

    def prepare_views(self, rgb: np.ndarray, zooms: Sequence[float]) -> list[Prepared]:
        """Inputs that are so many times as large as those the network was trained with."""
        ink = find_ink(rgb, self.spec.frames)
        return [scale_ink(ink, replace(self.spec, scale=self.spec.scale * zoom)) for zoom in zooms]

    def pixels(self, prepared: Prepared) -> np.ndarray:
        """All that the networks see of a picture, as golden samples store it."""
        return np.asarray(prepared)

    def predict(
        self, pictures: Sequence[np.ndarray], options: Options = Options(), is_wanted: IsWanted = always_wanted
    ) -> list[Prediction]:
        """(H, W, 3) uint8 RGB pictures -> their predictions, in the same order. One without ink gets an empty one.

        Args:
            is_wanted: asked while the networks run, for the place of a picture. What is made of one that nobody waits
                for any more is unfinished, and nothing to show.
        """
        inputs = {place: [self.prepare(picture)] for place, picture in enumerate(pictures)}
        written = {place: images for place, images in inputs.items() if self._has_ink(images[0])}
        predictions = {place: first for place, (first,) in self._recognize_all(written, options, is_wanted).items()}
        if options.turn == "auto":
            may_lie = [place for place, (image,) in written.items() if self._may_lie(image, predictions[place])]
            read = {place: (pictures[place], predictions[place]) for place in may_lie}
            predictions |= self._read_turned(read, options, is_wanted)
        read = {place: (pictures[place], predictions[place]) for place in written}
        predictions |= self._read_again(read, options, is_wanted)
        return [
            self._finish(predictions[i], options) if i in predictions else self._blank(options)
            for i in range(len(pictures))
        ]

    def _may_lie(self, prepared: Prepared, first: Prediction) -> bool:
        """Whether a picture may lie on its side: a high one that isn't read surely, a squarish one that can't be read.

        A wide one would be a column upright, which is rare: to try all that can't be read costs more than it brings.
        """
        height, width = self._shape(prepared)
        if _is_tall((width, height)):
            return False
        return first.confidence < (SURE if _is_tall((height, width)) else LOST)

    def _read_turned(self, read: Read, options: Options, is_wanted: IsWanted) -> dict[int, Prediction]:
        """What is made of the pictures, as far as they are wanted, when they are read lying on either side as well.

        They are prepared anew: what lies on its side was cropped and scaled by the bounds of an upright formula.
        """
        inputs = {
            place: [self.prepare(_turned(rgb, degrees)) for degrees in TURNS]
            for place, (rgb, _) in read.items()
            if is_wanted(place)
        }
        found = {}
        for place, readings in self._recognize_all(inputs, options, is_wanted).items():
            turned = [replace(each, turned=degrees) for each, degrees in zip(readings, TURNS, strict=True)]
            found[place] = _likelier(read[place][1], turned)
        return found

    def _read_again(self, read: Read, options: Options, is_wanted: IsWanted) -> dict[int, Prediction]:
        """Reads pictures again whose first reading isn't sure, at several sizes; the likeliest of all sizes vote.

        On a CPU one picture after the other: its views and their beams fill a batch, and those of several pictures,
        which are wide and long in other ways, take a fifth longer together.
        """
        unsure = [place for place, (_, first) in read.items() if options.views > 1 and is_unsure(first)]
        several = replace(options, n_best=max(options.beam, options.n_best, VOTES))
        found = {}
        for places in [[place] for place in unsure] if self._on_cpu else [unsure]:
            inputs = {
                place: self.prepare_views(_turned(rgb, first.turned), (1.0, *ZOOMS[: options.views - 1]))
                for place, (rgb, first) in ((place, read[place]) for place in places)
                if is_wanted(place)
            }
            for place, views in self._recognize_all(inputs, several, is_wanted, MARGIN).items():
                found[place] = replace(_likeliest_of_all(views, options), turned=read[place][1].turned)
        return found

    def _recognize_all(
        self,
        inputs: Mapping[int, Sequence[Prepared]],
        options: Options,
        is_wanted: IsWanted,
        margin: float = math.inf,
    ) -> dict[int, list[Prediction]]:
        """`recognize` for the inputs of each picture; all go through the networks together."""
        places = [place for place, images in inputs.items() for _ in images]
        images = [image for images in inputs.values() for image in images]
        readings = iter(self.recognize(images, options, margin, _at(places, is_wanted)))
        return {place: [next(readings) for _ in images] for place, images in inputs.items()}

    def _finish(self, prediction: Prediction, options: Options) -> Prediction:
        repaired = _repair(prediction)
        return self._calibrate(replace(repaired, n_best=_distinct(repaired.n_best)[: options.n_best]))

    def _calibrate(self, prediction: Prediction) -> Prediction:
        """With probabilities of being right. One of `n_best` alone can be: they add up to 1 at most, in their order."""
        if self.calibration is None:
            return prediction
        at = self.calibration.curve(len(prediction.tokens))
        n_best = [replace(each, confidence=at(each.confidence)) for each in prediction.n_best]
        first, rest = at(prediction.confidence), sum(each.confidence for each in n_best[1:])
        share = min(1.0, (1 - first) / rest) if rest else 1.0
        n_best[1:] = [replace(each, confidence=share * each.confidence) for each in n_best[1:]]
        return replace(prediction, confidence=first, n_best=tuple(n_best))

    def stream(
        self, picture: np.ndarray, options: Options = Options(), is_wanted: IsWanted = always_wanted
    ) -> Iterator[str | Prediction]:
        """The tokens of one picture, in place 0, as they are decided, then the prediction as `predict` gives it.

        A loop's repeats are among the tokens, and what a repair, another size or another side changes isn't: the
        prediction counts.

        Raises:
            RequestError: 400 `invalid_option` for a beam, which decides nothing before its end.
        """
        for name in ("beam", "n_best"):
            if getattr(options, name) > 1:
                raise RequestError(400, "invalid_option", f"{name} must be 1 for a stream: a beam decides at its end")
        image = self.prepare(picture)
        if not self._has_ink(image):
            yield self._blank(options)
            return
        if options.turn == "auto" and _is_tall(self._shape(image)):  # which way up is known at the end
            (answer,) = self.predict([picture], options, is_wanted)
            yield from answer.tokens
            yield answer
            return
        with CALLS:
            search = self._search([image], options, is_wanted=is_wanted)
            with self._timed("decoder"):
                while search.alive:
                    search.advance()
                    newest = (hypothesis.ids[-1] for hypothesis in search.alive)
                    yield from (self.tokens[token] for token in newest if token not in (self.pad, self.bos))
        first = self._prediction(search.run()[0], options)
        if options.turn == "auto" and self._may_lie(image, first):
            first = self._read_turned({0: (picture, first)}, options, is_wanted).get(0, first)
        yield self._finish(self._read_again({0: (picture, first)}, options, is_wanted).get(0, first), options)

    def recognize(
        self,
        inputs: Sequence[Prepared],
        options: Options = Options(),
        margin: float = math.inf,
        is_wanted: IsWanted = always_wanted,
    ) -> list[Prediction]:
        """Prepared inputs -> what the networks say, in the same order; batches hold inputs of like size.

        Args:
            margin, is_wanted: see `BeamSearch`.
        """
        answers: list[Prediction | None] = [None] * len(inputs)
        for rows in self._batches(inputs):
            with CALLS:
                search = self._search([inputs[i] for i in rows], options, margin, _at(rows, is_wanted))
                with self._timed("decoder"):
                    readings = search.run()
            for row, hypotheses in zip(rows, readings, strict=True):
                answers[row] = self._prediction(hypotheses, options)
        return [answer for answer in answers if answer is not None]

    def _batches(self, inputs: Sequence[Prepared]) -> Iterator[list[int]]:
        """Places of inputs that go through the networks together, of like size, as what is smaller is filled up.

        On a GPU that is the picture, to a canvas that holds all. On a CPU, where each is encoded by itself, it is what
        the encoder saw, which grows with the picture's area.
        """
        shapes = [self._shape(image) for image in inputs]
        sizes = [height * width if self._on_cpu else (width, height) for height, width in shapes]
        rows: list[int] = []
        tallest = own = 0
        for place in sorted(range(len(inputs)), key=sizes.__getitem__):
            height, width = shapes[place]
            tallest, own = max(tallest, height), own + height * width
            filled = (len(rows) + 1) * (height if self._on_cpu else tallest) * width
            if rows and (len(rows) == self.batch_size or filled > min(BATCH_PIXELS, MOST_FILLING * own)):
                yield rows
                rows, tallest, own = [], height, height * width
            rows.append(place)
        if rows:
            yield rows

    def _search(
        self,
        inputs: Sequence[Prepared],
        options: Options,
        margin: float = math.inf,
        is_wanted: IsWanted = always_wanted,
    ) -> BeamSearch:
        beam = max(options.beam, options.n_best)
        grammar = (self._grammar, self.tokens) if options.constrained else None
        with self._timed("encoder"):
            readers = self._readers(inputs)
        return BeamSearch(readers, self.bos, self.eos, beam, grammar, margin, is_wanted)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.on_stage(stage, time.perf_counter() - started)

    def _readers(self, inputs: Sequence[Prepared]) -> list[Reader]:
        prefix, memory = self.encode(inputs)
        return [Reader(self.step, prefix, memory, self.max_tokens)]

    def encode(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Memory]:
        """Prepared inputs -> the state before the first token (P, B, ...), and what the encoder saw.

        On a CPU each by itself: the encoder's work grows with its canvas, so one that holds all would be a waste.
        """
        memory = join_memories([self._encode([image]) for image in inputs] if self._on_cpu else [self._encode(inputs)])
        return memory.pop(PREFIX).swapaxes(0, 1), memory

    def _encode(self, inputs: Sequence[np.ndarray]) -> Memory:
        """What the encoder saw, the state before the first token with it: (B, P, ...)."""
        images, sizes = make_batch(inputs, self.spec)
        encoder = self.encoder if CALLS.count <= 1 else self._narrow_encoder
        arrays = encoder.run(self._encoder_outputs, {"images": images, "sizes": sizes})
        memory = dict(zip(self._encoder_outputs, arrays, strict=True))
        return memory | {PREFIX: memory[PREFIX].swapaxes(0, 1)}

    def step(self, tokens: np.ndarray, past: np.ndarray, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """See `Reader`."""
        logits, present = self.decoder.run(["logits", "present"], {"tokens": tokens, "past": past, **memory})
        return logits, present

    def _prediction(self, hypotheses: Sequence[Hypothesis], options: Options) -> Prediction:
        """With all hypotheses as `n_best`, if several are wanted: some may turn out to be spelt alike (`_finish`)."""
        if options.n_best == 1:
            return self._answer(hypotheses[0], options)
        answers = tuple(self._answer(hypothesis, options) for hypothesis in hypotheses)
        return replace(answers[0], n_best=answers)

    def _answer(self, hypothesis: Hypothesis, options: Options) -> Prediction:
        ended = hypothesis.ids[-1] == self.eos
        kept = [
            (self.tokens[i], math.exp(score))
            for i, score in zip(hypothesis.ids, hypothesis.scores, strict=True)
            if i not in (self.eos, self.pad, self.bos)
        ]
        tokens = [token for token, _ in kept]
        added = self._grammar.completion(tokens) if options.constrained and not ended else []
        confidences = (*(value for _, value in kept), *(None for _ in added)) if options.tokens else None
        confidence = math.exp(min(hypothesis.total, 0.0))
        tokens += added
        return Prediction(
            join_tokens(tokens),
            tuple(tokens),
            confidence,
            not ended,
            self.version,
            repaired=bool(added),
            token_confidences=confidences,
        )

    def _shape(self, image: Prepared) -> tuple[int, int]:
        height, width = image.shape
        return height, width

    def _has_ink(self, image: Prepared) -> bool:
        return float(image.max()) > (FAINTEST_INK - self.spec.mean) / self.spec.std

    def _blank(self, options: Options) -> Prediction:
        confidences = () if options.tokens else None
        return Prediction("", (), 1.0, False, self.version, blank=True, token_confidences=confidences)

    def check_golden(self) -> int:
        """Recognises the golden samples that were stored at export, and returns how many there are.

        Raises:
            ModelError: naming the first sample whose input, LaTeX or confidence isn't what it was at export:
                the model would answer wrongly here.
        """
        samples = self._golden_samples(self.model_dir / "golden")
        for name, picture, pixels, latex, confidence in samples:
            seen = self.prepare(picture)
            difference = _input_difference(self.pixels(seen), pixels)
            if difference > 0.02:
                raise ModelError(
                    f"golden sample {name}: the prepared input differs from the one at export (by {difference:.3f} "
                    "on average): preprocessing (mean, colours, resize filter, library) isn't what was trained with"
                )
            answer = self.recognize([seen])[0]
            if answer.latex != latex or abs(answer.confidence - confidence) > 0.05:
                raise ModelError(
                    f"golden sample {name}: expected {latex!r} ({confidence:.3f}), "
                    f"got {answer.latex!r} ({answer.confidence:.3f})"
                )
        return len(samples)

    def _golden_samples(self, folder: Path) -> list[GoldenSample]:
        samples = []
        try:
            with np.load(folder / "inputs.npz", allow_pickle=False) as inputs:
                for stored in json.loads((folder / "golden.json").read_text(encoding="utf-8")):
                    answer = stored if self.precision == "fp32" else stored[self.precision]
                    name = str(stored["file"])
                    picture = read_image((folder / name).read_bytes())
                    samples.append(
                        GoldenSample(name, picture, inputs[name], answer["latex"], float(answer["confidence"]))
                    )
        except (OSError, ValueError, KeyError, TypeError, BadZipFile, RequestError) as error:
            raise ModelError(f"the golden samples in {folder} can't be read: {error!r}") from error
        if not samples:
            raise ModelError(f"{folder / 'golden.json'} lists no sample")
        return samples


class Ensemble(Recognizer):
    """Several models that decide on each token together: `members` of model.json names their folders.

    Each prepares pictures in its own way and has its own state. Tokens are matched by spelling, and one that a member
    lacks is never written.
    """

    def _open(self, description: dict[str, Any], threads: int) -> None:
        names, file = description["members"], self.model_dir / "model.json"
        if not (isinstance(names, list) and len(names) > 1 and all(map(_is_folder_name, names))):
            raise ModelError(f"{file}: members is {names!r}, not a list of two sub-folders' names or more")
        self.members = [Recognizer.load(self.model_dir / name, threads, self.precision) for name in names]
        self.providers, self._on_cpu = self.members[0].providers, self.members[0]._on_cpu
        if nested := [name for name, one in zip(names, self.members, strict=True) if isinstance(one, Ensemble)]:
            raise ModelError(f"{file}: member {nested[0]} is an ensemble; list its members instead")
        specials = {tuple(one.tokens[i] for i in (one.bos, one.eos, one.pad)) for one in self.members}
        if len(specials) > 1:
            raise ModelError(f"{file}: the members begin, end and pad their answers with other tokens: {specials}")
        places = [{token: i for i, token in enumerate(one.tokens)} for one in self.members]
        self.tokens = [token for token in self.members[0].tokens if all(token in known for known in places)]
        self._ids = [np.array([known[token] for token in self.tokens]) for known in places]
        self.bos, self.eos, self.pad = map(self.tokens.index, specials.pop())
        self.max_tokens = min(one.max_tokens for one in self.members)

    def prepare_views(self, rgb: np.ndarray, zooms: Sequence[float]) -> list[Prepared]:
        """For each zoom the input of each member."""
        by_spec = {one.spec: one for one in self.members}
        views = {spec: one.prepare_views(rgb, zooms) for spec, one in by_spec.items()}
        return [[views[one.spec][place] for one in self.members] for place in range(len(zooms))]

    def pixels(self, prepared: Prepared) -> np.ndarray:
        return np.concatenate([image.ravel() for image in prepared])

    def _readers(self, inputs: Sequence[Prepared]) -> list[Reader]:
        return [
            Reader(_translated(one.step, ids), *one.encode(images), self.max_tokens)
            for one, ids, images in zip(self.members, self._ids, zip(*inputs, strict=True), strict=True)
        ]

    def _shape(self, image: Prepared) -> tuple[int, int]:
        return self.members[0]._shape(image[0])

    def _has_ink(self, image: Prepared) -> bool:
        return self.members[0]._has_ink(image[0])


def _is_folder_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _translated(step: Step, ids: np.ndarray) -> Step:
    """The step of a network that calls our token i ids[i]."""

    def translated(tokens: np.ndarray, past: np.ndarray, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        logits, present = step(ids[tokens], past, memory)
        return logits[:, ids], present

    return translated


def _is_tall(shape: tuple[int, int]) -> bool:
    return shape[0] > TALL * shape[1]


def _turned(rgb: np.ndarray, degrees: int) -> np.ndarray:
    """(H, W, 3) -> the picture turned clockwise by a multiple of 90 degrees."""
    return np.rot90(rgb, -degrees // 90)


def is_unsure(reading: Prediction) -> bool:
    """Probabilities fall with the length, and how often readings are right doesn't fall as fast: less than by token."""
    return reading.confidence < UNSURE ** math.sqrt(len(reading.tokens) + 1)  # and the end


def _likelier(upright: Prediction, turned: Sequence[Prediction]) -> Prediction:
    """The upright reading unless a turned one is clearly better; by token, since wrong readings are often short."""

    def by_token(prediction: Prediction) -> float:
        return math.log(max(prediction.confidence, LEAST_CONFIDENCE)) / (len(prediction.tokens) + 1)  # and the end

    whole = [each for each in turned if len(each.tokens) >= FEWEST_TURNED and not each.truncated]
    best = max(whole, key=by_token, default=upright)
    return best if upright.truncated or by_token(best) > by_token(upright) + BETTER else upright


def _likeliest_of_all(views: Sequence[Prediction], options: Options) -> Prediction:
    """The answer whose probability, averaged over the views (0 where a view doesn't have it), is highest.

    Errors of views differ; what is right is among the likeliest in many.
    """
    same: dict[tuple[str, ...], list[Prediction]] = {}
    for each in (one for view in views for one in view.n_best or (view,)):
        same.setdefault(each.tokens, []).append(each)
    answers = [
        replace(
            max(readings, key=lambda one: one.confidence),
            confidence=sum(one.confidence for one in readings) / len(views),
            truncated=all(one.truncated for one in readings),
        )
        for readings in same.values()
    ]
    answers.sort(key=lambda one: (one.truncated, -one.confidence))
    return replace(answers[0], n_best=tuple(answers)) if options.n_best > 1 else answers[0]


def _repair(prediction: Prediction) -> Prediction:
    if prediction.n_best:
        best = tuple(map(_repair, prediction.n_best))
        return replace(best[0], n_best=best, turned=prediction.turned)
    tokens = balance(prediction.tokens)
    if tokens == prediction.tokens:
        return prediction
    confidences = prediction.token_confidences and _aligned(prediction.tokens, prediction.token_confidences, tokens)
    latex = join_tokens(tokens)
    return replace(prediction, latex=latex, tokens=tokens, repaired=True, token_confidences=confidences)


def _distinct(answers: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The first of each LaTeX: a repair, or the end of a loop that is cut off, can make two answers one."""
    distinct: dict[str, Prediction] = {}
    for answer in answers:
        distinct.setdefault(answer.latex, answer)
    return tuple(distinct.values())


def _aligned(old: Sequence[str], values: Sequence[float | None], new: Sequence[str]) -> tuple[float | None, ...]:
    """The values of the tokens that a repair kept, in their new places."""
    aligned: list[float | None] = [None] * len(new)
    for start, target, size in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        aligned[target : target + size] = values[start : start + size]
    return tuple(aligned)


def _input_difference(seen: np.ndarray, expected: np.ndarray) -> float:
    return math.inf if seen.shape != expected.shape else float(np.abs(seen - expected.astype(np.float32)).mean())


def _session(path: Path, threads: int) -> ort.InferenceSession:
    if not path.is_file():
        if path.name in NETWORKS["int8"]:
            raise ModelError(f"the model in {path.parent} has no int8 networks: export it anew, or use fp32")
        raise ModelError(f"{path.parent} is no model directory: it has no {path.name}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the core
    return ort.InferenceSession(str(path), options, providers=_providers())


@cache
def _providers() -> list[str]:
    """What networks may run on here, the best first.

    The libraries that CUDA's build needs are Python packages, which nothing but `preload_dlls` finds: without it the
    build falls back to the CPU. https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
    """
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" in available and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]


def default_threads() -> int:
    """Threads that this process may use: OMP_NUM_THREADS, else the cgroup's quota, not the host's number of cores."""
    if (wanted := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(wanted):
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        return cores


# ----------------------------------------------------------------------------------- SageMaker handler functions


@dataclass(frozen=True)
class Request:
    """Decoded pictures of one request; one that can't be decoded keeps its place as an error."""

    pictures: tuple[np.ndarray | RequestError, ...]
    form: str  # "one", "many" or "lines": how the answer is laid out
    options: Options = Options()
    is_wanted: IsWanted = always_wanted  # of the pictures; see Recognizer.predict

    def with_options(self, values: Mapping[str, Any]) -> Request:
        """The request with options that came beside its body. Raises RequestError as `Options.changed` does."""
        return replace(self, options=self.options.changed(values))


@dataclass(frozen=True)
class Answer:
    rows: tuple[Prediction | RequestError, ...]
    form: str


def model_fn(model_dir: str, context: Any = None) -> Recognizer:
    """Loads the model, as SERVE_PRECISION says in fp32 (default) or int8; it proves itself on its golden samples."""
    model = Recognizer.load(model_dir, precision=os.environ.get("SERVE_PRECISION", "").strip() or "fp32")
    model.check_golden()
    return model


def input_fn(body: bytes | str, content_type: str, context: Any = None) -> Request:
    """A request's body -> its pictures.

    Takes a picture's bytes (image/* and BYTES), JSON with base64 pictures
    (`{"image": ...}`, `{"images": [...]}`, `{"instances": [...]}`; further fields are `Options`), JSON Lines, CSV of
    base64 (one column, no header), or a form with files (further fields are `Options`). Each line that isn't empty is a
    record, and gets a row of the answer or an error in its place.

    Raises:
        RequestError: 400, 413 or 415 where nothing of the request can be answered.
    """
    data = body.encode() if isinstance(body, str) else bytes(body)
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in BYTES:
        return _one(data)
    if kind == "application/json":
        return _json_request(data)
    if kind in JSON_LINES:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # whose line ends can't be found by bytes
            raise RequestError(400, "invalid_json", "JSON Lines are UTF-8; these are UTF-16")
        return Request(_all(_record, [line for line in data.splitlines() if line.strip()]), "lines")
    if kind == "text/csv":
        return Request(_all(_csv_picture, [line for line in data.splitlines() if line.strip()]), "lines")
    if kind == "multipart/form-data":
        return _form_request(data, content_type)
    raise RequestError(
        415,
        "unsupported_content_type",
        f"content type {content_type!r}: send image/*, application/x-image, application/octet-stream, "
        "application/json (base64), application/jsonlines, text/csv or multipart/form-data",
    )


def predict_fn(request: Request, model: Recognizer, context: Any = None) -> Answer:
    pictures = {i: picture for i, picture in enumerate(request.pictures) if isinstance(picture, np.ndarray)}
    is_wanted = _at(list(pictures), request.is_wanted)
    predictions = iter(model.predict(list(pictures.values()), request.options, is_wanted))
    rows = tuple(p if isinstance(p, RequestError) else next(predictions) for p in request.pictures)
    return Answer(rows, request.form)


def stream_fn(request: Request, model: Recognizer) -> Iterator[str | Prediction]:
    """The tokens of a request's only picture, as they are decided, and then its row of the answer.

    Raises:
        RequestError: 400 `invalid_option` for options that a stream can't have.
    """
    (picture,) = request.pictures
    assert isinstance(picture, np.ndarray)  # as in every request of the form "one"
    yield from model.stream(picture, request.options, request.is_wanted)


def output_fn(answer: Answer, accept: str, context: Any = None) -> tuple[str, str]:
    """The answer as (body, content type): JSON, JSON Lines, plain text or CSV.

    Raises:
        RequestError: 406 for a type that can't be given.
    """
    for kind in accepted_types(accept or "*/*"):
        if kind in JSON_LINES:
            return _json_lines(answer), kind
        if kind == "text/csv":
            return _csv(answer), kind
        if kind in ("text/plain", "text/*"):
            return "".join(f"{_plain(row)}\n" for row in answer.rows), "text/plain; charset=utf-8"
        if kind in ("*/*", "application/*", "application/json", ""):
            lines = answer.form == "lines" and kind != "application/json"
            return (_json_lines(answer), "application/jsonlines") if lines else (_json(answer), "application/json")
    raise RequestError(
        406,
        "not_acceptable",
        f"accept {accept!r}: ask for application/json, application/jsonlines, text/plain or text/csv",
    )


def accepted_types(accept: str) -> list[str]:
    """The media types of an `Accept` header, the most wanted first (RFC 9110, 12.5.1), less those that it refuses.

    Of types that are wanted alike the first comes first; a quality that is no number counts as 1.
    """
    wanted = []
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        wanted.append((float(quality) if re.fullmatch(QUALITY, quality) else 1.0, kind))
    return [kind for quality, kind in sorted(wanted, key=lambda one: -one[0]) if quality]


def _one(data: bytes) -> Request:
    if not data:
        raise RequestError(400, "empty_body", "the request has no body; send a picture")
    return Request((read_image(data),), "one")


def _json_request(data: bytes) -> Request:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "invalid_json", f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        return _many(document)
    holders = [name for name in ("image", "images", "instances") if name in document]
    if len(holders) > 1:
        raise RequestError(
            400, "invalid_json", f"the body has {' and '.join(holders)}: give all pictures in one of them"
        )
    values = {name: value for name, value in document.items() if name not in holders}
    if "image" in document:
        return Request((_picture(document),), "one").with_options(values)
    return _many(document.get("images", document.get("instances"))).with_options(values)


def _many(rows: Any) -> Request:
    if not isinstance(rows, list) or not rows:
        raise RequestError(
            400, "invalid_json", 'expected {"image": BASE64}, {"images": [BASE64, ...]} or a list of those'
        )
    if len(rows) > MAX_REQUEST_PICTURES:
        raise _too_many_pictures()
    return Request(_all(_record, rows), "many")


class FormField(NamedTuple):
    """One part of a form. It may be neither: a field in which no file was chosen, which has an empty file name."""

    name: str
    is_option: bool
    is_picture: bool
    content: bytes


def _form_request(data: bytes, content_type: str) -> Request:
    """A form's files are pictures; its other fields are options."""
    try:
        fields = [_form_field(part) for part in _form_parts(data, content_type)]
    except (RecursionError, ValueError, LookupError):  # Python's parser of a damaged header
        raise RequestError(400, "invalid_form", "a header in the form is damaged") from None
    files = [field.content for field in fields if field.is_picture]
    if not files:
        raise RequestError(400, "no_picture", "the form has no file; send one with -F image=@formula.png")
    request = _one(files[0]) if len(files) == 1 else Request(_all(read_image, files), "many")
    options = [field for field in fields if field.is_option]
    return request.with_options({field.name: field.content.decode(errors="replace") for field in options})


def _form_parts(data: bytes, content_type: str) -> list[bytes]:
    """What is between the lines with the boundary. Python's parser, which makes objects of lines, sees heads only."""
    named = re.search(r';\s*boundary=(?:"([^"]+)"|([^";]+))', content_type, re.IGNORECASE)  # many forget the quotes
    if not named:
        raise RequestError(400, "invalid_form", "the content type of the form names no boundary")
    boundary = (named[1] or named[2]).strip()
    parts: list[bytes] = []
    start = None
    for line in re.finditer(rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|\Z)", data):
        if start is not None:
            parts.append(data[start : line.start()])
        if line[1]:
            return parts
        if len(parts) == MAX_REQUEST_PICTURES:
            raise _too_many_pictures()
        start = line.end()
    raise RequestError(400, "invalid_form", f"the form has no end, a line --{boundary}--")


def _form_field(part: bytes) -> FormField:
    head, *content = re.split(rb"\r?\n\r?\n", part, maxsplit=1)
    field = _parse_head(head.lstrip())
    field.set_payload(b"".join(content).decode("ascii", "surrogateescape"))
    name = collapse_rfc2231_value(field.get_param("name", "", "content-disposition"))
    decoded = field.get_payload(decode=True)  # by its Content-Transfer-Encoding
    assert isinstance(decoded, bytes)  # as it has no parts
    filename = field.get_filename()
    has_type = field.get_content_maintype() == "image" or field.get_content_type() in BYTES
    is_option = name in OPTION_NAMES or (filename is None and not has_type)  # a browser's Blob has a file name
    return FormField(name, is_option, not is_option and bool(filename or has_type), decoded)


def _parse_head(head: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=HTTP).parsebytes(head, headersonly=True)


def _record(row: Any) -> np.ndarray:
    """The picture of a record: a line of JSON Lines, or an element of a list. Other fields than options may be ids."""
    if isinstance(row, bytes):
        try:
            row = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, "invalid_json", f"the record is not JSON: {error}") from None
    if isinstance(row, dict) and (options := [name for name in OPTION_NAMES if name in row]):
        raise RequestError(
            400,
            "invalid_option",
            f"{options[0]} in a record: options hold for all pictures; give them in the query, or beside the list",
        )
    return _picture(row)


def _picture(row: Any) -> np.ndarray:
    text = row.get("image") if isinstance(row, dict) else row
    if not isinstance(text, str):
        raise RequestError(400, "invalid_json", 'a picture must be a base64 string or {"image": BASE64}')
    return read_image(_from_base64(text))


def _from_base64(text: str) -> bytes:
    """The bytes of base64 as people write it: as a data URL, in lines, in the alphabet of URLs, without its padding."""
    head = text[:16].lstrip().lower()
    if head.startswith(("http://", "https://")):
        raise RequestError(
            400, "invalid_base64", "pictures aren't fetched from URLs: send the picture itself, as base64"
        )
    if head.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split()).translate(URL_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "invalid_base64", "the picture is not valid base64") from None


def _csv_picture(line: bytes) -> np.ndarray:
    """One column of base64; csv.reader isn't used because it splits a data URL, and its fields have a limit."""
    return _picture(line.removeprefix(codecs.BOM_UTF8).decode("ascii", "replace").strip().strip('"'))


def _all(read: Callable[[Any], np.ndarray], values: Sequence[Any]) -> tuple[np.ndarray | RequestError, ...]:
    """Each value's picture, or why there is none in its place, as for all when they no longer fit into memory."""
    pictures: list[np.ndarray | RequestError] = []
    room = MAX_REQUEST_PIXELS
    for value in values:
        try:
            if room <= 0:
                raise _too_many_pixels(
                    f"the pictures before this one have {MAX_REQUEST_PIXELS} pixels together: send the others in "
                    "another request, or as JSON Lines"
                )
            picture = read(value)
            room -= picture.shape[0] * picture.shape[1]
            pictures.append(picture)
        except RequestError as error:  # anew, as that which was raised holds what was decoded
            pictures.append(RequestError(error.status, error.code, error.message))
    return tuple(pictures)


def _json(answer: Answer) -> str:
    rows = [row.to_dict() for row in answer.rows]
    return json.dumps(rows[0] if answer.form == "one" else {"predictions": rows}, ensure_ascii=False)


def _json_lines(answer: Answer) -> str:
    return "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in answer.rows)


def _plain(row: Prediction | RequestError) -> str:
    return f"error: {row.code}: {row.message}" if isinstance(row, RequestError) else row.latex


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    table = csv.writer(text)
    if os.environ.get("SAGEMAKER_BATCH") != "true":  # which puts answers behind each other, line by line as it asked
        table.writerow(["latex", "confidence", "truncated", "repaired", "blank", "error"])
    for row in answer.rows:
        if isinstance(row, RequestError):
            table.writerow(["", "", "", "", "", row.code])
        else:
            flags = (row.truncated, row.repaired, row.blank)
            table.writerow([row.latex, f"{row.confidence:.6f}", *flags, ""])
    return text.getvalue()


def main(arguments: Sequence[str]) -> int:
    if len(arguments) < 2:
        print("usage: python inference.py MODEL_DIR PICTURE ...", file=sys.stderr)
        return 2
    model, failed = model_fn(arguments[0]), False
    for name in arguments[1:]:
        try:
            print(f"{name}\t{model.predict([read_image(Path(name).read_bytes())])[0].latex}", flush=True)
        except (OSError, RequestError) as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
