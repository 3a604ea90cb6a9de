"""Why a job fails, said where it is read: on stderr, of which the failure file is made, and to SDK v3."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def state_reason(reason: str) -> None:
    """Writes `error: reason`, the line that a person needs."""
    line = f"error: {reason}\n"
    sys.stderr.write(line)  # in one piece: the ranks of a job share one stderr
    sys.stderr.flush()
    tell_model_trainer(line)


def tell_model_trainer(text: str) -> None:
    """SDK v3 bypasses the image's `train`, which writes the failure file, and names the file in this variable.

    The first reason stays: the other ranks of a job then fail because they have lost a peer.
    """
    if path := os.environ.get("SM_OUTPUT_FAILURE"):
        with suppress(FileExistsError), Path(path).open("x", encoding="utf-8") as file:
            file.write(text)


def forget_reason() -> None:
    """Takes away what an earlier job has told. One rank of each host does it, before any has something to tell."""
    path = os.environ.get("SM_OUTPUT_FAILURE")
    if path and os.environ.get("LOCAL_RANK", "0") == "0":
        Path(path).unlink(missing_ok=True)
