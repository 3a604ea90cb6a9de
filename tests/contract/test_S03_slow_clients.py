"""S3: clients that send slowly, or stop, have a deadline from their first byte on, and keep nobody else waiting."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from container.serve.connections import HELD_BYTES
from tests.support.handlers import slow_down
from tests.support.metrics import scrape
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
SMALL = POST + b"Content-Length: 5000\r\n\r\n"
LARGE_HEAD = POST + b"Content-Length: %d\r\n\r\n" % (2 * HELD_BYTES)
LARGE = LARGE_HEAD + bytes(HELD_BYTES)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"
AWAITED = POST + b"Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
SECONDS = 3
SHORT = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": str(SECONDS)}
FEW = {**SHORT, "SERVE_QUEUE_SIZE": "2"}


class Crowd(ExitStack):
    """Clients that have sent the same, and may send a byte now and then."""

    def __init__(self, server: Server, count: int, sent: bytes) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.clients = [
            self.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(count)
        ]
        for client in self.clients:
            client.sendall(sent)
        self.done = threading.Event()
        self.callback(self.done.set)

    def dribble(self) -> None:
        threading.Thread(target=self._dribble, daemon=True).start()

    def answers(self) -> list[bytes]:
        """All that each is sent, until the server ends the connection."""
        return [client.makefile("rb").read() for client in self.clients]

    def _dribble(self) -> None:
        while not self.done.wait(0.2):
            for client in self.clients:
                try:
                    client.send(b"a")
                except OSError:
                    return


def seconds_of(ask) -> float:
    started = time.monotonic()
    assert ask().status == 200
    return time.monotonic() - started


@pytest.mark.parametrize("sent", [SMALL[:20], SMALL, POST + b"X: " + b"x" * 5000, LARGE_HEAD])
def test_S03_many_parts_of_requests_keep_nobody_waiting(tiny_base_dir, sent):
    """More of them than the server has threads. No large body either, as the start of one takes no room."""
    with (
        Server(tiny_base_dir, {"SERVE_QUEUE_SIZE": "4"}) as server,
        Crowd(server.wait_until_ready(), 80, sent) as crowd,
    ):
        crowd.dribble()
        assert max(seconds_of(server.ping) for _ in range(10)) < 1
        assert seconds_of(lambda: server.invoke(PICTURE)) < 2
        assert seconds_of(lambda: server.invoke(PICTURE.ljust(2 * HELD_BYTES, b"\0"))) < 2


@pytest.mark.parametrize("sent", [b"", SMALL[:20]])
def test_S03_more_connections_than_can_be_open_keep_nobody_waiting(tiny_base_dir, sent):
    """Half the files that may be open are for connections; those that have waited longest give theirs up."""
    command = ["bash", "-c", f"ulimit -n 200; exec {sys.executable} -m container.serve"]
    with Server(tiny_base_dir, command=command) as server, Crowd(server.wait_until_ready(), 300, sent):
        assert max(seconds_of(server.ping) for _ in range(10)) < 1
        assert seconds_of(lambda: server.invoke(PICTURE)) < 2


@pytest.mark.parametrize("sent", [LARGE, CHUNKED, AWAITED])
def test_S03_many_large_bodies_keep_no_others_waiting(tiny_base_dir, sent):
    """A thread reads each of them, so there is room for a few only: what is small and at once there has its own."""
    with Server(tiny_base_dir, FEW) as server, Crowd(server.wait_until_ready(), 2, sent) as inside:
        inside.dribble()
        time.sleep(0.3)
        with Crowd(server, 30, sent) as refused:
            answers = refused.answers()
            assert time.monotonic() - refused.started < SECONDS - 1
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b'"overloaded"' in answer for answer in answers)
        assert all(b"Retry-After: 1\r\n" in answer and b"Connection: close\r\n" in answer for answer in answers)
        assert seconds_of(server.ping) < 1
        assert seconds_of(lambda: server.invoke(PICTURE)) < 2
        inside.answers()
        assert server.invoke(PICTURE.ljust(HELD_BYTES + 1, b"\0")).status == 200  # there is room again


@pytest.mark.parametrize("sent", [SMALL[:20], SMALL, LARGE_HEAD, LARGE, CHUNKED])
@pytest.mark.parametrize("dribbles", [False, True])
def test_S03_a_request_has_to_arrive_in_time(tiny_base_dir, sent, dribbles):
    """Counted from its first byte, not from its last; then the connection ends, as what comes next is no request."""
    with Server(tiny_base_dir, FEW) as server, Crowd(server.wait_until_ready(), 2, sent) as crowd:
        if dribbles:
            crowd.dribble()
        answers = crowd.answers()
        assert SECONDS - 0.1 < time.monotonic() - crowd.started < SECONDS + 3
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        assert all(b"connection: close\r\n" in answer.lower() for answer in answers)
        assert all(b'"body_timeout"' in answer for answer in answers)
        assert server.invoke(PICTURE).status == 200
        assert scrape(server)["formula_refused_requests_total", "body_timeout"] == 2  # whoever said so


HASTY = """
from container.serve import __main__ as serve, gunicorn_server
gunicorn_server.GRACE_SECONDS = 2
raise SystemExit(serve.main())
"""


def slowly(body: bytes, rate: int) -> Iterator[bytes]:
    """The body in parts, so many bytes of it a second; http.client sends it in chunks, without a length."""
    for start in range(0, len(body), rate // 10):
        yield body[start : start + rate // 10]
        time.sleep(0.1)


def test_S03_large_bodies_that_come_too_slowly_give_up_their_places(tiny_base_dir):
    """Places that would be theirs for a minute: a few bytes a second are too few, 30 KB a second aren't."""
    large = PICTURE.ljust(HELD_BYTES * 3 // 2, b"\0")
    with (
        Server(tiny_base_dir, {"SERVE_QUEUE_SIZE": "2"}, [sys.executable, "-c", HASTY]) as server,
        Crowd(server.wait_until_ready(), 1, LARGE) as dribblers,
    ):
        dribblers.dribble()
        with ThreadPoolExecutor(1) as pool:
            honest = pool.submit(server.invoke, slowly(large, 32 * 1024))
            time.sleep(0.3)
            assert server.invoke(large).code == "overloaded"
            (answer,) = dribblers.answers()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert 1 < time.monotonic() - dribblers.started < 4
            assert server.invoke(large).status == 200
            assert not honest.done()
            assert honest.result().status == 200


def test_S03_a_later_request_of_a_connection_has_to_as_well(tiny_base_dir):
    """Those that are sent at once, too: the parser has read a part of the second with the first."""
    ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with Server(tiny_base_dir, FEW) as server, Crowd(server.wait_until_ready(), 3, ping + ping + ping[:20]) as crowd:
        assert seconds_of(server.ping) < 1
        answers = crowd.answers()
    assert time.monotonic() - crowd.started < SECONDS + 3
    assert all(answer.count(b"HTTP/1.1 200 ") == 2 and b"HTTP/1.1 408 " in answer for answer in answers)


def test_S03_the_answer_has_the_time_that_the_body_has_left(own_base_dir):
    """SageMaker counts 60 s from where it begins to send."""
    slow_down(own_base_dir, 2)
    with Server(own_base_dir, SHORT) as server, Crowd(server.wait_until_ready(), 1, SMALL) as crowd:
        time.sleep(1.5)
        crowd.clients[0].sendall(PICTURE.ljust(5000, b"\0"))
        (answer,) = crowd.answers()  # its head and its body may come apart
        assert SECONDS - 0.1 < time.monotonic() - crowd.started < SECONDS + 1.5
        assert answer.startswith(b"HTTP/1.1 503 ") and b"deadline_exceeded" in answer


def test_S03_a_head_without_end_is_refused(tiny_server):
    sent = POST + (b"X: " + b"x" * 1000 + b"\r\n") * (HELD_BYTES // 1000 + 1)
    counter = ("formula_refused_requests_total", "head_too_large")
    before = scrape(tiny_server).get(counter, 0)  # other tests ask this server too
    with Crowd(tiny_server, 1, sent) as crowd:
        (answer,) = crowd.answers()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert scrape(tiny_server)[counter] == before + 1


def test_S03_a_head_with_bare_line_feeds_is_refused_at_once(tiny_server):
    with Crowd(tiny_server, 1, b"GET /ping HTTP/1.1\nHost: x\n\n") as crowd:
        (answer,) = crowd.answers()
        assert time.monotonic() - crowd.started < 5
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_S03_clients_that_leave_their_side_open_keep_nobody_waiting(tiny_base_dir):
    """gunicorn's own worker waits for 2 s for each, one after the other."""
    request = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with Server(tiny_base_dir) as server, Crowd(server.wait_until_ready(), 10, request) as crowd:
        time.sleep(0.2)
        assert seconds_of(server.ping) < 1
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in crowd.answers())
