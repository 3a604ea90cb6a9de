"""Files beside the labels that say something of each picture: `source.txt`, `level.txt`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recognizer.data.lines import BadLineError, read_lines
from recognizer.data.records import UNKNOWN
from recognizer.data.rows import split_pair
from recognizer.data.sample import DataError


class Attribute:
    """What a file beside the labels says of pictures, by their names in the label file."""

    def __init__(self, path: Path, values: dict[str, str]) -> None:
        self._path = path
        self._values = values
        self._left = set(values)

    def of(self, name: str) -> str:
        """What is said of a picture; `UNKNOWN` if nothing is."""
        self._left.discard(name)
        return self._values.get(name, UNKNOWN)

    def check_names(self) -> None:
        """Raise DataError if no sample has one of the names; tell if some are those of none."""
        if not self._left:
            return
        first = next(name for name in self._values if name in self._left)
        if len(self._left) == len(self._values):
            raise DataError(
                f"{self._path}: no sample is called {first!r}, nor by another name there; write names as the labels do"
            )
        print(f"note: {self._path}: {len(self._left)} names are those of no sample, {first!r} the first", flush=True)


def read_attribute(path: Path, values: Mapping[str, str], expected: str) -> Attribute:
    """Read `name<TAB>value`, and say of each name what the value stands for.

    Raises:
        DataError: a fault; it isn't one sample's, so none is left out for it.
    """
    attributes = {}
    for number, line in read_lines(path):
        try:
            name, value = split_pair(line, f"name<TAB>{expected}")
        except BadLineError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        if value not in values:
            raise DataError(f"{path}:{number}: value {value!r} of {name!r}; expected {expected}")
        attributes[name] = values[value]
    return Attribute(path, attributes)
