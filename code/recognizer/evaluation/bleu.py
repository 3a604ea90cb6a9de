"""BLEU of formulas: their words are normalised tokens, so nothing is split, lowercased or escaped on the way."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

ORDERS = 4  # n-grams of one to four tokens

Tokens = Sequence[str]


def corpus_bleu(pairs: Sequence[tuple[Tokens, Tokens]]) -> float:
    """Return BLEU-4 over all (reference, prediction), from 0 to 1 (Papineni et al. 2002, aclanthology.org/P02-1040).

    One reference a sample, counts summed over the corpus, no smoothing. n-grams longer than every prediction are left
    out, so that a slice of short formulas has a value too.
    """
    precisions = [share for n in range(1, ORDERS + 1) if (share := _precision(pairs, n)) is not None]
    if not precisions or 0 in precisions:
        return 0.0
    references, predictions = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    brevity = min(0.0, 1 - references / predictions)
    return math.exp(brevity + sum(map(math.log, precisions)) / len(precisions))


def _precision(pairs: Sequence[tuple[Tokens, Tokens]], n: int) -> float | None:
    """The share of predicted n-grams that their reference has too, each as often as there; None without any."""
    found = total = 0
    for reference, prediction in pairs:
        said = _ngrams(prediction, n)
        found += (said & _ngrams(reference, n)).total()
        total += said.total()
    return found / total if total else None


def _ngrams(tokens: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
