"""Error answers: JSON with a stable code, the right status, nothing of the inside."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from recognizer.synth import mathjax
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"no picture", {"Content-Type": "image/png"}, 400, "undecodable_image"),
        (PICTURE[:200], {"Content-Type": "image/png"}, 400, "undecodable_image"),
        (b"", {"Content-Type": "image/png"}, 400, "empty_body"),
        (b"{", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (PICTURE, {"Content-Type": "video/mp4"}, 415, "unsupported_content_type"),
        (PICTURE, {"Content-Type": "image/png", "Accept": "video/mp4"}, 406, "not_acceptable"),
    ],
)
def test_refused_request(tiny_server, body, headers, status, code):
    reply = tiny_server.request("POST", "/invocations", body, headers)
    assert (reply.status, reply.code) == (status, code)
    assert set(reply.json()) == {"error"}
    assert set(reply.json()["error"]) == {"code", "message"}
    assert reply.headers["Content-Type"] == "application/json"
    assert b"Traceback" not in reply.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("GET", "/invocations", 405, "method_not_allowed")],
)
def test_unknown_route(tiny_server, method, path, status, code):
    reply = tiny_server.request(method, path)
    assert (reply.status, reply.code) == (status, code)


def test_body_without_a_type_is_taken_for_a_picture(tiny_server):
    connection = tiny_server.connect()
    connection.request("POST", "/invocations", PICTURE)  # http.client adds no Content-Type
    assert connection.getresponse().status == 200
    connection.close()


def test_body_that_ends_early(tiny_server):
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", tiny_server.port)) as client:
        client.sendall(head.encode() + PICTURE[:100])
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert b" 400 " in answer.splitlines()[0]
    assert b'"incomplete_body"' in answer


def test_head_of_ping(tiny_server):
    assert tiny_server.request("HEAD", "/ping").status == 200


def test_log_is_json_lines(tiny_server):
    reply = tiny_server.invoke(PICTURE)
    tiny_server.wait_for_log(reply.headers["X-Request-Id"])
    (line,) = [line for line in tiny_server.log() if line.get("request_id") == reply.headers["X-Request-Id"]]
    assert line["path"] == "/invocations"
    assert (line["status"], line["bytes_in"], line["bytes_out"]) == (200, len(PICTURE), len(reply.body))
    assert line["client"] == "127.0.0.1"
    assert line["milliseconds"] > 0


@pytest.mark.parametrize(
    ("query", "attributes"),
    [
        ("?n_best=2&beam=4", ""),  # of two hypotheses the tiny model spells both alike
        ("", "n_best=2,beam=4"),
        ("", "trace=abc;n_best=2;beam=4"),
        ("?n_best=2", "n_best=5, beam=4"),
    ],
)
def test_options_beside_a_picture(tiny_server, query, attributes):
    headers = {"Content-Type": "image/png", "X-Amzn-SageMaker-Custom-Attributes": attributes}
    answer = tiny_server.request("POST", f"/invocations{query}", PICTURE, headers).json()
    assert len(answer["n_best"]) == 2
    assert answer["n_best"][0]["latex"] == answer["latex"] == tiny_server.invoke(PICTURE).json()["latex"]


@pytest.mark.parametrize(
    ("query", "code", "field"), [("beam=0", "invalid_option", "beam"), ("beem=2", "unknown_option", "beem")]
)
def test_wrong_option(tiny_server, query, code, field):
    reply = tiny_server.request("POST", f"/invocations?{query}", PICTURE, {"Content-Type": "image/png"})
    assert (reply.status, reply.code) == (400, code)
    assert field in reply.json()["error"]["message"]


def test_constrained_answers_can_be_drawn(tiny_server):
    r"""The tiny model likes to write `\frac`, and knows no braces for its arguments."""
    pictures = [png(formula_picture(seed)) for seed in range(20)]
    for query, draws_all in (("", False), ("?constrained=true", True)):
        replies = [tiny_server.request("POST", f"/invocations{query}", picture) for picture in pictures]
        assert all(is_drawn(reply.json()["latex"]) for reply in replies) == draws_all


def is_drawn(latex: str) -> bool:
    try:
        return bool(mathjax.to_mathml(latex))
    except mathjax.RenderError:
        return False


def test_requests_with_different_options_in_one_batch(tiny_server):
    with ThreadPoolExecutor(6) as pool:
        queries = ["", "?tokens=1", "?n_best=3&beam=4"] * 4
        replies = list(pool.map(lambda query: tiny_server.request("POST", f"/invocations{query}", PICTURE), queries))
    shapes = [(len(reply.json().get("n_best", [])), type(reply.json()["tokens"][0])) for reply in replies]
    assert shapes == [(0, str), (0, dict), (3, str)] * 4
