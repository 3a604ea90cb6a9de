"""S7: bodies up to a configurable limit, at least 25 MB by default; 413 above, and the server lives on."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from contextlib import closing

import pytest

from container.serve.settings import Settings
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
MB = 1024 * 1024


def test_S07_default_limit():
    assert Settings.from_environment({}).max_payload_mb >= 25


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("content_type", ["image/png", "application/jsonlines"])  # kept in memory, and in a file
def test_S07_limit_from_the_environment(tiny_base_dir, chunked, content_type):
    def send(size):
        body = PICTURE.ljust(size, b"\0")
        return server.invoke([body[:MB], body[MB:]] if chunked else body, content_type)

    with Server(tiny_base_dir, {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "2"}) as server:
        server.wait_until_ready()
        assert send(2 * MB).status == 200
        reply = send(2 * MB + 1)
        assert (reply.status, reply.code) == (413, "payload_too_large")
        assert "SAGEMAKER_MAX_PAYLOAD_IN_MB" in reply.json()["error"]["message"]
        assert server.invoke(b"no picture").status == 400
        assert send(len(PICTURE)).status == 200


@pytest.mark.parametrize("path", ["/nope", "/ping"])
def test_S07_a_body_refused_unread_costs_the_next_request_nothing(tiny_server, path):
    """The answer said keep-alive, and the connection was closed: a client that had believed it lost a request."""
    with closing(tiny_server.connect()) as connection:
        for status in (404 if path == "/nope" else 405, 200):
            connection.request(*(("POST", path, b"x" * MB) if status != 200 else ("GET", "/ping")))
            reply = connection.getresponse()
            reply.read()
            assert reply.status == status
            assert (reply.headers["Connection"] == "close") is (status != 200)


@pytest.mark.parametrize("damage", [b"zz\r\n", b"-5\r\n", b"1;=\r\nx\r\n", b"1\r\nxy\r\n"])
def test_S07_damaged_chunks_are_the_clients_fault(tiny_server, damage):
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", tiny_server.port), timeout=30) as client:
        client.sendall(head + damage + b"0\r\n\r\n")
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"damaged_body" in answer and b"Connection: close" in answer


def test_S07_a_compressed_body_is_unpacked(tiny_server):
    record = json.dumps({"image": base64.b64encode(PICTURE).decode()}).encode() + b"\n"
    for encoding in ("gzip", "X-GZIP"):
        reply = tiny_server.invoke(gzip.compress(3 * record), "application/jsonlines", **{"Content-Encoding": encoding})
        assert reply.body.count(b'"latex"') == 3
    cut_off = tiny_server.invoke(gzip.compress(PICTURE)[:-20], **{"Content-Encoding": "gzip"})
    assert (cut_off.status, cut_off.code) == (400, "incomplete_body")
    damaged = tiny_server.invoke(PICTURE, **{"Content-Encoding": "gzip"})
    assert (damaged.status, damaged.code) == (400, "damaged_body")
    unknown = tiny_server.invoke(PICTURE, **{"Content-Encoding": "br"})
    assert (unknown.status, unknown.code) == (415, "unsupported_content_encoding")


def test_S07_the_limit_holds_for_what_a_body_unpacks_to(tiny_server):
    bomb = gzip.compress(b"\0" * (Settings.from_environment({}).max_payload_mb * MB + 1))
    assert len(bomb) < MB
    reply = tiny_server.invoke(bomb, **{"Content-Encoding": "gzip"})
    assert (reply.status, reply.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /ping?" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (b"GET /ping HTTP/1.1\r\nExpect: more\r\n\r\n", 417, "expectation_failed"),
        (b"POST /ping HTTP/1.1\r\nTransfer-Encoding: br\r\n\r\n", 501, "not_implemented"),
        (b"get /ping HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"POST /ping HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, "bad_request"),
    ],
)
def test_S07_what_is_no_request_is_refused_as_all_else(tiny_server, request_, status, code):
    with socket.create_connection(("127.0.0.1", tiny_server.port), timeout=30) as client:
        client.sendall(request_)
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]["code"] == code
    refused = [line for line in tiny_server.log() if line.get("error_code") == code]
    assert refused and all("request_id" not in line for line in refused)  # another's, which the thread had before
