"""Feeds batches to the training loop: worker processes, resuming in the middle of an epoch, ranks, clean errors."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import cast

import torch
from torch.utils.data import DataLoader

from recognizer.data.batching import share_of_rank
from recognizer.data.dataset import Batch, FormulaDataset, Key
from recognizer.data.sample import DataError
from recognizer.data.workers import WorkerPlan

Indices = Sequence[int]  # of the samples of one batch
Plan = Callable[[int], Sequence[Indices]]  # epoch -> global batches
Fetch = Callable[[int, Sequence[Indices]], Iterable[list[Key]]]  # epoch, its batches from somewhere on -> their keys

LONGEST_WAIT = 600  # seconds for one batch, be its files on slow storage; a job must not wait, and cost, forever


def at_random(epoch: int, batches: Sequence[Indices]) -> Iterable[list[Key]]:
    """Keys of samples that whoever needs them reads."""
    return [[(epoch, index) for index in batch] for batch in batches]


class BatchLoader:
    """Batches of an epoch, from any position on. Worker processes live for one epoch.

    Every rank must be given the same plan; each takes its share of each batch, so all have equally many batches. Where
    a batch has fewer samples than there are ranks, some compute a sample of it once more, without weight: all must
    take part in the exchange of gradients, and the batches must not depend on how many ranks there are.
    `fetch` may read pictures in an order of its own (`stream.ShardStream`), in this process, as batches are wanted.
    """

    def __init__(
        self,
        dataset: FormulaDataset,
        plan: Plan,
        workers: WorkerPlan,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
        fetch: Fetch = at_random,
    ) -> None:
        self.dataset, self.fetch = dataset, fetch
        self.plan: Plan = lru_cache(maxsize=1)(plan)  # each step asks how long the epoch is, for its learning rate
        self.rank, self.world_size, self.workers = rank, world_size, workers.workers
        self.wait_seconds = 0.0  # that the caller has waited for batches, in all
        self._keys = _EpochKeys()
        self._loader: DataLoader[Batch | DataError] = DataLoader(
            cast("torch.utils.data.Dataset[Batch | DataError]", dataset),
            batch_sampler=self._keys,
            collate_fn=dataset.collate,
            num_workers=workers.workers,
            prefetch_factor=max(1, workers.prefetch) if workers.workers else None,
            worker_init_fn=_start_worker,
            timeout=LONGEST_WAIT if workers.workers else 0,
            pin_memory=pin_memory,
        )

    def batches_in(self, epoch: int) -> int:
        """Return the number of batches of an epoch, the same on every rank."""
        return len(self.plan(epoch))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from position `start` on.

        Raises:
            DataError: a picture can't be read; names file and line.
            RuntimeError: a worker died, or made no batch in `LONGEST_WAIT` seconds.
        """
        global_batches = self.plan(epoch)[start:]
        shares = [share_of_rank(batch, self.rank, self.world_size) for batch in global_batches]
        computed = [share or batch[:1] for share, batch in zip(shares, global_batches, strict=True)]
        self._keys.batches = self.fetch(epoch, computed)
        began = time.perf_counter()
        for position, batch in enumerate(self._delivered(), start):
            self.wait_seconds += time.perf_counter() - began
            if isinstance(batch, DataError):
                raise batch
            if not shares[position - start]:
                batch = batch.without_weight(self.dataset.vocabulary.pad)
            samples = tuple(self.dataset.samples[index] for index in batch.indices)
            yield replace(batch, samples=samples, epoch=epoch, position=position)
            began = time.perf_counter()

    def _delivered(self) -> Iterator[Batch | DataError]:
        try:
            yield from self._loader
        except RuntimeError:
            for worker in multiprocessing.active_children():  # one that hangs would be waited for when the job exits
                with suppress(RuntimeError):  # torch tells that it was killed
                    worker.kill()
                    worker.join()
            raise


class _EpochKeys:
    """A batch sampler whose batches are set before each epoch."""

    def __init__(self) -> None:
        self.batches: Iterable[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


def _start_worker(worker: int) -> None:
    """A worker uses one core, and leaves signals to its parent: on SIGTERM that one still writes a checkpoint."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
