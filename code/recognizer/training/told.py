"""What a job says of its data before it trains: what was left out, what is doubtful, what would flatter it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import inference
from recognizer.data.measure import Measured
from recognizer.data.sample import Sample
from recognizer.data.split import shared_groups
from recognizer.latex import Vocabulary
from recognizer.latex.synonyms import ARGUMENTS, SYMBOLS, TEXT_COMMANDS
from recognizer.synth.glyphs import symbol_box

BOXED = r"\boxed"
COMMAND = re.compile(r"\\[A-Za-z]+")
KNOWN = SYMBOLS | ARGUMENTS.keys() | {f"\\{name}" for name in TEXT_COMMANDS}  # and what MathJax draws
DOUBTS_SHOWN = 5
# What a job adds to its training samples, by the name of their data set
ADDED = {
    "strips": "random layouts, which strips=0 leaves out",
    "embedded": "embedded pictures",
    "written": "written with the data's own pen strokes",
    "rewritten": "rewritten in other people's symbols",
    "joined": "formulas side by side",
    "stacked": "formulas below one another",
    "pages": "pages of formulas",
    "turned": "laid on one side",
}


def tell_sizes(trained: Measured, validated: Measured, vocabulary: Vocabulary) -> None:
    tokens = trained.sizes[:, 2]
    added = _added(trained.samples)
    print(
        f"{len(trained.samples)} training {f'samples (of them {added}) ' if added else ''}and {len(validated.samples)} "
        f"validation samples; {len(vocabulary)} tokens in the vocabulary; {tokens.mean():.1f} tokens a label, "
        f"{tokens.max()} at most",
        flush=True,
    )


def _added(samples: Sequence[Sample]) -> str:
    """How many of the samples aren't the user's own, of each kind."""
    counts = Counter(sample.dataset for sample in samples)
    return ", ".join(f"{counts[name]} {kind}" for name, kind in ADDED.items() if counts[name])


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


def tell_unknown(samples: Sequence[Sample], known: Collection[str]) -> None:
    """Tells of commands that are no LaTeX, each with its first place: a slip of the pen becomes a token like any."""
    first: dict[str, str] = {}
    for sample in samples:
        for token in sample.tokens:
            first.setdefault(token, sample.origin)
    new = [token for token in first if COMMAND.fullmatch(token) and token not in KNOWN and token not in known]
    if unknown := [f"{token} ({first[token]})" for token in new if not symbol_box(token)]:
        more = f" and {len(unknown) - DOUBTS_SHOWN} more" if len(unknown) > DOUBTS_SHOWN else ""
        print(
            f"note: labels have commands that are no LaTeX known here: {', '.join(unknown[:DOUBTS_SHOWN])}{more}; they "
            "become tokens",
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
