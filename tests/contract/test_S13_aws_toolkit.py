"""S13: the same inference.py works in AWS's own inference images: run through the handler stack that they use."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest

from tests.support.tiny_model import formula_picture, png

pytest.importorskip("sagemaker_inference", reason="needs AWS's toolkit: pip install sagemaker-inference")

PICTURE = png(formula_picture())
ASK = """
import base64, json, sys
from types import SimpleNamespace
from sagemaker_inference.transformer import Transformer

class Context(SimpleNamespace):
    def set_response_content_type(self, number, name):
        self.content_type = name
    def set_response_status(self, code, phrase):
        self.status = code

model_dir, content_type, accept = sys.argv[1:]
headers = {"Content-Type": content_type, "Accept": accept}
processor = SimpleNamespace(get_request_properties=lambda: headers)
context = Context(request_processor=[processor], system_properties={"model_dir": model_dir}, status=200)
(body,) = Transformer().transform([{"body": sys.stdin.buffer.read()}], context)
print(json.dumps([int(context.status), context.content_type, body]))
"""


def ask(base_dir, body, content_type, accept="application/json"):
    """One request through a fresh toolkit process -> status, content type, body."""
    model_dir = base_dir / "model"
    environment = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(base_dir),
        "SAGEMAKER_PROGRAM": "inference.py",
        "PYTHONPATH": str(model_dir / "code"),
    }
    command = [sys.executable, "-c", ASK, str(model_dir), content_type, accept]
    return json.loads(subprocess.run(command, input=body, env=environment, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/png", PICTURE),
        ("application/json", json.dumps({"image": base64.b64encode(PICTURE).decode()}).encode()),
    ],
)
def test_S13_same_answer_under_aws_toolkit(tiny_base_dir, tiny_server, content_type, body):
    status, kind, answer = ask(tiny_base_dir, body, content_type)
    assert (status, kind) == (200, "application/json")
    assert json.loads(answer) == tiny_server.invoke(body, content_type).json()


def test_S13_accept_under_aws_toolkit(tiny_base_dir, tiny_server):
    _, kind, answer = ask(tiny_base_dir, PICTURE, "image/png", "text/plain")
    assert kind.startswith("text/plain")
    assert answer.strip() == tiny_server.invoke(PICTURE).json()["latex"]
