"""What a job says of its data: how much of them is made up, and which commands nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.data.ink import InkPicture
from recognizer.data.measure import Measured
from recognizer.data.sample import Sample
from recognizer.latex import Vocabulary
from recognizer.training.told import tell_sizes, tell_unknown


def sample(number: int, *tokens: str, dataset: str = "") -> Sample:
    return Sample(str(number), tokens, InkPicture(()), dataset=dataset, origin=f"gt.txt:{number}")


def measured(*datasets: str) -> Measured:
    samples = [sample(number, "x", dataset=dataset) for number, dataset in enumerate(datasets)]
    return Measured(samples, np.array([[32, 64, 1]] * len(samples)), [])


def test_what_is_made_up_is_counted_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    vocabulary = Vocabulary.from_labels([["x"]])
    tell_sizes(measured("own", "strips", "strips", "pages"), measured("own"), vocabulary)
    assert capsys.readouterr().out.startswith(
        "4 training samples (of them 2 random layouts, which strips=0 leaves out, 1 pages of formulas) and 1 validation"
    )
    tell_sizes(measured("own"), measured("own"), vocabulary)
    assert capsys.readouterr().out.startswith("1 training and 1 validation samples;")


def test_commands_that_are_no_latex_are_told_with_their_first_place(capsys: pytest.CaptureFixture[str]) -> None:
    latex = ("\\frac", "\\alpha", "\\gtrless", "\\text", "\\left(", "\\begin{array}", "\\\\", "\\{", "\\own")
    tell_unknown([sample(1, *latex), sample(2, "\\foo"), sample(3, "\\foo", "\\bar1"), sample(4, "\\fo")], ["\\own"])
    told = capsys.readouterr().out
    assert "no LaTeX known here: \\foo (gt.txt:2), \\fo (gt.txt:4); they become tokens" in told
    tell_unknown([sample(1, *latex)], ["\\own"])
    assert not capsys.readouterr().out
