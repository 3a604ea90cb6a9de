"""S10: GET /execution-parameters, which batch transform asks before it sends."""

from __future__ import annotations

import pytest

from tests.support.server import Server


@pytest.mark.parametrize("payload", ["6", "100", "500"])
def test_S10_stays_within_the_limits_of_batch_transform(tiny_base_dir, payload):
    with Server(tiny_base_dir, {"SAGEMAKER_MAX_PAYLOAD_IN_MB": payload}) as server:
        server.wait_for(200)
        answer = server.request("GET", "/execution-parameters").json()
    assert set(answer) == {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}
    assert answer["BatchStrategy"] == "MULTI_RECORD"
    assert answer["MaxPayloadInMB"] == min(int(payload), 100)
    assert answer["MaxConcurrentTransforms"] >= 1
    assert answer["MaxConcurrentTransforms"] * answer["MaxPayloadInMB"] <= 100
