"""S3: a socket is accepted within 250 ms, a request answered within 60 s: when busy, by a 503 that says so."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from container.resources import suggested_threads
from container.serve.settings import Settings
from tests.support.handlers import add_to_handler, burn, slow_down
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())


def test_S03_default_deadline_is_below_60_seconds():
    assert Settings.from_environment({}).request_timeout < 60


def test_S03_accepts_at_once_while_busy(own_base_dir):
    """The kernel connects whatever the server does, so it's the answer of a new connection that is timed."""
    burn(own_base_dir, 0.2)
    with Server(own_base_dir, {"SAGEMAKER_TS_BATCH_SIZE": "1"}) as server, ThreadPoolExecutor(24) as pool:
        server.wait_until_ready()
        replies = [pool.submit(server.invoke, PICTURE) for _ in range(24)]
        server.wait_for_metric("formula_requests_admitted 24.0")
        took = []
        for _ in range(9):
            started = time.monotonic()
            assert server.ping().status == 200
            took.append(time.monotonic() - started)
        assert not all(reply.done() for reply in replies)
        assert {reply.result().status for reply in replies} == {200}
    assert max(took) < 0.25


def test_S03_full_queue_is_refused_at_once(own_base_dir):
    slow_down(own_base_dir, 1)
    with Server(own_base_dir, {"SERVE_QUEUE_SIZE": "2"}) as server, ThreadPoolExecutor(2) as pool:
        server.wait_until_ready()
        inside = [pool.submit(server.invoke, PICTURE) for _ in range(2)]
        time.sleep(0.3)
        started = time.monotonic()
        refused = server.invoke(PICTURE)
        assert time.monotonic() - started < 0.5
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
        assert {reply.result().status for reply in inside} == {200}
        assert server.invoke(PICTURE).status == 200


def test_S03_pictures_that_are_large_when_decoded_find_no_room_beyond_a_bound(own_base_dir):
    """A list of fifty blank pictures, half a megabyte, is 384 MB when it is decoded; and sixty-four may wait."""
    slow_down(own_base_dir, 1)
    blank = base64.b64encode(png(np.full((1600, 1600, 3), 255, np.uint8))).decode()
    body = json.dumps({"images": [blank] * 50}).encode()
    with on_cores(1), Server(own_base_dir) as server, ThreadPoolExecutor(4) as pool:  # one of them decodes at a time
        server.wait_until_ready()
        replies = list(pool.map(lambda _: server.invoke(body, "application/json"), range(4)))
        refused = [reply for reply in replies if reply.status != 200]

        assert len(body) < 2**20
        assert 0 < len(refused) < len(replies)
        assert {(reply.status, reply.code, reply.headers["Retry-After"]) for reply in refused} == {
            (503, "overloaded", "1")
        }
        assert "the pictures of other requests take the 512 MB" in refused[0].json()["error"]["message"]
        assert server.peak_memory() < (512 + 384 + 300) * 2**20  # the one that is decoded then, and the process itself
        server.wait_until_idle()
        assert server.invoke(body, "application/json").status == 200


@contextmanager
def on_cores(count):
    """What is started meanwhile has so many cores."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(ours)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


SLOW_INPUT = """
_quick_input_fn, _inside = input_fn, []


def input_fn(body, content_type, context=None):
    import time
    _inside.append(1)
    print("decoding:", len(_inside), file=sys.stderr, flush=True)
    time.sleep(0.1)
    _inside.pop()
    return _quick_input_fn(body, content_type)
"""


def test_S03_a_crowd_decodes_no_more_at_once_than_there_are_cores(own_base_dir):
    add_to_handler(own_base_dir, SLOW_INPUT)
    with Server(own_base_dir) as server, ThreadPoolExecutor(8) as pool:
        server.wait_until_ready()
        crowd = [pool.submit(server.invoke, PICTURE) for _ in range(3 * suggested_threads())]
        assert {reply.result().status for reply in crowd} == {200}
        server.terminate()
        counts = [int(text) for text in re.findall(r"decoding: (\d+)", server.finish()[1])]
    assert len(counts) == len(crowd) and max(counts) <= suggested_threads()


def test_S03_deadline(own_base_dir):
    slow_down(own_base_dir, 3)
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "0.5"}) as server:
        server.wait_until_ready()
        started = time.monotonic()
        reply = server.invoke(PICTURE)
        assert time.monotonic() - started < 2
        assert (reply.status, reply.code) == (503, "deadline_exceeded")
        assert "Retry-After" in reply.headers


def test_S03_idle_connections_keep_nobody_waiting(own_base_dir):
    """Sockets that say nothing take no thread; gunicorn's own worker gives each one for 5 s."""
    with Server(own_base_dir, {"SERVE_QUEUE_SIZE": "1"}) as server:
        server.wait_until_ready()
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        started = time.monotonic()
        assert server.invoke(PICTURE).status == 200
        assert time.monotonic() - started < 1
        for connection in silent:
            connection.close()


def test_S03_more_connections_than_files_may_be_open(tiny_base_dir):
    """They wait in the kernel's queue; the worker must not die of them."""
    command = ["bash", "-c", f"ulimit -n 200; exec {sys.executable} -m container.serve"]
    with Server(tiny_base_dir, command=command) as server:
        server.wait_until_ready()
        before = server.workers()
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        time.sleep(1)
        for connection in crowd:
            connection.close()
        server.wait_until_ready()
        assert server.invoke(PICTURE).status == 200
        assert server.workers() == before
