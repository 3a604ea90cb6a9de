"""inference.py: any picture file becomes the same ink, any request becomes pictures, any answer finds its form."""

from __future__ import annotations

import base64
import codecs
import io
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import inference
from container.serve.mathml import to_mathml
from inference import Answer, Options, PreprocessSpec, Request, RequestError
from recognizer.latex import normalize, problems, synonyms, tokenize
from recognizer.synth import mathjax
from recognizer.synth.mathjax import glyph_box
from recognizer.synth.style import Style, render, render_any

SPEC = PreprocessSpec()


def formula(
    scale: int = 2, ink: tuple[int, ...] = (20, 20, 20), paper: tuple[int, ...] = (250, 250, 250)
) -> np.ndarray:
    """Some black letters with a wide margin."""
    canvas = np.full((60 * scale, 220 * scale, 3), paper, dtype=np.uint8)
    cv2.putText(canvas, "a+2b=cx", (15 * scale, 40 * scale), 0, 0.9 * scale, ink, 2 * scale, cv2.LINE_AA)
    return canvas


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(rgb: np.ndarray | None = None) -> bytes:
    return encoded(Image.fromarray(formula() if rgb is None else rgb))


# ------------------------------------------------------------------------------------------------- picture files


def _sixteen_bit(gray: Image.Image, factor: int = 257) -> Image.Image:
    return Image.fromarray(np.asarray(gray).astype(np.uint16) * factor)


def _floats(rgb: Image.Image, span: float, low: float = 0.0, hole: float = 0.0) -> Image.Image:
    values = (np.asarray(rgb.convert("L")) / 255 * span + low).astype(np.float32)
    values[values == values.min()] = hole or values.min()
    return Image.fromarray(values)


VARIANTS: dict[str, Callable[[Image.Image], bytes]] = {
    "palette": lambda rgb: encoded(rgb.convert("P", palette=Image.Palette.ADAPTIVE)),
    "gray": lambda rgb: encoded(rgb.convert("L")),
    "16-bit": lambda rgb: encoded(_sixteen_bit(rgb.convert("L"))),
    "alpha": lambda rgb: encoded(rgb.convert("RGBA")),
    "gray with alpha": lambda rgb: encoded(rgb.convert("LA")),
    "CMYK": lambda rgb: encoded(rgb.convert("CMYK"), "JPEG", quality=95),
    "one bit": lambda rgb: encoded(rgb.convert("1", dither=Image.Dither.NONE)),
    "GIF": lambda rgb: encoded(rgb, "GIF"),
    "BMP": lambda rgb: encoded(rgb, "BMP"),
    "TIFF": lambda rgb: encoded(rgb, "TIFF"),
    "float TIFF, 0 to 1": lambda rgb: encoded(_floats(rgb, 1.0), "TIFF"),
    "float TIFF, 0.01 to 0.98": lambda rgb: encoded(_floats(rgb, 0.97, 0.01), "TIFF"),
    "float TIFF, 0 to 255": lambda rgb: encoded(_floats(rgb, 255.0), "TIFF"),
    "float TIFF with holes": lambda rgb: encoded(_floats(rgb, 1.0, hole=np.nan), "TIFF"),
    "12 bits of 16": lambda rgb: encoded(_sixteen_bit(rgb.convert("L"), 16)),
    "8 bits of 16": lambda rgb: encoded(_sixteen_bit(rgb.convert("L"), 1)),
    "WEBP": lambda rgb: encoded(rgb, "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_file_shows_the_same_formula(name: str) -> None:
    seen = inference.read_image(VARIANTS[name](Image.fromarray(formula())))
    assert seen.dtype == np.uint8 and seen.shape == formula().shape
    assert np.abs(seen.astype(int) - formula()).mean() < 8


def test_ink_on_transparent_ground_is_laid_on_white() -> None:
    rgba = np.zeros((40, 60, 4), dtype=np.uint8)  # black everywhere, and transparent
    rgba[10:30, 20:40, 3] = 255
    seen = inference.read_image(encoded(Image.fromarray(rgba)))
    assert (seen[0, 0] == 255).all() and (seen[20, 30] == 0).all()


@pytest.mark.parametrize("accent", [(255, 80, 80), (0, 0, 0)], ids=["red", "black"])
def test_light_ink_with_a_term_in_another_colour_is_laid_on_black(accent: tuple[int, ...]) -> None:
    rgba = np.zeros((40, 120, 4), dtype=np.uint8)
    rgba[10:30, 10:100:10] = (255, 255, 255, 255)
    rgba[10:30, 100] = (*accent, 255)
    assert (inference.read_image(encoded(Image.fromarray(rgba)))[0, 0] == 0).all()


def test_light_ink_on_transparent_ground_is_laid_on_black() -> None:
    rgba = np.full((40, 60, 4), 255, dtype=np.uint8)  # white everywhere, and transparent
    rgba[..., 3] = 0
    rgba[10:30, 20:40, 3] = 255
    seen = inference.read_image(encoded(Image.fromarray(rgba)))
    assert (seen[0, 0] == 0).all() and (seen[20, 30] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "RGBA"])
def test_paper_whose_white_was_made_transparent_is_white_again(kind: str) -> None:
    """What is nearly white stays; for light ink it was taken, and the dark gray text laid on black."""
    gray = np.full((60, 120), 255, np.uint8)
    gray[5:55, 10:110] = 248
    gray[20:40, 30:50] = 70
    if kind == "RGBA":
        data = encoded(Image.fromarray(np.dstack([gray, gray, gray, np.where(gray == 255, 0, 255).astype(np.uint8)])))
    else:
        data = encoded(Image.fromarray(gray), kind, transparency=255)
    assert np.array_equal(inference.read_image(data)[..., 0], gray)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_phone_picture_is_turned_upright(orientation: int) -> None:
    upright = Image.fromarray(formula())
    turned = upright.rotate({1: 0, 3: 180, 6: 90, 8: -90}[orientation], expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = inference.read_image(encoded(turned, "JPEG", quality=95, exif=exif))
    assert seen.shape == formula().shape
    assert np.abs(seen.astype(int) - formula()).mean() < 3


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_what_people_take_for_a_picture_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(RequestError, match=f"they are {kind}: convert"):
        inference.read_image(data)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_picture_are_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        inference.read_image(data)
    assert (refused.value.status, refused.value.code) == (400, "undecodable_image")


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_picture_never_breaks_the_server(place: int, value: int) -> None:
    data = bytearray(png())
    data[place % len(data)] = value
    try:
        assert inference.read_image(bytes(data)).ndim == 3
    except RequestError as error:
        assert error.status == 400


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's words about the damage
@given(st.integers(20, 60), st.integers(0, 255))
def test_damaged_exif_never_breaks_the_server(place: int, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    data = bytearray(encoded(Image.fromarray(formula(1)), "JPEG", exif=exif))
    data[place] = value
    try:
        assert inference.read_image(bytes(data)).ndim == 3
    except RequestError as error:
        assert error.code == "undecodable_image"


def test_whatever_pillow_raises_is_the_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: object, in_place: bool) -> None:
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(inference.ImageOps, "exif_transpose", fail)
    with pytest.raises(RequestError, match="not an integer") as refused:
        inference.read_image(png())
    assert (refused.value.status, refused.value.code) == (400, "undecodable_image")


@pytest.mark.parametrize("kind", inference.PICTURE_FORMATS)
def test_a_picture_of_each_type_is_read(kind: str) -> None:
    shape = inference.read_image(encoded(Image.fromarray(formula()), kind)).shape
    assert shape == formula().shape


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PDF", "TGA"])
def test_other_files_are_no_pictures_whatever_pillow_makes_of_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS would start Ghostscript, where that is installed, and a loop in it would never end."""
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(RequestError, match="PNG, JPEG") as refused:
        inference.read_image(encoded(Image.fromarray(formula()), kind))
    assert (refused.value.status, refused.value.code) == (400, "undecodable_image")


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "MAX_SOURCE_PIXELS", 1000)
    with pytest.raises(RequestError, match="440 x 120") as refused:
        inference.read_image(png())
    assert refused.value.status == 413


@pytest.mark.parametrize(("size", "named"), [((8000, 7000), "8000 x 7000"), ((20_000, 10_000), "50000000")])
def test_a_bomb_of_a_few_kilobytes_is_refused(size: tuple[int, int], named: str) -> None:
    """The second is over Pillow's own limit, which it raises for before it gives a size."""
    with pytest.raises(RequestError, match=named) as refused:
        inference.read_image(encoded(Image.new("1", size), "PNG"))
    assert (refused.value.status, refused.value.code) == (413, "too_many_pixels")


@pytest.mark.parametrize(
    "form", ["application/json", "application/jsonlines", "text/csv", "multipart/form-data; boundary=b"]
)
def test_pictures_of_one_request_are_bounded_together(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """440 x 120 pixels each: those that fit are read, the others get an error in their place."""
    monkeypatch.setattr(inference, "MAX_REQUEST_PIXELS", 2 * 440 * 120)
    text = base64.b64encode(png()).decode()
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + png() + b"\r\n"
    body = {
        "application/json": json.dumps({"images": [text] * 4}).encode(),
        "application/jsonlines": f'{{"image": "{text}"}}\n'.encode() * 4,
        "text/csv": f"{text}\n".encode() * 4,
    }.get(form, part * 4 + b"--b--\r\n")
    *read, third, fourth = inference.input_fn(body, form).pictures
    assert [type(picture) for picture in read] == [np.ndarray] * 2
    for refused in (third, fourth):
        assert isinstance(refused, RequestError) and (refused.status, refused.code) == (413, "too_many_pixels")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16"])
def test_a_large_picture_of_any_mode_is_read_as_a_small_one(mode: str) -> None:
    """What is reduced early looks as what is reduced at the end."""
    large = Image.fromarray(formula(16)).convert("L")
    if mode == "I;16":
        large = Image.fromarray(np.asarray(large).astype(np.uint16) * 257)
    seen = inference.read_image(encoded(large if mode == "I;16" else large.convert(mode), "PNG"))
    expected = cv2.resize(formula(16), seen.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert max(seen.shape) == inference.WORKING_SIDE and np.abs(seen.astype(int) - expected).mean() < 1


WRITTEN = [  # x = z + delta
    *([(0, 0), (120, 150)], [(120, 0), (0, 150)], [(220, 50), (340, 50)], [(220, 100), (340, 100)]),
    *([(440, 0), (560, 0), (440, 150), (560, 150)], [(660, 75), (780, 75)], [(720, 15), (720, 135)]),
    [(910, 150), (970, 0), (1030, 150), (910, 150)],
]


def written(pen: int) -> np.ndarray:
    """Large letters (420, 1400) of a pen so many pixels wide."""
    gray = np.full((420, 1400), 255, np.uint8)
    for stroke in WRITTEN:
        points = np.array(stroke) + np.array([150, 130])
        cv2.polylines(gray, [points], isClosed=False, color=0, thickness=pen, lineType=cv2.LINE_AA)
    return gray


def in_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[:, :, None], 3, axis=2)


@pytest.mark.parametrize(("quality", "is_softened"), [(20, True), (50, True), (95, False), (None, False)])
def test_the_waves_of_a_compressed_drawing_are_smoothed_and_no_clean_one_is(
    quality: int | None, is_softened: bool
) -> None:
    """Own renderings of 100 dpi as JPEG of quality 20: 25% right, softened 40%. Clean ones lose by it: 69%, 64%."""
    rgb = render("\\frac{a+b}{c}=x^{2}", Style(x_height=7.0))
    if quality:
        rgb = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(rgb), "JPEG", quality=quality))))
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(inference._without_ringing(gray), gray) is not is_softened


@pytest.mark.parametrize(("factor", "reduced"), [(4, 2), (8, 4)])
def test_a_large_picture_is_seen_as_well_as_a_small_one_and_looked_at_smaller(factor: int, reduced: int) -> None:
    """A photograph of 1600 x 1200 pixels took 80 to 230 ms, most of which showed the network nothing."""
    rgb = formula()
    large = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    assert inference.find_ink(large).values.shape[0] == pytest.approx(large.shape[0] / reduced, abs=6)
    assert likeness(ink_of(large), ink_of(rgb)) > 0.9


@pytest.mark.parametrize(("pen", "strength"), [(1, 0.8), (2, 0.8), (4, 0.78), (10, 0.8)])  # 4: seen at half its size
def test_a_thin_pen_is_seen_as_well_as_a_thick_one(pen: int, strength: float) -> None:
    """A pixel's width in letters of 150 came out at a seventh of black's strength, and was read as other signs."""
    assert np.percentile(ink_of(in_rgb(written(pen))), 98) > strength


def test_letters_of_pencil_and_chalk_are_letters_and_not_crumbs() -> None:
    """The paper shows through their strokes: what hangs together was taken for the glyphs, a third as large."""
    whole = written(14)
    holes = cv2.GaussianBlur(np.random.default_rng(0).normal(size=whole.shape), (0, 0), 1.2)
    crumbs = in_rgb(np.where(holes > 0.3 * holes.std(), 255, whole).astype(np.uint8))
    seen, clean = inference.find_ink(crumbs), inference.find_ink(in_rgb(whole))  # each at a fraction of its own
    assert seen.glyph / len(seen.values) == pytest.approx(clean.glyph / len(clean.values), rel=0.1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_scan_is_reduced_when_it_is_read(kind: str) -> None:
    large = Image.fromarray(formula(16))
    seen = inference.read_image(encoded(large, kind))
    assert max(seen.shape) == inference.WORKING_SIDE
    assert (
        np.abs(seen.astype(int) - cv2.resize(formula(16), seen.shape[1::-1], interpolation=cv2.INTER_AREA)).mean() < 3
    )


# ------------------------------------------------------------------------------------------------- preprocessing


def ink_of(rgb: np.ndarray, spec: PreprocessSpec = SPEC) -> np.ndarray:
    return inference.preprocess(rgb, spec) * spec.std + spec.mean


def cropped(picture: np.ndarray, sides: tuple[int, int, int, int] = (0, 0, 0, 0)) -> np.ndarray:
    """Cropped to the ink, with so many pixels of paper (left, top, right, bottom)."""
    rows, columns = (np.flatnonzero((picture < 128).any(axis=(axis, 2))) for axis in (1, 0))
    left, top, right, bottom = sides
    return picture[rows[0] - top : rows[-1] + 1 + bottom, columns[0] - left : columns[-1] + 1 + right]


def photographed(picture: np.ndarray) -> np.ndarray:
    """With the grain of a photograph: hardly two pixels are alike."""
    grain = np.random.default_rng(0).normal(0, 4, picture.shape[:2])[:, :, None]
    return np.clip(picture * 0.9 + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_a_drawing_cropped_to_its_ink_keeps_its_outermost_glyphs(ground: str) -> None:
    """They touch the border, as lines do that were cut off in a photograph; `a+2b=cx` was read as `+2b=c`."""
    whole, close = formula(), cropped(formula())
    if ground == "dark":
        whole, close = 255 - whole, 255 - close
    seen, expected = inference.preprocess(close, SPEC), inference.preprocess(whole, SPEC)
    margin = expected.shape[1] - seen.shape[1]
    assert 0 <= margin <= 2 * math.ceil(SPEC.margin * SPEC.glyph_height)
    assert abs(float(seen.sum() - expected.sum())) < 0.05 * float(expected.sum())  # a glyph is a seventh


def test_a_photograph_cropped_at_its_sides_keeps_first_and_last_glyph() -> None:
    close = photographed(cropped(formula(), (0, 10, 0, 10)))
    assert (inference.with_paper(close) == close).all(), "a photograph stays as it is"
    box, _ = inference.measure_ink(inference.extract_ink(cv2.cvtColor(close, cv2.COLOR_RGB2GRAY)))
    assert box[2] == 0 and box[3] == close.shape[1]


def test_a_line_cut_off_in_a_photograph_and_a_ruling_are_left_out() -> None:
    picture = cropped(formula(), (12, 30, 12, 30)).copy()
    picture[:8, 20:-20:9] = 20  # feet of the line above
    picture[-3:] = 120  # a ruling below, from side to side
    photo = photographed(picture)
    (top, bottom, left, right), _ = inference.measure_ink(
        inference.extract_ink(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    )
    assert 25 < top < 35 and photo.shape[0] - 35 < bottom < photo.shape[0] - 25
    assert 8 < left < 16 and photo.shape[1] - 16 < right < photo.shape[1] - 8


def glyph_of(rgb: np.ndarray) -> float:
    return inference.find_ink(rgb).glyph


@pytest.mark.parametrize("thickness", [1, 2, 4])
@pytest.mark.parametrize("cell", [False, True], ids=["frame", "table"])
def test_a_frame_or_rules_around_a_formula_are_not_its_glyphs(thickness: int, cell: bool) -> None:
    """Lines of `\\boxed` and of a table's cells may have most of the ink; the glyphs came out as specks beside them."""
    plain = render("a x^{2}+b x+c=0,d\\neq e f g", Style(x_height=16.0))
    framed = cv2.copyMakeBorder(cropped(plain), 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=(255,) * 3)
    cv2.rectangle(framed, (8, 8), (framed.shape[1] - 9, framed.shape[0] - 9), (0, 0, 0), thickness)
    if cell:
        cv2.line(framed, (8, 16), (framed.shape[1] - 9, 16), (0, 0, 0), thickness)
    found = inference.find_ink(framed, frames=True)
    assert found.glyph == pytest.approx(glyph_of(plain), rel=0.1)
    top, bottom, left, _ = found.box
    assert max(top, left) <= 12 and bottom > framed.shape[0] - 12, "the frame is a part of the formula"


def test_a_large_sign_among_few_others_stays_typical() -> None:
    for latex in (r"M=4", r"A,\ldots,B", r"\int_{0}^{1}xdx", r"\sum_{i=0}^{10}x_{i}"):
        rgb = render(latex, Style(x_height=16.0))
        boxes = inference.ink_boxes(inference.find_ink(rgb).values)
        assert len(inference._without_giants(boxes)) == len(boxes), latex


@pytest.mark.parametrize("latex", ["-", "=", "\\ldots", "\\div", ":", "\\equiv", "\\vdots", ":="])
@pytest.mark.parametrize("x_height", [8.0, 20.0])
def test_a_flat_sign_alone_is_about_as_large_as_in_a_formula(latex: str, x_height: float) -> None:
    sizes = []
    for text in (latex, f"A {latex} B 3"):
        rgb = render(text, Style(x_height=x_height))
        sizes.append(ink_of(rgb).shape)
    em = sizes[1][0] / 1.1  # the letters' height and the margin
    top, bottom, width = glyph_box(latex)
    assert 0.5 < (max(sizes[0]) - 2 * 0.3 * SPEC.glyph_height) / (em * max(bottom - top, width)) < 2


@pytest.mark.parametrize("latex", ["\\bullet", "\\blacksquare"])
@pytest.mark.parametrize("margin", [1, 3])
def test_a_sign_that_fills_its_picture_is_ink_and_what_is_around_it_paper(latex: str, margin: int) -> None:
    whole = render(latex, Style(x_height=20.0))
    around = [(margin, margin), (margin, margin), (0, 0)]
    close = np.pad(cropped(whole), around, constant_values=255)
    assert likeness(ink_of(whole), ink_of(close)) > 0.97


@pytest.mark.parametrize("around", [1, 3, 8, 30, 90])
@pytest.mark.parametrize("box", [(0, 0, 0), (40, 60, 120), (150, 30, 30)])
def test_a_dark_box_on_a_light_page_is_the_ground_of_light_writing(box: tuple[int, ...], around: int) -> None:
    dark = formula(ink=(255, 255, 255), paper=box)
    page = cv2.copyMakeBorder(dark, around, around, around, around, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    assert likeness(ink_of(page), ink_of(formula())) > 0.95


@pytest.mark.parametrize("note", [(30, 60), (60, 250)])
def test_a_light_note_beside_light_writing_does_not_hide_it(note: tuple[int, int]) -> None:
    dark = cv2.copyMakeBorder(formula(ink=(235, 235, 235), paper=(30, 30, 30)), 10, 110, 40, 40, cv2.BORDER_CONSTANT,
                              value=(30, 30, 30))  # fmt: skip
    high, wide = note
    dark[-100 : high - 100, 40 : 40 + wide] = 240
    cv2.putText(dark, "Copy", (46, dark.shape[0] - 112 + high), 0, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    height, width = formula().shape[:2]
    assert inference.find_ink(dark).values[12 : 12 + height, 42 : 42 + width].max() > 0.9


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("strip", [0, 60, 100])
@pytest.mark.parametrize("grain", [0, 3], ids=["drawn", "photographed"])
def test_a_dark_strip_along_one_side_is_not_seen(turns: int, strip: int, grain: int) -> None:
    """A scroll bar, the desk beyond the sheet."""
    page = np.rot90(formula(), turns)
    padded = np.pad(page, ((30, 0), (0, 0), (0, 0)), constant_values=strip)
    noise = np.random.default_rng(0).normal(0, grain, padded.shape[:2])[:, :, None]
    seen = np.rot90(np.clip(padded + noise, 0, 255).astype(np.uint8), -turns)
    assert likeness(ink_of(np.ascontiguousarray(seen)), ink_of(formula())) > 0.95


@pytest.mark.parametrize("shown", [0.3, 0.5, 0.7])
def test_lines_that_were_cut_off_above_and_below_are_not_seen_in_a_drawn_picture_either(shown: float) -> None:
    plain, neighbour = (render(text, Style(x_height=16.0)) for text in ("E=mc^{2}", "so that it is found"))
    rows = np.flatnonzero((neighbour < 128).any(axis=(1, 2)))
    height = round(shown * (rows[-1] - rows[0]))
    width = max(plain.shape[1], neighbour.shape[1])
    parts = (neighbour[rows[-1] + 1 - height : rows[-1] + 1], plain, neighbour[rows[0] : rows[0] + height])
    page = np.concatenate(
        [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in parts]
    )
    assert likeness(ink_of(page), ink_of(plain)) > 0.95


def test_a_dithered_scan_is_seen_like_the_formula() -> None:
    """Its dots were taken for the glyphs."""
    gray = cv2.cvtColor(render("y=ax^{2}+bx+c", Style(x_height=16.0)), cv2.COLOR_RGB2GRAY)
    dithered = np.asarray(Image.fromarray(np.minimum(gray, 220)).convert("1").convert("RGB"))
    assert glyph_of(np.ascontiguousarray(dithered)) == pytest.approx(16, rel=0.5)


@pytest.mark.parametrize("latex", ["-2x+3", r"\overline{AB}"])
@pytest.mark.parametrize("shift", range(0, 8, 2))
def test_an_outer_bar_between_two_rows_of_pixels_is_not_cut_off(latex: str, shift: int) -> None:
    large = np.pad(render(latex, Style(x_height=56.0)), ((8 + shift, 16 - shift), (8, 8), (0, 0)), constant_values=255)
    height, width = (size // 8 * 8 for size in large.shape[:2])
    small = cv2.resize(large[:height, :width], (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    (top, _, left, _), ink = inference.find_ink(small).box, np.argwhere(small.min(axis=2) < 150)
    assert (top - 2, left - 2) <= (int(ink[:, 0].min()), int(ink[:, 1].min()) + 1)


@pytest.mark.parametrize("colour", [(255, 165, 0), (255, 150, 180), (120, 220, 60), (150, 150, 150)])
def test_a_term_in_a_light_colour_is_not_cut_off(colour: tuple[int, ...]) -> None:
    """It was, without a word, at either end of the formula."""
    plain = render("y=ax^{2}+bx+c", Style(x_height=16.0))
    whole = inference.find_ink(plain).box
    columns = np.flatnonzero((plain < 128).any(axis=(0, 2)))
    gaps = columns[:-1][np.diff(columns) > 1]
    for part in (slice(int(gaps[-1]) + 1, None), slice(0, int(gaps[0]) + 1)):
        coloured = plain.copy()
        ink = 1 - coloured[:, part].astype(np.float32) / 255
        coloured[:, part] = (255 - ink * (255 - np.array(colour))).astype(np.uint8)
        assert np.abs(np.subtract(inference.find_ink(coloured).box, whole)).max() <= 1


@pytest.mark.parametrize("x_height", [12.0, 16.0, 40.0])
@pytest.mark.parametrize(
    "latex",
    [
        r"\begin{pmatrix}1&0\\0&1\end{pmatrix}",
        r"\begin{pmatrix}x\\y\end{pmatrix}",
        r"\binom{n}{k}",
        r"\left\{\frac{x}{y}\right\}",
        r"\sqrt{\frac{1}{2}}",
        r"\left(1+\frac{1}{n}\right)^{n}",
    ],
)
def test_brackets_and_roots_around_few_glyphs_are_not_typical(latex: str, x_height: float) -> None:
    """A matrix of four digits came out 30 pixels high: unreadable."""
    glyph, of_text = (glyph_of(render_any(text, Style(x_height=x_height))[0]) for text in (latex, "x+y=10"))
    assert 0.75 < glyph / of_text < 1.5


@pytest.mark.parametrize(
    "latex", ["|x+y|", "[0,1]", r"\|x\|", "x", "|", r"\equiv", r"\begin{bmatrix}1&0\\0&1\end{bmatrix}"]
)
@pytest.mark.parametrize("x_height", [16.0, 50.0])
def test_a_picture_cropped_closely_is_seen_like_one_with_a_margin(latex: str, x_height: float) -> None:
    """The bars at its borders were taken for a table around a sheet, and the margin, which it lacks, wasn't added."""
    whole, _ = render_any(latex, Style(x_height=x_height))
    inked = np.argwhere((whole < 250).any(axis=2))
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0) + 1
    with_margin = ink_of(whole)
    for margin in range(int(latex == "|"), 4):  # without any paper a bar is nothing but black
        close = np.pad(whole[top:bottom, left:right], [(margin, margin), (margin, margin), (0, 0)], constant_values=255)
        seen = ink_of(close)
        assert np.abs(np.subtract(seen.shape, with_margin.shape)).max() <= 3
        assert likeness(with_margin, seen) > 0.93


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two ink pictures, brought to one size."""
    other = cv2.resize(other, one.shape[::-1], interpolation=cv2.INTER_AREA)
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def on_lines(rgb: np.ndarray, gray: int, step: int, drop: int, squared: bool) -> np.ndarray:
    """On paper with lines of that gray, that fall by `drop` pixels from left to right, or with squares turned so."""
    paper = np.full_like(rgb, 255)
    height, width = rgb.shape[:2]
    for y in range(step // 2 - abs(drop), height + abs(drop), step):
        cv2.line(paper, (0, y), (width, y + drop), (gray, gray, gray), 2)
    for x in range(step // 3 - abs(drop), width + abs(drop), step) if squared else ():
        cv2.line(paper, (x, 0), (x - drop * height // width, height), (gray, gray, gray), 2)
    return np.minimum(rgb, paper)


@pytest.mark.parametrize("squared", [False, True], ids=["ruled", "squared"])
@pytest.mark.parametrize("drop", [0, 9, 50, -70])
@pytest.mark.parametrize(("gray", "grain"), [(210, 0), (160, 0), (130, 0), (160, 3)])
def test_lines_of_the_paper_are_not_seen(gray: int, grain: int, drop: int, squared: bool) -> None:
    """Without this glyphs on a dark line hung together, and a grid was read in the place of the formula on it."""
    rgb = cv2.copyMakeBorder(formula(), 30, 30, 0, 0, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    lined = on_lines(rgb, gray, 26, drop, squared)
    noise = np.random.default_rng(0).normal(0, grain, lined.shape[:2])[:, :, None]
    assert likeness(ink_of(np.clip(lined + noise, 0, 255).astype(np.uint8)), ink_of(rgb)) > 0.93


@pytest.mark.parametrize("squared", [False, True], ids=["ruled", "squared"])
@pytest.mark.parametrize("side", ["a margin", "a desk"])
@pytest.mark.parametrize("drop", [0, 20])
def test_lines_of_paper_that_ends_within_the_picture_are_not_seen(drop: int, side: str, squared: bool) -> None:
    rgb = cv2.copyMakeBorder(formula(), 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    lined = on_lines(rgb, 160, 26, drop, squared)
    beside = (70, 85, 110) if side == "a desk" else (250, 250, 250)
    photo = cv2.copyMakeBorder(lined, 35, 25, 30, 40, cv2.BORDER_CONSTANT, value=beside)
    noise = np.random.default_rng(0).normal(0, 3, photo.shape[:2])[:, :, None]
    assert likeness(ink_of(np.clip(photo + noise, 0, 255).astype(np.uint8)), ink_of(rgb)) > 0.93


@pytest.mark.parametrize(("gray", "radius"), [(200, 2), (150, 2), (110, 2)])
def test_dots_of_the_paper_are_not_seen_and_those_of_a_formula_are(gray: int, radius: int) -> None:
    rgb = cv2.copyMakeBorder(formula(), 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    dotted = rgb.copy()
    for y, x in product(range(9, rgb.shape[0], 30), range(14, rgb.shape[1], 30)):
        cv2.circle(dotted, (x, y), radius, (gray, gray, gray), -1, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 3, rgb.shape[:2])[:, :, None]
    assert likeness(ink_of(np.clip(np.minimum(rgb, dotted) + noise, 0, 255).astype(np.uint8)), ink_of(rgb)) > 0.93
    matrix, _ = render_any(
        r"\begin{matrix}a&\cdots&b\\\vdots&\ddots&\vdots\\c&\cdots&d\end{matrix}", Style(x_height=20)
    )
    values = inference.find_ink(matrix).values
    assert (inference.without_dots(values) == values).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 250), st.integers(1, 250), st.integers(0, 60), st.floats(0, 60))
def test_any_blots_and_grain_are_looked_through(seed: int, height: int, width: int, blots: int, grain: float) -> None:
    """Dots of two sizes of which none has the median's, a lone dot, no paper at all, ...: nothing raises."""
    rng = np.random.default_rng(seed)
    gray = np.full((height, width), rng.integers(256), np.uint8)
    for x, y, radius, value in rng.integers(0, (width, height, 12, 256), (blots, 4)).tolist():
        cv2.circle(gray, (x, y), radius if value % 2 else 1, value, -1)
    noisy = np.clip(gray + rng.normal(0, grain, gray.shape), 0, 255).astype(np.uint8)
    for frames in (False, True):
        ink = inference.find_ink(np.repeat(noisy[:, :, None], 3, axis=2), frames).values
        assert ((ink >= 0) & (ink <= 1)).all()


def test_dots_of_two_sizes_of_which_none_is_like_the_median_are_no_lattice() -> None:
    ink = np.zeros((80, 400), np.float32)
    for x in range(10, 390, 20):
        ink[10, x] = 1
        cv2.circle(ink, (x, 50), 8, 1, -1)
    assert (inference.without_dots(ink) == ink).all()


@pytest.mark.parametrize("spacing", [15, 25])
def test_lines_with_soft_edges_are_not_seen(spacing: int) -> None:
    """The edges have more pixels than the middle, which stayed when they alone were measured."""
    rgb = formula()
    paper = np.full_like(rgb, 255)
    for y in range(7, rgb.shape[0] - 1, spacing):
        paper[y], paper[y - 1], paper[y + 1] = 150, 215, 215
    assert likeness(ink_of(np.minimum(rgb, paper)), ink_of(rgb)) > 0.93


@pytest.mark.parametrize("gray", [20, 130], ids=["as dark as the rest", "lighter"])
def test_bars_of_a_closely_cropped_formula_are_no_lines_of_the_paper(gray: int) -> None:
    canvas = np.full((90, 200, 3), 255, np.uint8)
    for y in (36, 86):
        cv2.putText(canvas, "abx", (20, y), 0, 1.2, (20, 20, 20), 2, cv2.LINE_AA)
    columns = np.flatnonzero((canvas < 200).any(axis=(0, 2)))
    fraction = canvas[:, columns[0] : columns[-1] + 1].copy()
    fraction[44:46] = gray
    for picture in (fraction, np.ascontiguousarray(fraction.transpose(1, 0, 2))):
        values = inference.find_ink(picture).values
        bar = (values if picture is fraction else values.T)[46:48, 3:-3]  # behind two pixels of paper
        assert bar.min() > 0.3


def test_a_line_alone_is_not_taken_away() -> None:
    picture = np.full((40, 120, 3), 255, np.uint8)
    picture[19:21] = 130
    assert inference.find_ink(picture).values.max() > 0.9


@pytest.mark.parametrize("grain", [0, 3], ids=["drawn", "photographed"])
@pytest.mark.parametrize("table", [(70, 85, 110), (30, 25, 20)])
@pytest.mark.parametrize("sides", [(10, 10, 10, 10), (60, 50, 45, 60), (12, 0, 12, 0), (0, 24, 24, 24)])
def test_a_table_around_the_sheet_is_not_seen(grain: int, table: tuple[int, ...], sides: tuple[int, ...]) -> None:
    sheet = formula(paper=(225, 222, 215))
    top, bottom, left, right = sides
    photo = cv2.copyMakeBorder(sheet, top, bottom, left, right, cv2.BORDER_CONSTANT, value=table)
    noise = np.random.default_rng(0).normal(0, grain, photo.shape[:2])[:, :, None]
    assert likeness(ink_of(np.clip(photo + noise, 0, 255).astype(np.uint8)), ink_of(sheet)) > 0.94


def framed(gap: int) -> np.ndarray:
    """In a frame that keeps so many pixels from the ink."""
    rgb = cv2.copyMakeBorder(formula(), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    rows, columns = (np.flatnonzero((rgb < 128).any(axis=axis)) for axis in ((1, 2), (0, 2)))
    (top, bottom), (left, right) = ((int(each[0]) - gap, int(each[-1]) + gap) for each in (rows, columns))
    cv2.rectangle(rgb, (left, top), (right, bottom), (20, 20, 20), 3)
    return rgb


@pytest.mark.parametrize("angle", [0, 4])
@pytest.mark.parametrize("table", [(70, 85, 110), (120, 90, 60)])
def test_a_small_sheet_on_a_large_table_is_not_light_writing(table: tuple[int, ...], angle: float) -> None:
    sheet = formula(paper=(225, 222, 215))
    height, width = sheet.shape[:2]
    photo = cv2.copyMakeBorder(sheet, height, height, width // 2, width, cv2.BORDER_CONSTANT, value=table)
    turn = cv2.getRotationMatrix2D((photo.shape[1] / 2, photo.shape[0] / 2), angle, 1)
    photo = cv2.warpAffine(photo, turn, photo.shape[1::-1], borderValue=table)
    noise = np.random.default_rng(0).normal(0, 2, photo.shape[:2])[:, :, None]
    upright = cv2.warpAffine(sheet, cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1), (width, height),
                             borderValue=(225, 222, 215))  # fmt: skip
    assert likeness(ink_of(np.clip(photo + noise, 0, 255).astype(np.uint8)), ink_of(upright)) > 0.9


@pytest.mark.parametrize("letter", ["B", "D", "8", "0"])
@pytest.mark.parametrize("thickness", [6, 14])
def test_a_broad_light_letter_is_no_sheet(letter: str, thickness: int) -> None:
    dark = np.full((120, 110, 3), 20, np.uint8)
    cv2.putText(dark, letter, (15, 105), 0, 4, (235, 235, 235), thickness, cv2.LINE_AA)
    gray = cv2.cvtColor(dark, cv2.COLOR_RGB2GRAY)
    assert (inference.without_table(gray) == gray).all()


BOXED = PreprocessSpec(frames=True)


@pytest.mark.parametrize("gap", [12, 60])
def test_a_frame_around_the_formula_is_not_seen(gap: int) -> None:
    assert likeness(ink_of(framed(gap)), ink_of(formula())) > 0.95


def test_a_frame_close_to_the_formula_is_seen_on_request_and_does_not_make_it_small() -> None:
    r"""Where the labels have `\boxed`."""
    boxed, plain = inference.find_ink(framed(12), frames=True), inference.find_ink(formula())
    assert boxed.glyph == plain.glyph
    assert boxed.box[3] - boxed.box[2] > plain.box[3] - plain.box[2] + 20
    assert likeness(ink_of(framed(60), BOXED), ink_of(formula())) > 0.95, "one far off isn't"
    noise = np.random.default_rng(0).normal(0, 2, framed(12).shape[:2])[:, :, None]
    photo = np.clip(framed(12) + noise, 0, 255).astype(np.uint8)
    assert likeness(ink_of(photo, BOXED), ink_of(formula())) > 0.95, "of a photograph it isn't: the sheet's edge?"


def test_the_frame_of_a_table_and_of_a_sign_is_seen() -> None:
    table = framed(12)
    middle = table.shape[0] // 2
    rows = np.flatnonzero((table < 128).any(axis=(1, 2)))
    columns = np.flatnonzero((table < 128).any(axis=(0, 2)))
    cv2.line(table, (int(columns[0]), middle), (int(columns[-1]), middle), (20, 20, 20), 3)
    assert inference.find_ink(table).box[1] - inference.find_ink(table).box[0] > rows[-1] - rows[0] - 4
    sign = np.full((60, 60, 3), 255, np.uint8)  # \boxdot
    cv2.rectangle(sign, (12, 12), (48, 48), (0, 0, 0), 2)
    cv2.circle(sign, (30, 30), 4, (0, 0, 0), -1)
    found = inference.find_ink(sign)
    assert found.box[1] - found.box[0] > 34 and found.glyph > 30


@pytest.mark.parametrize("scale", [1, 3, 6])
def test_L2_characters_arrive_at_one_size_whatever_the_resolution(scale: int) -> None:
    reference, seen = ink_of(formula(2)), ink_of(formula(scale))
    assert np.allclose(reference.shape, seen.shape, rtol=0.12)
    assert likeness(reference, seen) > 0.9


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((250, 250, 250), (10, 10, 10)),
        ((200, 230, 255), (40, 60, 50)),
        ((30, 40, 160), (255, 245, 150)),
        ((255, 255, 255), (255, 165, 0)),
        ((255, 255, 255), (144, 238, 144)),
        ((230, 230, 230), (150, 150, 150)),
    ],
    ids=[
        "white on black",
        "chalk on a board",
        "blue pen on a highlighter",
        "white on orange",
        "white on light green",
        "chalk on a lit board",
    ],
)
def test_colours_and_polarity_do_not_matter(ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    assert likeness(ink_of(formula()), ink_of(formula(ink=ink, paper=paper))) > 0.97


def test_a_shadow_edge_is_not_ink() -> None:
    shaded = formula().astype(np.float32)
    shaded[:, 150:] *= 0.45
    seen = ink_of(shaded.astype(np.uint8))
    assert likeness(ink_of(formula()), seen) > 0.85


def test_scale_halves_every_picture() -> None:
    full, half = ink_of(formula()), ink_of(formula(), PreprocessSpec(scale=0.5))
    assert np.allclose(np.array(full.shape) / 2, half.shape, atol=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (35, 11_810), (10_020, 350), (30, 20)])
@pytest.mark.parametrize("value", [0, 255, None], ids=["black", "white", "noise"])
def test_every_size_and_content_stays_within_the_limits(shape: tuple[int, int], value: int | None) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*shape, 3), dtype=np.uint8) if value is None else np.full((*shape, 3), value, np.uint8)
    seen = inference.preprocess(rgb, SPEC)
    assert np.isfinite(seen).all()
    assert 1 <= seen.shape[0] <= SPEC.max_height + 1 and 1 <= seen.shape[1] <= SPEC.max_width + 1


def test_a_batch_is_filled_up_with_paper() -> None:
    one, other = np.ones((20, 40), np.float32), np.ones((33, 10), np.float32)
    images, sizes = inference.make_batch([one, other], SPEC)
    assert images.shape == (2, 1, 48, 64)
    assert sizes.tolist() == [[20, 40], [33, 10]]
    assert images[0, 0, 20:].max() == images[1, 0, :, 10:].max() == np.float32(-SPEC.mean / SPEC.std)


def test_a_spec_survives_json_and_refuses_what_it_does_not_know() -> None:
    assert PreprocessSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    with pytest.raises(inference.ModelError, match="contrast"):
        PreprocessSpec.from_dict({**SPEC.to_dict(), "contrast": 2})
    with pytest.raises(inference.ModelError, match="resample is 'nearest'"):
        PreprocessSpec.from_dict({**SPEC.to_dict(), "resample": "nearest"})


# ------------------------------------------------------------------------------------------------------ requests


def base64_png() -> str:
    return base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    "kind", ["image/png", "image/jpeg", "application/x-image", "binary/octet-stream", "IMAGE/PNG; charset=binary"]
)
def test_a_picture_is_one_request(kind: str) -> None:
    request = inference.input_fn(png(), kind)
    assert request.form == "one" and len(request.pictures) == 1


def test_json_holds_one_picture_or_many() -> None:
    one = inference.input_fn(json.dumps({"image": base64_png()}), "application/json")
    many = inference.input_fn(json.dumps({"images": [base64_png()] * 2}), "application/json")
    instances = inference.input_fn(json.dumps({"instances": [{"image": base64_png()}]}), "application/json")
    url = inference.input_fn(json.dumps({"image": "data:image/png;base64," + base64_png()}), "application/json")
    lines = inference.input_fn(json.dumps({"image": base64.encodebytes(png()).decode()}), "application/json")
    assert [r.form for r in (one, many, instances, url, lines)] == ["one", "many", "many", "one", "one"]
    assert [len(r.pictures) for r in (one, many, instances, url, lines)] == [1, 2, 1, 1, 1]


@pytest.mark.parametrize(
    "written",
    [
        lambda text: f" DATA:image/png;base64,{text}",
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: " \n" + " ".join(text),
    ],
    ids=["data URL", "without padding", "of URLs", "blanks"],
)
def test_base64_is_read_as_people_write_it(written: Callable[[str], str]) -> None:
    text = base64.b64encode(png() + b"?").decode()  # a byte behind the picture does no harm
    assert "+" in text and "/" in text and text.endswith("=")
    (picture,) = inference.input_fn(json.dumps({"image": written(text)}), "application/json").pictures
    assert isinstance(picture, np.ndarray) and np.array_equal(picture, formula())


def test_a_form_as_curl_sends_it() -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="f.png"\r\nContent-Type: image/png\r\n\r\n'
    request = inference.input_fn(head + png() + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")
    assert request.form == "one"
    (picture,) = request.pictures
    assert isinstance(picture, np.ndarray) and np.array_equal(picture, formula())


def form(*fields: tuple[str, bytes], end: bytes = b"\r\n") -> bytes:
    """A form of fields, each with the parameters of its head and its content."""
    parts = [f"Content-Disposition: form-data; {head}".encode() + end * 2 + content + end for head, content in fields]
    return b"".join(b"--x" + end + part for part in parts) + b"--x--" + end


FORM = "multipart/form-data; boundary=x"
FILE = ('name="image"; filename="f.png"', png())


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_other_fields_of_a_form_are_options(end: bytes) -> None:
    body = form(('name="n_best"', b"3"), FILE, ("name=tokens", b"true"), ('name="photo"; filename=""', b""), end=end)
    request = inference.input_fn(body, FORM)
    assert request.options == Options(n_best=3, tokens=True)
    assert [isinstance(picture, np.ndarray) for picture in request.pictures] == [True]


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x",
        'multipart/form-data; charset=utf-8; boundary="x"',
        "multipart/form-data;BOUNDARY=x ;charset=utf-8",
    ],
)
def test_a_boundary_is_found_however_it_is_given(kind: str) -> None:
    assert inference.input_fn(form(FILE), kind).form == "one"


@pytest.mark.parametrize("boundary", ["----=_Part_1_2.3", "==X==", "a:b/c?d"])
def test_a_boundary_of_any_characters_needs_no_quotes(boundary: str) -> None:
    """By the grammar of MIME it does; those who write forms by hand don't know that."""
    body = form(FILE).replace(b"--x", b"--" + boundary.encode())
    assert inference.input_fn(body, f"multipart/form-data; boundary={boundary}").form == "one"


def test_a_blob_of_a_browser_may_be_an_option_or_a_picture() -> None:
    option = 'name="beam"; filename="blob"\r\nContent-Type: application/json'
    picture = "name=file\r\nContent-Type: application/octet-stream"
    request = inference.input_fn(form((option, b"2"), (picture, png())), FORM)
    assert request.form == "one" and request.options == Options(beam=2)


@pytest.mark.parametrize(
    ("head", "code", "named"),
    [('name="bem"', "unknown_option", "'bem'"), ('name="beam"', "invalid_option", "beam is '9'")],
)
def test_a_field_of_a_form_that_is_no_option_is_refused(head: str, code: str, named: str) -> None:
    with pytest.raises(RequestError, match=named) as refused:
        inference.input_fn(form(FILE, (head, b"9")), FORM)
    assert (refused.value.status, refused.value.code) == (400, code)


@given(st.binary(max_size=200).map(lambda data: data.replace(b"--", b"\r\n")))
def test_a_file_in_a_form_is_whole(content: bytes) -> None:
    assert [inference._form_field(part).content for part in inference._form_parts(form(("name=f", content)), FORM)] == [
        content
    ]


@pytest.mark.parametrize("body", [b'{"images": [0, 0, 0]}', b"[0, 0, 0]", form(FILE, FILE, FILE)])
def test_the_pictures_of_a_list_or_form_are_counted_before_they_take_memory(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = FORM if body.startswith(b"--") else "application/json"
    assert len(inference.input_fn(body, kind).pictures) == 3
    monkeypatch.setattr(inference, "MAX_REQUEST_PICTURES", 2)
    with pytest.raises(RequestError, match="JSON Lines") as refused:
        inference.input_fn(body, kind)
    assert (refused.value.status, refused.value.code) == (413, "too_many_pictures")


def test_a_picture_that_fails_leaves_nothing_but_its_error() -> None:
    """A traceback would hold what was decoded until the request is answered: of one in 60 KB, 49 million pixels."""
    broken = base64.b64encode(png()[:-100]).decode()
    (error,) = inference.input_fn(json.dumps([broken]), "application/json").pictures
    assert isinstance(error, RequestError) and error.code == "undecodable_image"
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_a_bad_record_keeps_its_place_among_the_good() -> None:
    lines = "\n".join(
        [json.dumps({"image": base64_png()}), "{", json.dumps({"image": "%%%"}), json.dumps(base64_png())]
    )
    request = inference.input_fn(lines, "application/jsonlines")
    codes = [p.code if isinstance(p, RequestError) else "picture" for p in request.pictures]
    assert codes == ["picture", "invalid_json", "invalid_base64", "picture"]


def test_an_option_in_a_record_is_refused_there_and_other_fields_may_be_ids() -> None:
    """It was read with other options than asked, without a word."""
    good = {"image": base64_png()}
    lines = "\n".join(json.dumps({**good, **more}) for more in ({}, {"beam": 4}, {"id": 7}))
    for request in (
        inference.input_fn(lines, "application/jsonlines"),
        inference.input_fn(
            json.dumps({"images": [json.loads(line) for line in lines.splitlines()]}), "application/json"
        ),
    ):
        first, second, third = request.pictures
        assert isinstance(first, np.ndarray) and isinstance(third, np.ndarray)
        assert isinstance(second, RequestError) and second.code == "invalid_option" and "beam" in second.message


def test_a_body_with_two_lists_is_refused() -> None:
    good = base64_png()
    with pytest.raises(RequestError, match="image and instances"):
        inference.input_fn(json.dumps({"image": good, "instances": [good]}), "application/json")


def test_each_line_of_csv_is_a_record() -> None:
    good = base64_png()
    lines = [good, f'"{good}"', f'"data:image/png;base64,{good}"', "two words!", f"{good},{good}", "Überschrift"]
    request = inference.input_fn("\r\n".join(lines) + "\r\n", "text/csv; header=absent")
    codes = [p.code if isinstance(p, RequestError) else "picture" for p in request.pictures]
    assert codes == ["picture"] * 3 + ["invalid_base64"] * 3


def test_a_phone_s_jpeg_with_a_second_picture_may_be_as_large_as_any_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = Image.fromarray(formula())
    both = encoded(rgb, "MPO", save_all=True, append_images=[rgb.resize((8, 8))])
    assert both.startswith(b"\xff\xd8\xff") and Image.open(io.BytesIO(both)).format == "MPO"
    monkeypatch.setattr(inference, "MAX_SOURCE_PIXELS", rgb.width * rgb.height - 1)
    assert inference.read_image(both).shape == (rgb.height, rgb.width, 3)
    for other in (encoded(rgb), encoded(rgb, "JPEG", progressive=True)):  # of which all detail stands in memory
        with pytest.raises(RequestError, match="pixels"):
            inference.read_image(other)


def test_a_byte_order_mark_belongs_to_no_record() -> None:
    for kind in ("text/csv", "application/jsonlines"):
        record = base64_png() if kind == "text/csv" else json.dumps(base64_png())
        request = inference.input_fn(codecs.BOM_UTF8 + f"{record}\r\n{record}\r\n".encode(), kind)
        assert [isinstance(picture, np.ndarray) for picture in request.pictures] == [True, True]


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "image/png", 400, "empty_body"),
        (b"hello", "image/png", 400, "undecodable_image"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"{}", "application/json", 400, "invalid_json"),
        (b'{"images": []}', "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b'{"image": "%"}', "application/json", 400, "invalid_base64"),
        (b'{"image": "https://host/f.png"}', "application/json", 400, "invalid_base64"),
        ('{"image": ""}\n'.encode("utf-16"), "application/x-ndjson", 400, "invalid_json"),
        (b"--x--", "multipart/form-data; boundary=x", 400, "no_picture"),
        (b"--x\r\n\r\nhello", "multipart/form-data; boundary=x", 400, "invalid_form"),
        (b"--x--", "multipart/form-data", 400, "invalid_form"),
        (b"<svg/>", "text/html", 415, "unsupported_content_type"),
        (b"x", "", 415, "unsupported_content_type"),
    ],
)
def test_a_bad_request_has_a_status_and_a_stable_code(body: bytes, kind: str, status: int, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        inference.input_fn(body, kind)
    assert (refused.value.status, refused.value.code) == (status, code)


# ------------------------------------------------------------------------------------------------------- answers

GOOD = inference.Prediction("x^{2}", ("x", "^", "{", "2", "}"), 0.75, False, "m-1")
BAD = RequestError(400, "undecodable_image", "no picture")


def test_json_answers_follow_the_form_of_the_request() -> None:
    one, kind = inference.output_fn(Answer((GOOD,), "one"), "application/json")
    assert kind == "application/json"
    assert json.loads(one) == {
        "latex": "x^{2}",
        "tokens": ["x", "^", "{", "2", "}"],
        "confidence": 0.75,
        "truncated": False,
        "model_version": "m-1",
        "repaired": False,
        "blank": False,
        "turned": 0,
    }
    many, _ = inference.output_fn(Answer((GOOD, BAD), "many"), "*/*")
    assert [row.get("latex", row.get("error", {}).get("code")) for row in json.loads(many)["predictions"]] == [
        "x^{2}",
        "undecodable_image",
    ]
    lines, kind = inference.output_fn(Answer((GOOD, BAD), "lines"), "*/*")
    assert kind == "application/jsonlines" and len(lines.splitlines()) == 2


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/plain;q=0.1, application/json", "application/json"),
        ("text/csv;q=0, application/json", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("application/json;q=0.5, TEXT/CSV; header=present; q=0.9", "text/csv"),
        ("text/csv, application/json", "text/csv"),
        ("text/csv;q=best, application/json", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("text/*", "text/plain; charset=utf-8"),
    ],
)
def test_the_most_wanted_type_is_given(accept: str, kind: str) -> None:
    assert inference.output_fn(Answer((GOOD,), "one"), accept)[1] == kind


def test_text_and_csv_have_a_row_for_every_picture() -> None:
    answer = Answer((GOOD, BAD), "many")
    text, _ = inference.output_fn(answer, "text/plain")
    assert text.splitlines() == ["x^{2}", "error: undecodable_image: no picture"]
    table, _ = inference.output_fn(answer, "text/csv, */*;q=0.1")
    assert table.splitlines() == [
        "latex,confidence,truncated,repaired,blank,error",
        "x^{2},0.750000,False,False,False,",
        ",,,,,undecodable_image",
    ]


def test_what_can_not_be_given_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        inference.output_fn(Answer((GOOD,), "one"), "application/xml")
    assert (refused.value.status, refused.value.code) == (406, "not_acceptable")


# ------------------------------------------------------------------------------------------------------ decoding

BOS, EOS = 0, 1
LABELS = [
    *(
        r"x_i^2+\frac{a}{\sqrt[3]{b}}",
        r"\left(\frac{1}{2}\right)^{n}",
        r"\begin{cases}a&b\\c&d\end{cases}",
        r"a\not\in B",
    ),
    *(
        r"\begin{array}{c|c}\hline a&b\\\hline c&d\end{array}",
        r"\sum_{\substack{i\\j}}",
        r"{a\over b}^2",
        r"\text{as in }x",
    ),
    *(
        r"\left\{x\middle|y\frac{1}{2}\right\}",
        r"\xrightarrow[a]{b}",
        r"f'",
        r"\begin{matrix}[a]\\[b]\end{matrix}",
        "^2",
    ),
    *(r"\not{ab}", r"\mathrm{d}x", r"\overline{\overline{x}}_{1}"),
]


def decode(*scripts: list[int], max_tokens: int = 200) -> list[list[int]]:
    """What greedy decoding makes of networks that emit these ids one after the other, each row its own."""

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        wanted = [scripts[row][len(past)] for row in memory["rows"]]
        return np.eye(50, dtype=np.float32)[wanted], np.zeros((len(wanted), 1), np.float32)

    prefix, rows = np.zeros((0, len(scripts), 1), np.float32), np.arange(len(scripts))
    search = inference.BeamSearch([inference.Reader(step, prefix, {"rows": rows}, max_tokens)], BOS, EOS)
    return [list(hypotheses[0].ids) for hypotheses in search.run()]


def test_O5_no_step_is_taken_after_the_last_end() -> None:
    """Nor is a row read any more that has ended, whatever the limit of tokens."""
    lengths: list[int] = []
    scripts = ([3, EOS], [4, 5, 6, EOS], [EOS])

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        lengths.append(len(tokens))
        wanted = [scripts[row][len(past)] for row in memory["rows"]]
        return np.eye(50, dtype=np.float32)[wanted], np.zeros((len(wanted), 1), np.float32)

    reader = inference.Reader(step, np.zeros((0, 3, 1), np.float32), {"rows": np.arange(3)}, 200)
    inference.BeamSearch([reader], BOS, EOS).run()
    assert lengths == [3, 2, 1, 1]


def test_a_picture_that_nobody_waits_for_leaves_the_batch() -> None:
    lengths: list[int] = []
    scripts = [*range(3, 23), EOS]

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        lengths.append(len(tokens))
        return np.eye(50, dtype=np.float32)[[scripts[len(past)]] * len(tokens)], np.zeros((len(tokens), 1), np.float32)

    reader = inference.Reader(step, np.zeros((0, 3, 1), np.float32), {"rows": np.arange(3)}, 200)
    search = inference.BeamSearch([reader], BOS, EOS, is_wanted=lambda place: place == 1 or len(lengths) < 5)
    unfinished, whole, other = (hypotheses[0].ids for hypotheses in search.run())
    assert whole == tuple(scripts) and unfinished == other == whole[: len(unfinished)]
    assert lengths == [3] * len(unfinished) + [1] * (len(whole) - len(unfinished)) and 5 <= len(unfinished) < 15


@given(
    st.lists(st.integers(2, 9), max_size=10),
    st.lists(st.integers(10, 49), min_size=1, max_size=inference.LONGEST_CYCLE, unique=True),
)
def test_a_loop_is_ended_and_its_first_round_kept(beginning: list[int], cycle: list[int]) -> None:
    sane = [2, 3, 4, EOS]
    looping, other = decode(beginning + cycle * 200, sane)
    assert looping == beginning + cycle
    assert other == sane


@given(
    st.lists(st.integers(2, 49), max_size=20),
    st.lists(st.integers(2, 49), min_size=1, max_size=8, unique=True),
    st.integers(1, inference.LOOP_REPEATS - 1),
)
def test_repeats_that_formulas_have_are_kept(beginning: list[int], cycle: list[int], repeats: int) -> None:
    formula = [*beginning[:7], *cycle * repeats, EOS]
    assert decode(formula) == [formula]


def test_a_row_that_finds_no_end_stops_at_the_limit() -> None:
    endless = [2 + (i * i) % 47 for i in range(60)]
    assert decode(endless, max_tokens=40) == [endless[:40]]


def brute_force(scores: dict[tuple[int, ...], np.ndarray], max_tokens: int) -> list[tuple[int, ...]]:
    """All ended sequences of a network given by its scores after each prefix, the likeliest first."""
    found: list[tuple[float, tuple[int, ...]]] = []

    def walk(prefix: tuple[int, ...], total: float) -> None:
        for token, score in enumerate(scores[prefix]):
            if token == EOS:
                found.append((total + score, (*prefix, EOS)))
            elif len(prefix) + 1 < max_tokens:
                walk((*prefix, token), total + score)

    walk((), 0.0)
    return [ids for _, ids in sorted(found, reverse=True)]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_beam_wide_enough_finds_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vocabulary, length = 3, 3
    prefixes = [ids for n in range(length) for ids in product((0, 2), repeat=n)]
    scores = {ids: np.log(rng.dirichlet(np.ones(vocabulary))) for ids in prefixes}

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        earlier = [*past.reshape(len(past), len(tokens)).T.astype(int).tolist()]
        seen = [
            tuple([*before[1:], token][: len(past)]) for before, token in zip(earlier, tokens.tolist(), strict=True)
        ]
        return np.stack([scores[ids] for ids in seen]).astype(np.float32), tokens[:, None].astype(np.float32)

    reader = inference.Reader(step, np.zeros((0, 2, 1), np.float32), {}, length)
    search = inference.BeamSearch([reader], BOS, EOS, beam=64)
    for hypotheses in search.run():
        ended = [one.ids for one in hypotheses if one.ids[-1] == EOS]
        assert ended == brute_force(scores, length)


def test_a_beam_finds_what_greedy_decoding_walks_past() -> None:
    """The likeliest first token leads to nothing likely."""
    after = {BOS: [0, 0, 0.6, 0.4], 2: [0, 0.4, 0.3, 0.3], 3: [0, 0.98, 0.01, 0.01]}

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        odds = np.array([after[token] for token in tokens.tolist()], np.float32)
        return np.log(odds + 1e-9), np.zeros((len(tokens), 1), np.float32)

    def found(beam: int, margin: float = math.inf) -> list[inference.Hypothesis]:
        reader = inference.Reader(step, np.zeros((0, 1, 1), np.float32), {}, 5)
        return inference.BeamSearch([reader], BOS, EOS, beam, margin=margin).run()[0]

    assert (found(1)[0].ids, found(2)[0].ids) == ((2, EOS), (3, EOS))
    assert np.exp(found(2)[0].scores) == pytest.approx([0.4, 0.98], abs=1e-4)
    assert len(found(4)) > len(found(4, margin=math.log(3))) > 1
    narrow = [one.ids for one in found(4, margin=math.log(1.3))]
    assert narrow == [(2, EOS)], "what is less likely goes, however it ends"


# ------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("available", "wanted"),
    [
        (["CPUExecutionProvider"], ["CPUExecutionProvider"]),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            ["CUDAExecutionProvider", "CPUExecutionProvider"],
        ),
        (["AzureExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
    ],
)
def test_cuda_is_asked_for_where_the_build_has_it(tiny_base_dir, monkeypatch, available, wanted):
    """And its libraries, which are packages of their own, are loaded before: without them it falls back to the CPU."""
    asked = []
    monkeypatch.setattr(inference.ort, "get_available_providers", lambda: available)
    monkeypatch.setattr(inference.ort, "preload_dlls", lambda: asked.append("libraries"), raising=False)
    monkeypatch.setattr(inference.ort, "InferenceSession", lambda path, options, providers: asked.append(providers))
    inference._providers.cache_clear()
    try:
        for _ in range(2):
            inference._session(tiny_base_dir / "model" / "encoder.onnx", 1)
    finally:
        inference._providers.cache_clear()
    assert asked == [*(["libraries"] if "CUDAExecutionProvider" in wanted else []), wanted, wanted]


def test_a_model_says_what_its_networks_run_on(tiny_base_dir):
    """That is what ONNX Runtime made of the wish: a build for CUDA on a machine without it falls back."""
    assert inference.Recognizer.load(tiny_base_dir / "model").providers == ["CPUExecutionProvider"]


def test_encoder_and_decoder_are_timed(tiny_base_dir):
    model = inference.Recognizer.load(tiny_base_dir / "model")
    stages: list[tuple[str, float]] = []
    model.on_stage = lambda *stage: stages.append(stage)
    model.predict([formula()], Options(views=1))
    assert [name for name, _ in stages] == ["encoder", "decoder"]
    list(model.stream(formula(), Options(views=1)))
    assert [name for name, _ in stages] == ["encoder", "decoder"] * 2
    assert all(seconds > 0 for _, seconds in stages)


# ------------------------------------------------------------------------------------------- constrained decoding

GRAMMAR_TOKENS = [
    *("<pad>", "<bos>", "<eos>", "{", "}", "^", "_", "&", r"\\", "[", "]", "*", "x", "1", r"\alpha", "|", "c", r"\ "),
    *(r"\frac", r"\sqrt", r"\binom", r"\mathrm", r"\text", r"\substack", r"\not", r"\overline", r"\hline"),
    *(r"\left(", r"\left.", r"\right)", r"\right.", r"\middle|", r"\leftarrow", r"\begin{matrix}", r"\end{matrix}"),
    *(r"\begin{array}", r"\end{array}", r"\begin{cases}"),  # the last without its end
]

SHIPPED = Path(__file__).resolve().parents[2] / "weights"
SHIPPED_TOKENS: list[str] = json.loads((SHIPPED / "model.json").read_text())["vocabulary"]["tokens"]


def constrained(logits: np.ndarray, known: Sequence[str]) -> tuple[list[str], bool]:
    """What constrained decoding makes of any logits (T, V), and whether it found an end."""
    grammar = inference.Grammar(known, (0, 1, 2), 2)

    def step(tokens: np.ndarray, past: np.ndarray, memory: inference.Memory) -> tuple[np.ndarray, np.ndarray]:
        return logits[len(past)][None], np.zeros((1, 1), np.float32)

    reader = inference.Reader(step, np.zeros((0, 1, 1), np.float32), {}, len(logits))
    search = inference.BeamSearch([reader], 1, 2, grammar=(grammar, known))
    ids = search.run()[0][0].ids
    tokens = [known[i] for i in ids if i != 2]
    return tokens + grammar.completion(tokens), ids[-1] == 2


@settings(max_examples=200)
@example(194, 60, 3.0)  # an option directly inside another one
@example(37, 60, 1.0)  # a `[` that begins a matrix, which the page's renderer took for an option
@example(175, 60, 1.0)  # a `]` within `\\left ... \\right` within an option ended the option
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 20, 60]), st.floats(0, 4))
@pytest.mark.parametrize("known", [GRAMMAR_TOKENS, SHIPPED_TOKENS], ids=["a few tokens", "the shipped ones"])
def test_whatever_the_network_says_the_answer_is_latex(known: list[str], seed: int, length: int, hurry: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(length, len(known))).astype(np.float32)
    logits[:, [known.index(end) for end in ("<eos>", "}")]] += hurry
    tokens, ended = constrained(logits, known)
    assert is_balanced(tuple(tokens)) and problems(tokens) == []
    if latex := inference.join_tokens(tokens):
        mathjax.to_mathml(latex)  # raises if it can't be typeset
        to_mathml(latex)
    assert r"\begin{cases}" not in tokens and "<pad>" not in tokens
    assert inference.balance(tokens) == tuple(tokens)
    assert ended or len(tokens) >= length or inference.count_repeated([0] * length)


@pytest.mark.parametrize(
    ("rights", "left_in_option"), [([r"\right]"], False), ([r"\right]", r"\right)"], True)], ids=["no other", "another"]
)
def test_no_right_bracket_ends_an_option(rights: list[str], left_in_option: bool) -> None:
    known = ["<eos>", "{", "}", "[", "]", r"\sqrt", r"\left[", *rights]
    grammar = inference.Grammar(known, (0,), 0)

    def may_follow(*before: str) -> dict[str, bool]:
        state = inference.State()
        for token in before:
            state = grammar.follow(state, token)
        return dict(zip(known, grammar.mask(state).tolist(), strict=True))

    assert may_follow()[r"\left["] and may_follow(r"\left[")[r"\right]"]
    assert may_follow(r"\sqrt", "[")[r"\left["] is left_in_option
    assert not may_follow(r"\sqrt", "[", r"\left[")[r"\right]"]
    assert may_follow(r"\sqrt", "[", "{", r"\left[")[r"\right]"], "braces hide it"


@pytest.mark.parametrize("before, behind", [([], []), (["\\text", "{"], ["}"])], ids=["in a formula", "in a text"])
def test_every_shipped_token_that_is_allowed_can_be_drawn(before: list[str], behind: list[str]) -> None:
    grammar = inference.Grammar(SHIPPED_TOKENS, (0, 1, 2), 2)
    state = inference.State()
    for token in before:
        state = grammar.follow(state, token)
    for allowed, token in zip(grammar.mask(state), SHIPPED_TOKENS, strict=True):
        if allowed and token != "<eos>":
            said = [*before, token, *behind] if before else [token, *grammar.completion([token])]
            if token not in ("{", "}"):
                mathjax.to_mathml(inference.join_tokens(said))  # raises if it can't be typeset


@given(st.text("x1^_{}&[]| \\", max_size=20) | st.sampled_from(LABELS))
def test_every_normalised_label_may_be_said(latex: str) -> None:
    tokens = tokenize(normalize(latex))
    grammar = inference.Grammar(["<eos>", "{", "}", r"\right.", *dict.fromkeys(tokens)], (0,), 0)
    known, state = ["<eos>", "{", "}", r"\right.", *dict.fromkeys(tokens)], inference.State()
    for token in tokens:
        assert grammar.mask(state)[known.index(token)], (token, tokens)
        state = grammar.follow(state, token)
    assert grammar.mask(state)[0], tokens


def test_the_grammar_knows_the_commands_that_labels_have() -> None:
    texts = {name for name, _ in synonyms.TEXT_FONTS.values()}
    one = {name for name, count in synonyms.ARGUMENTS.items() if count == 1}
    assert one | texts | synonyms.VERBATIM == inference.ONE_ARGUMENT
    assert set(synonyms.ARGUMENTS) - one == inference.TWO_ARGUMENTS
    assert synonyms.OPTIONAL == inference.OPTIONAL_ARGUMENT


# ----------------------------------------------------------------------------------------------- request options


def test_options_come_in_the_body_or_beside_it() -> None:
    body = json.dumps({"image": base64_png(), "beam": 4, "tokens": True})
    request = inference.input_fn(body, "application/json")
    assert request.options == Options(beam=4, tokens=True)
    beside = {"beam": "2", "constrained": "1", "turn": "off", "views": "1"}
    assert request.with_options(beside).options == Options(2, 1, True, True, "off", 1)


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"beam": 0}, "invalid_option", "beam is 0, not a whole number from 1 to 8"),
        ({"beam": "9" * 30}, "invalid_option", "beam"),
        ({"beam": True}, "invalid_option", "beam is True"),
        ({"beam": "0000000014000"}, "invalid_option", "beam"),
        ({"n_best": "0000000012"}, "invalid_option", "n_best"),
        ({"beam": "1" + "0" * 5000}, "invalid_option", "beam"),
        ({"n_best": 2.0}, "invalid_option", "n_best"),
        ({"tokens": "yes"}, "invalid_option", "tokens is 'yes', not true or false"),
        (
            {"beams": 3},
            "unknown_option",
            "'beams' is no option; there are beam, constrained, n_best, tokens, turn, views",
        ),
        ({"views": 5}, "invalid_option", "views is 5, not a whole number from 1 to 4"),
        ({"turn": "left"}, "invalid_option", "turn is 'left', not auto or off"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, object], code: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        Options().changed(values)
    assert (refused.value.status, refused.value.code) == (400, code)


# -------------------------------------------------------------------------------------------------- the tiny model


def test_predictions_come_in_the_order_of_the_pictures(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    pictures = [formula(scale) for scale in (3, 1, 2)] * 4
    alone = [model.predict([picture])[0] for picture in pictures]
    model.batch_size = 5
    together = model.predict(pictures)
    assert [p.latex for p in together] == [p.latex for p in alone]
    assert [p.confidence for p in together] == pytest.approx([p.confidence for p in alone], abs=1e-5)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (np.zeros((20, 30), np.uint8), r"uint8 \(20, 30\)"),
        (np.zeros((20, 30, 4), np.uint8), r"uint8 \(20, 30, 4\)"),
        (np.zeros((20, 30, 3)), r"float64 \(20, 30, 3\)"),
        (np.zeros((0, 30, 3), np.uint8), r"uint8 \(0, 30, 3\)"),
        (Image.new("RGB", (30, 20)), "Image"),
        ("formula.png", "str"),
    ],
    ids=["gray", "alpha", "float", "empty", "pillow", "path"],
)
def test_what_is_no_picture_for_the_library_is_named(tiny_base_dir: Path, picture: Any, kind: str) -> None:
    """A dark formula on a transparent ground, for one, was read as a blank sheet."""
    model = inference.Recognizer.load(tiny_base_dir / "model")
    with pytest.raises(ValueError, match=rf"an array \(H, W, 3\) of uint8, as read_image\(bytes\) gives, not {kind}$"):
        model.predict([picture])


def test_memories_are_filled_up_to_the_largest() -> None:
    small = {inference.MASK: np.zeros((1, 2), np.float32), "keys": np.ones((1, 3, 2), np.float32)}
    large = {inference.MASK: np.zeros((2, 4), np.float32), "keys": np.ones((2, 3, 4), np.float32)}

    joined = inference.join_memories([small, large])

    lowest = np.finfo(np.float32).min
    assert joined[inference.MASK].tolist() == [[0, 0, lowest, lowest], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert joined["keys"].shape == (3, 3, 4) and joined["keys"][0].tolist() == [[1, 1, 0, 0]] * 3
    assert inference.join_memories([small]) is small


def test_batches_have_every_picture_once_and_fit_into_memory(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")

    @given(st.lists(st.tuples(st.integers(1, 320), st.integers(1, 1280)), max_size=20), st.booleans())
    def check(sizes: list[tuple[int, int]], on_cpu: bool) -> None:
        model._on_cpu = on_cpu
        batches = list(model._batches([np.empty(size, np.float32) for size in sizes]))
        assert sorted(place for rows in batches for place in rows) == list(range(len(sizes)))
        for rows in batches:
            areas = [math.prod(sizes[place]) for place in rows]
            height, width = (max(sizes[place][axis] for place in rows) for axis in (0, 1))
            filled = len(rows) * (max(areas) if on_cpu else height * width)
            assert len(rows) == 1 or len(rows) <= model.batch_size
            assert len(rows) == 1 or filled <= min(inference.BATCH_PIXELS, inference.MOST_FILLING * sum(areas))

    check()


def test_side_by_side_each_call_has_one_thread(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model", threads=2)
    alone = model.predict([formula()])[0]
    model.encoder = None  # with all threads
    with inference.CALLS:  # another one
        assert model.predict([formula()])[0].latex == alone.latex
    with pytest.raises(AttributeError):
        model.predict([formula()])
    assert inference.CALLS.count == 0


def test_n_best_begins_with_the_answer_and_tokens_have_confidences(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    answer = model.predict([formula()], Options(n_best=3, tokens=True))[0]
    row = json.loads(json.dumps(answer.to_dict()))
    assert [len(row["n_best"]), row["n_best"][0]["latex"]] == [3, row["latex"]]
    assert len({each["latex"] for each in row["n_best"]}) == 3
    assert [each["token"] for each in row["tokens"]] == list(answer.tokens)
    assert all(row["confidence"] <= each["confidence"] <= 1 for each in row["tokens"])


def test_a_stream_gives_the_tokens_and_then_the_same_answer(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    *tokens, answer = model.stream(formula(), once := Options(views=1))
    assert answer == model.predict([formula()], once)[0]
    assert isinstance(answer, inference.Prediction) and tuple(tokens) == answer.tokens
    *same, answer = model.stream(formula())
    assert same == tokens and answer == model.predict([formula()])[0], "views have the last word"
    with pytest.raises(RequestError, match="n_best must be 1"):
        next(model.stream(formula(), Options(n_best=2)))


def test_a_stream_leaves_out_what_the_answer_leaves_out(tiny_base_dir: Path) -> None:
    """A recognizer that has hardly been trained writes padding now and then."""
    model = inference.Recognizer.load(tiny_base_dir / "model")
    *tokens, _ = model.stream(formula(), once := Options(views=1))
    model.pad = model.tokens.index(str(tokens[0]))
    *others, answer = model.stream(formula(), once)
    assert isinstance(answer, inference.Prediction) and tuple(others) == answer.tokens
    assert tokens[0] not in others


class Turning(inference.Recognizer):
    """Reads the same in every picture, well only if that is wide and has most of its ink on the left."""

    sides = (0.3, 0.9)  # probability of a token: in other pictures, and in such
    latex = "a+b"
    calls: tuple[int, ...] = ()  # how many inputs came together

    def recognize(
        self,
        inputs: Sequence[np.ndarray],
        options: Options | None = None,
        margin: float = math.inf,
        is_wanted: inference.IsWanted = inference.always_wanted,
    ) -> list[inference.Prediction]:
        self.calls = (*self.calls, len(inputs)) if inputs else self.calls
        readings = [self._seen(image) for image in inputs]
        return [replace(one, n_best=(one,)) if options and options.n_best > 1 else one for one in readings]

    def _seen(self, image: np.ndarray) -> inference.Prediction:
        height, width = image.shape
        ink = image - image.min()
        upside_down = ink[:, : width // 2].sum() < ink[:, width // 2 :].sum()
        each = self.sides[0] if height > width or upside_down else self.sides[1]
        tokens = tuple(self.latex)
        return inference.Prediction(self.latex, tokens, each ** (len(tokens) + 1), False, self.version)


def turning(base_dir: Path) -> Turning:
    model = Turning.load(base_dir / "model")
    assert isinstance(model, Turning)
    return model


def heavy_on_the_left() -> np.ndarray:
    picture = formula()
    picture[30:90, 30:70] = 0
    return picture


@pytest.mark.parametrize("degrees", [90, 270])
def test_a_picture_on_its_side_is_read_turned(tiny_base_dir: Path, degrees: int) -> None:
    model = turning(tiny_base_dir)
    upright = heavy_on_the_left()
    lying = np.rot90(upright, degrees // 90)  # counter-clockwise; it must be turned back
    answers = model.predict([upright, lying, upright])
    assert [answer.turned for answer in answers] == [0, degrees, 0]
    assert [answer.to_dict()["turned"] for answer in answers] == [0, degrees, 0]
    assert answers[1] == replace(answers[0], turned=degrees)
    assert model.calls == (3, 2), "one try more, for that picture alone"
    *tokens, answer = model.stream(lying)
    assert tuple(tokens) == answers[1].tokens and answer == answers[1]


def test_a_squarish_picture_that_cannot_be_read_is_read_turned(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = turning(tiny_base_dir)
    upright = np.full((100, 120, 3), 255, np.uint8)
    upright[10:90, 10:50] = upright[45:55, 50:110] = 0
    lying = np.rot90(upright)
    assert not inference._is_tall(model.prepare(lying).shape)
    answers = model.predict([upright, lying])
    assert [answer.turned for answer in answers] == [0, 90] and model.calls == (2, 2)
    monkeypatch.setattr(model, "_prediction", lambda hypotheses, options: model._seen(model.prepare(lying)))
    assert list(model.stream(lying))[-1] == answers[1]
    model.sides = (0.6, 0.99)  # a reading of 0.13 isn't hopeless
    assert model.predict([lying], Options(views=1))[0].turned == 0
    model.sides, model.calls = (0.3, 0.9), ()
    model.predict([np.fliplr(heavy_on_the_left())], Options(views=1))
    assert model.calls == (1,), "a wide one isn't tried"


@pytest.mark.parametrize("sides", [(0.3, 0.9), (0.3, 0.7)], ids=["sure then", "read again"])
def test_an_answer_with_alternatives_says_how_its_picture_lay(tiny_base_dir: Path, sides: tuple[float, float]) -> None:
    model = turning(tiny_base_dir)
    model.sides = sides
    assert model.predict([np.rot90(heavy_on_the_left())], Options(n_best=2))[0].turned == 90


@pytest.mark.parametrize(
    ("sides", "latex", "turn"),
    [
        ((0.3, 0.9), "a+b", "off"),
        ((0.98, 0.999), "a+b", "auto"),  # sure as it stands
        ((0.8, 0.85), "a+b", "auto"),  # turned it is hardly better
        ((0.3, 0.99), "-", "auto"),  # which stands for a bar
    ],
)
def test_a_tall_formula_is_left_as_it_stands(
    tiny_base_dir: Path, sides: tuple[float, float], latex: str, turn: str
) -> None:
    model = turning(tiny_base_dir)
    model.sides, model.latex = sides, latex
    assert model.predict([np.rot90(heavy_on_the_left())], Options(turn=turn))[0].turned == 0


class Zooming(inference.Recognizer):
    """Reads a picture by its zoom, as `answers` says: LaTeX and probability of each reading, the likeliest first."""

    answers: dict[float, list[tuple[str, float]]]
    calls: tuple[int, ...] = ()

    def prepare_views(self, rgb: np.ndarray, zooms: Sequence[float]) -> list[np.ndarray]:
        return [np.full((1, 2), zoom, np.float32) for zoom in zooms]

    def recognize(
        self,
        inputs: Sequence[np.ndarray],
        options: Options | None = None,
        margin: float = math.inf,
        is_wanted: inference.IsWanted = inference.always_wanted,
    ) -> list[inference.Prediction]:
        self.calls = (*self.calls, len(inputs)) if inputs else self.calls
        return [self._seen(round(float(image[0, 0]), 2), options or Options()) for image in inputs]

    def _seen(self, zoom: float, options: Options) -> inference.Prediction:
        readings = [
            inference.Prediction(latex, tuple(latex), probability, latex == "loop", self.version)
            for latex, probability in self.answers[zoom][: options.n_best]
        ]
        return replace(readings[0], n_best=tuple(readings)) if options.n_best > 1 else readings[0]


VIEWS = {
    1.0: [("a+b", 0.25), ("a+6", 0.05)],
    inference.ZOOMS[0]: [("a+6", 0.2), ("a+b", 0.01)],
    inference.ZOOMS[1]: [("loop", 0.9)],
    inference.ZOOMS[2]: [("a-6", 0.15), ("a+6", 0.1), ("a+b", 0.99), ("a", 0.01)],
}


def zooming(base_dir: Path, answers: dict[float, list[tuple[str, float]]] = VIEWS) -> Zooming:
    model = Zooming.load(base_dir / "model")
    assert isinstance(model, Zooming)
    model.answers = answers
    return model


def test_two_readings_of_each_size_vote_on_an_unsure_picture(tiny_base_dir: Path) -> None:
    answer = zooming(tiny_base_dir).predict([formula()])[0]
    assert answer.latex == "a+6", "over all sizes it is likelier than what the first reading said"
    assert answer.confidence == pytest.approx((0.05 + 0.2 + 0.1) / 4) and not answer.truncated
    assert not answer.n_best


def test_a_wider_beam_has_more_votes(tiny_base_dir: Path) -> None:
    assert zooming(tiny_base_dir).predict([formula()], Options(beam=3))[0].latex == "a+b"


@pytest.mark.parametrize(
    ("first", "views", "latex", "calls"),
    [
        (0.52, 4, "a+b", (1,)),  # sure enough
        (0.25, 1, "a+b", (1,)),
        (0.25, 2, "a+b", (1, 2)),
        (0.25, 3, "a+b", (1, 3)),
        (0.25, 4, "a+6", (1, 4)),
    ],
)
def test_as_many_views_are_read_as_are_wanted_and_needed(
    tiny_base_dir: Path, first: float, views: int, latex: str, calls: tuple[int, ...]
) -> None:
    model = zooming(tiny_base_dir, {**VIEWS, 1.0: [("a+b", first), ("a+6", 0.05)]})
    assert model.predict([formula()], Options(turn="off", views=views))[0].latex == latex
    assert model.calls == calls


def test_no_more_views_are_read_of_a_picture_that_nobody_waits_for(tiny_base_dir: Path) -> None:
    model = zooming(tiny_base_dir)
    assert len(model.predict([formula()] * 3, is_wanted=lambda place: place == 2)) == 3
    assert model.calls == (3, 4)


def test_a_long_reading_is_sure_at_a_lower_probability(tiny_base_dir: Path) -> None:
    for length, expected in ((3, (1, 4)), (24, (1,))):
        model = zooming(tiny_base_dir, {zoom: [("a" * length, 0.4)] for zoom in VIEWS})
        model.predict([formula()])
        assert model.calls == expected


def test_alternatives_are_gathered_from_all_views(tiny_base_dir: Path) -> None:
    answer = zooming(tiny_base_dir).predict([formula()], Options(n_best=4))[0]
    assert [one.latex for one in answer.n_best] == ["a+b", "a+6", "a-6", "a"]
    answer = zooming(tiny_base_dir).predict([formula()], Options(n_best=5))[0]
    assert answer.n_best[-1].latex == "loop", "what has no end comes last"
    assert (answer.latex, answer.confidence) == (answer.n_best[0].latex, answer.n_best[0].confidence)


def test_alternatives_are_spelt_differently(tiny_base_dir: Path) -> None:
    """A repair makes two readings one; the likelier stays, and the next takes the other's place, if there is one."""
    model = zooming(tiny_base_dir, {1.0: [("a{b", 0.6), ("a{b}", 0.2), ("c", 0.1), ("d", 0.05)]})
    for n_best, expected in ((3, ["a{b}", "c"]), (4, ["a{b}", "c", "d"])):
        answer = model.predict([formula()], Options(n_best=n_best))[0]
        assert [one.latex for one in answer.n_best] == expected
        assert answer.repaired and answer.n_best[0].confidence == answer.confidence == 0.6


def test_a_wider_beam_replaces_an_alternative_that_is_spelt_alike(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    wanted = Options(beam=4, n_best=2, views=1)
    first, second = (one.latex for one in model.predict([formula()], wanted)[0].n_best)
    spell = inference.join_tokens
    monkeypatch.setattr(inference, "join_tokens", lambda tokens: spell(tokens).replace(second, first))
    answer = model.predict([formula()], wanted)[0]
    assert len({one.latex for one in answer.n_best}) == 2 and answer.n_best[0].latex == first


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_ink_gets_an_empty_answer(tiny_base_dir: Path, value: int) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    blank = np.full((50, 80, 3), value, np.uint8)
    written = model.predict([formula()])[0]
    assert model.predict([blank, formula(), blank]) == [
        inference.Prediction("", (), 1.0, False, model.version, blank=True),
        written,
        inference.Prediction("", (), 1.0, False, model.version, blank=True),
    ]
    assert written.latex and not written.blank


def test_grain_is_blank_and_faint_writing_is_not(tiny_base_dir: Path) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    grain = np.random.default_rng(0).normal(0, 3, formula().shape[:2])[:, :, None]
    paper = np.clip(235 + grain, 0, 255).astype(np.uint8).repeat(3, axis=2)
    faint = np.clip(formula(ink=(210, 210, 210), paper=(235, 235, 235)) + grain / 3, 0, 255).astype(np.uint8)
    assert [answer.blank for answer in model.predict([paper, faint])] == [True, False]


@pytest.mark.parametrize("contrast", [0.3, 0.2, 0.12, 0.08])
def test_faint_writing_on_clean_paper_is_seen_as_black_one_is(contrast: float) -> None:
    """Grey on white, as a pencil or a watermark: it was taken for grain, and its glyphs for specks."""
    rgb = formula()
    faint = np.rint(255 - (255 - rgb.astype(np.float32)) * contrast).astype(np.uint8)
    assert likeness(ink_of(faint), ink_of(rgb)) > 0.95


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_paper_with_the_grain_of_a_jpeg_is_blank(tiny_base_dir: Path, quality: int) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    for sigma in (1.0, 2.0, 4.0):
        grain = np.random.default_rng(0).normal(215, sigma, (160, 400, 1))
        paper = np.clip(grain, 0, 255).astype(np.uint8).repeat(3, axis=2)
        _, jpeg = cv2.imencode(".jpg", paper, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert model.predict([inference.read_image(jpeg.tobytes())])[0].blank, (quality, sigma)


def test_the_handler_functions_answer_a_request(tiny_base_dir: Path) -> None:
    model = inference.model_fn(str(tiny_base_dir / "model"))
    request = Request((formula(), BAD), "many")
    body, _ = inference.output_fn(inference.predict_fn(request, model), "application/json")
    rows = json.loads(body)["predictions"]
    assert isinstance(rows[0]["latex"], str) and rows[1]["error"]["code"] == "undecodable_image"


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_precision_is_none(blank: str, tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is to the server's settings."""
    monkeypatch.setenv("SERVE_PRECISION", blank)
    assert inference.model_fn(str(tiny_base_dir / "model")).precision == "fp32"


def test_the_command_line_goes_on_after_a_bad_file(
    tiny_base_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png())
    bad.write_bytes(b"no picture")
    assert inference.main([str(tiny_base_dir / "model"), str(bad), str(good)]) == 1
    seen = capsys.readouterr()
    assert seen.out.startswith(f"{good}\t") and str(bad) in seen.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version 2; this inference.py reads 1"),
        ({"vocabulary": None}, "wrong kind"),
        ({"limits": {}}, "lacks the key 'max_tokens'"),
        ({"preprocess": {"size": 3}}, r"unknown keys \['size'\]"),
    ],
)
def test_L12_a_model_that_can_not_be_used_says_why(own_base_dir: Path, change: dict[str, object], message: str) -> None:
    path = own_base_dir / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(inference.ModelError, match=message):
        inference.Recognizer.load(own_base_dir / "model")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(inference.ModelError, match=r"has no model\.json"):
        inference.Recognizer.load(tmp_path)


def test_tokens_are_joined_with_a_space_only_where_a_reader_needs_one() -> None:
    assert (
        inference.join_tokens(["\\alpha", "x", "+", "\\frac", "{", "1", "}", "{", "y", "}"]) == r"\alpha x+\frac{1}{y}"
    )
    assert inference.join_tokens(["\\alpha", "2", "\\\\", "a", "\\,", "b"]) == r"\alpha2\\ a\,b"
    assert inference.join_tokens(["0", "\\\\", "[", "2", "]"]) == r"0\\{}[2]", "LaTeX would look for a length"


# ----------------------------------------------------------------------------------------------- balanced output

OTHER = ["x", "^", r"\frac", r"\leftarrow", r"\rightarrow", "(", r"\{", r"\}", "&", r"\\", r"\middle|"]
BRACKETS = [
    *("{", "}", r"\left(", r"\left.", r"\left\{", r"\left", r"\left{", r"\right)", r"\right|", r"\right."),
    *(r"\begin{matrix}", r"\end{matrix}", r"\begin{array}", r"\end{array}"),
]
ANY_TOKENS = st.lists(st.sampled_from(OTHER + BRACKETS) | st.text(min_size=1, max_size=3), max_size=30)
NESTED = st.recursive(
    st.lists(st.sampled_from(OTHER), max_size=3),
    lambda inner: st.builds(
        lambda pair, first, second: [pair[0], *first, pair[1], *second],
        st.sampled_from([("{", "}"), (r"\left(", r"\right."), (r"\begin{array}", r"\end{array}")]),
        inner,
        inner,
    ),
)


def is_balanced(tokens: tuple[str, ...]) -> bool:
    """Takes innermost pairs away as long as there are any: whether no bracket is left."""
    names = {"{": "{", "}": "}"}
    text = ""
    for token in tokens:
        name = names.get(token, "")
        if token.startswith((r"\begin{", r"\end{")):
            name = ("<" if token.startswith(r"\begin") else ">") + ("m" if "matrix" in token else "a")
        elif re.match(r"\\left(?![a-z])", token):
            name = "("
        elif re.match(r"\\right(?![a-z])", token):
            name = ")"
        text += name
    before = None
    while text != before:
        before = text
        for pair in ("{}", "()", "<m>m", "<a>a"):
            text = text.replace(pair, "")
    return not text


@given(ANY_TOKENS)
def test_whatever_comes_out_is_balanced_and_stays_so(tokens: list[str]) -> None:
    balanced = inference.balance(tokens)
    assert is_balanced(balanced)
    assert inference.balance(balanced) == balanced


@given(NESTED)
def test_what_is_balanced_is_not_changed(tokens: list[str]) -> None:
    assert inference.balance(tokens) == tuple(tokens)


@given(ANY_TOKENS)
def test_only_brackets_are_touched(tokens: list[str]) -> None:
    def others(some: Sequence[str]) -> list[str]:
        return [token for token in some if token in ("x", "^", r"\frac", r"\leftarrow", "&", r"\\")]

    assert others(inference.balance(tokens)) == others(tokens)


@pytest.mark.parametrize(
    ("given_tokens", "balanced"),
    [
        (r"\frac { a } { b", r"\frac { a } { b }"),
        (r"x ^ { 2 } } + 1", r"x ^ { 2 } + 1"),
        (r"\left( { a \right) + b", r"\left( { a } \right) + b"),
        (r"{ \left( a } + b", r"{ ( a } + b"),
        (r"a \right] + \left. b", r"a ] + b"),
        (r"\left\{ a", r"\{ a"),
        (r"{ \begin{matrix} a & b }", r"{ \begin{matrix} a & b \end{matrix} }"),
        (r"\begin{matrix} a \end{array} + b", r"\begin{matrix} a \end{matrix} + b"),
        (r"a \end{matrix}", r"a"),
    ],
)
def test_what_lacks_its_partner_is_closed_or_made_plain(given_tokens: str, balanced: str) -> None:
    assert " ".join(inference.balance(given_tokens.split())) == balanced


def test_a_token_that_a_repair_put_in_has_no_confidence(tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    token = model.predict([formula()])[0].tokens[0]
    monkeypatch.setattr(model, "tokens", ["{" if text == token else text for text in model.tokens])
    answer = model.predict([formula()], Options(tokens=True))[0]
    assert answer.token_confidences is not None
    put_in = [token for token, value in zip(answer.tokens, answer.token_confidences, strict=True) if value is None]
    assert put_in == ["}"] * answer.tokens.count("{")


def test_a_repaired_answer_says_so(tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = inference.Recognizer.load(tiny_base_dir / "model")
    as_it_was = model.predict([formula()])[0]
    token = as_it_was.tokens[0]
    monkeypatch.setattr(model, "tokens", ["{" if text == token else text for text in model.tokens])
    repaired = model.predict([formula()])[0]
    assert not as_it_was.repaired and repaired.repaired
    assert repaired.tokens.count("{") == repaired.tokens.count("}") == as_it_was.tokens.count(token)
    assert repaired.latex == inference.join_tokens(repaired.tokens)


def test_a_calibrated_model_answers_how_often_it_is_right(own_base_dir: Path) -> None:
    """sigmoid(slope * log p + offset); the golden samples, made of p itself, still reproduce."""
    plain = inference.Recognizer.load(own_base_dir / "model").predict([formula()])[0]
    calibrated = calibrate(own_base_dir, slope=0.5, offset=-1.0)
    answer = calibrated.predict([formula()])[0]
    odds = math.exp(0.5 * math.log(plain.confidence) - 1)
    assert answer.confidence == pytest.approx(odds / (1 + odds))
    assert replace(answer, confidence=plain.confidence) == plain
    assert calibrated.check_golden()
    assert 0 <= calibrate(own_base_dir, slope=1e6, offset=0.0).predict([formula()])[0].confidence <= 1, "no overflow"


def test_a_calibration_without_its_numbers_is_named(own_base_dir: Path) -> None:
    with pytest.raises(inference.ModelError, match="lacks the key 'offset'"):
        calibrate(own_base_dir, slope=1.0)


def test_all_readings_of_a_picture_are_calibrated_alike(own_base_dir: Path) -> None:
    """A longer one, whose own curve would make it surer, doesn't overtake the best."""
    model = calibrate(own_base_dir, slope=1.0, offset=0.0, long_slope=0.0, long_offset=20.0)
    best = model.predict([formula()], inference.Options(n_best=4)).pop().n_best
    assert len({len(each.tokens) for each in best}) > 1
    assert [each.confidence for each in best] == sorted((each.confidence for each in best), reverse=True)


def test_of_several_answers_one_at_most_is_right(own_base_dir: Path) -> None:
    """Each by itself is calibrated to nine in ten; together they can't be: the first keeps its own, others share."""
    model = calibrate(own_base_dir, slope=0.01, offset=2.2)
    alone = model.predict([formula()])[0].confidence
    best = model.predict([formula()], inference.Options(n_best=4)).pop().n_best
    assert best[0].confidence == pytest.approx(alone, abs=1e-3) and alone > 0.85
    assert sum(each.confidence for each in best) == pytest.approx(1)
    assert all(each.confidence > 0 for each in best) and len(best) == 4


def calibrate(base: Path, **calibration: float) -> inference.Recognizer:
    path = base / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": calibration}))
    return inference.Recognizer.load(base / "model")


@pytest.mark.parametrize("parameters", [b"filename=" + b"(" * 3000, b"filename=\"a.png\"; x*0*=ut\0f-8'en'%41"])
def test_a_form_whose_header_the_parser_gives_up_on_is_refused(parameters: bytes) -> None:
    """Python's e-mail parser recurses over nested comments of a header, and knows no charset with a NUL."""
    header = b'Content-Disposition: form-data; name="image"; ' + parameters
    body = b"--b\r\n" + header + b"\r\n\r\nx\r\n--b--\r\n"

    with pytest.raises(inference.RequestError) as raised:
        inference.input_fn(body, "multipart/form-data; boundary=b")

    assert (raised.value.status, raised.value.code) == (400, "invalid_form")


@pytest.mark.parametrize("precision", list(inference.NETWORKS))
def test_the_shipped_weights_are_seen_as_they_were_exported(precision: str) -> None:
    """Whoever changes preprocessing releases them anew (`recognizer.release`): no server would start with them."""
    assert inference.Recognizer.load(SHIPPED, precision=precision).check_golden() > 0
