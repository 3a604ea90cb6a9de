"""What a job says of its data before it trains: what was left out, what is doubtful, what would flatter it."""

from __future__ import annotations

from collections.abc import Sequence

import inference
from recognizer.data.measure import Measured
from recognizer.data.sample import Sample
from recognizer.data.split import shared_groups
from recognizer.latex import Vocabulary

BOXED = r"\boxed"
DOUBTS_SHOWN = 5


def tell_sizes(trained: Measured, validated: Measured, vocabulary: Vocabulary) -> None:
    tokens = trained.sizes[:, 2]
    print(
        f"{len(trained.samples)} training and {len(validated.samples)} validation samples; {len(vocabulary)} tokens in "
        f"the vocabulary; {tokens.mean():.1f} tokens a label, {tokens.max()} at most",
        flush=True,
    )


def tell_skipped(side: str, skipped: Sequence[str]) -> None:
    if skipped:
        print(f"{side}: skipped {len(skipped)} bad samples:\n  " + "\n  ".join(skipped), flush=True)


def tell_doubtful(side: str, doubtful: Sequence[str]) -> None:
    if doubtful:
        shown = "\n  ".join(doubtful[:DOUBTS_SHOWN])
        print(
            f"{side}: {len(doubtful)} labels are no LaTeX and are read as they most likely mean; "
            f"the first of them:\n  {shown}",
            flush=True,
        )


def tell_shared(samples: Sequence[Sample], held_out: Sequence[Sample]) -> None:
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


def tell_frames(spec: inference.PreprocessSpec, samples: Sequence[Sample]) -> None:
    """Warns of labels with a frame, if frames are taken away from the pictures."""
    framed = [sample for sample in samples if BOXED in sample.tokens]
    if framed and not spec.frames:
        print(
            f"warning: {len(framed)} labels have {BOXED}, such as that of {framed[0].name!r}, but frames around "
            "formulas are taken away from the pictures: set frames=true to keep them",
            flush=True,
        )


def tell_unused(held_out: Sequence[Sample], most: int) -> None:
    if len(held_out) > most:
        print(f"note: {most} of {len(held_out)} validation samples are used (max_validation)", flush=True)
