"""Finds the picture that a table names: beside the table or in a folder that people call so, with or without suffix.

Folders are listed once each, as asking a network's file system for one name after the other takes long.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath

from PIL import Image

import inference
from recognizer.data.lines import BadLineError

SUFFIXES = frozenset(
    suffix for suffix, kind in Image.registered_extensions().items() if kind in inference.PICTURE_FORMATS
)
SHARED_FOLDERS = ("", "images", "img", "train_images")  # which have one picture of a name, whatever table names it


def is_picture_name(name: str) -> bool:
    """Whether a file is called as pictures are."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (a Path for each of millions takes long)


def folders_for(stem: str) -> tuple[str, ...]:
    """Where the pictures of a table may be, below its folder, by the table's name without its suffix.

    Those of `test_labels.txt` are never in `train_images/`, which may have other pictures of the same names.
    """
    part = stem.removesuffix("_labels")
    if part == stem:
        return ("", stem, "images", "img", "train_images")
    return ("", f"{part}_images", part, stem, "images", "img")


class PictureFiles:
    """The pictures beside tables."""

    def __init__(self) -> None:
        self._names = cache(_file_names)
        self._by_stem = cache(self._sorted_by_stem)

    def find(self, folder: Path, places: Sequence[str], name: str) -> tuple[str, Path]:
        """Find a picture in one of the places below the table's folder; the first that has it counts.

        Returns:
            The place, and the picture's path.

        Raises:
            BadLineError: it isn't there, or several are that a name without suffix may mean.
        """
        parts = PurePosixPath(name)
        if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
            raise BadLineError(f"picture {name!r} must be a path inside the folder of the label file")
        for place, path in _paths(folder, places, name):
            if path.name in self._names(path.parent):
                return place, path
        for place, path in _paths(folder, places, name):
            if found := [other for other in self._like(path) if other.stem == path.name]:
                if len(found) > 1:
                    kinds = " or ".join(repr(other.name) for other in found)
                    raise BadLineError(f"picture {name!r} may be {kinds}; write which of them in the label file")
                return place, found[0]
        tried = ", ".join(f"{place}/" if place else "./" for place in places)
        near = [other for _, path in _paths(folder, places, name) for other in self._like(path)]
        hint = f"; there is {near[0].relative_to(folder).as_posix()!r}: correct one of the names" if near else ""
        raise BadLineError(f"picture {name!r} is missing; looked in {tried} beside the label file{hint}")

    def _like(self, path: Path) -> Iterator[Path]:
        """Pictures of the same folder whose names differ in the suffix or the case of letters alone."""
        stems = self._by_stem(path.parent)
        for stem in [path.name, path.stem] if is_picture_name(path.name) else [path.name]:
            yield from (path.parent / name for name in stems.get(stem.lower(), ()))

    def _sorted_by_stem(self, folder: Path) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for name in sorted(filter(is_picture_name, self._names(folder))):
            stems.setdefault(name.rpartition(".")[0].lower(), []).append(name)
        return stems


def _paths(folder: Path, places: Sequence[str], name: str) -> Iterator[tuple[str, Path]]:
    """Where the picture may be, the likeliest first."""
    # macOS writes é in a file's name as two characters, e and its accent; who wrote the table wrote one.
    spellings = dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))])
    for place, spelt in product(places, spellings):
        yield place, folder / place / spelt


def _file_names(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if not entry.is_dir())
    except (OSError, ValueError):  # it isn't there, or a line of text was taken for a name
        return frozenset()
