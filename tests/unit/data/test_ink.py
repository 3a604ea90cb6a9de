"""Pen strokes become legible pictures, the same each time unless chance is asked for."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recognizer.data.ink import MAX_SIDE, InkStyle, draw, draw_in_style, random_style

CROSS = (np.array([[0, 0], [100, 100]], np.float32), np.array([[0, 100], [100, 0]], np.float32))
ROW = tuple(np.array([[30 * n, 0], [30 * n + 10, 20]], np.float32) for n in range(10))


def ink_box(rgb):
    rows, columns = np.nonzero(rgb.min(axis=2) < 128)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_deterministic_without_chance():
    assert np.array_equal(draw(CROSS), draw(CROSS))


def test_chance_varies_and_repeats():
    first, again, other = (draw(ROW, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("grid", [0.01, 1, 300])
def test_size_does_not_depend_on_the_grid(grid):
    top, bottom, left, right = ink_box(draw([stroke * np.float32(grid) for stroke in CROSS]))
    assert abs(bottom - top - 44) < 6 and abs(right - left - 44) < 6


def test_aspect_is_kept():
    top, bottom, left, right = ink_box(draw(ROW))
    assert (right - left) / (bottom - top) == pytest.approx(280 / 20, rel=0.1)


def test_the_pen_has_its_width_and_soft_edges():
    line = (np.array([[0, 0], [0, 100]], np.float32),)
    rgb = draw_in_style(line, InkStyle(symbol=60, pen=0.1), np.random.default_rng(0))
    darkness = 1 - rgb[:, :, 0].astype(float) / 255
    assert darkness[40].sum() == pytest.approx(6, abs=0.8)
    soft = draw(CROSS)
    assert ((soft > 20) & (soft < 235)).any()


def test_a_dot_is_seen():
    assert (draw((np.array([[5, 5]], np.float32),)) < 128).any()


def test_strokes_that_touch_still_touch_after_a_warp():
    bars = (np.array([[0, 0], [100, 0]], np.float32), np.array([[100, 0], [100, 100]], np.float32))
    for seed in range(20):
        style = InkStyle(warp=0.07, slant=0.2, tilt=0.05, stretch=1.2)
        rgb = draw_in_style(bars, style, np.random.default_rng(seed))
        count, _ = cv2.connectedComponents((rgb[:, :, 0] < 128).astype(np.uint8))
        assert count == 2  # paper and one component


@settings(max_examples=60)
@given(
    strokes=st.lists(
        st.integers(1, 6).flatmap(lambda n: arrays(np.float32, (n, 2), elements=st.floats(-1000, 4000, width=32))),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 999),
)
def test_any_strokes_give_a_picture_of_bounded_size(strokes, seed):
    for rng in (None, np.random.default_rng(seed)):
        rgb = draw(strokes, rng)
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
        assert max(rgb.shape) <= MAX_SIDE + 1
        assert rgb.min() < 200  # something is drawn


def test_random_styles_stay_legible():
    rng = np.random.default_rng(0)
    for _ in range(300):
        style = random_style(rng)
        assert 22 <= style.symbol <= 56
        assert max(style.colour) + 50 < min(style.paper) or min(style.colour) + 100 < min(style.paper)
