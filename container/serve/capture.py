"""Keeps a sample of pictures and answers, to see what an endpoint is asked and to correct and train on.

Off unless SERVE_CAPTURE_DIR names a folder. That becomes a data set in the project's JSON Lines format: `ID-N.png`
beside `PROCESS.jsonl`, whose `latex` is the model's answer. Written by a thread of its own; when that can't follow,
when the folder is full or the disk fails, pictures are left out, and no request notices.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from container.resources import folder_bytes
from container.serve.settings import Settings

WAITING = 64  # pictures that may wait to be written
KEPT = ("latex", "confidence", "truncated", "repaired", "blank", "turned", "model_version")

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    name: str
    picture: np.ndarray  # (H, W, 3) uint8 RGB
    row: Any


class Capture:
    """Writes a `share` of requests into `folder`, until the folder holds `limit` bytes.

    Args:
        limit: of the whole folder; each of `workers` processes takes an equal part of what is free at its start.
    """

    def __init__(self, folder: Path, share: float, limit: int, workers: int = 1) -> None:
        self._folder, self._share = folder, share
        self._left = max(0, limit - folder_bytes(folder)) // workers
        self._samples: queue.Queue[Sample] = queue.Queue(WAITING)
        threading.Thread(target=self._work, name="capture", daemon=True).start()

    @classmethod
    def from_settings(cls, settings: Settings) -> Capture | None:
        if settings.capture_dir is None:
            return None
        return cls(
            settings.capture_dir, settings.capture_share, settings.capture_mb * 1024 * 1024, settings.worker_count
        )

    def offer(self, request_id: str, pictures: Sequence[Any], rows: Sequence[Any]) -> None:
        """Takes the request's answered pictures, if its turn has come. Never waits, never fails.

        Those without LaTeX are left out: no data set can be read that has a sample without a label.
        """
        if random.random() >= self._share:
            return
        for number, (picture, row) in enumerate(zip(pictures, rows, strict=False)):
            if isinstance(picture, np.ndarray) and hasattr(row, "latex") and row.latex:
                try:
                    self._samples.put_nowait(Sample(f"{request_id}-{number}.png", picture, row))
                except queue.Full:
                    return

    def flush(self) -> None:
        """Waits until all that was taken is written."""
        self._samples.join()

    def _work(self) -> None:
        while True:
            sample = self._samples.get()
            try:
                self._write(sample)
            except Exception:  # a full disk, a missing folder, an odd picture
                log.warning("a sample could not be written to %s", self._folder, exc_info=True)
            finally:
                self._samples.task_done()

    def _write(self, sample: Sample) -> None:
        _, png = cv2.imencode(".png", cv2.cvtColor(sample.picture, cv2.COLOR_RGB2BGR))
        values = {key: getattr(sample.row, key) for key in KEPT if hasattr(sample.row, key)}
        line = json.dumps({"image": sample.name, **values}, ensure_ascii=False).encode() + b"\n"
        if len(png) + len(line) > self._left:
            if self._left:
                log.warning("%s is full: no more is captured", self._folder)
            self._left = 0
            return
        self._left -= len(png) + len(line)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / sample.name).write_bytes(png.tobytes())
        with (self._folder / f"{os.getpid()}.jsonl").open("ab") as lines:
            lines.write(line)
