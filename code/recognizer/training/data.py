"""The data of a job: read or made, split, measured, and put into two loaders."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import inference
from recognizer.config import Hyperparameters
from recognizer.data.batching import BatchLimits, plan_epoch, plan_in_order, plan_stream, short_first
from recognizer.data.canvases import SIDES, Canvases
from recognizer.data.compose import KINDS, composed_samples
from recognizer.data.dataset import FormulaDataset
from recognizer.data.formats import Dataset, check_usable, read_dataset
from recognizer.data.ink import Strokes
from recognizer.data.loader import BatchLoader
from recognizer.data.measure import Measured, PictureCache, enlarged, measure
from recognizer.data.sample import DataError, Sample
from recognizer.data.split import Split, shared_groups, split_by_group
from recognizer.data.stream import ShardStream, shards_in_pipe
from recognizer.data.turned import turned_samples
from recognizer.data.workers import WorkerPlan, plan_workers
from recognizer.latex import SPECIALS, UnknownTokenError, Vocabulary, normalize, tokenize
from recognizer.synth.augment import augment
from recognizer.synth.dataset import GENERATOR_VERSION, write_dataset
from recognizer.synth.glyphs import GlyphBank, make_bank
from recognizer.synth.handwriting import written_samples
from recognizer.synth.rewriting import rewritten_samples
from recognizer.synth.strips import StripPicture
from recognizer.synth.stroke_bank import make_stroke_bank, written_symbols
from recognizer.training.distributed import Ranks

BOXED = r"\boxed"
EMBEDDED_PICTURES = 6000  # when the job has no data of its own
CACHE_BYTES = 1 << 30
DOUBTS_SHOWN = 5
TRAIN, VALIDATION = SIDES
MADE_OF_OTHERS = (*KINDS, "turned")  # hyperparameters: how many pictures to make of those of the data
LONGEST_STRIP = 8  # symbols
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
) -> JobData:
    """Reads, splits and measures the data.

    Args:
        split: that of the run to resume, if there is one.
        index_channel: the indices of the shards, if the train channel is a pipe.
        known: canvases that a run before has measured, of training and validation; the main rank's count.
        kept_tokens: what the vocabulary has beside the data's tokens.

    Raises:
        DataError: the data has a fault; file, line and remedy are in the message.
    """
    if index_channel:
        _check_pipe(settings, index_channel, validation_channel, spec, ranks)
    sets = _read(settings, train_channel, index_channel, ranks)
    samples = _short_enough(settings, TRAIN, [sample for each in sets for sample in each.samples])
    _check_names(samples)
    _check_alike(samples, ranks)
    if validation_channel:
        held_out = _read_held_out(settings, validation_channel)
        if split:
            split.check(samples, held_out)
        split = Split(tuple(s.name for s in samples), tuple(s.name for s in held_out), settings.seed)
        if ranks.is_main:
            _tell_shared(samples, held_out)
    else:
        share = min(settings.validation_share, settings.max_validation / len(samples))  # others would serve nobody
        split = split or split_by_group(samples, share, settings.seed)
        samples, held_out = split.apply(samples)
    cache = PictureCache(CACHE_BYTES)
    written = _written(settings, samples)
    formulas = [*samples, *written]
    composed = _composed(settings, formulas, cache)
    turned = turned_samples(formulas, _count(settings.turned, formulas), settings.seed, cache)
    vocabulary = _vocabulary(sets, [*samples, *held_out], composed).extended(kept_tokens)
    if validation_channel:
        held_out = _sayable(settings, validation_channel, held_out, vocabulary)
    if validation_channel and len(held_out) > settings.max_validation and ranks.is_main:
        print(
            f"note: {settings.max_validation} of {len(held_out)} validation samples are used (max_validation)",
            flush=True,
        )
    held_out = _at_most(held_out, settings.max_validation, settings.seed)
    bank = _bank(settings, vocabulary, samples) if settings.strips or settings.symbol_steps else None
    strips = _strips(settings, vocabulary, bank) if bank else []
    samples = [*samples, *written, *strips, *composed, *turned]
    _check_names(samples)
    known = ranks.from_main(known if ranks.is_main else None)
    trained, validated = (
        _measure(settings, side, part, spec, cache, ranks, canvases)
        for side, part, canvases in zip(SIDES, (samples, held_out), known, strict=True)
    )
    if ranks.is_main:
        _report(trained, validated, vocabulary)
        _tell_frames(spec, trained.samples)
    stream = _stream(settings, trained, train_channel, index_channel)
    change = augment if settings.augment else None
    sizes = enlarged(trained.sizes, 1 + settings.zoom, spec) if change and settings.zoom else trained.sizes
    dataset = FormulaDataset(trained.samples, vocabulary, spec, settings.seed, change, cache, sizes, settings.zoom)
    training = _training_loader(settings, dataset, sizes, stream, ranks)
    in_order = plan_in_order(validated.sizes, VALIDATION_BATCH)
    validation = BatchLoader(
        FormulaDataset(validated.samples, vocabulary, spec, cache=cache), lambda epoch: in_order, WorkerPlan(0, 0)
    )
    return JobData(vocabulary, split, validated.samples, bank, training, validation, (trained, validated))


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
    if any(getattr(settings, kind) for kind in MADE_OF_OTHERS):
        raise DataError(
            f"the train channel is a pipe, and {', '.join(MADE_OF_OTHERS)} take pictures from anywhere in it: use File"
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


def _read(settings: Hyperparameters, channel: Path | None, index: Path | None, ranks: Ranks) -> list[Dataset]:
    folder = index or channel
    sets = [read_dataset(folder, settings.on_bad_sample, in_pipe=index is not None)] if folder else []
    count = settings.synthetic if settings.synthetic is not None else (0 if channel else EMBEDDED_PICTURES)
    if count:
        folder = Path(tempfile.gettempdir()) / f"embedded-v{GENERATOR_VERSION}-{count}-{settings.seed}"
        if ranks.local_rank == 0:
            print(f"making {count} embedded pictures in {folder}", flush=True)
            write_dataset(folder, count, settings.seed, workers=inference.default_threads())
        ranks.wait()
        embedded = read_dataset(folder)
        named = [replace(sample, name=f"embedded/{sample.name}", dataset="embedded") for sample in embedded.samples]
        sets.append(replace(embedded, samples=named))
    if not sets:
        raise DataError("the job has no data: give a train channel, or set synthetic above 0")
    for each in sets:
        _tell_skipped(TRAIN, each.skipped)
        _tell_doubtful(TRAIN, each.doubtful)
    return sets


def _read_held_out(settings: Hyperparameters, channel: Path) -> list[Sample]:
    """The samples of the validation channel."""
    dataset = read_dataset(channel, settings.on_bad_sample)
    _tell_skipped(VALIDATION, dataset.skipped)
    _tell_doubtful(VALIDATION, dataset.doubtful)
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
    _tell_skipped(VALIDATION, bad)
    return kept


def _bank(settings: Hyperparameters, vocabulary: Vocabulary, samples: Sequence[Sample]) -> GlyphBank | None:
    """Pictures of the vocabulary's symbols, and of those that the samples' writers wrote; None if there are few."""
    began = time.monotonic()
    written = _written_symbols(samples, settings.seed)
    bank = make_bank(vocabulary.tokens, written, settings.seed, inference.default_threads())
    counts = " and ".join(str(sum(map(len, hand.values()))) for hand in bank.hands) or "no"
    print(f"drew {counts} pictures of {len(bank.boxes)} single symbols in {time.monotonic() - began:.0f} s", flush=True)
    return bank if sum(len(hand) > 1 for hand in bank.hands) else None


def _written_symbols(samples: Sequence[Sample], seed: int) -> Iterator[tuple[str, Strokes]]:
    """Symbols of pen strokes whose segmentation is known, from writers in random order."""
    order = np.random.default_rng((seed, 3)).permutation(len(samples))
    for _, token, strokes in written_symbols(samples[index] for index in order):
        yield token, strokes


def _written(settings: Hyperparameters, samples: Sequence[Sample]) -> list[Sample]:
    """Formulas by hand, of the samples' symbols; nobody who is kept for validation has a symbol in them."""
    if not (settings.written or settings.rewritten):
        return []
    strokes = make_stroke_bank(written_symbols(samples))
    if not strokes.glyphs:
        raise DataError(
            f"written={settings.written}, rewritten={settings.rewritten}, but no pen strokes of the data say which "
            "symbols they are"
        )
    formulas = list(dict.fromkeys(sample.tokens for sample in samples))
    order = np.random.default_rng((settings.seed, 4)).permutation(len(formulas))
    chosen = [formulas[index] for index in order[: 2 * settings.written]]
    written = written_samples(chosen, strokes, settings.seed, most=settings.written)
    return written + rewritten_samples(samples, strokes, settings.seed, settings.rewritten)


def _count(wanted: float, samples: Sequence[Sample]) -> int:
    """How many pictures to add: below 1 it is a share of the samples."""
    return round(wanted * len(samples)) if wanted < 1 else int(wanted)


def _composed(settings: Hyperparameters, samples: Sequence[Sample], cache: PictureCache) -> list[Sample]:
    """Pictures put together from the training side's: what is kept for validation has no part in them."""
    composed: list[Sample] = []
    for kind in KINDS:
        if count := _count(getattr(settings, kind), samples):
            made = composed_samples(kind, samples, count, settings.seed, settings.max_tokens, cache)
            if not made:
                raise DataError(
                    f"{kind}={count}, but no two labels together are shorter than max_tokens={settings.max_tokens}"
                )
            composed += made
    return composed


def _strips(settings: Hyperparameters, vocabulary: Vocabulary, bank: GlyphBank) -> list[Sample]:
    """Random layouts as samples. What they are depends on the seed and the number of the strip."""
    samples = []
    for number in range(settings.strips):
        length = 1 + number % LONGEST_STRIP
        picture = StripPicture(bank, frozenset(vocabulary.tokens), settings.seed * 1_000_003 + number, length)
        tokens = tuple(tokenize(normalize(" ".join(picture.strip().tokens))))
        if all(token in vocabulary for token in tokens):
            name = f"strip/{number}"
            samples.append(Sample(name, tokens, picture, source="strip", dataset="strips", origin=name))
    return samples


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


def _tell_skipped(side: str, skipped: Sequence[str]) -> None:
    if skipped:
        print(f"{side}: skipped {len(skipped)} bad samples:\n  " + "\n  ".join(skipped), flush=True)


def _tell_doubtful(side: str, doubtful: Sequence[str]) -> None:
    if doubtful:
        shown = "\n  ".join(doubtful[:DOUBTS_SHOWN])
        print(
            f"{side}: {len(doubtful)} labels are no LaTeX and are read as they most likely mean; "
            f"the first of them:\n  {shown}",
            flush=True,
        )


def _tell_shared(samples: Sequence[Sample], held_out: Sequence[Sample]) -> None:
    """Warns of writers or formulas on both sides: whoever gives a validation channel may want that."""
    if not (shared := shared_groups(samples, held_out)):
        return
    trained, validated = next(iter(shared.values()))
    count = sum(sample.group in shared for sample in held_out)
    print(
        f"warning: {count} of {len(held_out)} samples of the validation channel have a group (writer, formula) that "
        f"is trained on too, {len(shared)} groups in all: for example {validated.name!r} there and {trained.name!r} in "
        "training. The accuracy will be better than on new ones; leave those out, or the channel, to keep sides apart",
        flush=True,
    )


def _tell_frames(spec: inference.PreprocessSpec, samples: Sequence[Sample]) -> None:
    """Warns of labels with a frame, if frames are taken away from the pictures."""
    framed = [sample for sample in samples if BOXED in sample.tokens]
    if framed and not spec.frames:
        print(
            f"warning: {len(framed)} labels have {BOXED}, such as that of {framed[0].name!r}, but frames around "
            "formulas are taken away from the pictures: set frames=true to keep them",
            flush=True,
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


def _at_most(samples: list[Sample], count: int, seed: int) -> list[Sample]:
    if len(samples) <= count:
        return samples
    chosen = np.random.default_rng((seed, 1)).choice(len(samples), count, replace=False)
    return [samples[i] for i in sorted(chosen)]


def _measure(
    settings: Hyperparameters,
    side: str,
    samples: Sequence[Sample],
    spec: inference.PreprocessSpec,
    cache: PictureCache,
    ranks: Ranks,
    known: Canvases,
) -> Measured:
    """Every rank measures its share of the pictures that aren't known, and all learn the result.

    Raises:
        DataError: a picture can't be read (unless on_bad_sample is "skip"), or none can.
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

    unknown = [sample for sample in samples if sample.name not in known]
    share = unknown[ranks.rank :: ranks.world_size]
    own = measure(share, spec, settings.on_bad_sample, cache, inference.default_threads(), progress)
    sizes = {each.name: np.array([*known[each.name], len(each.tokens)]) for each in samples if each.name in known}
    skipped: list[str] = []
    for names, rows, messages in ranks.gather(([sample.name for sample in own.samples], own.sizes, own.skipped)):
        sizes.update(zip(names, rows, strict=True))
        skipped += messages
    if not sizes:
        raise DataError(f"{side}: none of the {len(samples)} pictures can be read; the first: {skipped[0]}")
    _tell_skipped(side, skipped)
    kept = [sample for sample in samples if sample.name in sizes]
    return Measured(kept, np.array([sizes[sample.name] for sample in kept]), skipped)


def _report(trained: Measured, validated: Measured, vocabulary: Vocabulary) -> None:
    tokens = trained.sizes[:, 2]
    print(
        f"{len(trained.samples)} training and {len(validated.samples)} validation samples; {len(vocabulary)} tokens in "
        f"the vocabulary; {tokens.mean():.1f} tokens a label, {tokens.max()} at most",
        flush=True,
    )
