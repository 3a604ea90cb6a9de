"""Samples become batches: through the server's preprocessing, the same for any number of workers, resumable."""

import multiprocessing
import os
import pickle
import shutil
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import inference
from recognizer.data import measure as measuring
from recognizer.data.batching import BatchLimits, plan_epoch
from recognizer.data.dataset import FormulaDataset
from recognizer.data.formats import read_dataset
from recognizer.data.loader import BatchLoader
from recognizer.data.measure import PictureCache, enlarged, measure
from recognizer.data.sample import DataError
from recognizer.data.workers import WorkerPlan, plan_workers
from recognizer.latex import Vocabulary
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import settings

SPEC = inference.PreprocessSpec()
LIMITS = BatchLimits(max_samples=4, max_pixels=10**7)


def augment(rgb, rng):
    return np.clip(rgb.astype(int) - rng.integers(0, 60, size=rgb.shape), 0, 255).astype(np.uint8)


def dataset_of(folder, **options):
    read = read_dataset(folder)
    assert read.vocabulary is not None
    return FormulaDataset(read.samples, read.vocabulary, SPEC, **options)


def loader_of(folder, workers=0, rank=0, world_size=1, **options):
    dataset = dataset_of(folder, **options)
    sizes = measure(dataset.samples, SPEC).sizes
    plan = partial(plan_epoch, sizes, LIMITS, 5)
    return BatchLoader(dataset, plan, WorkerPlan(workers, 2), rank, world_size)


def same(first, second):
    return (
        first.indices == second.indices
        and (first.epoch, first.position) == (second.epoch, second.position)
        and torch.equal(first.images, second.images)
        and torch.equal(first.tokens, second.tokens)
        and torch.equal(first.sizes, second.sizes)
    )


def test_a_batch_holds_what_the_server_would_see(competition):
    batch = next(loader_of(competition).epoch(0))
    expected, sizes = inference.make_batch([inference.preprocess(s.load(), SPEC) for s in batch.samples], SPEC)
    assert np.array_equal(batch.images.numpy(), expected) and np.array_equal(batch.sizes.numpy(), sizes)
    assert batch.images.shape == (len(batch), 1, *expected.shape[2:])


def test_tokens_begin_end_and_are_padded(competition):
    loader = loader_of(competition)
    vocabulary = loader.dataset.vocabulary
    for batch in loader.epoch(0):
        for row, sample in zip(batch.tokens.tolist(), batch.samples, strict=True):
            length = len(sample.tokens) + 2
            assert row[0] == vocabulary.bos and row[length - 1] == vocabulary.eos
            assert row[1 : length - 1] == vocabulary.encode(sample.tokens)
            assert set(row[length:]) <= {vocabulary.pad}


def test_a_label_outside_the_vocabulary_is_named(competition):
    samples = read_dataset(competition).samples
    with pytest.raises(DataError, match=r"gt.txt:2: token '\+' is not in the vocabulary"):
        FormulaDataset(samples, Vocabulary.from_labels([("a", "b")]), SPEC)


@pytest.mark.parametrize("options", [{}, {"augment": augment, "seed": 3}])
def test_number_of_workers_changes_nothing(competition, options):
    alone, helped = (loader_of(competition, workers, **options) for workers in (0, 2))
    for epoch in (0, 1):
        batches = list(zip(alone.epoch(epoch), helped.epoch(epoch), strict=True))
        assert len(batches) == alone.batches_in(epoch) >= 3
        assert all(same(first, second) for first, second in batches)


def test_resumes_in_the_middle_of_an_epoch(competition):
    whole = list(loader_of(competition, augment=augment).epoch(4))
    rest = list(loader_of(competition, augment=augment).epoch(4, start=2))
    assert len(rest) == len(whole) - 2 > 0
    assert all(same(first, second) for first, second in zip(whole[2:], rest, strict=True))


def test_an_epoch_is_planned_once_however_often_its_length_is_asked(competition):
    planned = []

    def plan(epoch):
        planned.append(epoch)
        return [(0, 1), (2,)]

    loader = BatchLoader(dataset_of(competition), plan, WorkerPlan(0, 0))
    for epoch in (0, 1):
        for batch in loader.epoch(epoch):
            assert loader.batches_in(batch.epoch) == 2
    assert planned == [0, 1]


def test_an_epoch_left_early_does_not_disturb_the_next(competition):
    loader = loader_of(competition, workers=1)
    next(loader.epoch(0))
    assert all(same(a, b) for a, b in zip(loader.epoch(1), loader_of(competition).epoch(1), strict=True))


def test_ranks_together_see_every_sample_once(competition):
    loaders = [loader_of(competition, rank=rank, world_size=2) for rank in range(2)]
    batches = [list(loader.epoch(0)) for loader in loaders]
    assert len(batches[0]) == len(batches[1])
    assert sorted(index for part in batches for batch in part for index in batch.indices) == list(range(12))


def test_a_rank_without_a_share_computes_something_without_weight(competition):
    alone, first, second = (
        BatchLoader(dataset_of(competition), lambda epoch: [(0, 1), (2,)], WorkerPlan(0, 0), rank, world)
        for rank, world in ((0, 1), (0, 2), (1, 2))
    )
    pad = alone.dataset.vocabulary.pad
    last = [list(loader.epoch(0))[-1] for loader in (alone, first, second)]
    assert same(last[0], last[1])
    assert len(last[2]) == 0 and torch.equal(last[2].images, last[0].images)
    assert set(last[2].tokens.flatten().tolist()) == {pad}


def test_augmentation_depends_on_seed_epoch_and_sample(competition):
    first, again, other_seed = (dataset_of(competition, augment=augment, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0, 3].image, again[0, 3].image)
    for other in (first[1, 3], other_seed[0, 3]):
        assert not np.array_equal(first[0, 3].image, other.image)


def test_an_augmented_picture_is_seen_in_other_sizes(competition):
    """Else a recognizer is lost where preprocessing takes a glyph for larger or smaller than it is."""
    dataset = dataset_of(competition, augment=lambda rgb, rng: rgb, seed=1, zoom=0.2)
    plain = dataset_of(competition)[0, 3].image.shape[1]
    widths = [dataset[epoch, 3].image.shape[1] / plain for epoch in range(60)]
    assert 0.75 < min(widths) < 0.9 < 1.1 < max(widths) < 1.25
    assert dataset_of(competition, augment=lambda rgb, rng: rgb)[0, 3].image.shape[1] == plain


def test_canvases_have_room_for_pictures_that_are_seen_larger(competition):
    """A canvas of the measured size would undo what makes a long formula larger."""
    sizes = measure(dataset_of(competition).samples, SPEC).sizes
    room = enlarged(sizes, 1.2, SPEC)
    assert np.array_equal(enlarged(sizes, 1.0, SPEC), sizes)
    assert (room >= 1.2 * sizes)[:, :2].all() and (room[:, 2] == sizes[:, 2]).all()
    assert (room[:, :2] % (SPEC.height_step, SPEC.width_step) == 0).all()
    assert enlarged(np.array([[320, 1280, 7]]), 1.2, SPEC).tolist() == [[320, 1280, 7]]
    for number in range(12):
        free, bound = (
            dataset_of(competition, augment=lambda rgb, rng: rgb, zoom=0.2, canvases=canvases)
            for canvases in (None, room)
        )
        assert all(free[epoch, number].image.shape == bound[epoch, number].image.shape for epoch in range(20))


def test_a_job_plans_with_that_room(tmp_path):
    data = prepare(settings(augment=True, zoom=0.2), write_tiny_dataset(tmp_path), None, SPEC, None, Ranks())
    canvases = data.training.dataset.canvases
    assert canvases is not None and np.array_equal(canvases, enlarged(data.measured[0].sizes, 1.2, SPEC))


def test_an_augmented_picture_that_outgrew_its_canvas_is_shrunk_into_it(competition):
    def doubled(rgb, rng):
        return np.tile(rgb, (1, 2, 1))

    sizes = measure(dataset_of(competition).samples, SPEC).sizes
    grown = dataset_of(competition, augment=doubled)
    fitted = dataset_of(competition, augment=doubled, canvases=sizes)
    widest = [np.array(dataset[0, 11].image.shape) for dataset in (grown, fitted)]
    assert widest[0][1] > sizes[11, 1] >= widest[1][1]
    assert widest[0][0] / widest[0][1] == pytest.approx(widest[1][0] / widest[1][1], rel=0.1)


def test_augmentation_never_writes_into_the_cache(competition):
    cache = PictureCache(budget=10**9)
    samples = read_dataset(competition).samples
    measure(samples, SPEC, cache=cache)

    def spoil(rgb, rng):
        rgb[:] = 0
        return rgb

    with pytest.raises(ValueError, match="read-only"):
        dataset_of(competition, augment=spoil, cache=cache)[0, 0]


def test_measure_gives_canvas_sizes_and_fills_the_cache(competition, monkeypatch):
    monkeypatch.setattr(measuring, "QUEUED", 5)  # so that the twelve come in three parts
    samples = read_dataset(competition).samples
    cache, steps = PictureCache(budget=40 * 200 * 3 * 3), []
    measured = measure(samples, SPEC, cache=cache, workers=2, progress=lambda *step: steps.append(step))
    height, width = inference.preprocess(samples[5].load(), SPEC).shape
    assert measured.sizes[5].tolist() == [*inference.canvas_size(height, width, SPEC), len(samples[5].tokens)]
    assert steps == [(n, 12) for n in range(1, 13)]
    assert 0 < cache.used <= cache.budget and 0 < len(cache.pictures) < 12
    for sample in samples:
        assert np.array_equal(cache.load(sample, None), sample.load())


def test_the_cache_knows_pictures_of_one_name_in_two_channels_apart(competition, tmp_path):
    """Training saw the validation pictures, with labels of its own."""
    copied = Path(shutil.copytree(competition, tmp_path / "validation"))
    for path in (copied / "train_images").iterdir():
        cv2.imwrite(str(path), np.full((30, 90, 3), 255, np.uint8))
    cache = PictureCache(budget=10**9)
    sides = [read_dataset(channel).samples for channel in (competition, copied)]
    for side in sides:
        measure(side, SPEC, cache=cache)
    for sample in (*sides[0], *sides[1]):
        assert np.array_equal(cache.load(sample, None), sample.load())


def test_a_picture_that_both_channels_have_takes_room_in_the_cache_once(competition):
    cache = PictureCache(budget=10**9)
    samples = read_dataset(competition).samples
    for _ in range(2):
        measure(samples, SPEC, cache=cache)
    assert cache.used == sum(sample.load().nbytes for sample in samples)


def test_measure_finds_a_damaged_picture(competition):
    path = competition / "train_images" / "train_00003.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    samples = read_dataset(competition).samples
    with pytest.raises(DataError, match=r"gt.txt:4: the picture"):
        measure(samples, SPEC)
    measured = measure(samples, SPEC, on_bad_sample="skip")
    assert len(measured.samples) == len(measured.sizes) == 11
    assert len(measured.skipped) == 1 and "gt.txt:4" in measured.skipped[0]
    nothing = measure(samples[3:4], SPEC, on_bad_sample="skip")  # as it may be one rank's share
    assert not nothing.samples and nothing.sizes.shape == (0, 3) and nothing.skipped == measured.skipped


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_lost_during_training_is_named_without_traceback(competition, workers):
    loader = loader_of(competition, workers)
    (competition / "train_images" / "train_00003.jpg").unlink()
    began = time.perf_counter()
    with pytest.raises(DataError) as error:
        list(loader.epoch(0))
    assert str(error.value).startswith("gt.txt:4: the picture 'train_00003.jpg'")
    assert "Traceback" not in str(error.value)
    assert not multiprocessing.active_children() and time.perf_counter() - began < 5  # nobody waits for a worker


def test_batches_move_as_one(competition):
    batch = next(loader_of(competition).epoch(0))
    moved = batch.to(torch.device("cpu"), dtype=torch.float64)
    assert moved.images.dtype == torch.float64 and moved.samples == batch.samples


def test_small_shared_memory_means_fewer_batches_ahead(monkeypatch):
    def plan(free, wanted):
        monkeypatch.setattr("recognizer.data.workers.free_shared_memory", lambda: free)
        return plan_workers(batch_bytes=10_000_000, wanted=wanted)

    assert plan(10**11, 8) == WorkerPlan(8, 4)
    assert plan(64_000_000, 8) == WorkerPlan(1, 2)
    assert plan(30_000_000, 8) == WorkerPlan(0, 0)
    for free in range(10**7, 10**9, 10**7):
        chosen = plan(free, 8)
        assert chosen.workers * (chosen.prefetch + 1) * 10_000_000 <= free / 2


def test_the_ranks_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr("recognizer.data.workers.free_shared_memory", lambda: 640_000_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert plan_workers(batch_bytes=10_000_000, wanted=8) == WorkerPlan(4, 1)


def test_a_worker_that_is_started_anew_gets_no_copy_of_the_pictures(competition):
    """Up to a gigabyte for each, in each epoch, where workers aren't forked (macOS)."""
    cache = PictureCache(10**9)
    (sample, *_) = loader_of(competition).dataset.samples
    cache.offer(sample, sample.load())
    assert cache.used and pickle.loads(pickle.dumps(cache)) == PictureCache(0)


def test_a_worker_makes_batches_ahead_of_the_loop(competition, tmp_path):
    made = tmp_path / "made"

    def noted(rgb, rng):
        with made.open("a") as file:
            file.write(".")
        return rgb

    def made_when_the_first_is_taken(workers, expected):
        made.write_text("")
        plan = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
        loader = BatchLoader(dataset_of(competition, augment=noted), lambda epoch: plan, WorkerPlan(workers, 2))
        batches = loader.epoch(0)
        next(batches)
        end = time.monotonic() + 30
        while len(made.read_text()) < expected and time.monotonic() < end:
            time.sleep(0.01)
        return len(made.read_text())

    assert made_when_the_first_is_taken(workers=0, expected=2) == 2
    assert made_when_the_first_is_taken(workers=1, expected=6) == 6, "two batches more, as planned"


def test_batches_for_a_gpu_are_made_in_page_locked_memory(competition, monkeypatch):
    """A stubbed one: copies to it that don't wait need such memory."""
    pinned = []

    def pin(tensor, device=None):
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    for pin_memory in (False, True):
        assert not pinned
        loader = BatchLoader(dataset_of(competition), lambda epoch: [(0, 1)], WorkerPlan(0, 0), pin_memory=pin_memory)
        (batch,) = loader.epoch(0)
    assert [id(tensor) for tensor in pinned] == [id(batch.images), id(batch.sizes), id(batch.tokens)]


def test_workers_are_separate_processes_that_ignore_sigterm(competition):
    loader = loader_of(competition, workers=1)
    batches = loader.epoch(0)
    first = next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None and worker.pid != os.getpid()
    os.kill(worker.pid, 15)
    assert len([first, *batches]) == loader.batches_in(0)


def test_a_worker_that_hangs_ends_the_job_and_not_never(competition, monkeypatch):
    monkeypatch.setattr("recognizer.data.loader.LONGEST_WAIT", 2)
    loader = loader_of(competition, workers=1, augment=lambda rgb, rng: time.sleep(1000))
    with pytest.raises(RuntimeError, match="timed out after 2 seconds"):
        list(loader.epoch(0))
    assert not multiprocessing.active_children()


def test_no_thread_is_left_whose_locks_a_forked_worker_would_find_held(competition):
    """OpenCV's start late, those that measure pictures end late: workers that were forked meanwhile hung."""
    samples = read_dataset(competition).samples
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    for _ in range(50):
        measure(samples, SPEC, workers=4)
        assert set(tasks.iterdir()) == before
    assert cv2.getNumThreads() <= 1


def test_a_measurement_that_is_stopped_gives_what_it_has(competition):
    samples, done = read_dataset(competition).samples, []
    measured = measure(samples, SPEC, progress=lambda *step: done.append(step), stopping=lambda: len(done) == 3)
    assert measured.samples == samples[:3] and len(measured.sizes) == len(done) == 3
