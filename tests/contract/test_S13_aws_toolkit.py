"""S13: the same inference.py works in AWS's own inference images: run through the handler stack that they use.

The toolkit has an environment of its own, without this project's packages: what runs is the model directory's code.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess

import pytest

from tests.support.server import ROOT
from tests.support.tiny_model import formula_picture, png

TOOLKIT = ROOT / ".venv-aws-toolkit/bin/python"
PICTURE = png(formula_picture())
BASE64 = base64.b64encode(PICTURE).decode()
ASK = """
import json, sys
from bench.aws_toolkit import Toolkit

model_dir, content_type, accept = sys.argv[1:]
print(json.dumps(Toolkit(model_dir).answer(sys.stdin.buffer.read(), content_type, accept)))
"""


@pytest.fixture(autouse=True, scope="module")
def toolkit():
    if not TOOLKIT.exists():
        pytest.fail(f"no {TOOLKIT.parent.parent.name}: make venv-aws-toolkit", pytrace=False)


def ask(base_dir, body, content_type, accept="application/json"):
    """One request through a fresh toolkit process -> status, content type, body."""
    model_dir = base_dir / "model"
    environment = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(base_dir),
        "SAGEMAKER_PROGRAM": "inference.py",
        "PYTHONPATH": f"{model_dir / 'code'}:{ROOT}",
    }
    command = [str(TOOLKIT), "-c", ASK, str(model_dir), content_type, accept]
    return json.loads(subprocess.run(command, input=body, env=environment, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/png", PICTURE),
        ("application/json", json.dumps({"image": BASE64}).encode()),
        ("application/json", json.dumps({"images": [BASE64, "no picture"]}).encode()),
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


def test_S13_lines_under_aws_toolkit(tiny_base_dir, tiny_server):
    body = "\n".join([json.dumps({"image": BASE64}), "{", json.dumps({"image": BASE64})]).encode()
    status, kind, answer = ask(tiny_base_dir, body, "application/jsonlines", "application/jsonlines")
    assert (status, kind) == (200, "application/jsonlines")
    assert answer == tiny_server.invoke(body, "application/jsonlines").body.decode()
