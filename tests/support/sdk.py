"""The Pythons of the SageMaker SDKs, run as programs of the user's machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 420  # seconds for a whole story on a busy machine


def sdk_python(version: int) -> str:
    """The Python that holds this version of the SDK; they exclude each other, and both stay out of .venv."""
    python = ROOT / f".venv-sdk{version}/bin/python"
    if not python.exists():
        message = f"no {python.parent.parent.name}: make venv-sdk"
        if os.environ.get("REQUIRE_CONTAINER") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return str(python)


def run_sdk(*command: str) -> str:
    """Run a program of the user's machine; nothing of AWS may be called, so there is no way to it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # the discard port: a call to AWS would fail at once
    }
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, output
    return output
