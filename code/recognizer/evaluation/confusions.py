"""Which tokens are taken for which: what a recognizer should see more of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from recognizer.evaluation.metrics import Result


@dataclass(frozen=True)
class Confusion:
    """A token of labels that was read as another. A side is "" where a token was left out, or added."""

    reference: str
    prediction: str
    count: int
    share: float  # of the times that the labels have the token; of all errors where it was added


def confusions(results: Iterable[Result]) -> list[Confusion]:
    """Count the single edits between labels and predictions, the commonest first, then in order of tokens."""
    pairs: Counter[tuple[str, str]] = Counter()
    seen: Counter[str] = Counter()
    for result in results:
        seen.update(result.reference)
        for edit in Levenshtein.editops(result.reference, result.prediction):
            label = "" if edit.tag == "insert" else result.reference[edit.src_pos]
            said = "" if edit.tag == "delete" else result.prediction[edit.dest_pos]
            pairs[label, said] += 1
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(label, said, count, count / (seen[label] or pairs.total())) for (label, said), count in ordered]
