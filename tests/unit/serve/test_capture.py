"""Captured pictures and answers are a data set again, stay below the limit, and cost no request its answer."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from container.serve.capture import Capture
from container.serve.settings import Settings, SettingsError
from inference import Prediction, RequestError, read_image
from recognizer.data.formats import read_dataset
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

ROW = Prediction("x^2", ("x", "^", "2"), 0.9, False, "tiny-1")
BLANK = Prediction("", (), 1.0, False, "tiny-1", blank=True)
PICTURE = formula_picture()


def written(folder) -> list[dict]:
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]


def test_it_is_a_data_set(tmp_path):
    capture = Capture(tmp_path / "new", share=1, limit=10**6)
    capture.offer("a", [PICTURE, RequestError(400, "bad", ""), PICTURE], [ROW, RequestError(400, "bad", ""), ROW])
    capture.offer("b", [PICTURE], [BLANK])
    capture.flush()
    assert sorted(path.name for path in (tmp_path / "new").glob("*.png")) == ["a-0.png", "a-2.png"]
    assert [row["model_version"] for row in written(tmp_path / "new")] == ["tiny-1", "tiny-1"]
    assert np.array_equal(read_image((tmp_path / "new" / "a-0.png").read_bytes()), PICTURE)
    assert [sample.tokens for sample in read_dataset(tmp_path / "new").samples] == [("x", "^", "{", "2", "}")] * 2


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.5, 20, 80), (1, 100, 100)])
def test_the_share(tmp_path, share, least, most):
    capture = Capture(tmp_path, share, limit=10**7)
    for number in range(100):
        capture.offer(str(number), [PICTURE], [ROW])
        capture.flush()
    assert least <= len(written(tmp_path)) <= most


@pytest.mark.parametrize("workers", [1, 3])
def test_the_folder_stays_below_the_limit(tmp_path, workers):
    """What an earlier process wrote counts; workers divide what is left."""
    (tmp_path / "earlier.png").write_bytes(bytes(20_000))
    captures = [Capture(tmp_path, 1, 50_000, workers) for _ in range(workers)]
    for number in range(60):
        for worker, capture in enumerate(captures):
            capture.offer(f"{worker}-{number}", [PICTURE], [ROW])
            capture.flush()
    assert 40_000 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 50_000


def test_more_than_can_be_written_is_left_out(tmp_path):
    capture = Capture(tmp_path, 1, 10**8)
    capture.offer("a", [PICTURE] * 1000, [ROW] * 1000)
    capture.flush()
    assert 0 < len(written(tmp_path)) < 1000


def test_no_request_notices_a_folder_that_cannot_be_written(tiny_base_dir, tiny_server, tmp_path):
    """It could be when the server started, or that would have said so."""
    folder = tmp_path / "captured"
    with Server(tiny_base_dir, {"SERVE_CAPTURE_DIR": str(folder), "SERVE_CAPTURE_SHARE": "1"}) as server:
        server.wait_until_ready()
        folder.rmdir()
        folder.write_text("no folder")
        reply = server.invoke(png(PICTURE))
        assert reply.json() == tiny_server.invoke(png(PICTURE)).json()
        server.wait_for_log("could not be written")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_server_that_was_told_to(tiny_base_dir, tiny_server, tmp_path, accept):
    with Server(tiny_base_dir, {"SERVE_CAPTURE_DIR": str(tmp_path), "SERVE_CAPTURE_SHARE": "1"}) as server:
        reply = server.wait_until_ready().invoke(png(PICTURE), Accept=accept)
        deadline = time.monotonic() + 10
        while not written(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)
    (row,) = written(tmp_path)
    assert row["image"] == f"{reply.headers['X-Request-Id']}-0.png"
    assert row["latex"] == tiny_server.invoke(png(PICTURE)).json()["latex"]


def test_a_share_is_a_share():
    with pytest.raises(SettingsError, match="SERVE_CAPTURE_SHARE"):
        Settings.from_environment({"SERVE_CAPTURE_SHARE": "50"})
