"""Reads a folder of labelled pictures, in whichever of the known formats it is written.

* pairs, `name<TAB>label`: the competition's `gt.txt` with an optional `source.txt` (`name<TAB>0|1`) and `level.txt`
  (`name<TAB>1..5`), `labels.tsv`, `labels.txt`, `caption.txt`, `*_labels.txt` (CROHME and HME100K are given so);
* CSV with a header, `*.csv`, and JSON Lines, `*.jsonl`, `*.ndjson` or `*.jsonl.gz`: columns or keys `image` and
  `latex`, or as others call them (see `rows`; Hugging Face's `metadata.csv` and `metadata.jsonl` are such), optional
  `source`, `level`, `group`;
* im2latex-100k: `*.lst` with rows `INDEX NAME [RENDERING]`, and `im2latex_formulas.lst`, a formula a line;
* pen strokes in JSON Lines: `{"id", "writer", "caption" or "truth", "strokes": [[[x, y], ...], ...]}`,
  and if it is known which strokes are one symbol, `"symbols": [[latex, [stroke numbers]], ...]`;
* shards: `NAME-000000.tar`, ... with `index/NAME-000000.index.jsonl`, ... (see `shards`).

Pictures are beside their label file, in `images/` or such a folder, or in one called as the file (see `picture_files`).
An optional `tokens.txt` is the vocabulary, one token a line. A folder may also hold several such folders (a training
channel with sub-sets): all of them are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inference
from recognizer.data import records
from recognizer.data.attributes import Attribute, read_attribute
from recognizer.data.folder import Contents, search, tell_mixed, tell_unread
from recognizer.data.labels import check_backslashes, check_label
from recognizer.data.lines import BadLineError, read_csv, read_formulas, read_lines
from recognizer.data.picture_files import SHARED_FOLDERS, PictureFiles, folders_for
from recognizer.data.records import optional, text
from recognizer.data.rows import LABEL, PICTURE, Row, named, read_row, split_pair, the_one
from recognizer.data.sample import DataError, FilePicture, Picture, Sample
from recognizer.data.shards import (
    INDEX_SUFFIX,
    OnBadSample,
    check_all_there,
    read_head,
)
from recognizer.latex import Vocabulary, VocabularyError, normalize, normalize_transcript, problems, tokenize

PAIR_FILES = ("gt.txt", "labels.tsv", "labels.txt", "caption.txt")
PAIR_SUFFIX = "_labels.txt"
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
FORMULAS = re.compile(r"(im2latex_)?formulas.*\.lst")
PAIR = "name<TAB>label"
SOURCES = {"0": "printed", "1": "handwritten"}
LEVELS = {str(level): str(level) for level in range(1, 6)}
UNKNOWN_WRITER = "(unknown)"  # how the group of such records ends


@dataclass(frozen=True)
class Dataset:
    """What a folder holds: its samples in file order, its own vocabulary if it states one, what was left out, and
    which labels are no LaTeX (a brace or an argument is missing), so that nobody knows if they were read as meant."""

    samples: list[Sample]
    vocabulary: Vocabulary | None = None
    skipped: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


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
    What a half-read folder looks like is printed as a note: label files of other formats, pictures without a label,
    training and test sets in one.

    Raises:
        DataError: no data set, an empty one, a file that can't be read as its name says, or (unless on_bad_sample is
            "skip") a bad line.
    """
    found = search(Path(folder), _kind)
    if not found.labels:
        raise DataError(
            f"{folder}: no data set found; expected gt.txt or *_labels.txt (name<TAB>label), *.csv, *.jsonl or "
            f"*.jsonl.gz, *.lst of im2latex, or shards with their *{INDEX_SUFFIX}, here or in a folder below. There "
            f"is: {found.in_words()}"
        )
    for place in sorted({label_file.parent for label_file in found.labels}):
        check_all_there(place)
    reader = _Reader(found, vocabulary, in_pipe)
    for label_file in found.labels:
        reader.read(label_file)
    dataset = reader.result(on_bad_sample)
    tell_unread(found)
    tell_mixed(found)
    return dataset


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
                raise BadLineError(f"token {token!r} is not in {self.where}; add it there or correct the label")


class _Reader:
    """Collects samples, bad lines and vocabularies over the label files of one folder."""

    def __init__(self, found: Contents, vocabulary: Vocabulary | None, in_pipe: bool) -> None:
        self.found = found
        self.folder = found.folder
        self.vocabulary = vocabulary
        self.in_pipe = in_pipe
        self.samples: list[Sample] = []
        self.bad: list[str] = []
        self.doubtful: list[str] = []
        self.doubts: list[str] = []  # of the label that was read last
        self.first_seen: dict[str, str] = {}  # name -> origin
        self.labelled: dict[str, tuple[Path, str]] = {}  # picture, without links -> its label file, and origin
        self.pictures = PictureFiles()
        self.attributes: dict[Path, Attribute] = {}
        self.token_files: dict[Path, _KnownTokens] = {}
        self.known: _KnownTokens | None = None  # what the labels being read may hold

    def read(self, label_file: Path) -> None:
        self.known = self._known_tokens(label_file.parent)
        table = _FORMATS[_kind(label_file.name)](self, label_file)
        for number, record in table.records():
            origin = f"{self._relative(label_file)}:{number}"
            self.doubts = []
            try:
                _check_line_end(record)
                sample = table.sample(record, number, origin)
                if sample is not None:
                    self._check_name(sample)
                    self.samples.append(sample)
                    self.doubtful += [f"{origin}: {doubt}" for doubt in self.doubts[:1]]
            except BadLineError as error:
                self.bad.append(f"{origin}: {error}")

    def result(self, on_bad_sample: OnBadSample) -> Dataset:
        check_usable(self.folder, self.samples, self.bad, on_bad_sample)
        for attribute in self.attributes.values():
            attribute.check_names()
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
            if path := self.found.beside(place, "tokens.txt"):
                if place not in self.token_files:
                    self.token_files[place] = _KnownTokens.from_file(path)
                return self.token_files[place]
            if place == self.folder:
                break
        return None

    def attribute(self, folder: Path, name: str, values: dict[str, str], expected: str) -> Attribute:
        """What `source.txt` or `level.txt` says: one file for all label files beside it."""
        path = self.found.beside(folder, name)
        if path is None:
            return Attribute(folder / name, {})
        if path not in self.attributes:
            self.attributes[path] = read_attribute(path, values, expected)
        return self.attributes[path]

    def label_tokens(self, label: str, spelling: Callable[[str], str] = normalize) -> tuple[str, ...]:
        """Bring a label to its canonical `spelling` and check its tokens."""
        check_label(label)
        tokens = tuple(tokenize(spelling(label)))
        if spelling is normalize:  # which mends what it can
            self.doubts = problems(tokenize(label))
        if not tokens:
            raise BadLineError("the label is empty; expected LaTeX")
        if self.known is not None:
            self.known.check(label, tokens)
        return tokens

    def _check_name(self, sample: Sample) -> None:
        first = self.first_seen.setdefault(sample.name, sample.origin)
        if first != sample.origin:
            raise BadLineError(f"{sample.name!r} is there already, from {first}; names must be unique")

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def picture_file(self, label_file: Path, places: Sequence[str], name: str, origin: str) -> tuple[str, Picture]:
        """Find a picture that a label file names; returns its name relative to the data set's folder."""
        place, path = self.pictures.find(label_file.parent, places, name)
        other_file, other = self.labelled.setdefault(self.found.use(path), (label_file, origin))
        if other_file != label_file:
            raise BadLineError(
                f"picture {name!r} is the file {self._relative(path)} that {other} labels; keep one line"
            )
        _check_header(path, name)
        # pictures of one folder's several label files may have the same names
        own = "" if place in SHARED_FOLDERS else place
        return self._relative(label_file.parent / own / name), FilePicture(path)


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
        raise BadLineError(f"picture {name!r} is not a readable image ({error})") from error


def _check_line_end(record: Any) -> None:
    if isinstance(record, str) and "\r" in record:
        check_backslashes(record)  # it may be that of a lost \rho
        raise BadLineError("several lines that end with a carriage return alone; save the file with \\n")


class _Table:
    """A label file: its records, and the sample that each becomes."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        self.reader = reader
        self.label_file = label_file
        self.folder = label_file.parent
        self.stem = re.sub(r"\.[^.]*(\.gz)?$", "", label_file.name, flags=re.IGNORECASE)
        self.places = folders_for(self.stem)
        self.dataset = _dataset_name(reader.folder, self.folder, self.stem)

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield (line number, record). Raises DataError if the file can't be read."""
        return read_lines(self.label_file)

    def sample(self, record: Any, number: int, origin: str) -> Sample | None:
        """The record's sample; None if it is no record but a header. Raises BadLineError."""
        raise NotImplementedError

    def picture_sample(self, row: Row, origin: str) -> Sample:
        full_name, picture = self.reader.picture_file(self.label_file, self.places, row.picture, origin)
        tokens = self.reader.label_tokens(row.label)
        return Sample(
            name=full_name,
            tokens=tokens,
            picture=picture,
            source=row.source,
            level=row.level,
            group=row.group or formula_group(tokens),
            dataset=self.dataset,
            origin=origin,
        )


class _Pairs(_Table):
    """`name<TAB>label`, with the source and level files beside them."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        super().__init__(reader, label_file)
        self.dataset = _dataset_name(reader.folder, self.folder)
        self.sources = reader.attribute(self.folder, "source.txt", SOURCES, "0 (printed) or 1 (handwritten)")
        self.levels = reader.attribute(self.folder, "level.txt", LEVELS, "1 to 5")

    def sample(self, line: str, number: int, origin: str) -> Sample | None:
        name, label = split_pair(line, PAIR)
        if number == 1 and named([name], PICTURE) and named([label], LABEL):
            return None
        return self.picture_sample(Row(name, label, self.sources.of(name), self.levels.of(name)), origin)


class _Csv(_Table):
    """CSV with a header."""

    header: list[str]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        records = read_csv(self.label_file)
        number, self.header = next(records, (1, []))
        try:
            for names in (PICTURE, LABEL):
                the_one(self.header, names)
        except BadLineError as error:
            raise DataError(f"{self.label_file}:{number}: not a header, separated by commas: {error}") from error
        return records

    def sample(self, fields: list[str], number: int, origin: str) -> Sample:
        if len(fields) != len(self.header):
            raise BadLineError(f"{len(fields)} fields; the header has {len(self.header)}: {', '.join(self.header)}")
        return self.picture_sample(read_row(dict(zip(self.header, fields, strict=True))), origin)


class _FormulaNumbers(_Table):
    """im2latex-100k's `INDEX NAME [RENDERING]`: which line of the formulas beside it a picture shows."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        super().__init__(reader, label_file)
        others = (path for path in reader.found.others if path.parent == self.folder)
        lists = [path for path in others if FORMULAS.fullmatch(path.name.lower())]
        if len(lists) != 1:
            there = f"; there are {', '.join(path.name for path in lists)}" if lists else ""
            raise DataError(
                f"{label_file}:1: expected one file of formulas beside it, im2latex_formulas.lst or formulas.lst{there}"
            )
        self.list = lists[0]
        reader.found.use(self.list)
        self.formulas = read_formulas(self.list)
        rendered = (path.name for path in self.folder.glob("formula_images*") if path.is_dir())
        self.places = (*sorted(rendered), *self.places)

    def sample(self, line: str, number: int, origin: str) -> Sample:
        match = re.fullmatch(r"\s*(\d+)\s+(\S+)(\s+\S+)?\s*", line)
        if not match:
            raise BadLineError(f"{line[:80]!r} is not INDEX NAME [RENDERING], an index being a formula's line from 0")
        index, name = int(match[1]), match[2]
        if index >= len(self.formulas):
            raise BadLineError(f"no formula {index} in {self.list.name}, which has 0 to {len(self.formulas) - 1}")
        return self.picture_sample(Row(name, self.formulas[index]), origin)


class _JsonLines(_Table):
    """JSON Lines of pictures or of pen strokes (key "strokes")."""

    def sample(self, line: str, number: int, origin: str) -> Sample:
        record = records.parse(line)
        if "strokes" in record:
            return self._ink_sample(record, origin)
        if named(record, PICTURE):
            return self.picture_sample(read_row(record), origin)
        raise BadLineError(
            f'keys {sorted(record)} hold neither "image" (a picture\'s path) nor "strokes" (pen strokes)'
        )

    def _ink_sample(self, record: dict[str, Any], origin: str) -> Sample:
        label = record.get("caption") or record.get("truth")
        if not isinstance(label, str):
            raise BadLineError('no label; expected LaTeX as text in "caption" or "truth"')
        # Without a writer nobody knows who wrote it: all such records of one collection stay together.
        writer = optional(record, "writer", "")
        collection = optional(record, "source", "")
        return Sample(
            name=f"{self.dataset}/{text(record, 'id')}",
            tokens=self.reader.label_tokens(label, normalize_transcript),
            picture=records.read_ink(record),
            source="handwritten",
            level=optional(record, "level"),
            group=f"writer:{collection}/{writer or UNKNOWN_WRITER}",
            dataset=self.dataset,
            origin=origin,
        )


class _ShardIndex(_Table):
    """The index of a shard: a line about the shard, then one for each picture in it."""

    def __init__(self, reader: _Reader, label_file: Path) -> None:
        super().__init__(reader, label_file)
        above = reader.folder if self.folder == reader.folder else self.folder.parent  # of `index/`
        self.above = _dataset_name(reader.folder, above)
        self.shard = read_head(label_file, reader.in_pipe)
        reader.found.use(self.shard.path)

    def sample(self, line: str, number: int, origin: str) -> Sample | None:
        if number == 1:
            return None  # the head
        record = records.parse(line)
        return Sample(
            name=self._below(text(record, "name")),
            tokens=self.reader.label_tokens(text(record, "latex"), str),  # normalised: again, it would take an hour
            picture=records.read_member(record, self.shard),
            source=optional(record, "source"),
            level=optional(record, "level"),
            group=optional(record, "group", ""),
            dataset=self._below(optional(record, "dataset", "")),
            origin=origin,
        )

    def _below(self, name: str) -> str:
        return "/".join(filter(None, (self.above, name)))


def _kind(name: str) -> str:
    """What a file is by its name, in any case of letters: a key of `_FORMATS`, or "" if it holds no labels."""
    name = name.lower()
    if FORMULAS.fullmatch(name):
        return ""
    if name in PAIR_FILES or name.endswith(PAIR_SUFFIX):
        return "pairs"
    if name.endswith(INDEX_SUFFIX):
        return "shard"
    if name.endswith(JSON_SUFFIXES):
        return "json"
    suffix = name.rpartition(".")[2]
    return suffix if suffix in ("csv", "lst") else ""


def _dataset_name(root: Path, folder: Path, stem: str = "") -> str:
    name = folder.relative_to(root).as_posix()
    return "/".join(filter(None, ("" if name == "." else name, stem)))


_FORMATS: dict[str, type[_Table]] = {
    "pairs": _Pairs,
    "csv": _Csv,
    "lst": _FormulaNumbers,
    "json": _JsonLines,
    "shard": _ShardIndex,
}


def formula_group(tokens: Iterable[str]) -> str:
    """Return the group of a sample of unknown origin: the same formula must not be trained on and validated on."""
    return "formula:" + " ".join(tokens)
