"""Styles: every look gives dark ink on white, and where one can't draw a formula another does."""

import numpy as np
import pytest

from recognizer.synth.mathjax import RenderError
from recognizer.synth.mathtext import FONT_SETS
from recognizer.synth.style import ALPHABETS, Style, random_style, render, render_any

LOOKS = [("mathjax", font) for font in ALPHABETS] + [("mathtext", font) for font in FONT_SETS]


@pytest.mark.parametrize(("renderer", "font"), LOOKS)
def test_every_look_is_dark_on_white(renderer, font):
    picture = render(r"x ^ { 2 } + \frac { 1 } { 2 } = \sqrt { y }", Style(renderer, font))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert picture.min() < 60 and np.median(picture) == 255
    assert (picture[0] == 255).all() and (picture[-1] == 255).all()


def test_looks_differ():
    pictures = [render("x + y", Style(renderer, font)) for renderer, font in LOOKS]
    assert len({picture.tobytes() for picture in pictures}) == len(LOOKS)


def test_formulas_with_an_alphabet_of_their_own_keep_it():
    own = r"\mathbf { x } + y"
    assert np.array_equal(render(own, Style(font="bold")), render(own, Style()))


def test_sans_serif_is_not_used_where_l_and_i_would_look_alike():
    assert np.array_equal(render("l + I", Style(font="sans")), render("l + I", Style()))
    assert not np.array_equal(render(r"\lim a", Style(font="sans")), render(r"\lim a", Style()))


@pytest.mark.parametrize(
    ("font", "sign", "twin"), [("bold", "varnothing", "emptyset"), ("stix", "emptyset", "varnothing")]
)
def test_a_sign_that_a_font_draws_as_another_is_drawn_in_the_plain_one(font, sign, twin):
    look = Style("mathjax" if font in ALPHABETS else "mathtext", font)
    drawn, other = (render_any(f"\\{name}", look)[0] for name in (sign, twin))
    assert np.array_equal(drawn, render(f"\\{sign}", Style()))
    assert not np.array_equal(drawn, other)


@pytest.mark.parametrize("slant", [-0.15, 0.15])
def test_slant_shears_without_losing_ink(slant):
    upright, slanted = (render("H + H", Style(slant=value)) for value in (0.0, slant))
    assert slanted.shape[1] > upright.shape[1]
    assert (255 - slanted.astype(int)).sum() == pytest.approx((255 - upright.astype(int)).sum(), rel=0.03)


def test_ink_colour_and_margins():
    picture = render("x", Style(ink=(200, 0, 0), margins=(1, 0, 0, 0), x_height=20))
    darkest = picture[np.unravel_index(picture.sum(axis=2).argmin(), picture.shape[:2])]
    assert tuple(darkest) == (200, 0, 0)
    assert (picture[:, :20] == 255).all()


def test_render_any_falls_back_to_mathjax():
    matrix = r"\begin{matrix} a & b \end{matrix}"
    picture, style = render_any(matrix, Style("mathtext", "stix", x_height=12))
    assert style == Style("mathjax", "tex", x_height=12)
    assert np.array_equal(picture, render(matrix, style))
    with pytest.raises(RenderError):
        render_any(r"\nosuchthing", Style("mathtext", "stix"))


def test_unknown_renderer_is_refused():
    with pytest.raises(ValueError, match="renderer must be 'mathjax' or 'mathtext', got 'tex'"):
        render("x", Style("tex"))


def test_random_styles_cover_the_sizes_and_looks():
    rng = np.random.default_rng(0)
    styles = [random_style(rng) for _ in range(2000)]
    assert {(style.renderer, style.font) for style in styles} == set(LOOKS)
    assert min(style.x_height for style in styles) < 6.5 and max(style.x_height for style in styles) > 40
