"""The evaluation report in a real browser: on a desk, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import Chrome

from recognizer.data.sample import Sample
from recognizer.evaluation.metrics import Result
from recognizer.evaluation.report import write_report

pytestmark = pytest.mark.browser

PAPER = 718  # CSS pixels: A4 without the margins of a printer
NAMES = ("printed", "a source with a name that goes on and on, /and/its/folder/without/a/blank/in/it/as/well")
SHAPES = [(30, 1500, 3), (600, 40, 3), (40, 90, 3)]  # of pictures: a line, a column, a small one
# Each picture's height by its width, as it is drawn and in truth, where the box around it isn't to be filled.
DISTORTED = """
return [...document.querySelectorAll(".errors img")].filter((image) => {
  const {width, height} = image.getBoundingClientRect();
  const distortion = (width / height) / (image.naturalWidth / image.naturalHeight);
  return getComputedStyle(image).objectFit === "fill" && Math.abs(distortion - 1) > 0.1;
}).map((image) => image.alt);
"""
WIDER_THAN_ITS_BOX = """
return [...document.querySelectorAll("table, .slices, .tokens, td, th")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 200));
"""


class Plain:
    """A picture of this shape, black."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        return np.zeros(self.shape, np.uint8)


class Same:
    """Looks everywhere."""

    def map(self, rgb: np.ndarray, *_: object) -> np.ndarray:
        return rgb


@pytest.fixture
def report(chromium: Chrome, tmp_path: Path) -> Iterator[Chrome]:
    """The browser with a report of wrong answers, one of them very long."""
    labels = [("a", "+") * 400, ("a",), ("b",)]
    results = [
        Result(f"{number}", label, ("c",), 0.5, {"source": source})
        for number, (label, source) in enumerate(zip(labels, cycle(NAMES), strict=False))
    ]
    samples = [
        Sample(result.name, result.reference, Plain(shape)) for result, shape in zip(results, SHAPES, strict=True)
    ]
    write_report(tmp_path / "report.html", results, samples, {"model": "m"}, (), Same())  # type: ignore[arg-type]
    chromium.get((tmp_path / "report.html").as_uri())
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def show(chromium: Chrome, width: int, media: str = "screen") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})


def all_of(chromium: Chrome, expression: str, selector: str) -> list[Any]:
    """The values of an expression of `one` and its `style`, for each element."""
    return chromium.execute_script(
        f"return [...document.querySelectorAll({selector!r})]"
        f".map((one) => {{ const style = getComputedStyle(one); return {expression}; }})"
    )


@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (360, "screen"), (PAPER, "print")])
def test_pictures_keep_their_shape(report, width, media):
    show(report, width, media)
    assert report.execute_script(DISTORTED) == []


def test_paper_shows_all_that_there_is(report):
    show(report, PAPER, "print")
    assert report.execute_script(WIDER_THAN_ITS_BOX) == []
    assert set(all_of(report, "style.overflowX", ".slices, .tokens")) == {"visible"}
    assert all(all_of(report, "one.scrollHeight <= one.clientHeight + 1", "td"))
    assert set(all_of(report, "style.breakAfter", "h2")) == {"avoid"}


def test_a_long_name_leaves_the_columns_on_a_desk_in_sight(report):
    show(report, 1280)
    assert report.execute_script(WIDER_THAN_ITS_BOX) == []


def test_a_phone_shows_an_error_below_the_other(report):
    show(report, 360)
    assert report.execute_script("return document.documentElement.scrollWidth") <= 360
    assert all(width > 250 for width in all_of(report, "one.clientWidth", ".errors td"))
    assert all_of(report, "getComputedStyle(one, '::before').content", ".errors td")[:3] == [
        "none",
        '"label"',
        '"prediction"',
    ]
