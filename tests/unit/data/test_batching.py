"""Each sample exactly once an epoch, within the bounds, the same whatever computes it."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.data.batching import BatchLimits, plan_epoch, plan_in_order, share_of_rank, short_first

sizes_of = st.lists(
    st.tuples(st.integers(1, 20).map(lambda n: 16 * n), st.integers(1, 40).map(lambda n: 32 * n), st.integers(1, 99)),
    min_size=1,
    max_size=200,
).map(np.array)
limits_of = st.builds(BatchLimits, max_samples=st.integers(1, 32), max_pixels=st.integers(1, 2_000_000))


def padding_share(batches: Sequence[Sequence[int]], sizes: np.ndarray) -> float:
    """The share of a plan's pixels that are padding."""
    canvas = sum(len(batch) * int(np.prod(sizes[list(batch), :2].max(axis=0))) for batch in batches)
    return 1 - float(sizes[:, :2].prod(axis=1).sum()) / canvas


def pixels(batch, sizes):
    return len(batch) * int(sizes[list(batch), :2].max(axis=0).prod())


@given(sizes=sizes_of, limits=limits_of, seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_every_sample_once_within_the_bounds(sizes, limits, seed, epoch):
    for batches in (plan_epoch(sizes, limits, seed, epoch), plan_in_order(sizes, limits)):
        assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
        for batch in batches:
            assert len(batch) <= limits.max_samples
            assert len(batch) == 1 or pixels(batch, sizes) <= limits.max_pixels


@given(sizes=sizes_of, limits=limits_of, seed=st.integers(0, 99), world=st.integers(1, 8))
def test_ranks_share_every_batch_evenly(sizes, limits, seed, world):
    for batch in plan_epoch(sizes, limits, seed, 0):
        shares = [share_of_rank(batch, rank, world) for rank in range(world)]
        assert sorted(index for share in shares for index in share) == sorted(batch)
        counts = [len(share) for share in shares]
        assert max(counts) - min(counts) <= 1


def test_the_first_epochs_have_the_short_formulas_alone():
    sizes = np.array([(16, 32, tokens) for tokens in range(1, 101)])
    limits = BatchLimits(8, 500_000)
    longest = [sizes[sum(short_first(sizes, limits, 0, epoch), ()), 2].max() for epoch in range(5)]
    assert longest == [10, 20, 40, 100, 100]
    assert sorted(sum(short_first(sizes, limits, 0, 4), ())) == list(range(100))


def test_a_set_without_short_formulas_begins_with_all():
    sizes = np.array([(16, 32, tokens) for tokens in range(30, 130)])
    assert len(sum(short_first(sizes, BatchLimits(8, 500_000), 0, 0), ())) == 100


def test_pure_in_seed_and_epoch():
    sizes = np.random.default_rng(0).integers(1, 20, (500, 3)) * 16
    limits = BatchLimits(16, 500_000)
    assert plan_epoch(sizes, limits, 1, 2) == plan_epoch(sizes, limits, 1, 2)
    assert plan_epoch(sizes, limits, 1, 2) != plan_epoch(sizes, limits, 1, 3)
    assert plan_epoch(sizes, limits, 1, 2) != plan_epoch(sizes, limits, 2, 2)


def test_buckets_save_padding():
    rng = np.random.default_rng(0)
    sizes = np.stack([rng.integers(2, 8, 4000) * 16, rng.integers(2, 30, 4000) * 32, rng.integers(1, 60, 4000)], 1)
    limits = BatchLimits(32, 10**9)
    by_size = padding_share(plan_epoch(sizes, limits, 0, 0), sizes)
    at_random = padding_share([tuple(rng.permutation(4000)[start : start + 32]) for start in range(0, 4000, 32)], sizes)
    assert by_size < 0.15 < 0.4 < at_random


def test_no_batch_is_padded_by_more_than_a_fifth():
    rng = np.random.default_rng(0)
    sizes = np.stack([rng.integers(2, 20, 900) * 16, rng.integers(2, 40, 900) * 32, rng.integers(1, 60, 900)], 1)
    for batch in plan_epoch(sizes, BatchLimits(32, 10**9), 0, 0):
        assert padding_share([batch], sizes) <= 0.2


@pytest.mark.parametrize("limits", [(0, 10), (10, 0)])
def test_impossible_limits(limits):
    with pytest.raises(ValueError, match="at least one"):
        BatchLimits(*limits)
