"""S7: bodies up to a configurable limit, at least 25 MB by default; 413 above, and the server lives on."""

from __future__ import annotations

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
