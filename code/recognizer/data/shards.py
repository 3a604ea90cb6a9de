"""Shards: many labelled pictures in one tar file, as millions of small files are slow to copy and to open.

The convention is WebDataset's (Aizman, Maltby and Breuel, 2019, https://arxiv.org/abs/2001.01252), so any tar reads
them: `NAME-000000.tar` holds `KEY.png` (or `.jpg`, ...) and `KEY.json` for each picture. To each belongs an index,
`index/NAME-000000.index.jsonl`: a line about the shard, then a line for each picture with its label, its place in the
tar, its checksum and the size of its canvas. So pictures are read one by one without looking for them, batches are
planned without a measuring pass, and shards that several machines made need no common table. `index/shards.json` says
how many there are in all. Pipe mode sends the tars alone; `index/` is a channel of its own then.

The same samples give the same bytes. An index takes its name last: where it is, its shard is whole.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

import inference
from recognizer.data.sample import DataError, FilePicture, Sample
from recognizer.disk import write_whole, written_whole

FORMAT_VERSION = 1
INDEX_FOLDER, INDEX_SUFFIX = "index", ".index.jsonl"
MANIFEST = "shards.json"
SPEC = inference.PreprocessSpec()  # by which canvases are measured; jobs with another one measure for themselves

OnBadSample = Literal["error", "skip"]


@dataclass(frozen=True)
class Shard:
    """What the first line of an index says.

    path     the tar file
    samples  pictures in it
    size     its length in bytes
    spec     by which the pictures' canvases were measured
    """

    path: Path
    samples: int
    size: int
    spec: inference.PreprocessSpec


@dataclass(frozen=True)
class ShardPicture:
    """A picture within a shard: `length` bytes from `offset` on; canvas (height, width) as `shard.spec` gives it."""

    shard: Shard
    offset: int
    length: int
    crc32: int
    canvas: tuple[int, int]

    data: bytes | None = None  # they, if they were read before

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB. Raises OSError, or inference.RequestError if it can't be decoded."""
        data = self.read() if self.data is None else self.data
        if zlib.crc32(data) != self.crc32:
            raise OSError(
                f"{self.shard.path}: the {self.length} bytes at offset {self.offset} aren't those that were packed; "
                "copy the shard again"
            )
        return inference.read_image(data)

    def streamed(self, data: bytes) -> ShardPicture:
        """Return the picture with its bytes."""
        return replace(self, data=data)

    def read(self) -> bytes:
        """Return the bytes of the picture file, unchecked. Raises OSError."""
        with self.shard.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True)
class EncodedPicture:
    """A picture file in memory, on its way into a shard."""

    data: bytes
    suffix: str  # ".png"

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB. Raises inference.RequestError if it can't be decoded."""
        return inference.read_image(self.data)

    @classmethod
    def of(cls, sample: Sample) -> EncodedPicture:
        """The bytes of the sample's file as they are; a drawn picture is drawn now, and becomes a PNG.

        Raises:
            DataError: it can't be drawn.
            OSError: its file can't be read.
        """
        picture = sample.picture
        if isinstance(picture, cls):
            return picture
        if isinstance(picture, FilePicture):
            return cls(picture.path.read_bytes(), picture.path.suffix.lower())
        done, data = cv2.imencode(".png", cv2.cvtColor(sample.load(), cv2.COLOR_RGB2BGR))
        if not done:
            raise OSError("OpenCV can't encode it as PNG")
        return cls(data.tobytes(), ".png")


def write_shard(
    folder: Path, stem: str, samples: Iterable[Sample], first: int = 0, on_bad_sample: OnBadSample = "error"
) -> list[str]:
    """Write `stem`.tar and its index into a folder that `claim_folder` made, whole or not at all.

    Args:
        first: key of the first sample; the others count on, so that keys differ over all shards.

    Returns:
        Messages about the samples that were left out.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip").
    """
    path = folder / f"{stem}.tar"
    rows, skipped = [], []
    with written_whole(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, sample in enumerate(samples, start=first):
            try:
                picture, canvas = _measured(sample)
            except DataError as error:
                if on_bad_sample == "error":
                    raise
                skipped.append(str(error))
                continue
            facts = _facts(sample)
            member = f"{key:09}{picture.suffix}"
            place = {"image": member, "offset": file.tell() + tarfile.BLOCKSIZE, "bytes": len(picture.data)}
            _add(tar, member, picture.data)
            _add(tar, f"{key:09}.json", _json(facts).encode())
            rows.append(facts | place | {"crc32": zlib.crc32(picture.data), "canvas": canvas})
    head = {"format_version": FORMAT_VERSION, "shard": f"../{stem}.tar", "samples": len(rows)}
    head |= {"bytes": path.stat().st_size, "preprocess": SPEC.to_dict()}
    write_whole(_index_of(folder, stem), "".join(_json(row) + "\n" for row in [head, *rows]))
    return skipped


def _index_of(folder: Path, stem: str) -> Path:
    return folder / INDEX_FOLDER / f"{stem}{INDEX_SUFFIX}"


def _measured(sample: Sample) -> tuple[EncodedPicture, tuple[int, int]]:
    """The sample's bytes, which are known to be a picture, and its canvas."""
    try:
        picture = EncodedPicture.of(sample)
        rgb = picture.load()
    except (OSError, inference.RequestError) as error:
        raise sample.unreadable(error) from error
    height, width = inference.preprocess(rgb, SPEC).shape
    return picture, inference.canvas_size(height, width, SPEC)


def _facts(sample: Sample) -> dict[str, Any]:
    latex = " ".join(sample.tokens)
    facts = {"name": sample.name, "latex": latex, "source": sample.source, "level": sample.level}
    return facts | {"group": sample.group, "dataset": sample.dataset}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # of nobody, from 1970: the same bytes whoever writes them
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def is_written(folder: Path, stem: str) -> bool:
    """Whether the shard is there and whole."""
    return _index_of(folder, stem).is_file()


def claim_folder(folder: Path, manifest: dict[str, Any]) -> None:
    """Make `folder` that of the shards which `manifest` describes (key "shards": how many), or go on with it.

    Raises:
        FileExistsError: the folder holds something else.
    """
    text = _json({"format_version": FORMAT_VERSION, **manifest}) + "\n"
    path = folder / INDEX_FOLDER / MANIFEST
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} holds other files; remove it or choose another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    elif (found := path.read_text(encoding="utf-8")) != text:
        raise FileExistsError(
            f"{folder} holds other shards ({found.strip()}); this run makes {text.strip()}. "
            "Remove the folder or choose another one."
        )


def check_all_there(folder: Path) -> None:
    """Compare the indices in a folder with its `shards.json`, if it has one.

    Raises:
        DataError: some are missing.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path}: expected a JSON object with the number of "shards" ({error!r})') from error
    found = len(list(folder.glob(f"[!.]*{INDEX_SUFFIX}")))
    if found != expected:
        raise DataError(
            f"{folder}: {found} of the {expected} shards of {MANIFEST} are there; repeat the command that makes them "
            "(it goes on where it was), or copy the rest"
        )


def read_head(index: Path, in_pipe: bool = False) -> Shard:
    """Read the first line of an index and check the shard against it.

    Args:
        in_pipe: the shard comes through a pipe, so there is no file of it.

    Raises:
        DataError: the line is damaged, a newer version wrote it, lines are missing, or the tar is missing or cut off.
    """
    with index.open(encoding="utf-8", errors="replace") as file:
        line = file.readline()
        lines = sum(1 for text in file if text.strip())
    try:
        head = json.loads(line)
        version = head["format_version"]
        shard = Shard(
            path=Path(os.path.normpath(index.parent / str(head["shard"]))),
            samples=int(head["samples"]),
            size=int(head["bytes"]),
            spec=inference.PreprocessSpec.from_dict(dict(head["preprocess"])),
        )
    except (ValueError, KeyError, TypeError, RecursionError, inference.ModelError) as error:
        raise DataError(f"{index}:1: not the head of a shard's index ({error!r}); copy it again") from error
    if version != FORMAT_VERSION:
        raise DataError(f"{index}:1: format_version {version}, this program knows {FORMAT_VERSION}; update it")
    if lines != shard.samples:
        raise DataError(f"{index}: cut off: {lines} of {shard.samples} samples are there; copy it again")
    if not in_pipe:
        _check_length(shard)
    return shard


def _check_length(shard: Shard) -> None:
    if not shard.path.is_file():
        raise DataError(f"{shard.path}: the shard is missing, its index is there; copy both")
    length = shard.path.stat().st_size
    if length != shard.size:
        raise DataError(
            f"{shard.path}: cut off or changed at offset {min(length, shard.size)}: {length} bytes, its index says "
            f"{shard.size}; copy it again"
        )
