"""Curves for TensorBoard, read back from the files; nothing without a folder, nothing twice after a resume."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from recognizer.training.events import Events


def events(folder: Path) -> Iterator[Any]:
    """The records of all files, oldest first: length, checksum, event, checksum (TFRecord)."""
    for path in sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_curves_are_readable(tmp_path: Path) -> None:
    written = Events(tmp_path / "tensorboard")
    written.add({"train/loss": 0.5, "train/data_wait": 0.25}, 10)
    written.add({"validation/exprate": 1.0}, 20)
    written.close()
    seen = [(v.tag, v.simple_value, each.step) for each in events(tmp_path / "tensorboard") for v in each.summary.value]
    assert seen == [("train/loss", 0.5, 10), ("train/data_wait", 0.25, 10), ("validation/exprate", 1.0, 20)]


def test_a_resumed_run_takes_its_points_anew(tmp_path: Path) -> None:
    """TensorBoard drops earlier points of the step in a START record, or of later ones."""
    for first in (10, 15):
        run = Events(tmp_path)
        run.add({"train/loss": 1.0}, first)
        run.close()
    starts = [each.step for each in events(tmp_path) if each.WhichOneof("what") == "session_log"]
    assert starts == [10, 15]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    silent = Events()
    silent.add({"train/loss": 0.5}, 1)
    silent.close()
    assert not list(tmp_path.iterdir())


def test_a_point_is_on_the_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    """A killed run goes on from its checkpoint: what it had validated before isn't validated again."""
    running = Events(tmp_path)
    running.add({"validation/exprate": 0.5}, 20)
    assert [value.tag for each in events(tmp_path) for value in each.summary.value] == ["validation/exprate"]
    running.close()


def test_a_full_disk_ends_the_curves_and_not_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    blocked = Events(tmp_path / "file" / "tensorboard")
    for step in (1, 2):
        blocked.add({"train/loss": 0.5}, step)
    blocked.close()
    assert capsys.readouterr().out.count("end here") == 1
