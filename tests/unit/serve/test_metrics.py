"""/metrics: what was asked, how long each stage took, how full the batches were; over all workers, dead ones too."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container.serve import metrics
from container.serve.settings import Settings
from tests.support.handlers import add_to_handler, slow_down
from tests.support.metrics import scrape
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
SLOW_STREAM = """
import time

_quick_stream_fn = stream_fn


def stream_fn(request, model):
    yield from _quick_stream_fn(request, model)
    time.sleep(0.5)
"""


def test_a_request_is_seen_at_every_stage(tiny_base_dir):
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        answer = server.request("POST", "/invocations?views=1", PICTURE, {"Content-Type": "image/png"}).json()
        server.invoke(b"no picture")
        server.request("GET", "/nowhere/1")
        seen = scrape(server)
    assert seen["formula_request_seconds_count", "/invocations", "200"] == 1
    assert seen["formula_request_seconds_count", "/invocations", "400"] == 1
    assert seen["formula_request_seconds_count", "other", "404"] == 1
    stages = {key[1]: count for key, count in seen.items() if key[0] == "formula_stage_seconds_count"}
    assert stages == {"decode_image": 2, "queue": 1, "model": 1, "encoder": 1, "decoder": 1, "write": 1}
    networks = seen["formula_stage_seconds_sum", "encoder"] + seen["formula_stage_seconds_sum", "decoder"]
    assert 0 < networks < seen["formula_stage_seconds_sum", "model"]
    assert seen["formula_tokens_total",] == len(answer["tokens"])
    assert (seen["formula_batch_pictures_sum",], seen["formula_batch_pictures_count",]) == (1, 1)
    assert (seen["formula_requests_admitted",], seen["formula_items_waiting",]) == (0, 0)
    refused = {key[1]: value for key, value in seen.items() if key[0] == "formula_refused_requests_total"}
    assert refused.keys() - {"not_ready"} == {"undecodable_image", "not_found"}
    assert seen["formula_model_ready",] == seen["formula_model_info", "tiny-1"] == 1


def test_the_time_of_a_stream_is_taken_to_its_end(own_base_dir):
    add_to_handler(own_base_dir, SLOW_STREAM)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        server.invoke(PICTURE, Accept="text/event-stream")
        server.wait_for_metric('formula_request_seconds_count{route="/invocations",status="200"} 1.0')
        assert scrape(server)["formula_request_seconds_sum", "/invocations", "200"] > 0.5
        (line,) = [json.loads(server.wait_for_log('"/invocations"'))]
    assert line["milliseconds"] > 500 and line["request_id"]


def test_the_time_of_a_request_is_taken_from_its_first_byte(tiny_base_dir):
    """Though it gets a thread only when it is there as a whole."""
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(PICTURE))
            time.sleep(0.5)
            client.sendall(PICTURE)
            assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        assert scrape(server)["formula_request_seconds_sum", "/invocations", "200"] > 0.5


def test_what_is_inside_is_counted_while_it_is_there(own_base_dir):
    slow_down(own_base_dir, 1)
    with Server(own_base_dir, {"SAGEMAKER_TS_BATCH_SIZE": "1"}) as server, ThreadPoolExecutor(3) as pool:
        server.wait_until_ready()
        replies = [pool.submit(server.invoke, PICTURE) for _ in range(3)]
        time.sleep(0.5)
        seen = scrape(server)
        assert (seen["formula_requests_admitted",], seen["formula_items_waiting",]) == (3, 2)
        assert {reply.result().status for reply in replies} == {200}


def test_workers_are_summed_and_a_dead_one_leaves_its_counts_only(tiny_base_dir):
    with Server(tiny_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as server:
        server.wait_until_ready()
        with ThreadPoolExecutor(4) as pool:
            statuses = [reply.status for reply in pool.map(server.invoke, [PICTURE] * 40)]
        assert set(statuses) == {200}
        assert {scrape(server)["formula_request_seconds_count", "/invocations", "200"] for _ in range(10)} == {40}
        killed = server.workers()[0]
        folder = folder_of(server)
        assert list(folder.glob(f"gauge_live*_{killed}.db"))
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while list(folder.glob(f"gauge_live*_{killed}.db")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not list(folder.glob(f"gauge_live*_{killed}.db"))
        assert scrape(server.wait_until_ready())["formula_request_seconds_count", "/invocations", "200"] == 40


def test_the_file_of_a_worker_that_starts_is_waited_for(tmp_path, monkeypatch):
    """Between its making and its first bytes a file is empty, and prometheus-client fails on it."""
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(tmp_path))
    new = tmp_path / "counter_1.db"
    new.touch()
    with pytest.raises(struct.error):
        metrics.render()
    monkeypatch.setattr(time, "sleep", lambda seconds: new.write_bytes(bytes(64)))
    assert metrics.render() == b""


def test_nothing_is_left_behind(tiny_base_dir):
    with Server(tiny_base_dir) as server:
        folder = folder_of(server.wait_until_ready())
        assert list(folder.iterdir())
        server.terminate()
        server.finish()
    assert not folder.exists()


def folder_of(server) -> Path:
    """The folder whose files the workers have mapped."""
    (pid, *_) = server.workers()
    mapped = [line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return next(Path(name).parent for name in mapped if name.endswith(".db"))


def test_behind_the_key(tiny_base_dir):
    with Server(tiny_base_dir, {"SERVE_API_KEY": "key"}) as server:
        server.wait_until_ready()
        assert server.request("GET", "/metrics").code == "unauthorized"
        assert scrape(server, Authorization="Bearer key")["formula_model_ready",] == 1


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, True),
        ({"SERVE_METRICS": "off"}, False),
        ({"SAGEMAKER_REGION": "eu-west-1"}, False),
        ({"SAGEMAKER_REGION": "eu-west-1", "SERVE_METRICS": "on"}, True),
    ],
)
def test_shown_outside_sagemaker_or_as_told(variables, shown):
    assert Settings.from_environment(variables).shows_metrics == shown


def test_not_shown(tiny_base_dir):
    with Server(tiny_base_dir, {"SAGEMAKER_REGION": "eu-west-1"}) as server:
        server.wait_until_ready()
        assert server.request("GET", "/metrics").code == "not_found"
        assert "/metrics" not in server.request("GET", "/openapi.json").json()["paths"]
