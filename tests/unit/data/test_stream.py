"""Shards read in a row: every sample once whatever the ranks and workers, resumable, from files and through a pipe."""

import os
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import inference
from recognizer.data.batching import BatchLimits, plan_stream
from recognizer.data.dataset import FormulaDataset
from recognizer.data.formats import read_dataset
from recognizer.data.loader import BatchLoader
from recognizer.data.measure import measure
from recognizer.data.pack_shards import pack_shards
from recognizer.data.sample import DataError
from recognizer.data.stream import ShardStream, shards_in_pipe
from recognizer.data.workers import WorkerPlan
from recognizer.latex import Vocabulary

SPEC = inference.PreprocessSpec()
LIMITS = BatchLimits(max_samples=4, max_pixels=10**7)


@pytest.fixture
def packed(competition):
    folder = competition.parent / "shards"
    pack_shards(read_dataset(competition), folder, megabytes=0.012, progress=False)
    return folder


def loader_of(samples, stream, workers=0, rank=0, world_size=1):
    sizes = measure(samples, SPEC).sizes
    dataset = FormulaDataset(samples, Vocabulary.from_labels(sample.tokens for sample in samples), SPEC)

    def plan(epoch):
        return plan_stream(sizes, stream.order(epoch), LIMITS, 5, epoch + 9, world_size)[rank]  # all lengths

    return BatchLoader(dataset, plan, WorkerPlan(workers, 2), fetch=stream)


def from_files(folder, **options):
    samples = read_dataset(folder).samples
    return loader_of(samples, ShardStream(samples, seed=1), **options)


def same(first, second):
    return (
        (first.indices, first.epoch, first.position) == (second.indices, second.epoch, second.position)
        and torch.equal(first.images, second.images)
        and torch.equal(first.tokens, second.tokens)
    )


sizes_of = st.lists(
    st.tuples(st.integers(1, 20).map(lambda n: 16 * n), st.integers(1, 40).map(lambda n: 32 * n), st.integers(1, 99)),
    min_size=8,
    max_size=200,
).map(np.array)


@given(
    sizes=sizes_of,
    limits=st.builds(BatchLimits, max_samples=st.integers(1, 32), max_pixels=st.integers(1, 2_000_000)),
    epoch=st.integers(0, 99),
    world=st.integers(1, 8),
    streamed=st.floats(0, 1),
)
def test_ranks_see_every_sample_once_in_equally_many_batches(sizes, limits, epoch, world, streamed):
    order = np.random.default_rng(0).permutation(len(sizes))[: round(streamed * len(sizes))]
    plan = plan_stream(sizes, order, limits, 0, epoch, world, begins_short=False)
    assert len(plan) == world and len({len(batches) for batches in plan}) == 1
    assert all(batch for batches in plan for batch in batches)
    seen = [[index for batch in batches for index in batch] for batches in plan]
    assert sorted(index for part in seen for index in part) == list(range(len(sizes)))
    assert max(map(len, seen)) - min(map(len, seen)) <= 1
    if world == 1:
        for batch in plan[0]:
            pixels = len(batch) * int(sizes[list(batch), :2].max(axis=0).prod())
            assert len(batch) <= limits.max_samples and (len(batch) == 1 or pixels <= limits.max_pixels)


def test_only_a_buffer_is_held_and_ranks_do_alike_work_at_a_time():
    sizes = np.random.default_rng(0).integers(1, 20, (20_000, 3)) * 16
    limits = BatchLimits(8, 10**9)
    ranks = plan_stream(sizes, np.arange(len(sizes)), limits, 0, 9, 2)
    for rank, batches in enumerate(ranks):
        read = np.maximum.accumulate([max(batch) for batch in batches]) + 1 - 10_000 * rank
        given = np.cumsum([len(batch) for batch in batches])
        assert read[-1] == given[-1] == 10_000
        assert max(read[1:] - given[:-1]) < 840  # about 200 batches of 4
    areas = [[sizes[list(batch), :2].max(axis=0).prod() for batch in batches] for batches in ranks]
    assert np.corrcoef(areas)[0, 1] > 0.7


def test_fewer_samples_than_ranks_are_refused():
    with pytest.raises(DataError, match="fewer samples than the 3 processes"):
        plan_stream(np.full((2, 3), 16), np.arange(2), LIMITS, 0, 0, 3)


def test_streamed_batches_hold_what_the_files_hold(packed):
    samples = read_dataset(packed).samples
    for batch in from_files(packed).epoch(0):
        images = [inference.preprocess(samples[index].load(), SPEC) for index in batch.indices]
        assert np.array_equal(batch.images.numpy(), inference.make_batch(images, SPEC)[0])


def test_ranks_and_workers_together_see_every_sample_once(packed):
    ranks = [list(from_files(packed, workers=rank, rank=rank, world_size=2).epoch(0)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1])
    assert sorted(index for batches in ranks for batch in batches for index in batch.indices) == list(range(12))
    alone = list(from_files(packed, rank=1, world_size=2).epoch(0))
    assert all(same(first, second) for first, second in zip(alone, ranks[1], strict=True))


def test_resumes_in_the_middle_of_an_epoch(packed):
    for epoch in (0, 3):
        whole, rest = list(from_files(packed).epoch(epoch)), list(from_files(packed).epoch(epoch, start=2))
        assert len(rest) == len(whole) - 2 > 0
        assert all(same(first, second) for first, second in zip(whole[2:], rest, strict=True))


def test_each_shard_is_opened_once_and_read_forwards(packed, monkeypatch):
    samples = read_dataset(packed).samples
    stream = ShardStream(samples, seed=1)
    places = [(samples[index].picture.shard.path, samples[index].picture.offset) for index in stream.order(0)]
    for path in {path for path, _ in places}:
        own = [number for number, (other, _) in enumerate(places) if other == path]
        assert own == list(range(own[0], own[-1] + 1))
        assert [places[number][1] for number in own] == sorted(places[number][1] for number in own)
    assert any(stream.order(0).tolist() != stream.order(epoch).tolist() for epoch in range(1, 5))


def test_a_shard_damaged_in_the_middle_is_named(packed):
    loader = from_files(packed)
    path = packed / "shard-000001.tar"
    sample = next(s for s in loader.dataset.samples if s.picture.shard.path == path)
    data = bytearray(path.read_bytes())
    data[sample.picture.offset + 700] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"shard-000001.tar: the \d+ bytes at offset {sample.picture.offset} aren't"):
        list(loader.epoch(0))
    path.unlink()
    with pytest.raises(DataError, match=r"shard-000001.tar: can't be read"):
        list(loader.epoch(0))


def send(path, data):
    """Write to a named pipe in another thread, as SageMaker does, until all is sent or the reader has enough."""

    def write():
        try:
            with path.open("wb") as pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass

    os.mkfifo(path)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def from_pipe(packed, left_out=0):
    samples = read_dataset(packed / "index", in_pipe=True).samples[left_out:]
    pipe = packed.parent / "train"
    return loader_of(samples, ShardStream(samples, 1, pipe, shards_in_pipe(packed / "index")))


def concatenated(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.tar")))


def test_shards_through_pipes_epoch_by_epoch(packed):
    expected = {sample.name: sample.load() for sample in read_dataset(packed).samples}
    data, loader = concatenated(packed), from_pipe(packed)
    for epoch in (0, 1):
        sender = send(packed.parent / f"train_{epoch}", data)
        batches = list(loader.epoch(epoch))
        sender.join()
        assert sorted(sample.name for batch in batches for sample in batch.samples) == sorted(expected)
        for batch in batches:
            images = [inference.preprocess(expected[sample.name], SPEC) for sample in batch.samples]
            assert np.array_equal(batch.images.numpy(), inference.make_batch(images, SPEC)[0])


def test_a_resumed_job_skips_what_its_first_pipe_sends_again(packed):
    data = concatenated(packed)
    senders = [send(packed.parent / "train_0", data)]
    whole = list(from_pipe(packed, left_out=5).epoch(4))
    (packed.parent / "train_0").unlink()
    senders.append(send(packed.parent / "train_0", data))
    rest = list(from_pipe(packed, left_out=5).epoch(4, start=1))
    for sender in senders:
        sender.join()
    assert len(rest) == len(whole) - 1 > 0
    assert all(same(first, second) for first, second in zip(whole[1:], rest, strict=True))


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: data[512:], lambda data: b""])
def test_a_pipe_with_something_else_is_an_error(packed, spoil):
    sender = send(packed.parent / "train_0", spoil(concatenated(packed)))
    with pytest.raises(DataError, match=r"train_0: what came at offset \d+ isn't what was packed at offset \d+ of"):
        list(from_pipe(packed).epoch(0))
    sender.join()


def test_a_missing_pipe_is_an_error(packed):
    with pytest.raises(DataError, match="train_0: the pipe can't be read"):
        list(from_pipe(packed).epoch(0))
