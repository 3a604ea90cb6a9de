"""Reads shards in a row, once an epoch: what FastFile mode likes, and the only way in Pipe mode.

The index says beforehand what comes when, so batches are planned (`batching.plan_stream`) as for files, and resuming in
the middle of an epoch stays exact. What the plan wants is held in memory until its batch is due: a shuffle buffer of
`BATCHES_A_CHUNK` batches. A rank reads its own part of the shards alone, in the training process; its loader's
workers are given the bytes to decode.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recognizer.data.dataset import Key
from recognizer.data.sample import DataError, Sample
from recognizer.data.shards import INDEX_SUFFIX, Shard, ShardPicture, read_head

READ_BYTES = 1 << 20  # at a time

Piece = tuple[int, bytes]  # index of a sample, its picture's file


class ShardStream:
    """The shards of some samples; a `loader.Fetch` that reads them in the order of each epoch."""

    def __init__(
        self, samples: Sequence[Sample], seed: int, pipe: Path | None = None, in_pipe: Sequence[Shard] = ()
    ) -> None:
        """`pipe` is the path of a Pipe channel without its number, `in_pipe` all shards that come through it."""
        self.pictures = {
            index: sample.picture for index, sample in enumerate(samples) if isinstance(sample.picture, ShardPicture)
        }
        self.samples, self.seed, self.pipe, self.in_pipe = len(samples), seed, pipe, in_pipe
        self.opened = 0  # pipes of this job so far
        self._members: dict[Shard, list[int]] = {}
        for index, picture in sorted(self.pictures.items(), key=_place):
            self._members.setdefault(picture.shard, []).append(index)

    def order(self, epoch: int) -> np.ndarray:
        """Indices of the samples as they are read: shards in another order each epoch, each from its start."""
        members = list(self._members.values())
        if not self.pipe:
            shuffled = np.random.default_rng((self.seed, epoch, 1)).permutation(len(members))
            members = [members[place] for place in shuffled]
        return np.array([index for indices in members for index in indices], dtype=np.int64)

    def __call__(self, epoch: int, batches: Sequence[Sequence[int]]) -> Iterator[list[Key]]:
        """Yield the keys of the batches. What they don't want is skipped, and never decoded.

        Raises:
            DataError: a shard can't be read, or the pipe holds something else.
        """
        wanted = np.zeros(self.samples, bool)
        wanted[np.fromiter(chain.from_iterable(batches), np.int64)] = True
        order = self.order(epoch)
        order = order[wanted[order]]
        pieces = self._from_pipe(order.tolist()) if self.pipe else self._from_files(order.tolist())
        held: dict[int, bytes] = {}
        for batch in batches:
            for index in batch:
                while index in self.pictures and index not in held:
                    held.update([next(pieces)])
            yield [(epoch, index, held.pop(index)) if index in self.pictures else (epoch, index) for index in batch]
            held.update(islice(pieces, len(batch)))  # as much as has left: the next batches don't wait

    def _from_files(self, order: Sequence[int]) -> Iterator[Piece]:
        for shard, indices in groupby(order, lambda index: self.pictures[index].shard):
            try:
                with shard.path.open("rb", buffering=READ_BYTES) as file:
                    for index in indices:
                        file.seek(self.pictures[index].offset)
                        yield index, file.read(self.pictures[index].length)
            except OSError as error:
                raise DataError(f"{shard.path}: can't be read ({error})") from error

    def _from_pipe(self, order: Sequence[int]) -> Iterator[Piece]:
        """From the channel's next pipe, in which one shard follows the other."""
        path = Path(f"{self.pipe}_{self.opened}")
        self.opened += 1
        begins, total, at = {}, 0, 0
        for shard in self.in_pipe:
            begins[shard], total = total, total + shard.size
        try:
            with path.open("rb", buffering=READ_BYTES) as pipe:
                for index in order:
                    picture = self.pictures[index]
                    begin = begins[picture.shard] + picture.offset
                    _skip(pipe, begin - at)
                    data = pipe.read(picture.length)
                    at = begin + picture.length
                    if zlib.crc32(data) != picture.crc32:
                        raise DataError(
                            f"{path}: what came at offset {begin} isn't what was packed at offset {picture.offset} of "
                            f"{picture.shard.path.name}; expected the {len(begins)} shards of the index ({total} "
                            "bytes) in the order of their names: the channel's S3 prefix must be theirs, unshuffled"
                        )
                    yield index, data
        except OSError as error:
            raise DataError(f"{path}: the pipe can't be read ({error})") from error


def shards_in_pipe(index: Path) -> list[Shard]:
    """Return the shards whose indices are in a folder, in the order in which a pipe sends them.

    Raises:
        DataError: an index is damaged.
    """
    return [read_head(path, in_pipe=True) for path in sorted(index.glob(f"[!.]*{INDEX_SUFFIX}"))]


def _place(item: tuple[int, ShardPicture]) -> tuple[Path, int]:
    return item[1].shard.path, item[1].offset


def _skip(pipe: BinaryIO, count: int) -> None:
    while count > 0 and (data := pipe.read(min(count, READ_BYTES))):
        count -= len(data)
