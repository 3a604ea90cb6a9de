"""S9: JSON Lines in, JSON Lines out: same order, same count, an error object in place of a bad record."""

from __future__ import annotations

import base64
import json

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
