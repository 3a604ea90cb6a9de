"""Puts samples of similar size into one batch, within a bound of pixels.

A plan for an epoch is a pure function of the sizes, the seed and the epoch's number. So it is the same for any number
of workers and of processes, and can be entered anywhere: the position of a resumed run is two integers, (epoch,
batches done), also when it goes on with another number of processes. Only where samples are read in a row
(`plan_stream`) does each number of processes have a plan of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognizer.data.sample import DataError

BATCHES_A_CHUNK = 200  # sorted together: larger pads less, smaller mixes better; streaming holds as many in memory
MOST_PADDING = 0.2  # of a batch's pixels: a sample that would make it more begins the next batch

LONGEST_FIRST = (10, 20, 40)  # tokens in the first epochs; later ones have all lengths
FEWEST_SHORT = 0.1  # of the samples: a set with fewer short ones isn't begun with them

Batch = tuple[int, ...]  # indices of samples


@dataclass(frozen=True)
class BatchLimits:
    """Bounds of one batch, over all ranks together."""

    max_samples: int
    max_pixels: int  # of the padded batch: samples x height x width

    def __post_init__(self) -> None:
        if self.max_samples < 1 or self.max_pixels < 1:
            raise ValueError(f"{self}: a batch needs at least one sample and one pixel")


def plan_epoch(sizes: np.ndarray, limits: BatchLimits, seed: int, epoch: int) -> list[Batch]:
    """Divide all samples into batches, each sample exactly once.

    Args:
        sizes: (N, 3) height and width of each sample's canvas, and its number of tokens. Canvases come in steps
            (`inference.canvas_size`), so that many samples are alike and chance decides who meets whom.
        limits: bounds of a batch. A single picture above `max_pixels` gets a batch of its own.
        seed, epoch: the order depends on these.

    Returns:
        Batches in the order of training.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(sizes))
    chunk = limits.max_samples * BATCHES_A_CHUNK
    batches: list[Batch] = []
    for start in range(0, len(order), chunk):
        part = order[start : start + chunk]
        batches += _cut(part[_by_size(sizes[part])], sizes, limits)
    return [batches[place] for place in rng.permutation(len(batches))]


def short_first(sizes: np.ndarray, limits: BatchLimits, seed: int, epoch: int) -> list[Batch]:
    """`plan_epoch`, of the short samples alone in the first epochs: what they teach is soon learned, and cheap."""
    chosen = np.flatnonzero(_of_epoch(sizes, epoch))
    plan = plan_epoch(sizes[chosen], limits, seed, epoch)
    return [tuple(chosen[list(batch)].tolist()) for batch in plan]


def _of_epoch(sizes: np.ndarray, epoch: int) -> np.ndarray:
    """(N,) bool, whether a sample is short enough for the epoch."""
    if epoch < len(LONGEST_FIRST):
        short: np.ndarray = sizes[:, 2] <= LONGEST_FIRST[epoch]
        if np.count_nonzero(short) >= FEWEST_SHORT * len(sizes):
            return short
    return np.ones(len(sizes), bool)


def plan_stream(
    sizes: np.ndarray,
    order: np.ndarray,
    limits: BatchLimits,
    seed: int,
    epoch: int,
    world_size: int = 1,
    begins_short: bool = True,
) -> list[list[Batch]]:
    """Like `short_first` (if it `begins_short`) for samples that are read in a given order: a batch has what a shuffle
    buffer holds.

    Each rank reads a part of the order of its own. Parts, and what the ranks hold at a time, are of equal length, and
    their batches are of similar size in the same step; each rank has as many.

    Args:
        order: indices of the samples that are read, in this order. The others are at hand at any time, and are spread
            over the epoch.

    Returns:
        The batches of each rank, in the order of training.

    Raises:
        DataError: there are fewer samples than ranks.
    """
    rng = np.random.default_rng((seed, epoch))
    chosen = _of_epoch(sizes, epoch) if begins_short else np.ones(len(sizes), bool)
    parts = np.array_split(order[chosen[order]], world_size)
    chosen[order] = False
    others = rng.permutation(np.flatnonzero(chosen))
    if len(others) + sum(map(len, parts)) < world_size:
        raise DataError(f"fewer samples than the {world_size} processes of the job; give more data")
    own = BatchLimits(max(1, limits.max_samples // world_size), max(1, limits.max_pixels // world_size))
    held = own.max_samples * BATCHES_A_CHUNK
    windows = max(1, len(parts[0]) // held)
    pieces = [np.array_split(part, windows) for part in parts]
    added = np.array_split(others, windows * world_size)  # taken from the end: less for the ranks that have more
    plan: list[list[Batch]] = [[] for _ in parts]
    for window in range(windows):
        indices = [np.concatenate((piece[window], added.pop())) for piece in pieces]
        steps = _alike([_cut(_shuffled_by_size(each, sizes, rng), sizes, own) for each in indices])
        shuffled = rng.permutation(len(steps[0]))
        for batches, rank in zip(steps, plan, strict=True):
            rank += [batches[place] for place in shuffled]
    return plan


def _shuffled_by_size(indices: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    indices = rng.permutation(indices)
    return indices[_by_size(sizes[indices])] if len(indices) else indices


def _alike(ranks: list[list[Batch]]) -> list[list[Batch]]:
    """Bring all ranks' lists to the longest one's length, if their samples suffice for that: batches are halved.

    Where a rank has too few samples, those of the others are joined, beyond the bound of pixels.
    """
    count = min(max(map(len, ranks)), *(sum(map(len, batches)) for batches in ranks))
    for batches in ranks:
        while len(batches) < count:
            place = max(range(len(batches)), key=lambda place: len(batches[place]))
            batch = batches[place]
            batches[place : place + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        while len(batches) > count:
            place = min(range(len(batches) - 1), key=lambda place: len(batches[place]) + len(batches[place + 1]))
            batches[place : place + 2] = [batches[place] + batches[place + 1]]
    return ranks


def plan_in_order(sizes: np.ndarray, limits: BatchLimits) -> list[Batch]:
    """Divide all samples into batches of similar size, without chance: for validation."""
    return _cut(_by_size(sizes), sizes, limits)


def share_of_rank(batch: Sequence[int], rank: int, world_size: int) -> Batch:
    """Return the part of a global batch that one rank computes, perhaps none; parts' sizes differ by one at most."""
    return tuple(batch[rank::world_size])


def _by_size(sizes: np.ndarray) -> np.ndarray:
    """Return a stable order by height, then width, then tokens.

    Width rises within one height and falls within the next, so that a batch across the border of two heights
    doesn't hold the widest of one beside the narrowest of the other.
    """
    heights, widths, tokens = sizes.T
    _, rank = np.unique(heights, return_inverse=True)
    return np.lexsort((tokens, np.where(rank % 2 == 0, widths, -widths), heights))


def _cut(order: np.ndarray, sizes: np.ndarray, limits: BatchLimits) -> list[Batch]:
    batches: list[Batch] = []
    current: list[int] = []
    height = width = drawn = 0  # of the current batch: its canvas, and the pixels that aren't padding
    for index, (own_height, own_width) in zip(order.tolist(), sizes[order, :2].tolist(), strict=True):
        height, width, drawn = max(height, own_height), max(width, own_width), drawn + own_height * own_width
        if current and not _allowed(len(current) + 1, height * width, drawn, limits):
            batches.append(tuple(current))
            current, height, width, drawn = [], own_height, own_width, own_height * own_width
        current.append(index)
    if current:
        batches.append(tuple(current))
    return batches


def _allowed(samples: int, canvas: int, drawn: int, limits: BatchLimits) -> bool:
    """Whether so many samples on canvases of so many pixels, `drawn` of them all not padding, may be one batch."""
    pixels = samples * canvas
    return samples <= limits.max_samples and pixels <= limits.max_pixels and drawn >= (1 - MOST_PADDING) * pixels
