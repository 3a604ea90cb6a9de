"""Splits samples into training and validation so that no group (a writer, a formula) is on both sides.

The split is a manifest of names: it goes into the checkpoint and the model directory, so that a resumed or repeated
run validates on the very same samples, whatever else changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recognizer.data.formats import UNKNOWN_WRITER
from recognizer.data.sample import DataError, Sample
from recognizer.disk import write_whole

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Split:
    """Names of the samples of each side, and the seed that chose them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    seed: int

    def write(self, path: Path) -> None:
        """Write as a JSON manifest, whole or not at all: a run that is killed here must find it again."""
        manifest = {"format_version": MANIFEST_VERSION, **asdict(self)}
        write_whole(path, json.dumps(manifest, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a manifest.

        Raises:
            DataError: it isn't one, or a newer version wrote it.
        """
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = manifest["format_version"]
            split = cls(tuple(manifest["train"]), tuple(manifest["validation"]), int(manifest["seed"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a split manifest ({error!r}); remove it to split anew") from error
        if version != MANIFEST_VERSION:
            raise DataError(f"{path}: format_version {version}, this program knows {MANIFEST_VERSION}; update it")
        return split

    def apply(self, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """Return (training, validation) samples, in the manifest's order.

        Raises:
            DataError: the samples aren't those that were split, or none were: the sides came as they are.
        """
        if set(self.train) & set(self.validation):  # names of two channels
            raise DataError(
                "the run began with a validation channel; give it again, or start afresh without the checkpoint"
            )
        by_name = {sample.name: sample for sample in samples}
        _compare("the data", {*self.train, *self.validation}, by_name.keys())
        return [by_name[name] for name in self.train], [by_name[name] for name in self.validation]

    def check(self, train: Sequence[Sample], validation: Sequence[Sample]) -> None:
        """Compare with sides that come as they are.

        Raises:
            DataError: one of them has other samples.
        """
        _compare("the training data", set(self.train), {sample.name for sample in train})
        _compare("the validation data", set(self.validation), {sample.name for sample in validation})


def _compare(what: str, before: Set[str], now: Set[str]) -> None:
    missing, surplus = before - now, now - before
    if missing or surplus:
        example = sorted(missing or surplus)[0]
        raise DataError(
            f"{what} changed since the run began: {len(missing)} samples are gone and {len(surplus)} are new "
            f"(for example {example!r}); restore the data, or start afresh without the checkpoint"
        )


def split_by_group(samples: Sequence[Sample], validation_share: float, seed: int) -> Split:
    """Put about `validation_share` of the samples, in whole groups, aside for validation.

    Groups are taken in a random order that depends on `seed` alone; one that would overfill the share is passed
    over, so a large group ("writer unknown") stays in training.

    Raises:
        DataError: fewer than two groups, so nothing can be split.
    """
    members: dict[str, list[str]] = {}
    for sample in samples:
        members.setdefault(sample.group or sample.name, []).append(sample.name)
    if len(members) < 2:
        raise DataError(
            f"can't split {len(samples)} samples of {len(members)} group: training and validation need different "
            "writers or formulas; give more data, or a validation channel of its own"
        )
    chosen = _choose_groups(members, max(1, round(validation_share * len(samples))), seed)
    train = [sample.name for sample in samples if (sample.group or sample.name) not in chosen]
    validation = [sample.name for sample in samples if (sample.group or sample.name) in chosen]
    return Split(tuple(train), tuple(validation), seed)


def shared_groups(train: Sequence[Sample], validation: Sequence[Sample]) -> dict[str, tuple[Sample, Sample]]:
    """Return the groups that are on both sides, each with its first sample of either.

    Where sides come as folders of their own nothing keeps them apart. That both have unknown writers says nothing.
    """
    firsts: list[dict[str, Sample]] = [{}, {}]
    for side, first in zip((train, validation), firsts, strict=True):
        for sample in side:
            if sample.group and not sample.group.endswith(UNKNOWN_WRITER):
                first.setdefault(sample.group, sample)
    trained, validated = firsts
    return {group: (trained[group], validated[group]) for group in trained if group in validated}


def _choose_groups(members: dict[str, list[str]], wanted: int, seed: int) -> set[str]:
    order = sorted(members)
    np.random.default_rng(seed).shuffle(order)
    chosen: set[str] = set()
    taken = 0
    for group in order:
        if taken + len(members[group]) <= wanted and len(chosen) < len(members) - 1:
            chosen.add(group)
            taken += len(members[group])
    return chosen or {min(order, key=lambda group: len(members[group]))}
