"""What a folder of labelled pictures holds: label files, pictures, and what nobody reads.

A data set that is read in part looks like one that was read: so what was left aside is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from recognizer.data.picture_files import is_picture_name
from recognizer.data.sample import DataError

SHOWN = 3
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
LIKE_LABELS = (
    *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".lst", ".inkml", ".xlsx"),
    *(".pkl", ".gz", *ARCHIVES),
)
NO_LABELS = re.compile(r"(readme|licen[cs]es?)\.txt|(manifest|shards)\.json")  # the last of our own data sets
TRAIN = frozenset(["train", "training"])
HELD_OUT = frozenset(["val", "valid", "validate", "validation", "dev", "test", "testing", "eval"])


@dataclass
class Contents:
    """Files of a folder and of those below it, each folder visited once; hidden ones are left out.

    `used` has those of them that were read or that a label names, by their paths without links.
    """

    folder: Path
    labels: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    _real_folder: Callable[[Path], str] = field(default_factory=lambda: cache(os.path.realpath), repr=False)

    def use(self, path: Path) -> str:
        """Note that a file is used; returns its path without links."""
        place = self._without_links(path)
        self.used.add(place)
        return place

    def is_used(self, path: Path) -> bool:
        """Whether it is, under whatever name."""
        return self._without_links(path) in self.used

    def _without_links(self, path: Path) -> str:
        if path.is_symlink():
            return os.path.realpath(path)
        return f"{self._real_folder(path.parent)}{os.sep}{path.name}"  # realpath would ask for each folder each time

    def beside(self, folder: Path, name: str) -> Path | None:
        """The other file of a folder that has the name, in any case of letters; from here on it counts as used."""
        path = self._others.get((folder, name))
        if path is not None:
            self.use(path)
        return path

    @cached_property
    def _others(self) -> dict[tuple[Path, str], Path]:
        return {(path.parent, path.name.lower()): path for path in self.others}

    def in_words(self) -> str:
        """What is there, for an error that says that nothing can be read."""
        archives = [path for path in self.others if _is_archive(path)]
        others = [path for path in self.others if not _is_archive(path)]
        found = [
            f"{_some(self.folder, archives)} (an archive: unpack it first)" if archives else "",
            _counted(self.folder, self.pictures, "pictures") if self.pictures else "",
            _some(self.folder, others),
        ]
        return "; ".join(filter(None, found)) or "nothing"


def search(folder: Path, is_label_file: Callable[[str], object]) -> Contents:
    """List a folder and those below, links too; one that can't be read is told. Raises DataError if it isn't there."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder that holds gt.txt or *.jsonl")
    found, visited = Contents(folder), {os.path.realpath(folder)}
    for root, folders, files in os.walk(folder, onerror=_tell_closed, followlinks=True):
        folders[:] = [name for name in sorted(_shown(folders)) if _is_new(os.path.join(root, name), visited)]  # noqa: PTH118
        for name in sorted(_shown(files)):
            kind = found.labels if is_label_file(name) else found.pictures if is_picture_name(name) else found.others
            kind.append(Path(root, name))
    return found


def _tell_closed(error: OSError) -> None:
    print(f"note: {error.filename} can't be read: {error.strerror}", flush=True)


def _shown(names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if not name.startswith("."))


def _is_new(folder: str, visited: set[str]) -> bool:
    """Whether it wasn't visited. By its path without links: not all file systems number what they hold."""
    place = os.path.realpath(folder)
    known = place in visited
    visited.add(place)
    return not known


def tell_unread(found: Contents) -> None:
    """Print which pictures and likely label files are not used."""
    unread = [path for path in found.others if _is_like_labels(path.name) and not found.is_used(path)]
    if unread:
        print(f"note: {found.folder}: not read: {_counted(found.folder, unread, 'files')}", flush=True)
    unnamed = [path for path in found.pictures if not found.is_used(path)]
    if unnamed:
        print(f"note: {found.folder}: no label names {_counted(found.folder, unnamed, 'pictures')}", flush=True)


def _is_like_labels(name: str) -> bool:
    return name.lower().endswith(LIKE_LABELS) and not NO_LABELS.fullmatch(name.lower())


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def tell_mixed(found: Contents) -> None:
    """Print that training and held-out sets are read as one, if their names say so."""
    words = {path: _words(path.relative_to(found.folder)) for path in found.labels}
    held_out = [path for path in found.labels if words[path] & HELD_OUT and not words[path] & TRAIN]
    trained = [path for path in found.labels if words[path] & TRAIN and not words[path] & HELD_OUT]
    if held_out and trained:
        print(
            f"note: {found.folder}: {_some(found.folder, trained)} and {_some(found.folder, held_out)} are read as one "
            "set, and what is trained on can't test. Keep one of them here and give the other as a VALIDATION folder "
            "(a channel `validation`)",
            flush=True,
        )


def _words(path: Path) -> set[str]:
    return set(re.findall("[a-z]+", path.as_posix().lower()))


def _counted(folder: Path, paths: Sequence[Path], what: str) -> str:
    return f"{len(paths)} {what} ({_some(folder, paths)})"


def _some(folder: Path, paths: Sequence[Path]) -> str:
    """The first few of them."""
    shown = [path.relative_to(folder).as_posix() for path in paths[:SHOWN]]
    return ", ".join([*shown, *["..."] * (len(paths) > SHOWN)])
