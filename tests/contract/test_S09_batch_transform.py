"""S9: JSON Lines or CSV in, JSON Lines or CSV out: same order, same count, an error in the place of a bad record.

A body may have up to 100 MB; the memory that it takes must not grow with it.
"""

from __future__ import annotations

import base64
import csv
import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from container.serve import bodies, records
from tests.support.handlers import NARROW, add_to_handler, count_pictures, fail_for_narrow, slow_down
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURES = [png(formula_picture(seed)) for seed in range(5)]


def test_S09_json_lines(tiny_server):
    expected = [tiny_server.invoke(picture).json()["latex"] for picture in PICTURES]
    records = [json.dumps({"image": base64.b64encode(picture).decode()}) for picture in PICTURES]
    records[2] = '{"image": "no picture"}'
    reply = tiny_server.invoke("\n".join(records).encode(), "application/jsonlines", Accept="application/jsonlines")
    rows = [json.loads(line) for line in reply.body.splitlines()]
    assert [row.get("latex") for row in rows] == [*expected[:2], None, *expected[3:]]
    assert rows[2]["error"]["code"] == "invalid_base64"


def test_S09_lines_are_answered_by_lines(tiny_server):
    """Without an Accept header, too, as batch transform may send them."""
    record = json.dumps({"image": base64.b64encode(PICTURES[0]).decode()}).encode()
    reply = tiny_server.invoke(b"\n".join([record] * 3), "application/jsonlines")
    assert len(reply.body.splitlines()) == 3
    assert reply.headers["Content-Type"].startswith("application/jsonlines")


def test_S09_more_records_than_a_batch_holds(tiny_server):
    """The records of one request are spread over several calls of the model."""
    images = [base64.b64encode(PICTURES[number % 5]).decode() for number in range(41)]
    rows = tiny_server.invoke(json.dumps({"images": images}).encode(), "application/json").json()["predictions"]
    assert [row["latex"] for row in rows] == [rows[number % 5]["latex"] for number in range(41)]
    assert len({row["latex"] for row in rows}) == 5


BASE64 = [base64.b64encode(picture).decode() for picture in PICTURES]
BLANK = base64.b64encode(png(np.full((40, 60, 3), 255, np.uint8))).decode()
BAD_RECORDS = {
    "{": "invalid_json",
    "\xff": "invalid_json",
    "[1, 2]": "invalid_json",
    '{"id": 7}': "invalid_json",
    '{"image": null}': "invalid_json",
    '{"image": "%%%"}': "invalid_base64",
    '{"image": ""}': "undecodable_image",
    '{"image": "aGVsbG8="}': "undecodable_image",
}


def test_S09_every_kind_of_bad_record_keeps_its_place(tiny_server):
    good = json.dumps({"image": BASE64[0]})
    records = [line for bad in BAD_RECORDS for line in (bad, good)]
    reply = tiny_server.invoke("\n".join(records).encode("latin-1"), "application/jsonlines")
    rows = [json.loads(line) for line in reply.body.splitlines()]
    assert reply.status == 200 and len(rows) == len(records)
    assert [row["error"]["code"] for row in rows[::2]] == list(BAD_RECORDS.values())
    assert len({row["latex"] for row in rows[1::2]}) == 1
    assert b"Traceback" not in reply.body


def test_S09_only_bad_records(tiny_server):
    reply = tiny_server.invoke(b"{\n{", "application/jsonlines")
    assert [json.loads(line)["error"]["code"] for line in reply.body.splitlines()] == ["invalid_json"] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_S09_csv(tiny_server, end):
    expected = [tiny_server.invoke(picture).json()["latex"] for picture in PICTURES[:2]]
    body = end.join([BASE64[0], "no picture", f'"{BASE64[1]}"', BLANK, ""]).encode()
    rows = [json.loads(line) for line in tiny_server.invoke(body, "text/csv").body.splitlines()]
    assert [row.get("latex") for row in rows] == [expected[0], None, expected[1], ""]
    assert rows[1]["error"]["code"] == "invalid_base64" and rows[3]["blank"]
    reply = tiny_server.invoke(body, "text/csv", Accept="text/csv")
    table = list(csv.DictReader(reply.body.decode().splitlines()))
    assert reply.headers["Content-Type"].startswith("text/csv")
    assert [row["latex"] for row in table] == [expected[0], "", expected[1], ""]
    assert [row["error"] for row in table] == ["", "invalid_base64", "", ""]


def test_S09_a_record_that_breaks_the_model_spoils_no_other(own_base_dir):
    """But where it breaks for every record, the request has failed, and can be sent again.

    Of a large body the first records decide that: later ones can't change the status.
    """
    pictures = [formula_picture(seed) for seed in range(12)]
    narrow = [picture.shape[1] < NARROW for picture in pictures]
    assert 0 < sum(narrow) < 12
    lines = [json.dumps({"image": base64.b64encode(png(picture)).decode()}) for picture in pictures]
    with Server(fail_for_narrow(own_base_dir)) as server:
        server.wait_until_ready()
        reply = server.invoke("\n".join(lines).encode(), "application/jsonlines")
        rows = [json.loads(line) for line in reply.body.splitlines()]
        assert [row.get("error", {}).get("code") == "recognition_failed" for row in rows] == narrow
        assert ["latex" in row for row in rows] == [not is_narrow for is_narrow in narrow]
        assert b"ZeroDivision" not in reply.body
        failing = "\n".join(line for line, is_narrow in zip(lines, narrow, strict=True) if is_narrow)
        failed = server.invoke(failing.encode(), "application/jsonlines")
        wide, thin = (large_record(png(pictures[narrow.index(is_narrow)]), 100_000) * 8 for is_narrow in (False, True))
        rows = answer_rows(server.invoke(wide + thin, "application/jsonlines").body)
        large_failed = server.invoke(thin + wide, "application/jsonlines")
    assert (failed.status, failed.code) == (500, "internal_error")
    assert ["latex" in row for row in rows] == [True] * 8 + [False] * 8
    assert (large_failed.status, large_failed.code) == (500, "internal_error")


MB = 1024 * 1024
BATCH = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}
JSON_LINES = "application/jsonlines"
LARGE = len(BASE64) * 8  # records of a body that is answered in parts


def large_record(picture: bytes, size: int = bodies.IN_MEMORY // LARGE, content_type: str = JSON_LINES) -> bytes:
    """A line of more than `size` bytes: bytes after its end don't change a picture."""
    text = base64.b64encode(picture.ljust(size, b"\0")).decode()
    return f"{json.dumps({'image': text}) if content_type == JSON_LINES else text}\n".encode()


def answer_rows(body: bytes) -> list[dict]:
    return [json.loads(line) for line in body.splitlines()]


@pytest.fixture(scope="module")
def batch_server(tiny_base_dir):
    with Server(tiny_base_dir, BATCH) as server:
        yield server.wait_until_ready()


@pytest.mark.slow
@pytest.mark.parametrize(("content_type", "chunked"), [(JSON_LINES, False), (JSON_LINES, True), ("text/csv", True)])
def test_S09_memory_does_not_grow_with_the_body(tiny_base_dir, content_type, chunked):
    """What batch transform may send at most, and 30 MB more for it, of which the picture at work is a part."""
    lines = [large_record(picture, 129_000, content_type) for picture in PICTURES]
    body = b"".join(lines) * 120
    assert 98 * MB < len(body) <= 100 * MB
    with Server(tiny_base_dir, BATCH) as server:
        server.wait_until_ready()
        expected = answer_rows(server.invoke(b"".join(lines), content_type).body)
        before = server.peak_memory()
        pieces = [body[start : start + MB] for start in range(0, len(body), MB)]
        reply = server.invoke(pieces if chunked else body, content_type)
        assert server.peak_memory() - before < 30 * MB
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert answer_rows(reply.body) == expected * 120


@pytest.mark.parametrize("fixture", ["batch_server", "tiny_server"])
def test_S09_a_large_body_is_answered_like_a_small_one(fixture, request):
    """In every type of answer, with the same errors in the same places; a table's head comes once."""
    server = request.getfixturevalue(fixture)
    lines = [*map(large_record, PICTURES), b"{\n", b"\n", large_record(b"no picture")]
    assert sum(map(len, lines * 8)) > bodies.IN_MEMORY
    for accept in ("application/jsonlines", "text/csv", "text/plain", "application/json"):
        small, large = (
            server.invoke(b"".join(lines) * times, "application/jsonlines", Accept=accept) for times in (1, 8)
        )
        assert (small.status, large.status) == (200, 200)
        assert small.headers["Content-Type"] == large.headers["Content-Type"]
        if accept == "application/json":
            assert large.json()["predictions"] == small.json()["predictions"] * 8
        else:
            rows = small.body.splitlines()
            heads = 1 if accept == "text/csv" and fixture == "tiny_server" else 0
            assert large.body.splitlines() == [*rows[:heads], *rows[heads:] * 8]


def test_S09_under_batch_transform_a_table_has_no_head(batch_server):
    """It joins the lines of an answer with those that were sent, and puts the answers behind each other."""
    body = f"{BASE64[0]}\nno picture\n".encode()
    first, second = csv.reader(batch_server.invoke(body, "text/csv", Accept="text/csv").body.decode().splitlines())
    assert first[0] == batch_server.invoke(PICTURES[0]).json()["latex"] and first[-1] == ""
    assert second == ["", "", "", "", "", "invalid_base64"]


@pytest.mark.parametrize(
    ("accept", "query", "status", "code"),
    [
        ("video/mp4", "", 406, "not_acceptable"),
        ("text/event-stream", "", 406, "not_acceptable"),
        ("*/*", "?beam=9", 400, "invalid_option"),
    ],
)
def test_S09_what_is_wrong_with_a_large_request_has_a_status(batch_server, accept, query, status, code):
    headers = {"Content-Type": "application/jsonlines", "Accept": accept}
    reply = batch_server.request("POST", f"/invocations{query}", large_record(PICTURES[0]) * LARGE, headers)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize("chunked", [False, True])
def test_S09_a_large_body_that_ends_early_is_refused(batch_server, chunked):
    """Nothing of it is answered: the status is decided when the body is complete."""
    part = large_record(PICTURES[0]) * LARGE
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(part) + 1}"
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/jsonlines\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", batch_server.port)) as client:
        client.sendall(head.encode() + (f"{len(part) + 1:x}\r\n".encode() if chunked else b"") + part)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert b" 400 " in answer.splitlines()[0] and b'"incomplete_body"' in answer


def test_S09_a_record_over_the_limit_keeps_its_place(batch_server):
    good = large_record(PICTURES[0])
    body = b"".join([good, b"x" * (records.RECORD_BYTES + 1), b"\n", good])
    rows = answer_rows(batch_server.invoke(body, "application/jsonlines").body)
    assert [row.get("error", {}).get("code") for row in rows] == [None, "record_too_large", None]


GATES = """
_free_predict_fn, _calls = predict_fn, []


def predict_fn(request, model, context=None):
    import time
    _calls.append(1)
    while len(_calls) in (3, 7) and not Path({folder!r}, str(len(_calls))).exists():
        time.sleep(0.01)
    return _free_predict_fn(request, model)
"""


def test_S09_other_requests_come_between_the_windows(own_base_dir):
    """The model waits at its third call until another picture is there, and at its seventh until that is answered."""
    add_to_handler(own_base_dir, GATES.format(folder=str(own_base_dir)))
    with Server(own_base_dir, BATCH) as server, ThreadPoolExecutor(2) as pool:
        server.wait_until_ready()
        large = pool.submit(server.invoke, large_record(PICTURES[0]) * 80, "application/jsonlines")
        server.wait_for_metric("formula_items_waiting 8.0")  # no more than the next window, of ten
        other = pool.submit(server.invoke, PICTURES[1])
        server.wait_for_metric("formula_items_waiting 9.0")
        (own_base_dir / "3").touch()
        assert other.result(30).status == 200
        assert not large.done()
        (own_base_dir / "7").touch()
        assert len(large.result().body.splitlines()) == 80


def test_S09_batch_transform_gives_each_window_its_time(own_base_dir):
    """Elsewhere the request has it; an answer that can't be ended is cut, so that nobody takes it for the whole."""
    body = large_record(PICTURES[0]) * 80
    slow_down(own_base_dir, 0.6)  # so ten windows take longer than 5 s, and two at a time far less
    with Server(own_base_dir, {**BATCH, "SAGEMAKER_MODEL_SERVER_TIMEOUT": "5"}) as server:
        server.wait_until_ready()
        assert len(server.invoke(body, "application/jsonlines").body.splitlines()) == 80
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "5"}) as server:
        server.wait_until_ready()
        with pytest.raises(http.client.IncompleteRead) as cut:
            server.invoke(body, "application/jsonlines")
        assert 8 <= len(cut.value.partial.splitlines()) < 80
        server.wait_for_log('"deadline_exceeded"')
        assert server.invoke(PICTURES[0]).status == 200


def test_S09_a_client_that_hangs_up_stops_the_work(own_base_dir):
    count_pictures(own_base_dir, 0.2)
    with Server(own_base_dir, BATCH) as server:
        server.wait_until_ready()
        connection = server.connect()
        connection.request(
            "POST", "/invocations", large_record(PICTURES[0]) * LARGE * 5, {"Content-Type": "application/jsonlines"}
        )
        response = connection.getresponse()
        assert response.status == 200
        response.close()
        connection.close()
        server.wait_until_idle()
        server.terminate()
        batches = server.finish()[1].count("pictures:")
    assert batches < LARGE * 5 / 8


def test_S09_without_a_folder_to_write_to(tiny_base_dir, tmp_path, batch_server):
    """As under a read-only root without /tmp: the body stays in memory, which the log says."""
    nowhere = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: []; import container.serve.__main__ as serve; "
    )
    command = [sys.executable, "-c", f"{nowhere}raise SystemExit(serve.main())"]
    body = large_record(PICTURES[0]) * LARGE
    with Server(tiny_base_dir, BATCH, command) as server:
        server.wait_until_ready()
        assert (
            server.invoke(body, "application/jsonlines").body == batch_server.invoke(body, "application/jsonlines").body
        )
        server.wait_for_log("large bodies stay in memory")
