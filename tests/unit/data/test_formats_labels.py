r"""Labels that a program spoilt on the way are refused, with what happened to them: a lost `\f` taught `rac`."""

import json

import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.labels import COMMANDS, check_label
from recognizer.data.lines import BadLineError
from recognizer.data.sample import DataError

DOUBLE = r"backslashes must be doubled in JSON (\\frac)"
SPOILT = [  # what a string that isn't raw makes of commands
    ("\frac{a}{b}", r"\frac"),
    ("a \times b", r"\times"),
    ("x = \nu", r"\nu"),
    ("\rho + 1", r"\rho"),
    ("\beta", r"\beta"),
    (r"\gamma" + "\alpha", r"\alpha"),
    ("\vec{x}", r"\vec"),
    ("a \\\\\nb \neq c", r"\neq"),  # beside a true line's end
]
SOUND = [
    "a \\\\\nu + b",  # the lines end with \\ and one begins with u: two letters may be chance
    "\\begin{cases}\nu & v \\\\\r\n\te & f\n\\end{cases}\n",
    "x\t+ y",
    r"a\\ \frac{b}{c}",
    r"x\\y",
    r"x = 1\\mathrmx",  # no command
    r"\begin{matrix}cool\\in\\moist\\air\end{matrix}",  # a real one, of 265,000
    r"\begin{pmatrix}1\\\frac{3}{2}\end{pmatrix}",
]


@pytest.mark.parametrize(("label", "meant"), SPOILT)
def test_a_backslash_that_became_a_control_character_is_refused(competition, label, meant):
    """The label looks like `rac{a}{b}` to everybody but the file."""
    record = json.dumps({"image": "train_00000.jpg", "latex": label})
    (competition / "gt.txt").rename(competition / "more.jsonl")
    (competition / "more.jsonl").write_text(record + "\n")
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert "more.jsonl:1: the label holds" in str(error.value)
    assert f"where {meant} was most likely meant" in str(error.value) and DOUBLE in str(error.value)


@pytest.mark.parametrize("label", ["\frac{a}{b}", "\times x", "a \times b", "\rho"])
def test_neither_is_it_read_from_a_line_of_pairs(competition, label):
    """Blanks at the ends are taken off, and what is left of a tab or a form feed with them."""
    (competition / "gt.txt").write_bytes(f"train_00000.jpg\t{label}\n".encode())
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert "gt.txt:1: the label holds" in str(error.value) and DOUBLE in str(error.value)


def test_any_other_control_character_is_refused_too():
    with pytest.raises(BadLineError, match=r"control character '\\x1b'"):
        check_label("a \x1b[1m")


@pytest.mark.parametrize("command", [r"\alpha", r"\underline{a}", r"\sum"])
def test_json_with_a_lone_backslash_says_what_to_do(competition, command):
    (competition / "more.jsonl").write_text('{"image": "train_00000.jpg", "latex": "' + command + '"}\n')
    with pytest.raises(DataError) as error:
        read_dataset(competition)
    assert "more.jsonl:1: not JSON" in str(error.value) and DOUBLE in str(error.value)


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        (r"\\frac{1}{2}", r"\frac"),
        (r"x + \\alpha", r"\alpha"),
        (r"\\begin{matrix} a \\ b \\end{matrix}", r"\begin"),
        (r"\\\\left( x \\\\right)", r"\left"),  # twice too often
        (r"\\frac{1}{2}\alpha", r"\frac"),  # by hand
        (r"2 \\pi r", r"\pi"),
    ],
)
def test_a_doubled_backslash_is_refused(label, meant):
    r"""`\\frac` is a line's end and the letters f, r, a, c."""
    with pytest.raises(BadLineError) as error:
        check_label(label)
    assert f"holds \\{meant}," in str(error.value) and f"where {meant} was most likely meant" in str(error.value)


@pytest.mark.parametrize("label", SOUND)
def test_true_line_ends_are_left_alone(label):
    check_label(label)


def test_the_names_of_commands_are_those_that_labels_have():
    """A table that loses a name would let it pass; single letters are names too, and would refuse every other line."""
    assert {"frac", "begin", "left", "mathrm", "text", "operatorname", "langle", "pi", "Bigl", "rm"} <= COMMANDS
    assert all(len(name) > 1 for name in COMMANDS)


def test_bytes_that_nobody_could_read_are_refused():
    with pytest.raises(BadLineError, match="aren't UTF-8"):
        check_label("a \ufffd b")
