"""What a run has measured of its pictures, kept beside its checkpoint: a resumed run begins without reading them all.

A run of 270,000 pictures, stopped and started again, would otherwise read for minutes what it has read before.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.data.measure import Measured
from recognizer.data.sample import Sample
from recognizer.disk import written_whole

Canvases = dict[str, tuple[int, int]]  # by `known_as`: height and width
SIDES = ("train", "validation")  # a name may be on both, if validation has a channel of its own


def known_as(sample: Sample) -> str:
    """The sample's name and a checksum of its label: made of other data, `strip/3` is another picture."""
    return f"{sample.name} {zlib.crc32(' '.join(sample.tokens).encode())}"


def write_canvases(path: Path, measured: Sequence[Measured], made_from: Mapping[str, Any]) -> None:
    """Writes the canvases of all samples.

    Args:
        measured: training and validation.
        made_from: all that samples of these names depend on, beside the data: a run with other values measures anew.
    """
    arrays = {"made_from": np.array(json.dumps(made_from, sort_keys=True))}
    for side, each in zip(SIDES, measured, strict=True):
        arrays[f"{side}_names"] = np.array([known_as(sample) for sample in each.samples])
        arrays[f"{side}_sizes"] = each.sizes[:, :2]
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_canvases(path: Path, made_from: Mapping[str, Any]) -> tuple[Canvases, ...]:
    """What was written, of each side; nothing if the file isn't there, can't be read, or was made from something else.

    It saves time and decides nothing, so a file that is no good is as none.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["made_from"]) == json.dumps(made_from, sort_keys=True):
                return tuple(
                    dict(
                        zip(stored[f"{side}_names"].tolist(), map(tuple, stored[f"{side}_sizes"].tolist()), strict=True)
                    )
                    for side in SIDES
                )
    except Exception:  # numpy and zipfile raise many kinds for a damaged file
        pass
    return tuple({} for _ in SIDES)
