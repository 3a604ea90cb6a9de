"""S9: JSON Lines or CSV in, JSON Lines or CSV out: same order, same count, an error in the place of a bad record."""

from __future__ import annotations

import base64
import csv
import json

import numpy as np
import pytest

from tests.support.handlers import NARROW, fail_for_narrow
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
    """But where it breaks for every record, the request has failed, and can be sent again."""
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
    assert (failed.status, failed.code) == (500, "internal_error")
