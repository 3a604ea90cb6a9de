"""One labelled picture, and the error every reader of a data set raises.

A sample knows where it was written down (`origin`, "gt.txt:12"), so that whatever goes wrong with it later, in
another process and hours after reading, can still name the file and the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

import inference


class DataError(ValueError):
    """A fault in a data set; the message holds file, line, what was expected and the remedy."""


class Picture(Protocol):
    """Something that becomes an RGB picture."""

    def load(self, rng: np.random.Generator | None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB; with `rng`, a drawn picture may vary, a stored one may not."""


@dataclass(frozen=True)
class FilePicture:
    """A picture file, decoded as the server decodes an upload."""

    path: Path

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB. Raises OSError, or inference.RequestError if it can't be decoded."""
        return inference.read_image(self.path.read_bytes())


@dataclass(frozen=True)
class Sample:
    """A picture with its label.

    name    unique in its data set, the file's path relative to the folder (or the id of an ink record)
    tokens  the normalised label
    source  "printed", "handwritten" or whatever the data set says; "unknown" if it doesn't
    level   "1" (elementary) .. "5" (beyond university), or a data set's own; "unknown" if it doesn't say
    group   what must not be on both sides of a split: a writer, a document, or the formula itself
    dataset the part of the folder that it came from ("" when the folder is one data set)
    origin  "gt.txt:12", for messages
    """

    name: str
    tokens: tuple[str, ...]
    picture: Picture
    source: str = "unknown"
    level: str = "unknown"
    group: str = ""
    dataset: str = ""
    origin: str = ""

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the picture as (H, W, 3) uint8 RGB.

        Raises:
            DataError: it can't be read or decoded; names the file and line of the label.
        """
        try:
            return self.picture.load(rng)
        except (OSError, inference.RequestError) as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: Exception) -> DataError:
        """Return the error of a picture that can't be read or decoded."""
        return DataError(
            f"{self.origin}: the picture {self.name!r} can't be read ({error}); replace the file, remove the "
            "line, or set on_bad_sample=skip to leave it out"
        )
