"""S12: InvokeEndpointWithResponseStream reads a chunked body as it comes: here server-sent events."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.handlers import change_stream
from tests.support.server import Reply, Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())


def stream(server: Server, body: bytes = PICTURE, path: str = "/invocations", content_type: str = "image/png") -> Reply:
    return server.request("POST", path, body, {"Content-Type": content_type, "Accept": "text/event-stream"})


def events(text: str) -> list[tuple[str, dict]]:
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_S12_tokens_and_then_the_whole_answer(tiny_server):
    """Read once: other views may have the last word."""
    reply = stream(tiny_server, path="/invocations?views=1")
    *tokens, last = events(reply.body.decode())
    assert (reply.headers["Content-Type"], reply.headers["Transfer-Encoding"]) == (
        "text/event-stream; charset=utf-8",
        "chunked",
    )
    answer = tiny_server.request("POST", "/invocations?views=1", PICTURE, {"Content-Type": "image/png"})
    assert last == ("done", answer.json())
    assert tokens == [("token", {"token": token}) for token in last[1]["tokens"]]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("Text/Event-Stream;q=0.9, application/json;q=0.8", "text/event-stream; charset=utf-8"),
        ("application/json, text/event-stream", "application/json"),
        ("application/json, text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=0.1, application/json", "application/json"),
    ],
)
def test_S12_events_are_for_who_wants_them_most(tiny_server, accept, kind):
    reply = tiny_server.request("POST", "/invocations", PICTURE, {"Content-Type": "image/png", "Accept": accept})
    assert (reply.status, reply.headers["Content-Type"]) == (200, kind)


def test_S12_events_come_before_the_answer_is_complete(own_base_dir):
    """The model waits for a sign that is only given once its first token has arrived."""
    sign = own_base_dir / "sign"
    wait = f"while not __import__('os').path.exists({str(sign)!r}): time.sleep(0.01)"
    with Server(change_stream(own_base_dir, wait)) as server:
        server.wait_until_ready()
        connection = server.connect()
        connection.request("POST", "/invocations", PICTURE, {"Accept": "text/event-stream"})
        response = connection.getresponse()
        first = [response.readline() for _ in range(3)]
        sign.touch()
        received = events(b"".join([*first, response.read()]).decode())
        connection.close()
    assert first[0] == b"event: token\n"
    assert received[-1][0] == "done"


def test_S12_options_of_a_stream(tiny_server):
    *_, last = events(stream(tiny_server, path="/invocations?tokens=1").body.decode())
    assert {"token", "confidence"} == set(last[1]["tokens"][0])


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "code"),
    [
        ("/invocations", "image/png", b"no picture", 400, "undecodable_image"),
        ("/invocations?beam=9", "image/png", PICTURE, 400, "invalid_option"),
        ("/invocations?beam=2", "image/png", PICTURE, 400, "invalid_option"),
        (
            "/invocations",
            "application/json",
            json.dumps({"images": [base64.b64encode(PICTURE).decode()] * 2}).encode(),
            406,
            "not_acceptable",
        ),
    ],
)
def test_S12_what_is_refused_before_the_first_event_has_a_status(tiny_server, path, kind, body, status, code):
    reply = stream(tiny_server, body, path, kind)
    assert (reply.status, reply.code) == (status, code)


def test_S12_a_failure_in_the_middle_is_an_error_event(own_base_dir):
    with Server(change_stream(own_base_dir, "assert number < 2, 'secret'")) as server:
        server.wait_until_ready()
        reply = stream(server)
        names = [name for name, _ in events(reply.body.decode())]
        assert names == ["token", "token", "token", "error"]
        server.wait_for_metric('formula_refused_requests_total{code="recognition_failed"} 1.0')
        assert events(reply.body.decode())[-1][1]["error"]["code"] == "recognition_failed"
        assert b"secret" not in reply.body
        assert server.invoke(PICTURE).status == 200


def test_S12_deadline_is_an_error_event(own_base_dir):
    change_stream(own_base_dir, "time.sleep(0.4)")
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "0.6"}) as server:
        server.wait_until_ready()
        assert events(stream(server).body.decode())[-1][1]["error"]["code"] == "deadline_exceeded"


def test_S12_a_client_that_does_not_read_keeps_nobody_waiting(own_base_dir):
    """The model goes on at its own speed, and room for requests is given back when the client has gone."""
    with Server(own_base_dir, {"SERVE_QUEUE_SIZE": "2"}) as server, ThreadPoolExecutor(1) as pool:
        server.wait_until_ready()
        for _ in range(5):
            lazy = server.connect()
            lazy.request("POST", "/invocations", PICTURE, {"Accept": "text/event-stream"})
            assert pool.submit(server.invoke, PICTURE).result(5).status == 200
            lazy.close()
            server.wait_until_idle()


def test_S12_the_model_stops_when_the_client_has_gone(own_base_dir):
    slowly = "for more in range(40): print('after', more, file=sys.stderr, flush=True); time.sleep(0.1); yield token"
    change_stream(own_base_dir, slowly)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        gone = server.connect()
        gone.request("POST", "/invocations", PICTURE, {"Accept": "text/event-stream"})
        server.wait_for_log("after 1")
        gone.close()
        server.wait_until_idle()
        server.terminate()
        log = server.finish()[1]
    assert "after 20" not in log
