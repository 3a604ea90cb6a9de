"""Curves for TensorBoard, in the folder that SageMaker copies away while the job runs (TensorBoardOutputConfig)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Scalars by step, written by a thread of their own; nothing at all without a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._writer: Any = None

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to each named curve. The first makes TensorBoard forget later ones of a run that was resumed."""
        if self.folder is None:
            return
        if self._writer is None:
            from tensorboardX import SummaryWriter  # only jobs that ask for curves wait for its import

            self._writer = SummaryWriter(str(self.folder), purge_step=step, filename_suffix=f".{step}")
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is still on its way."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
