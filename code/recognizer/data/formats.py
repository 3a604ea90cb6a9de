"""Reads a folder of labelled pictures, in whichever of the known formats it is written.

* the competition's: `gt.txt` (or `labels.tsv`) with `name<TAB>label`, optional `tokens.txt` (the vocabulary, one
  token a line), `source.txt` (`name<TAB>0|1`) and `level.txt` (`name<TAB>1..5`); pictures beside it, in `images/`
  or in `train_images/`;
* JSON Lines, `*.jsonl` or `*.jsonl.gz`: `{"image": path, "latex": label}`, optional "source", "level", "group";
* pen strokes, in the same files: `{"id", "writer", "caption" or "truth", "strokes": [[[x, y], ...], ...]}`,
  and if it is known which strokes are one symbol, `"symbols": [[latex, [stroke numbers]], ...]`;
* shards: `NAME-000000.tar`, ... with `index/NAME-000000.index.jsonl`, ... (see `shards`).

A folder may also hold several such folders (a training channel with sub-sets): all of them are read.
"""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import inference
from recognizer.data.ink import InkPicture
from recognizer.data.sample import DataError, FilePicture, Picture, Sample
from recognizer.data.shards import (
    INDEX_SUFFIX,
    OnBadSample,
    Shard,
    ShardPicture,
    check_all_there,
    read_head,
)
from recognizer.latex import Vocabulary, VocabularyError, normalize, normalize_transcript, problems, tokenize

PAIR_FILES = ("gt.txt", "labels.tsv")
JSON_SUFFIXES = (".jsonl", ".jsonl.gz")
PICTURE_FOLDERS = ("", "images", "train_images")
SOURCES = {"0": "printed", "1": "handwritten"}
LEVELS = {str(level): str(level) for level in range(1, 6)}
UNKNOWN = "unknown"
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d+|#x[0-9A-Fa-f]+);", re.IGNORECASE)
UNKNOWN_WRITER = "(unknown)"  # how the group of such records ends


@dataclass(frozen=True)
class Dataset:
    """What a folder holds: its samples in file order, its own vocabulary if it states one, what was left out, and
    which labels are no LaTeX (a brace or an argument is missing), so that nobody knows if they were read as meant."""

    samples: list[Sample]
    vocabulary: Vocabulary | None = None
    skipped: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


class _BadSampleError(Exception):
    """One line that can't become a sample; the message is without file and line."""


def read_dataset(
    folder: Path | str,
    on_bad_sample: OnBadSample = "error",
    vocabulary: Vocabulary | None = None,
    in_pipe: bool = False,
) -> Dataset:
    """Read every data set in `folder` and below.

    Labels are checked against `vocabulary` if it is given, else against the `tokens.txt` of their folder or the
    nearest one above it, else not at all. Pictures are opened as far as their header; `Sample.load` decodes them.
    With `in_pipe` the folder holds the indices of shards alone: the pictures come through a pipe, and can't be loaded.

    Raises:
        DataError: no data set, an empty one, or (unless on_bad_sample is "skip") a bad line.
    """
    folder = Path(folder)
    reader = _Reader(folder, vocabulary, in_pipe)
    label_files = _find_label_files(folder)
    for place in sorted({label_file.parent for label_file in label_files}):
        check_all_there(place)
    for label_file in label_files:
        reader.read(label_file)
    return reader.result(on_bad_sample)


def _find_label_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder that holds gt.txt or *.jsonl")
    found = []
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in sorted(files) if _is_label_file(name)]
    if not found:
        raise DataError(
            f"{folder}: no data set found; expected gt.txt or labels.tsv (name<TAB>label), *.jsonl or *.jsonl.gz, or "
            f"shards with their *{INDEX_SUFFIX}, here or in a folder below"
        )
    return found


def _is_label_file(name: str) -> bool:
    return not name.startswith(".") and (name in PAIR_FILES or name.endswith(JSON_SUFFIXES))


@dataclass(frozen=True)
class _KnownTokens:
    """What a label may hold: normalised tokens, or (from a tokens.txt) tokens as the labels beside it spell them.

    Normalising can make tokens that the file needn't list: `\\mathrm { s i n }` becomes `\\sin`.
    """

    where: str
    normalized: Vocabulary
    written: frozenset[str] = frozenset()

    @classmethod
    def from_file(cls, path: Path) -> _KnownTokens:
        try:
            vocabulary = Vocabulary.from_file(path)
        except VocabularyError as error:
            raise DataError(str(error)) from error
        return cls("tokens.txt", vocabulary.normalized(), frozenset(vocabulary.tokens))

    def check(self, label: str, tokens: Sequence[str]) -> None:
        if all(token in self.normalized for token in tokens):
            return
        written = tokenize(label)
        for token in written if self.written else tokens:
            if token not in self.written and token not in self.normalized:
                raise _BadSampleError(f"token {token!r} is not in {self.where}; add it there or correct the label")


class _Reader:
    """Collects samples, bad lines and vocabularies over the label files of one folder."""

    def __init__(self, folder: Path, vocabulary: Vocabulary | None, in_pipe: bool) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.in_pipe = in_pipe
        self.samples: list[Sample] = []
        self.bad: list[str] = []
        self.doubtful: list[str] = []
        self.doubts: list[str] = []  # of the label that was read last
        self.first_seen: dict[str, str] = {}  # name -> origin
        self.token_files: dict[Path, _KnownTokens] = {}
        self.known: _KnownTokens | None = None  # what the labels being read may hold

    def read(self, label_file: Path) -> None:
        self.known = self._known_tokens(label_file.parent)
        make = _maker(label_file.name)(self, label_file)
        for number, line in read_lines(label_file):
            origin = f"{self._relative(label_file)}:{number}"
            self.doubts = []
            try:
                if "\r" in line:
                    raise _BadSampleError("several lines that end with a carriage return alone; save the file with \\n")
                sample = make.sample(line, number, origin)
                if sample is not None:
                    self._check_name(sample)
                    self.samples.append(sample)
                    self.doubtful += [f"{origin}: {doubt}" for doubt in self.doubts[:1]]
            except _BadSampleError as error:
                self.bad.append(f"{origin}: {error}")

    def result(self, on_bad_sample: OnBadSample) -> Dataset:
        check_usable(self.folder, self.samples, self.bad, on_bad_sample)
        vocabulary = self._own_vocabulary() if self.vocabulary is None else self.vocabulary
        return Dataset(self.samples, vocabulary, self.bad, self.doubtful)

    def _own_vocabulary(self) -> Vocabulary | None:
        """All tokens.txt together, and what the labels hold beyond them."""
        if not self.token_files:
            return None
        listed = [token for known in self.token_files.values() for token in known.normalized.tokens]
        used = sorted({token for sample in self.samples for token in sample.tokens})
        return Vocabulary(tuple(dict.fromkeys([*listed, *used])))

    def _known_tokens(self, folder: Path) -> _KnownTokens | None:
        """The vocabulary that was given, or the tokens.txt of the folder, or of the nearest one above it."""
        if self.vocabulary is not None:
            return _KnownTokens("the vocabulary", self.vocabulary)
        for place in (folder, *folder.parents):
            path = place / "tokens.txt"
            if path.is_file():
                if place not in self.token_files:
                    self.token_files[place] = _KnownTokens.from_file(path)
                return self.token_files[place]
            if place == self.folder:
                break
        return None

    def label_tokens(self, label: str, spelling: Callable[[str], str] = normalize) -> tuple[str, ...]:
        """Bring a label to its canonical `spelling` and check its tokens."""
        if (entity := _ENTITY.search(label)) and html.unescape(entity[0]) != entity[0]:
            raise _BadSampleError(
                f"the label holds {entity[0]!r}, which is HTML; expected LaTeX, as {html.unescape(entity[0])!r}"
            )
        tokens = tuple(tokenize(spelling(label)))
        if spelling is normalize:  # which mends what it can
            self.doubts = problems(tokenize(label))
        if not tokens:
            raise _BadSampleError("the label is empty; expected LaTeX")
        if self.known is not None:
            self.known.check(label, tokens)
        return tokens

    def _check_name(self, sample: Sample) -> None:
        first = self.first_seen.setdefault(sample.name, sample.origin)
        if first != sample.origin:
            raise _BadSampleError(f"{sample.name!r} is there already, from {first}; names must be unique")

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def picture_file(self, folder: Path, name: str) -> tuple[str, Picture]:
        """Find a picture beside its label file; returns its name relative to the data set's folder."""
        parts = PurePosixPath(name)
        if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
            raise _BadSampleError(f"picture {name!r} must be a path inside the folder of the label file")
        # macOS writes é in a file's name as two characters, e and its accent; who wrote the table wrote one.
        spellings = dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))])
        for place, spelt in product(PICTURE_FOLDERS, spellings):
            path = folder / place / spelt
            if os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises if the name is too long to be one)
                _check_header(path, name)
                return self._relative(folder / name), FilePicture(path)
        tried = ", ".join(f"{place}/" if place else "./" for place in PICTURE_FOLDERS)
        raise _BadSampleError(f"picture {name!r} is missing; looked in {tried} beside the label file")


def check_usable(folder: Path, samples: Sequence[Sample], bad: Sequence[str], on_bad_sample: OnBadSample) -> None:
    """Check that a folder has samples, and none that is bad unless such are to be left out.

    Raises:
        DataError: it hasn't; `bad` says what is wrong, each with file and line.
    """
    if bad and on_bad_sample == "error":
        more = f"\n({len(bad) - 1} more bad lines follow)" if len(bad) > 1 else ""
        raise DataError(
            f"{folder}: {bad[0]}. Mend it, or set on_bad_sample=skip (of a command: --on-bad-sample skip) to leave out "
            f"bad lines{more}"
        )
    if not samples:
        first = f"; the first of {len(bad)} bad lines: {bad[0]}" if bad else ""
        raise DataError(f"{folder}: the data set is empty, no usable sample in it{first}")


def _check_header(path: Path, name: str) -> None:
    try:
        with inference.open_picture(path):
            pass
    except Exception as error:  # Pillow's plugins raise many kinds
        raise _BadSampleError(f"picture {name!r} is not a readable image ({error})") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the lines that aren't blank, of a file that may be gzipped.

    Raises:
        DataError: it is damaged, or not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as file, gzip.open(file) if path.suffix == ".gz" else file as lines:
            for number, line in enumerate(lines, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{number + 1}: damaged gzip file ({error}); copy it again") from error


def _split_pair(line: str, expected: str) -> tuple[str, str]:
    name, tab, value = line.partition("\t")
    if not tab:
        raise _BadSampleError(f"no tab in {line[:80]!r}; expected {expected}")
    return name.strip(), value.strip()


class _PairLines:
    """`name<TAB>label` files, with the source and level files beside them."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        self.reader = reader
        self.folder = label_file.parent
        self.label_file = label_file
        self.dataset = _dataset_name(reader.folder, self.folder)
        self.sources = _read_attribute(self.folder / "source.txt", SOURCES, "0 (printed) or 1 (handwritten)")
        self.levels = _read_attribute(self.folder / "level.txt", LEVELS, "1 to 5")

    def sample(self, line: str, number: int, origin: str) -> Sample | None:
        name, label = _split_pair(line, "name<TAB>label")
        if number == 1 and (name, label) == ("image", "latex"):
            return None  # a header
        full_name, picture = self.reader.picture_file(self.folder, name)
        tokens = self.reader.label_tokens(label)
        return Sample(
            name=full_name,
            tokens=tokens,
            picture=picture,
            source=self.sources.get(name, UNKNOWN),
            level=self.levels.get(name, UNKNOWN),
            group=formula_group(tokens),
            dataset=self.dataset,
            origin=origin,
        )


def _read_attribute(path: Path, values: dict[str, str], expected: str) -> dict[str, str]:
    """Read `name<TAB>value`; a fault here is an error, as it isn't one sample's."""
    if not path.is_file():
        return {}
    attributes = {}
    for number, line in read_lines(path):
        try:
            name, value = _split_pair(line, f"name<TAB>{expected}")
        except _BadSampleError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        if value not in values:
            raise DataError(f"{path}:{number}: value {value!r} of {name!r}; expected {expected}")
        attributes[name] = values[value]
    return attributes


class _JsonLines:
    """JSON Lines of pictures (key "image") or of pen strokes (key "strokes")."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        self.reader = reader
        self.folder = label_file.parent
        stem = label_file.name.removesuffix(".gz").removesuffix(".jsonl")
        self.dataset = "/".join(filter(None, (_dataset_name(reader.folder, self.folder), stem)))

    def sample(self, line: str, number: int, origin: str) -> Sample:
        record = _parse_json(line)
        if "strokes" in record:
            return self._ink_sample(record, origin)
        if "image" in record:
            return self._picture_sample(record, origin)
        raise _BadSampleError(
            f'keys {sorted(record)} hold neither "image" (a picture\'s path) nor "strokes" (pen strokes)'
        )

    def _picture_sample(self, record: dict[str, Any], origin: str) -> Sample:
        tokens = self.reader.label_tokens(_text(record, "latex"))
        full_name, picture = self.reader.picture_file(self.folder, _text(record, "image"))
        return Sample(
            name=full_name,
            tokens=tokens,
            picture=picture,
            source=_optional(record, "source"),
            level=_optional(record, "level"),
            group=_optional(record, "group", formula_group(tokens)),
            dataset=self.dataset,
            origin=origin,
        )

    def _ink_sample(self, record: dict[str, Any], origin: str) -> Sample:
        label = record.get("caption") or record.get("truth")
        if not isinstance(label, str):
            raise _BadSampleError('no label; expected LaTeX as text in "caption" or "truth"')
        # Without a writer nobody knows who wrote it: all such records of one collection stay together.
        writer = _optional(record, "writer", "")
        collection = _optional(record, "source", "")
        return Sample(
            name=f"{self.dataset}/{_text(record, 'id')}",
            tokens=self.reader.label_tokens(label, normalize_transcript),
            picture=_ink(record),
            source="handwritten",
            level=_optional(record, "level"),
            group=f"writer:{collection}/{writer or UNKNOWN_WRITER}",
            dataset=self.dataset,
            origin=origin,
        )


class _ShardIndex:
    """The index of a shard: a line about the shard, then one for each picture in it."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        self.reader = reader
        above = reader.folder if label_file.parent == reader.folder else label_file.parent.parent  # of `index/`
        self.folder = _dataset_name(reader.folder, above)
        self.shard = read_head(label_file, reader.in_pipe)

    def sample(self, line: str, number: int, origin: str) -> Sample | None:
        if number == 1:
            return None  # the head
        record = _parse_json(line)
        return Sample(
            name=self._below(_text(record, "name")),
            tokens=self.reader.label_tokens(_text(record, "latex"), str),  # normalised: again, it would take an hour
            picture=_member(record, self.shard),
            source=_optional(record, "source"),
            level=_optional(record, "level"),
            group=_optional(record, "group", ""),
            dataset=self._below(_optional(record, "dataset", "")),
            origin=origin,
        )

    def _below(self, name: str) -> str:
        return "/".join(filter(None, (self.folder, name)))


def _member(record: dict[str, Any], shard: Shard) -> ShardPicture:
    offset, length, crc32 = (_whole(record.get(key), f'key "{key}"') for key in ("offset", "bytes", "crc32"))
    if offset + length > shard.size:
        raise _BadSampleError(f"bytes {offset} to {offset + length} are beyond the end of {shard.path.name}")
    canvas = record.get("canvas")
    if not isinstance(canvas, list) or len(canvas) != 2:
        raise _BadSampleError(f'key "canvas" must be [height, width], not {canvas!r:.60}')
    height, width = (_whole(side, 'a side of "canvas"', least=1) for side in canvas)
    return ShardPicture(shard, offset, length, crc32, (height, width))


def _whole(value: Any, what: str, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise _BadSampleError(f"{what} must be a whole number from {least} on, not {value!r:.60}")
    return value


def _maker(name: str) -> type[_PairLines] | type[_JsonLines] | type[_ShardIndex]:
    if name in PAIR_FILES:
        return _PairLines
    return _ShardIndex if name.endswith(INDEX_SUFFIX) else _JsonLines


def _parse_json(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BadSampleError(f"not JSON ({error}); expected one object a line") from error
    if not isinstance(record, dict):
        raise _BadSampleError(f"a JSON {type(record).__name__}; expected one object a line")
    return record


def _text(record: dict[str, Any], key: str) -> str:
    if key not in record:
        raise _BadSampleError(f'key "{key}" is missing; the keys there are {sorted(record)}')
    if not isinstance(record[key], str) or not record[key].strip():
        raise _BadSampleError(f'key "{key}" must be text that isn\'t empty, not {record[key]!r:.60}')
    return str(record[key])


def _optional(record: dict[str, Any], key: str, default: str = UNKNOWN) -> str:
    value = record.get(key)
    return default if value is None or value == "" else str(value)


def _ink(record: dict[str, Any]) -> InkPicture:
    strokes = _strokes(record["strokes"])
    expected = '"symbols" must be a list of [LaTeX, [numbers of strokes, counted from 0]]'
    try:
        symbols = tuple((str(label), tuple(map(int, numbers))) for label, numbers in record.get("symbols") or ())
    except (TypeError, ValueError) as error:
        raise _BadSampleError(expected) from error
    if not all(0 <= number < len(strokes) for _, numbers in symbols for number in numbers):
        raise _BadSampleError(f"{expected}; there are {len(strokes)} strokes")
    return InkPicture(strokes, symbols)


def _strokes(value: Any) -> tuple[np.ndarray, ...]:
    expected = '"strokes" must be a list of strokes, each a list of [x, y] numbers, none of them empty'
    if not isinstance(value, list) or not value:
        raise _BadSampleError(expected)
    try:
        strokes = tuple(np.asarray(stroke, dtype=np.float32) for stroke in value)
    except (ValueError, TypeError) as error:
        raise _BadSampleError(expected) from error
    for stroke in strokes:
        if stroke.ndim != 2 or stroke.shape[0] == 0 or stroke.shape[1] != 2 or not np.isfinite(stroke).all():
            raise _BadSampleError(expected)
    return strokes


def _dataset_name(root: Path, folder: Path) -> str:
    name = folder.relative_to(root).as_posix()
    return "" if name == "." else name


def formula_group(tokens: Iterable[str]) -> str:
    """Return the group of a sample of unknown origin: the same formula must not be trained on and validated on."""
    return "formula:" + " ".join(tokens)
