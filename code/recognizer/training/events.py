"""Curves for TensorBoard, in the folder that SageMaker copies away while the job runs (TensorBoardOutputConfig)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Scalars by step, on the disk as soon as they are added; nothing at all without a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._writer: Any = None

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to each named curve. The first makes TensorBoard forget later ones of a run that was resumed.

        A disk without room ends the curves, not the run.
        """
        if self.folder is None:
            return
        from tensorboardX.proto.event_pb2 import Event  # only jobs that ask for curves wait for its import
        from tensorboardX.summary import scalar

        try:
            if self._writer is None:
                self._writer = _begin(self.folder, step)
            for name, value in values.items():
                self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
            # Not by tensorboardX's own thread, which waits: a killed run goes on from its checkpoint, and what it had
            # not written by then never comes.
            self._writer.flush()
        except OSError as error:
            print(f"note: the curves in {self.folder} end here: {error}", flush=True)
            self.folder = self._writer = None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _begin(folder: Path, step: int) -> Any:
    """A file of events that begins with this step."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    folder.mkdir(parents=True, exist_ok=True)
    writer = EventsWriter(str(folder / "events"), f".{step}")
    start = SessionLog(status=SessionLog.START)
    writer.write_event(Event(wall_time=time.time(), step=step, session_log=start))
    return writer
