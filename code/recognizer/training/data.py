"""The data of a job: read or made, split, measured, and put into two loaders."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import inference
from recognizer.config import Hyperparameters
from recognizer.data.batching import BatchLimits, plan_epoch, plan_in_order, plan_stream, short_first
from recognizer.data.canvases import SIDES, Canvases, known_as
from recognizer.data.dataset import FormulaDataset
from recognizer.data.formats import Dataset, check_usable, read_dataset
from recognizer.data.loader import BatchLoader
from recognizer.data.measure import Measured, PictureCache, enlarged, measure
from recognizer.data.sample import DataError, Sample
from recognizer.data.split import Split, split_by_group
from recognizer.data.stream import ShardStream, shards_in_pipe
from recognizer.data.workers import WorkerPlan, plan_workers
from recognizer.latex import SPECIALS, UnknownTokenError, Vocabulary
from recognizer.synth.augment import augment
from recognizer.synth.dataset import GENERATOR_VERSION, write_dataset
from recognizer.synth.glyphs import GlyphBank
from recognizer.training import added
from recognizer.training.distributed import Ranks
from recognizer.training.stages import Stages, StoppedError
from recognizer.training.stop import NEVER, StopSignal
from recognizer.training.told import (
    tell_doubtful,
    tell_frames,
    tell_shared,
    tell_sizes,
    tell_skipped,
    tell_unknown,
    tell_unused,
)

EMBEDDED_PICTURES = 6000  # when the job has no data of its own
CACHE_BYTES = 1 << 30
TRAIN, VALIDATION = SIDES
VALIDATION_BATCH = BatchLimits(max_samples=32, max_pixels=600_000)


@dataclass(frozen=True)
class JobData:
    vocabulary: Vocabulary
    split: Split
    validation_samples: list[Sample]
    bank: GlyphBank | None  # single symbols to learn from, if the job learns from any
    training: BatchLoader
    validation: BatchLoader
    measured: tuple[Measured, Measured]  # training and validation


def prepare(
    settings: Hyperparameters,
    train_channel: Path | None,
    validation_channel: Path | None,
    spec: inference.PreprocessSpec,
    split: Split | None,
    ranks: Ranks,
    index_channel: Path | None = None,
    known: tuple[Canvases, ...] = ({}, {}),
    kept_tokens: Sequence[str] = (),
    stop: StopSignal = NEVER,
) -> JobData:
    """Reads, splits and measures the data.

    Args:
        split: that of the run to resume, if there is one.
        index_channel: the indices of the shards, if the train channel is a pipe.
        known: canvases that a run before has measured, of training and validation; the main rank's count.
        kept_tokens: what the vocabulary has beside the data's tokens.

    Raises:
        DataError: the data has a fault; file, line and remedy are in the message.
        StoppedError: the job was asked to stop.
    """
    stages = Stages(ranks, stop)
    if index_channel:
        _check_pipe(settings, index_channel, validation_channel, spec, ranks)
    embedded = stages.run(_embedded, settings, train_channel, ranks)
    sets = stages.run(_read, settings, index_channel or train_channel, index_channel is not None, embedded)
    samples = _short_enough(settings, TRAIN, [sample for each in sets for sample in each.samples])
    _check_names(samples)
    _check_alike(samples, ranks)
    samples, held_out, split = stages.run(_sides, settings, samples, validation_channel, split)
    cache = PictureCache(CACHE_BYTES)
    by_hand = stages.run(added.written, settings, samples)
    formulas = [*samples, *by_hand]
    together = stages.run(added.composed, settings, formulas, cache)
    turned = added.turned(settings, formulas, cache)
    vocabulary = _vocabulary(sets, [*samples, *held_out], together).extended(kept_tokens)
    if validation_channel:
        held_out = _sayable(settings, validation_channel, held_out, vocabulary)
        tell_unused(held_out, settings.max_validation)
    held_out = _at_most(held_out, settings.max_validation, settings.seed)
    bank, strips = stages.run(_symbols, settings, vocabulary, samples)
    samples = [*samples, *by_hand, *strips, *together, *turned]
    _check_names(samples)
    sides = list(zip(SIDES, (samples, held_out), ranks.from_main(known), strict=True))
    trained, validated = (_measure(settings, part, each, spec, cache, stages) for _, part, each in sides)
    if stages.stopping():
        raise StoppedError((trained, validated))
    for (side, part, _), measured in zip(sides, (trained, validated), strict=True):
        _check_measured(side, part, measured)
    tell_sizes(trained, validated, vocabulary)
    tell_frames(spec, trained.samples)
    listed = {*kept_tokens, *(bank.boxes if bank else ())}
    tell_unknown([sample for each in sets if not each.vocabulary for sample in each.samples], listed)
    stream = _stream(settings, trained, train_channel, index_channel)
    change = augment if settings.augment else None
    sizes = enlarged(trained.sizes, 1 + settings.zoom, spec) if change and settings.zoom else trained.sizes
    dataset = FormulaDataset(trained.samples, vocabulary, spec, settings.seed, change, cache, sizes, settings.zoom)
    training = _training_loader(settings, dataset, sizes, stream, ranks)
    validation = _validation_loader(FormulaDataset(validated.samples, vocabulary, spec, cache=cache), validated.sizes)
    return JobData(vocabulary, split, validated.samples, bank, training, validation, (trained, validated))


def _sides(
    settings: Hyperparameters, samples: list[Sample], validation_channel: Path | None, split: Split | None
) -> tuple[list[Sample], list[Sample], Split]:
    """What is trained on, what is kept for validation, and how that was divided: by the user, a run before, or here."""
    if validation_channel:
        held_out = _read_held_out(settings, validation_channel)
        if split:
            split.check(samples, held_out)
        tell_shared(samples, held_out)
        return samples, held_out, Split(tuple(s.name for s in samples), tuple(s.name for s in held_out), settings.seed)
    share = min(settings.validation_share, settings.max_validation / len(samples))  # others would serve nobody
    split = split or split_by_group(samples, share, settings.seed)
    return *split.apply(samples), split


def _check_alike(samples: Sequence[Sample], ranks: Ranks) -> None:
    """Raises DataError if hosts were given different data: their batches would not be parts of one, and some wait."""
    digest = hashlib.sha256(repr([(sample.name, sample.tokens) for sample in samples]).encode()).hexdigest()
    if len(set(ranks.gather(digest))) > 1:
        raise DataError(
            "the processes of this job see different training data; each host needs all of it: the channel's "
            "distribution must be FullyReplicated, not ShardedByS3Key"
        )


def _check_pipe(
    settings: Hyperparameters, index: Path, validation: Path | None, spec: inference.PreprocessSpec, ranks: Ranks
) -> None:
    """What a pipe needs, as its pictures can only be had one after the other."""
    if not validation:
        raise DataError("the train channel is a pipe, which can't be split: give a channel `validation` in File mode")
    if any(getattr(settings, kind) for kind in added.MADE_OF_OTHERS):
        raise DataError(
            f"the train channel is a pipe, and {', '.join(added.MADE_OF_OTHERS)} take pictures from anywhere in it: "
            "use File mode"
        )
    if any(ranks.gather(ranks.local_rank)):
        raise DataError("the train channel is a pipe, which one process a host can read: use File or FastFile mode")
    if any(shard.spec != spec for shard in shards_in_pipe(index)):
        raise DataError(
            "the train channel is a pipe, and its pictures were measured with other values of glyph_height or scale "
            "than this job's: leave those out, or use File or FastFile mode"
        )


def _stream(settings: Hyperparameters, trained: Measured, train: Path | None, index: Path | None) -> ShardStream | None:
    """How shards are read in a row, if they are."""
    if not (settings.stream or index):
        return None
    stream = ShardStream(
        trained.samples,
        settings.seed,
        pipe=train if index else None,
        in_pipe=shards_in_pipe(index) if index else [],
    )
    if not stream.pictures:
        raise DataError("stream=true, but the data has no shards; pack it, or leave the hyperparameter out")
    return stream


def _training_loader(
    settings: Hyperparameters, dataset: FormulaDataset, sizes: np.ndarray, stream: ShardStream | None, ranks: Ranks
) -> BatchLoader:
    workers = plan_workers(4 * settings.most_batch_pixels // ranks.world_size, settings.workers)
    limits = BatchLimits(settings.batch_size, settings.most_batch_pixels)
    pin_memory = ranks.device.type == "cuda"
    seed, world_size = settings.seed, ranks.world_size
    if stream is None:
        plan = short_first if settings.short_first else plan_epoch
        return BatchLoader(
            dataset,
            lambda epoch: plan(sizes, limits, seed, epoch),
            workers,
            ranks.rank,
            world_size,
            pin_memory,
        )
    return BatchLoader(
        dataset,
        lambda epoch: plan_stream(sizes, stream.order(epoch), limits, seed, epoch, world_size, settings.short_first)[
            ranks.rank
        ],
        workers,
        pin_memory=pin_memory,
        fetch=stream,
    )


def _validation_loader(dataset: FormulaDataset, sizes: np.ndarray) -> BatchLoader:
    in_order = plan_in_order(sizes, VALIDATION_BATCH)
    return BatchLoader(dataset, lambda epoch: in_order, WorkerPlan(0, 0))


def _embedded(settings: Hyperparameters, channel: Path | None, ranks: Ranks) -> Path | None:
    """The folder of the embedded pictures, which one rank of each host makes; None if the job has none."""
    count = settings.synthetic if settings.synthetic is not None else (0 if channel else EMBEDDED_PICTURES)
    if not count:
        return None
    folder = Path(tempfile.gettempdir()) / f"embedded-v{GENERATOR_VERSION}-{count}-{settings.seed}"
    if ranks.local_rank == 0:
        print(f"making {count} embedded pictures in {folder}", flush=True)
        write_dataset(folder, count, settings.seed, workers=inference.default_threads())
    return folder


def _read(settings: Hyperparameters, folder: Path | None, in_pipe: bool, embedded: Path | None) -> list[Dataset]:
    sets = [read_dataset(folder, settings.on_bad_sample, in_pipe=in_pipe)] if folder else []
    if embedded:
        drawn = read_dataset(embedded)
        named = [replace(sample, name=f"embedded/{sample.name}", dataset="embedded") for sample in drawn.samples]
        sets.append(replace(drawn, samples=named))
    if not sets:
        raise DataError("the job has no data: give a train channel, or set synthetic above 0")
    for each in sets:
        tell_skipped(TRAIN, each.skipped)
        tell_doubtful(TRAIN, each.doubtful)
    return sets


def _read_held_out(settings: Hyperparameters, channel: Path) -> list[Sample]:
    """The samples of the validation channel."""
    dataset = read_dataset(channel, settings.on_bad_sample)
    tell_skipped(VALIDATION, dataset.skipped)
    tell_doubtful(VALIDATION, dataset.doubtful)
    return _short_enough(settings, VALIDATION, dataset.samples)


def _sayable(
    settings: Hyperparameters, channel: Path, held_out: Sequence[Sample], vocabulary: Vocabulary
) -> list[Sample]:
    """The validation channel's samples that the vocabulary has the tokens of: a tokens.txt of `train` may lack some.

    Raises:
        DataError: it lacks some (unless on_bad_sample is "skip"), or some of every label.
    """
    kept, bad = [], []
    for sample in held_out:
        try:
            vocabulary.encode(sample.tokens)
        except UnknownTokenError as error:
            bad.append(f"{sample.origin}: {error}; correct the label, or add it to tokens.txt of the train channel")
        else:
            kept.append(sample)
    check_usable(channel, kept, bad, settings.on_bad_sample)
    tell_skipped(VALIDATION, bad)
    return kept


def _check_names(samples: Sequence[Sample]) -> None:
    """A name says which side of a split a sample is on, and how large its canvas: no other may have it.

    Raises:
        DataError: what the job adds has a name of the data's.
    """
    first: dict[str, Sample] = {}
    for sample in samples:
        other = first.setdefault(sample.name, sample)
        if other is not sample:
            raise DataError(
                f"two samples are called {sample.name!r}: that of {other.origin}, and one that the job adds; rename "
                "the file or folder of the data"
            )


def _short_enough(settings: Hyperparameters, side: str, samples: Sequence[Sample]) -> list[Sample]:
    kept = [sample for sample in samples if len(sample.tokens) < settings.max_tokens]  # and the end token
    if not kept:
        raise DataError(
            f"{side}: all {len(samples)} labels have max_tokens={settings.max_tokens} tokens or more; raise it"
        )
    if len(kept) < len(samples):
        print(f"{side}: left out {len(samples) - len(kept)} labels of {settings.max_tokens} tokens or more", flush=True)
    return kept


def _vocabulary(sets: Sequence[Dataset], samples: Sequence[Sample], composed: Sequence[Sample]) -> Vocabulary:
    """The data set's own tokens.txt if that is all there is, else all tokens of the labels; and those of composing."""
    if len(sets) == 1 and sets[0].vocabulary:
        own = sets[0].vocabulary
    else:
        listed = [
            token for each in sets if each.vocabulary for token in each.vocabulary.tokens if token not in SPECIALS
        ]
        own = Vocabulary.from_labels([listed, *(sample.tokens for sample in samples)])
    added = sorted({token for sample in composed for token in sample.tokens})
    return own.extended(added)


def _symbols(
    settings: Hyperparameters, vocabulary: Vocabulary, samples: Sequence[Sample]
) -> tuple[GlyphBank | None, list[Sample]]:
    """Pictures of the symbols, if the job needs any, and random layouts of them."""
    bank = added.glyph_bank(settings, vocabulary, samples) if settings.strips or settings.symbol_steps else None
    return bank, added.strips(settings, vocabulary, bank) if bank else []


def _at_most(samples: list[Sample], count: int, seed: int) -> list[Sample]:
    if len(samples) <= count:
        return samples
    chosen = np.random.default_rng((seed, 1)).choice(len(samples), count, replace=False)
    return [samples[i] for i in sorted(chosen)]


def _measure(
    settings: Hyperparameters,
    samples: Sequence[Sample],
    known: Canvases,
    spec: inference.PreprocessSpec,
    cache: PictureCache,
    stages: Stages,
) -> Measured:
    """Every rank measures its share of the pictures that aren't known, and all learn the result: what there is of it
    when the job is asked to stop.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip").
    """
    began = told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > 10:
            rate = done / (now - began)
            print(
                f"read {done} of {total} pictures, {rate:.0f} a second, {(total - done) / rate:.0f} s left", flush=True
            )
            told = now

    ranks, stop = stages.ranks, stages.stop
    sizes = {
        sample.name: np.array([*known[key], len(sample.tokens)])
        for sample in samples
        if (key := known_as(sample)) in known
    }
    unknown = [sample for sample in samples if sample.name not in sizes]
    share = unknown[ranks.rank :: ranks.world_size]
    threads = inference.default_threads()
    own = measure(share, spec, settings.on_bad_sample, cache, threads, progress, lambda: bool(stop))
    skipped: list[str] = []
    for names, rows, messages in ranks.gather(([sample.name for sample in own.samples], own.sizes, own.skipped)):
        sizes.update(zip(names, rows, strict=True))
        skipped += messages
    kept = [sample for sample in samples if sample.name in sizes]
    return Measured(kept, np.array([sizes[sample.name] for sample in kept], dtype=np.int64).reshape(-1, 3), skipped)


def _check_measured(side: str, samples: Sequence[Sample], measured: Measured) -> None:
    """Tells what was left out.

    Raises:
        DataError: that is all.
    """
    if not measured.samples:
        raise DataError(f"{side}: none of the {len(samples)} pictures can be read; the first: {measured.skipped[0]}")
    tell_skipped(side, measured.skipped)
