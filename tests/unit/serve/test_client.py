"""Clients that hang up: it is seen without waiting, and the model is spared their pictures."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from container.serve import errors
from container.serve.client import has_hung_up
from tests.support.handlers import count_pictures, read_for_ever
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(20)  # as the server's connections have; looking must not wait for it
    with ours, theirs:
        yield ours, theirs


def test_silent_or_talking_is_there(pair):
    ours, theirs = pair
    assert not has_hung_up(ours)
    theirs.sendall(b"next request")
    assert not has_hung_up(ours)
    assert ours.recv(100) == b"next request"


def test_closed_is_gone(pair):
    ours, theirs = pair
    theirs.close()
    assert has_hung_up(ours)
    ours.close()
    assert has_hung_up(ours)


def test_the_model_never_sees_what_nobody_waits_for(own_base_dir):
    count_pictures(own_base_dir, 1)
    with Server(own_base_dir, {"SAGEMAKER_TS_BATCH_SIZE": "2"}) as server, ThreadPoolExecutor(2) as pool:
        server.wait_until_ready()
        first = pool.submit(server.invoke, PICTURE)
        server.wait_for_log("pictures: 1")
        impatient = [ask(server) for _ in range(4)]
        time.sleep(0.2)
        patient = pool.submit(server.invoke, PICTURE)
        for connection in impatient:
            connection.close()
        assert (first.result().status, patient.result().status) == (200, 200)
        server.wait_for_log('"status": 499')
        server.terminate()
        log = server.finish()[1]
    assert log.count("pictures: 1\n") == 2 and "pictures: 2" not in log
    assert log.count('"status": 499') == 4


def test_the_model_gives_up_what_nobody_waits_for_any_more(own_base_dir):
    read_for_ever(own_base_dir, 0.1)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        connection = ask(server)
        server.wait_for_log("step 2 of 1")
        connection.close()
        server.wait_for_log('"status": 499')
        server.terminate()
        log = server.finish()[1]
    assert "step 12 of 1" not in log


def ask(server) -> socket.socket:
    """A connection that has sent its request and not read the answer."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
    connection.sendall(head.encode() + PICTURE)
    return connection


def test_every_503_says_when_to_come_again():
    class FullError(Exception):  # a handler of the user's
        status, code, message = 503, "full", "no room"

    refused = errors.from_exception(FullError())
    assert refused and refused.retry_after
    assert errors.ServeError(400, "bad", "").retry_after is None
