r"""New training pictures put together from others: formulas side by side, lines below one another, pages of such lines.

Data sets show one formula a picture; people send what else stands on the sheet. A wide gap within a line is labelled by
the control space, a narrow one by nothing; lines are rows of a matrix. Which parts a picture has depends on the seed
and its number alone; `montage` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from recognizer.data.measure import PictureCache
from recognizer.data.montage import montage
from recognizer.data.sample import Sample
from recognizer.latex import CONTROL_SPACE, normalize, tokenize
from recognizer.latex.lines import BEGIN, stack

Kind = Literal["joined", "stacked", "pages"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FEWEST_TOKENS = 3  # a symbol alone doesn't tell how large the others beside it would be
Counts = tuple[tuple[tuple[int, int], float], ...]  # so many, from and to, and how often
LINES: dict[Kind, Counts] = {
    "joined": (((1, 1), 1.0),),
    "stacked": (((2, 2), 0.5), ((3, 5), 0.35), ((6, 10), 0.15)),
    "pages": (((4, 12), 1.0),),
}
PARTS: dict[Kind, Counts] = {  # of a line
    "joined": (((2, 2), 0.7), ((3, 3), 0.3)),
    "stacked": (((1, 1), 1.0),),
    "pages": (((1, 1), 0.5), ((2, 3), 0.5)),
}
DRAWS = 40  # of parts that may not fit, before a picture is left with those that it has


@dataclass(frozen=True)
class Line:
    """Samples beside one another, and for each gap between them whether it is wide."""

    parts: tuple[Sample, ...]
    gaps: tuple[bool, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        tokens = list(self.parts[0].tokens)
        for part, is_wide in zip(self.parts[1:], self.gaps, strict=True):
            tokens += [CONTROL_SPACE] if is_wide else []
            tokens += part.tokens
        return tuple(tokens)


Lines = tuple[Line, ...]


@dataclass(frozen=True)
class ComposedPicture:
    """Lines of samples that a sample can load: without `rng` always the same picture."""

    lines: Lines
    cache: PictureCache
    seed: int

    @property
    def parts(self) -> tuple[Sample, ...]:
        return tuple(part for line in self.lines for part in line.parts)

    def load(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB, black on white.

        Raises:
            DataError: a part can't be read; names the file and line of its label.
        """
        looks = rng or np.random.default_rng(self.seed)
        shown = [[(self.cache.load(part, rng), part.tokens) for part in line.parts] for line in self.lines]
        return montage(shown, [line.gaps for line in self.lines], looks)


def composed_samples(
    kind: Kind, samples: Sequence[Sample], count: int, seed: int, max_tokens: int, cache: PictureCache
) -> list[Sample]:
    """`count` new samples of parts that have one source; fewer where hardly any labels together are short enough.

    Args:
        kind: "joined" puts two or three formulas into a line, "stacked" two to ten lines below one another; lines of
            "pages", as many as the label has room for, hold up to three.
        max_tokens: every label is shorter.
        cache: where the parts' pictures may be kept.
    """
    usable = [s for s in samples if len(s.tokens) >= FEWEST_TOKENS and (kind == "joined" or _is_line(s.tokens))]
    by_source: dict[str, list[Sample]] = {}
    for sample in usable:
        by_source.setdefault(sample.source, []).append(sample)
    composed: list[Sample] = []
    for number in range(count if usable else 0):
        rng = np.random.default_rng((seed, KINDS.index(kind), number))
        first = usable[int(rng.integers(len(usable)))]
        lines = _chosen(kind, first, by_source[first.source], max_tokens, rng)
        name, picture = f"{kind}/{number}", ComposedPicture(lines, cache, seed * 1_000_003 + number)
        if len(picture.parts) > 1:
            composed.append(Sample(name, _label(lines), picture, source=first.source, dataset=kind, origin=name))
    return composed


def _chosen(kind: Kind, first: Sample, others: Sequence[Sample], max_tokens: int, rng: np.random.Generator) -> Lines:
    """The lines of a picture; one of one part if nothing fits to the first."""
    wanted = [_drawn(PARTS[kind], rng) for _ in range(_drawn(LINES[kind], rng))]  # parts of each line
    lines: Lines = (Line((first,)),)
    for _ in range(DRAWS):
        *before, last = lines
        part = others[int(rng.integers(len(others)))]
        if len(last.parts) < wanted[len(before)]:
            more = (*before, Line((*last.parts, part), (*last.gaps, bool(rng.random() < 0.5))))
        elif len(lines) < len(wanted):
            more = (*lines, Line((part,)))
        else:
            break
        tokens = _label(more)
        if len(tokens) < max_tokens and _is_normal(tokens):
            lines = more
    return lines


def _drawn(counts: Counts, rng: np.random.Generator) -> int:
    ranges, shares = zip(*counts, strict=True)
    low, high = ranges[int(rng.choice(len(ranges), p=shares))]
    return int(rng.integers(low, high + 1))


def _label(lines: Lines) -> tuple[str, ...]:
    return stack([line.tokens for line in lines]) if len(lines) > 1 else lines[0].tokens


def _is_line(tokens: Sequence[str]) -> bool:
    """Whether no table stands there without brackets: its rows would look like further lines."""
    return all(
        before.startswith(r"\left") for before, token in zip(("", *tokens), tokens, strict=False) if token == BEGIN
    )


def _is_normal(tokens: Sequence[str]) -> bool:
    """Whether the label says what the picture shows: brackets of two formulas, say, may not become a pair."""
    return tokenize(normalize(" ".join(tokens))) == list(tokens)
