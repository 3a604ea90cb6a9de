"""What `launch.estimator` asks AWS for with SDK v2, run by the SDK's own Python.

Nothing is sent: each request is checked against the service's own description, and printed.

    python sdk_v2_requests.py ACTION OPTION ...

Prints one JSON object as its last line: requests by the name of the call.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import MagicMock, patch

import boto3
from botocore import xform_name
from botocore.validate import ParamValidator
from sagemaker.fw_utils import UploadedCode
from sagemaker.session import Session

from launch import estimator

REGION = "eu-central-1"


class Recorder:
    """In the place of boto3's client of SageMaker: keeps what it is asked for, if the service would understand it."""

    def __init__(self, aws: boto3.Session) -> None:
        model = aws.client("sagemaker").meta.service_model
        self._shapes = {xform_name(name): model.operation_model(name).input_shape for name in model.operation_names}
        self.requests: dict[str, Any] = {}

    def __getattr__(self, call: str) -> Any:
        def record(**request: Any) -> MagicMock:
            report = ParamValidator().validate(request, self._shapes[call])
            if report.has_errors():
                raise ValueError(f"{call}: {report.generate_report()}")
            self.requests[call] = request
            return MagicMock()

        return record


def main() -> int:
    aws = boto3.Session("key", "secret", region_name=REGION)
    recorder = Recorder(aws)
    session = Session(aws, recorder, MagicMock(), default_bucket="bucket")
    code = UploadedCode("s3://bucket/sourcedir.tar.gz", "train.py")
    with (
        patch.object(estimator, "make_session", lambda local: session),
        patch.object(Session, "default_bucket", lambda self: "bucket"),
        patch.object(Session, "wait_for_endpoint", MagicMock()),
        patch("sagemaker.estimator.tar_and_upload_dir", lambda *_, **__: code),
        patch("sagemaker.transformer._TransformJob.wait", MagicMock(), create=True),
    ):
        code_of_exit = estimator.main(sys.argv[1:])
    print(json.dumps(recorder.requests, default=str))
    return code_of_exit


if __name__ == "__main__":
    sys.exit(main())
