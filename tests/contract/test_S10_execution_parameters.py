"""S10: GET /execution-parameters, which batch transform asks before it sends."""

from __future__ import annotations

import pytest

from container.serve.app import create_app
from container.serve.metrics import Metrics
from container.serve.settings import Settings
from container.serve.single_model import SingleModel
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


@pytest.mark.parametrize(("workers", "payload", "requests"), [(1, 25, 4), (2, 25, 4), (8, 6, 16), (32, 6, 16)])
def test_S10_keeps_all_processes_at_work(workers, payload, requests):
    """Unless the payload was set, it becomes smaller where that lets more requests be under way."""
    settings = Settings.from_environment({"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)})
    app = create_app(settings, SingleModel(settings), Metrics())
    answer = app.test_client().get("/execution-parameters").get_json()
    assert (answer["MaxPayloadInMB"], answer["MaxConcurrentTransforms"]) == (payload, requests)
