"""launch/ on AWS: the requests that SDK v2 would send for it, each allowed by the service's own description.

No engine is needed, but the SDK's environment, which is made for the tests beside this one (make venv-sdk).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.sdk import ROOT, run_sdk, sdk_python

ON_AWS = (
    *("--role", "arn:aws:iam::000000000000:role/mine", "--instance-type", "ml.g5.xlarge"),
    *("--image", "000000000000.dkr.ecr.eu-central-1.amazonaws.com/recognizer:1"),
)


def asked_of_aws(*options: str) -> dict[str, Any]:
    """The requests that `launch.estimator` makes there, each of which the service's own description allows."""
    program = str(ROOT / "tests/support/sdk_v2_requests.py")
    return json.loads(run_sdk(sdk_python(2), program, options[0], *ON_AWS, *options[1:]).splitlines()[-1])


def test_sdk_v2_asks_aws_for_the_job_that_was_meant():
    data = ("--data", "s3://b/t", "--model", "s3://b/m", "--input-mode", "FastFile")
    places = ("--output", "s3://b/o", "--checkpoints", "s3://b/c", "--tensorboard", "s3://b/curves")
    more = ("--spot", "--max-hours", "2", "--volume-gb", "50", "--instance-count", "2")
    job = asked_of_aws("fit", *data, *places, *more, "--hp", "epochs=3", "--no-wait")["create_training_job"]
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 7200 + 24 * 3600}
    assert job["CheckpointConfig"]["S3Uri"] == "s3://b/c" and job["OutputDataConfig"]["S3OutputPath"] == "s3://b/o"
    assert job["TensorBoardOutputConfig"] == {
        "S3OutputPath": "s3://b/curves",
        "LocalPath": "/opt/ml/output/tensorboard",
    }
    assert job["ResourceConfig"] == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50}
    modes = {each["ChannelName"]: each["InputMode"] for each in job["InputDataConfig"]}
    assert modes == {"train": "FastFile", "model": "File"}
    given = job["HyperParameters"]
    names = ("epochs", "tensorboard", "sagemaker_torch_distributed_enabled")
    assert [given[name] for name in names] == ['"3"', '"true"', '"true"']
    assert "exported:exprate" in {each["Name"] for each in job["AlgorithmSpecification"]["MetricDefinitions"]}


def test_sdk_v2_asks_aws_to_search_for_what_the_exported_model_is_best_with():
    ranges = ("--range", "learning_rate=0.0003:0.003", "width=128,192", "batch_size=8:64")
    asked = asked_of_aws("tune", "--data", "s3://b/t", *ranges, "--max-jobs", "4", "--no-wait")
    search = asked["create_hyper_parameter_tuning_job"]["HyperParameterTuningJobConfig"]
    assert search["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "exported:exprate"}
    assert search["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    kinds = {kind: [each["Name"] for each in found] for kind, found in search["ParameterRanges"].items()}
    assert kinds == {
        "ContinuousParameterRanges": ["learning_rate"],
        "IntegerParameterRanges": ["batch_size"],
        "CategoricalParameterRanges": ["width"],
    }


def test_sdk_v2_asks_aws_for_an_endpoint_that_knows_where_it_is():
    asked = asked_of_aws("deploy", "--model", "s3://b/m.tar.gz", "--endpoint", "mine", "--env", "SERVE_PRECISION=int8")
    served = asked["create_model"]["PrimaryContainer"]
    assert served["Environment"] == {"SAGEMAKER_REGION": "eu-central-1", "SERVE_PRECISION": "int8"}
    assert served["ModelDataUrl"] == "s3://b/m.tar.gz" and asked["create_endpoint"]["EndpointName"] == "mine"


@pytest.mark.parametrize(
    ("options", "kind", "split", "strategy"),
    [
        ((), "application/jsonlines", "Line", "MultiRecord"),
        (("--pictures",), "application/x-image", None, "SingleRecord"),
    ],
)
def test_sdk_v2_asks_aws_to_transform_lines_or_pictures(options, kind, split, strategy):
    places = ("--model", "s3://b/m.tar.gz", "--input", "s3://b/in", "--output", "s3://b/out")
    job = asked_of_aws("transform", *places, *options)["create_transform_job"]
    assert (job["TransformInput"]["ContentType"], job["TransformInput"].get("SplitType")) == (kind, split)
    assert job["BatchStrategy"] == strategy
    assert job["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 3600}
