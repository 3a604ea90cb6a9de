"""S6: unknown headers and SageMaker's own are tolerated; the inference id is found again in the log."""

from __future__ import annotations

import json

import pytest

from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
NAMES = ["Custom-Attributes", "Target-Model", "Target-Variant", "Session-Id", "Inference-Component", "Not-Yet-Known"]


@pytest.mark.parametrize("name", NAMES)
def test_S06_header_is_tolerated(tiny_server, name):
    plain = tiny_server.invoke(PICTURE)
    assert tiny_server.invoke(PICTURE, **{f"X-Amzn-SageMaker-{name}": 'a=1; b="ü"'.encode()}).json() == plain.json()


def test_S06_inference_id_is_logged(tiny_server):
    reply = tiny_server.invoke(PICTURE, **{"X-Amzn-SageMaker-Inference-Id": 'row-7 "quoted"'})
    line = json.loads(tiny_server.wait_for_log("row-7"))
    assert line["inference_id"] == 'row-7 "quoted"'
    assert line["request_id"] == reply.headers["X-Request-Id"]
    assert line["status"] == 200
