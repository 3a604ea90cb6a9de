"""S8: asynchronous inference: an input far larger than a request's of a live endpoint, and minutes for it.

SageMaker fetches the input, sends it as one request and stores the answer; the variables are the endpoint's.
"""

from __future__ import annotations

import base64
import json

from container.serve.settings import Settings
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

MB = 1024 * 1024
ASYNC = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1024", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "900"}


def lines(megabytes: int) -> bytes:
    """Records of a megabyte each: bytes after its end don't change a picture."""
    pictures = [png(formula_picture(seed)) for seed in range(3)]
    return b"".join(
        json.dumps({"image": base64.b64encode(pictures[number % 3].ljust(3 * MB // 4, b"\0")).decode()}).encode()
        + b"\n"
        for number in range(megabytes)
    )


def test_S08_its_limits_can_be_set() -> None:
    settings = Settings.from_environment(ASYNC)
    assert (settings.max_payload_mb, settings.request_timeout) == (1024, 900)


def test_S08_a_body_above_a_live_endpoints_limit_is_answered_whole(tiny_base_dir) -> None:
    body = lines(27)
    with Server(tiny_base_dir, ASYNC) as server:
        server.wait_until_ready()
        few = server.invoke(lines(3), "application/jsonlines").body.splitlines()
        reply = server.invoke(body, "application/jsonlines")

    assert len(body) > 25 * MB and reply.status == 200
    assert [json.loads(line)["latex"] for line in reply.body.splitlines()] == [
        json.loads(line)["latex"] for line in few * 9
    ]
