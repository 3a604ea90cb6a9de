"""Training pictures that lie on their side, as phones and scanners deliver them.

The server turns a tall picture by itself where its first answer isn't sure, and a squarish one that it can't read
(`turn=auto`). A recognizer that was trained on such pictures as well reads them as they lie, wide ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recognizer.data.measure import PictureCache
from recognizer.data.sample import Sample
from recognizer.latex.synonyms import ARGUMENTS

STRUCTURE = frozenset("{}^_")
TURNS_INTO_ANOTHER = frozenset(["-", "=", "|", r"\|", "N", "Z", "<", ">", r"\wedge", r"\vee", r"\subset", r"\supset"])
CLOCKWISE, COUNTERCLOCKWISE = -1, 1  # quarter turns, as numpy counts them


@dataclass(frozen=True)
class TurnedPicture:
    """A sample's picture, turned by quarters of a circle."""

    upright: Sample
    quarters: int
    cache: PictureCache

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB.

        Raises:
            DataError: the picture can't be read; names the file and line of its label.
        """
        return np.ascontiguousarray(np.rot90(self.cache.load(self.upright, rng), self.quarters))


def turned_samples(samples: Sequence[Sample], count: int, seed: int, cache: PictureCache) -> list[Sample]:
    """`count` of the samples, or all if they are fewer, with their pictures on one side or the other.

    A label is left out whose symbols are one, or all such as turn into others: a turned `-` is a `|`, an `N` a `Z`.
    """
    usable = [sample for sample in samples if _can_be_told(sample.tokens)]
    rng = np.random.default_rng((seed, 5))
    turned = []
    for number, index in enumerate(rng.permutation(len(usable))[:count]):
        upright, quarters = usable[index], (CLOCKWISE, COUNTERCLOCKWISE)[int(rng.integers(2))]
        name = f"turned/{number}"
        picture = TurnedPicture(upright, quarters, cache)
        turned.append(replace(upright, name=name, picture=picture, dataset="turned"))
    return turned


def _can_be_told(tokens: Sequence[str]) -> bool:
    symbols = [token for token in tokens if token not in STRUCTURE and token not in ARGUMENTS]
    return len(symbols) > 1 and not TURNS_INTO_ANOTHER.issuperset(symbols)
