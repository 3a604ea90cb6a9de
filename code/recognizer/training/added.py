"""What a job adds to the training side of its data, by hyperparameter: all of it made of the data, or of its symbols.

What is kept for validation has no part in any of these.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

import inference
from recognizer.config import Hyperparameters
from recognizer.data.compose import KINDS, composed_samples
from recognizer.data.ink import Strokes
from recognizer.data.measure import PictureCache
from recognizer.data.sample import DataError, Sample
from recognizer.data.turned import turned_samples
from recognizer.latex import Vocabulary, normalize, tokenize
from recognizer.synth.glyphs import GlyphBank, make_bank
from recognizer.synth.handwriting import written_samples
from recognizer.synth.rewriting import rewritten_samples
from recognizer.synth.strips import StripPicture
from recognizer.synth.stroke_bank import make_stroke_bank, written_symbols

MADE_OF_OTHERS = (*KINDS, "turned")  # hyperparameters: how many pictures to make of those of the data
LONGEST_STRIP = 8  # symbols


def written(settings: Hyperparameters, samples: Sequence[Sample]) -> list[Sample]:
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
    by_hand = written_samples(chosen, strokes, settings.seed, most=settings.written)
    return by_hand + rewritten_samples(samples, strokes, settings.seed, settings.rewritten)


def composed(settings: Hyperparameters, samples: Sequence[Sample], cache: PictureCache) -> list[Sample]:
    """Pictures put together from the training side's: what is kept for validation has no part in them."""
    together: list[Sample] = []
    for kind in KINDS:
        if count := _count(getattr(settings, kind), samples):
            made = composed_samples(kind, samples, count, settings.seed, settings.max_tokens, cache)
            if not made:
                raise DataError(
                    f"{kind}={count}, but no two labels together are shorter than max_tokens={settings.max_tokens}"
                )
            together += made
    return together


def turned(settings: Hyperparameters, samples: Sequence[Sample], cache: PictureCache) -> list[Sample]:
    """Pictures of the training side laid on one side."""
    return turned_samples(samples, _count(settings.turned, samples), settings.seed, cache)


def strips(settings: Hyperparameters, vocabulary: Vocabulary, bank: GlyphBank) -> list[Sample]:
    """Random layouts as samples, but for those with too long a label, or with tokens that the vocabulary lacks. What
    they are depends on the seed and the number of the strip."""
    samples = []
    for number in range(settings.strips):
        length = 1 + number % LONGEST_STRIP
        picture = StripPicture(bank, frozenset(vocabulary.tokens), settings.seed * 1_000_003 + number, length)
        tokens = tuple(tokenize(normalize(" ".join(picture.strip().tokens))))
        if len(tokens) < settings.max_tokens and all(token in vocabulary for token in tokens):  # and the end token
            name = f"strip/{number}"
            samples.append(Sample(name, tokens, picture, source="strip", dataset="strips", origin=name))
    return samples


def glyph_bank(settings: Hyperparameters, vocabulary: Vocabulary, samples: Sequence[Sample]) -> GlyphBank | None:
    """Pictures of the vocabulary's symbols, and of those that the samples' writers wrote; None if there are few."""
    began = time.monotonic()
    by_hand = _written_symbols(samples, settings.seed)
    bank = make_bank(vocabulary.tokens, by_hand, settings.seed, inference.default_threads())
    counts = " and ".join(str(sum(map(len, hand.values()))) for hand in bank.hands) or "no"
    print(f"drew {counts} pictures of {len(bank.boxes)} single symbols in {time.monotonic() - began:.0f} s", flush=True)
    return bank if sum(len(hand) > 1 for hand in bank.hands) else None


def _written_symbols(samples: Sequence[Sample], seed: int) -> Iterator[tuple[str, Strokes]]:
    """Symbols of pen strokes whose segmentation is known, from writers in random order."""
    order = np.random.default_rng((seed, 3)).permutation(len(samples))
    for _, token, strokes in written_symbols(samples[index] for index in order):
        yield token, strokes


def _count(wanted: float, samples: Sequence[Sample]) -> int:
    """How many pictures to add: below 1 it is a share of the samples."""
    return round(wanted * len(samples)) if wanted < 1 else int(wanted)
