"""Checkpoints: everything that a run needs to go on as if nothing had happened, and never half a file.

Two files whatever the number of epochs: `last.pt` (the whole state) and `best.pt` (weights that validated best). They
hold tensors and plain values only and are read with `weights_only`, so reading one runs no code.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from inference import PreprocessSpec
from recognizer.disk import check_room, written_whole

FORMAT = 1
LAST, BEST = "last.pt", "best.pt"


class CheckpointError(Exception):
    """A checkpoint that can't be used: which, why, and what to do."""


def write(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Writes a checkpoint under a temporary name, flushes it to the disk, and renames it over the previous one.

    Raises:
        NoRoomError: the disk hasn't room for it; the previous checkpoint stays whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with written_whole(folder / name) as file:  # from here on what a killed write has left takes no room
        check_room(folder, buffer.getbuffer().nbytes, name)
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path, name: str, recognizer: str | None = None) -> dict[str, Any] | None:
    """A checkpoint's state, or None where there is none. Without `recognizer`, it may be of any.

    Raises:
        CheckpointError: it can't be read, has a newer format, or belongs to another recognizer.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version, trained = state["format"], state.get("recognizer")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"{path} can't be read ({error}); remove it to start afresh") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has format {version}; this program knows {FORMAT}: use the version that wrote it"
        )
    if recognizer and trained != recognizer:
        raise CheckpointError(
            f"{path} is of recognizer {trained!r}, this job trains {recognizer!r}: choose another checkpoint folder"
        )
    return state


def check_identity(path: Path, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Checks that the state of a checkpoint was made with what the run has that would go on from it.

    Raises:
        CheckpointError: it was made with something else; the message names it.
    """
    for name, value in identity.items():
        stored = state["identity"].get(name)
        if name == "preprocess":  # what it didn't know yet, it did by default
            stored = PreprocessSpec.from_dict(stored or {}).to_dict()
        if stored != value:
            raise CheckpointError(
                f"{path} was made with another {name}{_difference(stored, value)}: "
                "use the same data and sizes to resume, or an empty checkpoint folder to start afresh"
            )


def _difference(stored: object, value: object) -> str:
    """Where two dictionaries differ, in words."""
    if not (isinstance(stored, dict) and isinstance(value, dict)):
        return ""
    keys = [key for key in {**stored, **value} if stored.get(key) != value.get(key)]
    return " (" + ", ".join(_change(key, stored.get(key), value.get(key)) for key in keys[:3]) + ")"


def _change(key: str, before: object, now: object) -> str:
    if not (isinstance(before, list) and isinstance(now, list)):
        return f"{key} {before}, now {now}"
    lost, new = ([str(each) for each in one if each not in other][:5] for one, other in ((before, now), (now, before)))
    return f"{key}: gone {' '.join(lost) or 'none'}, new {' '.join(new) or 'none'}"
