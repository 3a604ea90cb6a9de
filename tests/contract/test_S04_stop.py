"""S4: after SIGTERM everything that was accepted is answered, within 30 s, and the server ends with status 0."""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container.serve import bodies
from tests.support.handlers import add_to_handler, slow_down
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
SLOW_PARTS = """
import time

_quick_predict_fn, _quick_stream_fn = predict_fn, stream_fn


def predict_fn(request, model, context=None):
    time.sleep(0.5)
    return _quick_predict_fn(request, model)


def stream_fn(request, model):
    for token in _quick_stream_fn(request, model):
        yield token
        time.sleep(0.5)
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_S04_sigterm_under_load_loses_nothing(own_base_dir, processes):
    """Every connection that was established gets its answer; a later one is refused, never cut."""
    slow_down(own_base_dir, 0.1)
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": processes}) as server:
        server.wait_until_ready()
        outcomes: list[int | str] = []
        stopped = threading.Event()

        def ask_until_refused():
            while not stopped.is_set():
                connection = server.connect()
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
                try:
                    connection.request("POST", "/invocations", PICTURE, {"Content-Type": "image/png"})
                    outcomes.append(connection.getresponse().status)
                except (OSError, http.client.HTTPException) as error:
                    outcomes.append(repr(error))
                finally:
                    connection.close()

        clients = [threading.Thread(target=ask_until_refused) for _ in range(24)]
        for client in clients:
            client.start()
        time.sleep(1)
        server.terminate()
        status, log = server.finish(30)
        stopped.set()
        for client in clients:
            client.join()
    assert status == 0, log
    assert len(outcomes) > 24
    assert set(outcomes) == {200}


def test_S04_a_server_that_is_killed_leaves_no_process_behind(own_base_dir):
    """Where something else is process 1: its workers answer what they have, take nothing new, and end."""
    slow_down(own_base_dir, 2)
    with Server(own_base_dir) as server, ThreadPoolExecutor(1) as pool:
        (worker,) = server.wait_until_ready().workers()
        reply = pool.submit(server.invoke, PICTURE)
        server.wait_for_metric("formula_items_waiting 0.0")
        server.wait_for_metric("formula_requests_admitted 1.0")
        server.process.kill()
        assert reply.result().status == 200
        with pytest.raises(ConnectionRefusedError):
            server.ping()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_S04_answers_what_only_the_kernel_has_accepted(tiny_base_dir):
    """Connections of which gunicorn knows nothing yet when it is told to stop: its own worker resets them."""
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        connections = [server.connect() for _ in range(20)]
        for connection in connections:
            connection.request("POST", "/invocations", PICTURE, {"Content-Type": "image/png"})
        server.terminate()
        time.sleep(0.5)
        os.kill(worker, signal.SIGCONT)
        assert [connection.getresponse().status for connection in connections] == [200] * 20
        assert server.finish(30)[0] == 0


def test_S04_answers_a_request_that_is_still_arriving(tiny_base_dir):
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        connection = server.connect()
        connection.putrequest("POST", "/invocations")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(PICTURE)))
        connection.endheaders(PICTURE[:100])
        time.sleep(0.3)
        server.terminate()
        time.sleep(0.5)
        connection.send(PICTURE[100:])
        response = connection.getresponse()
        assert response.status == 200
        connection.close()
        assert server.finish(30)[0] == 0


POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
HELD, READ = POST + b"Content-Length: 5000\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"
HASTY = """
from container.serve import __main__ as serve, gunicorn_server
gunicorn_server.GIVE_UP_SECONDS, gunicorn_server.LAST_SECONDS, gunicorn_server.STOP_SECONDS = 1, 2, 6
raise SystemExit(serve.main())
"""


@pytest.mark.parametrize("part", [HELD, READ])
@pytest.mark.parametrize("begins", ["before", "after"])
def test_S04_a_request_that_dribbles_gets_408_before_the_end(tiny_base_dir, part, begins):
    """Held by the main loop or read by a thread, with its first byte before or after SIGTERM. Here 2 s, else 24."""
    with (
        Server(tiny_base_dir, command=[sys.executable, "-c", HASTY]) as server,
        socket.create_connection(("127.0.0.1", server.wait_until_ready().port), timeout=30) as client,
    ):
        if begins == "before":
            client.sendall(part)
            time.sleep(0.3)
            server.terminate()
        else:
            server.ping()  # accepted later, so the silent client is in by now
            server.terminate()
            time.sleep(0.3)
            client.sendall(part)
        started = time.monotonic()
        while not select.select([client], [], [], 0.2)[0]:
            client.sendall(b"a")
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"body_timeout"' in answer
        assert 1 < time.monotonic() - started < 5
        client.close()
        status, log = server.finish(10)
    assert status == 0, log


@pytest.mark.parametrize("accept", ["text/event-stream", "application/jsonlines"])
def test_S04_an_answer_under_way_is_sent_to_its_end(own_base_dir, accept):
    """A stream, and the rows of a large body: of both a part is there before the stop, and the rest comes after."""
    add_to_handler(own_base_dir, SLOW_PARTS)
    line = json.dumps({"image": base64.b64encode(PICTURE.ljust(40_000, b"\0")).decode()}).encode() + b"\n"
    records = line * 40  # five windows
    assert len(records) > bodies.IN_MEMORY
    kind, body = ("image/png", PICTURE) if accept == "text/event-stream" else ("application/jsonlines", records)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        connection = server.connect()
        connection.request("POST", "/invocations", body, {"Content-Type": kind, "Accept": accept})
        response = connection.getresponse()
        first = response.readline()
        server.terminate()
        rest = response.read()
        status, log = server.finish(30)
        connection.close()
    assert status == 0, log
    if accept == "text/event-stream":
        assert first == b"event: token\n" and rest.count(b"event: token\n") and b"event: done\n" in rest
    else:
        assert len((first + rest).splitlines()) == 40


def test_S04_idle_server_ends_at_once(tiny_base_dir):
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        started = time.monotonic()
        server.terminate()
        assert server.finish()[0] == 0
        assert time.monotonic() - started < 5


@pytest.mark.slow
def test_S04_what_cannot_be_answered_in_time_gets_503_before_the_kill(own_base_dir):
    slow_down(own_base_dir, 600)
    with Server(own_base_dir) as server, ThreadPoolExecutor(3) as pool:
        server.wait_until_ready()
        replies = [pool.submit(server.invoke, PICTURE) for _ in range(3)]
        time.sleep(0.5)
        server.terminate()
        assert {(reply.result().status, reply.result().code) for reply in replies} == {(503, "shutting_down")}
        assert server.finish(30)[0] == 0


@pytest.mark.parametrize("moment", ["Booting worker", "handler functions"])
def test_S04_a_stop_during_the_start_is_a_stop(own_base_dir, moment):
    """The worker ended with a traceback, for a listener closed twice, or was aborted with a model half loaded."""
    add_to_handler(
        own_base_dir,
        "_load = model_fn\ndef model_fn(model_dir):\n    import time; time.sleep(2); return _load(model_dir)",
    )
    with Server(own_base_dir) as server:
        server.wait_for_log(moment)
        server.terminate()
        status, log = server.finish(10)
    assert status == 0
    assert "Traceback" not in log and "terminate called" not in log and "SIGABRT" not in log
