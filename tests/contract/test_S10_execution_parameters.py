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


@pytest.mark.parametrize(("workers", "payload", "requests"), [(1, 6, 4), (2, 6, 4), (8, 6, 16), (32, 6, 16)])
def test_S10_keeps_all_processes_at_work_with_what_they_answer_in_time(workers, payload, requests):
    """A job waits ten minutes for a request: of 25 MB, four at a time, two processes had 28,000 pictures to read."""
    settings = Settings.from_environment({"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)})
    app = create_app(settings, SingleModel(settings), Metrics())
    answer = app.test_client().get("/execution-parameters").get_json()
    assert (answer["MaxPayloadInMB"], answer["MaxConcurrentTransforms"]) == (payload, requests)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (4, "MULTI_RECORD", 6)),
        ({"BATCH_STRATEGY": "SINGLE_RECORD"}, (16, "SINGLE_RECORD", 6)),
        ({"MAX_CONCURRENT_TRANSFORMS": "2"}, (2, "MULTI_RECORD", 6)),
        ({"MAX_CONCURRENT_TRANSFORMS": "10"}, (10, "MULTI_RECORD", 6)),
        ({"MAX_CONCURRENT_TRANSFORMS": "90"}, (16, "MULTI_RECORD", 6)),
        ({"MAX_CONCURRENT_TRANSFORMS": "10", "MAX_PAYLOAD_IN_MB": "20"}, (5, "MULTI_RECORD", 20)),
        ({"MAX_CONCURRENT_TRANSFORMS": "0", "MAX_PAYLOAD_IN_MB": "0"}, (1, "MULTI_RECORD", 100)),
        ({"MAX_CONCURRENT_TRANSFORMS": "90", "MAX_PAYLOAD_IN_MB": "1"}, (64, "MULTI_RECORD", 1)),
    ],
)
def test_S9_S10_says_what_the_transform_job_chose(variables, expected):
    """SageMaker tells the container so; the last has more requests than a process takes in."""
    chosen = {f"SAGEMAKER_{name}": value for name, value in variables.items()}
    settings = Settings.from_environment({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "1", **chosen})
    answer = (
        create_app(settings, SingleModel(settings), Metrics()).test_client().get("/execution-parameters").get_json()
    )
    assert (answer["MaxConcurrentTransforms"], answer["BatchStrategy"], answer["MaxPayloadInMB"]) == expected


def test_S9_a_payload_of_any_size_is_a_stream_of_up_to_1_gb():
    """MaxPayloadInMB=0 of a transform job, whose bodies then come in chunks."""
    assert Settings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}).max_payload_mb == 1024
