"""What a job adds to its training samples is bound by what holds for its own."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.latex import Vocabulary
from recognizer.synth.glyphs import Box, GlyphBank
from recognizer.training import added
from tests.support.tiny_training import settings

TOKENS = ["x", "+", "^", "_", "{", "}"]
SQUARE = np.full((12, 12), 255, np.uint8)
BANK = GlyphBank({token: Box(-0.4, 0.0, 0.4) for token in "x+"}, ({token: [SQUARE] for token in "x+"},))


@pytest.mark.parametrize("most", [4, 6])
def test_random_layouts_are_as_short_as_the_data(most: int) -> None:
    """A longer one ended the training: the decoder has no place beyond max_tokens."""
    vocabulary = Vocabulary.from_labels([TOKENS])
    whole = added.strips(settings(strips=40, max_tokens=200), vocabulary, BANK)
    kept = added.strips(settings(strips=40, max_tokens=most), vocabulary, BANK)
    assert kept and [s.name for s in kept] == [s.name for s in whole if len(s.tokens) < most] != [s.name for s in whole]
