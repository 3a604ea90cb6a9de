"""Degradation and augmentation: seeded, for any picture, and the ink stays legible."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.synth.augment import augment, faded, salted, symbol_height, with_dust
from recognizer.synth.degrade import _with_neighbours, degrade
from recognizer.synth.style import Style, render

CODE = Path(__file__).parents[3] / "code"


@pytest.fixture(scope="module")
def formula():
    return render(r"x ^ { 2 } + \frac { 1 } { 2 } = y", Style(x_height=14.0))


@pytest.mark.parametrize("change", [degrade, augment])
def test_the_same_seed_gives_the_same_bytes_whatever_came_before(change, formula):
    first = [change(formula, np.random.default_rng(seed)) for seed in range(40)]
    again = [change(formula, np.random.default_rng(seed)) for seed in reversed(range(40))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) > 25


@pytest.mark.parametrize("change", [degrade, augment])
def test_the_input_is_not_touched(change, formula):
    before = formula.copy()
    for seed in range(30):
        change(formula, np.random.default_rng(seed))
    assert np.array_equal(before, formula)


@pytest.mark.parametrize("change", [degrade, augment])
@settings(max_examples=60)
@given(height=st.integers(1, 60), width=st.integers(1, 90), grey=st.integers(0, 255), seed=st.integers(0, 2**32))
def test_any_picture_is_accepted(change, height, width, grey, seed):
    rng = np.random.default_rng(seed)
    picture = np.minimum(rng.integers(0, 256, (height, width, 3)), grey).astype(np.uint8)
    changed = change(picture, rng)
    assert changed.dtype == np.uint8 and changed.ndim == 3 and changed.shape[2] == 3 and min(changed.shape) >= 1
    assert changed.flags.c_contiguous


def test_a_column_of_one_pixel_stays_one():
    column = np.zeros((60, 1, 3), np.uint8)
    for seed in range(400):
        assert min(degrade(column, np.random.default_rng(seed)).shape) >= 1


def test_about_a_third_stays_clean(formula):
    untouched = sum(degrade(formula, np.random.default_rng(seed)).shape == formula.shape for seed in range(300))
    exact = sum(np.array_equal(degrade(formula, np.random.default_rng(seed)), formula) for seed in range(300))
    assert untouched > exact and 0.12 < exact / 300 < 0.3


def test_dust_is_finer_than_the_dots_of_the_formula():
    sheet = np.full((80, 400, 3), 255, np.uint8)
    cv2.putText(sheet, "H", (20, 60), 0, 1.5, (0, 0, 0), 3)
    size = symbol_height(sheet)
    found = []
    for seed in range(30):
        dusty = with_dust(sheet, np.random.default_rng(seed))
        specks = np.asarray((dusty < sheet).any(axis=2), np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(specks)
        found.append(len(boxes) - 1)
        assert specks.mean() < 0.02 and np.median(boxes[1:, cv2.CC_STAT_HEIGHT]) < 0.2 * size
    assert min(found) >= 1 and len(set(found)) > 5


def test_the_ink_stays_legible(formula):
    """Local contrast: somewhere the picture still has ink clearly darker (or lighter) than what surrounds it."""
    for seed in range(200):
        grey = cv2.cvtColor(degrade(formula, np.random.default_rng(seed)), cv2.COLOR_RGB2GRAY).astype(np.float32)
        ground = cv2.medianBlur(grey.astype(np.uint8), 31).astype(np.float32)
        assert np.percentile(np.abs(grey - ground), 97) > 25, seed


def test_some_pictures_become_black_and_white_and_stay_legible_in_shadow(formula):
    shadow = np.linspace(1, 0.4, formula.shape[1])[None, :, None]
    changed = [augment((formula * shadow).astype(np.uint8), np.random.default_rng(seed)) for seed in range(200)]
    binary = [picture for picture in changed if set(np.unique(picture)) == {0, 255}]
    assert 2 <= len(binary) <= 25
    assert all(0.01 < (picture == 0).mean() < 0.3 for picture in binary), "the shadow is no ink"


def test_ink_fades_in_places_and_never_goes(formula):
    ink = formula.min(axis=2) < 64
    for seed in range(50):
        pale = faded(formula, np.random.default_rng(seed)).astype(float)
        assert (pale[formula.min(axis=2) == 255] == 255).all(), "paper stays paper"
        darkness = 255 - pale[ink].mean(axis=1)
        assert darkness.min() > 255 / 4 * 0.7, f"seed {seed}: ink is gone"
        assert darkness.max() > 1.1 * darkness.min(), f"seed {seed}: nothing faded"


def test_stray_pixels_are_few_and_of_both_colours(formula):
    stray = [salted(formula, np.random.default_rng(seed)) != formula for seed in range(50)]
    shares = [changed.any(axis=2).mean() for changed in stray]
    assert 0 < max(shares) <= 0.011
    both = salted(np.full((200, 300, 3), 128, np.uint8), np.random.default_rng(1))
    assert set(np.unique(both)) == {0, 128, 255}


@pytest.mark.parametrize("latex", ["-", "=", r"\frac{x-7}{5}", r"\sqrt{x}", "x"])
def test_neighbouring_lines_add_no_bar_to_what_would_be_read_otherwise(latex):
    """`=` with another bar is `\\equiv`, a fraction with one above is overlined."""
    picture = render(latex, Style(x_height=20))
    size = symbol_height(picture)
    assert all(_with_neighbours(picture, size, np.random.default_rng(seed)) is picture for seed in range(5))


def test_lines_above_and_below_are_made_of_pieces_like_letters():
    picture = render("abcdefghmnk", Style(x_height=20))
    size = symbol_height(picture)
    for seed in range(10):
        added = _with_neighbours(picture, size, np.random.default_rng(seed))
        assert len(added) > len(picture)
        ends = added[:2], added[-2:]
        assert any((end < 128).any() for end in ends), "cut off by the border"


def test_symbol_height_is_that_of_the_letters():
    picture = render("x x x x x", Style(x_height=20))
    assert symbol_height(picture) == pytest.approx(20, rel=0.2)  # thin serifs fall below the threshold
    assert symbol_height(np.full((30, 50, 3), 255, np.uint8)) == 10


def test_albumentations_comes_without_torch_and_network():
    program = (
        "import os, sys; from recognizer.synth.degrade import degrade; import numpy as np\n"
        "[degrade(np.full((20, 40, 3), 255, np.uint8), np.random.default_rng(seed)) for seed in range(9)]\n"
        "assert 'albumentations' in sys.modules and os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'\n"
        "assert 'torch' not in sys.modules\n"
        "import torch"  # and it can still be had
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CODE, timeout=100, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
