"""/openapi.json keeps its word: schemathesis makes requests of it, right and wrong ones, and checks every answer.

What it can't see: whether options do what they say, and codes that come rarely.
"""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import inference
from container.serve import openapi
from container.serve.settings import Settings
from tests.support.metrics import scrape
from tests.support.server import ROOT, Server
from tests.support.tiny_model import formula_picture, png

OPTIONS = [
    "--max-examples=40",
    "--seed=1",
    "--generation-database=none",
    "--phases=examples,coverage,fuzzing",
    "--checks=all",
    "--no-color",
]


SOURCES = [ROOT / "code" / "inference.py", *sorted((ROOT / "container" / "serve").glob("*.py"))]
COUNT = "formula_request_seconds_count"
UNREAD = {(499, "client_gone")}  # for the log: the client has hung up
LOADED = "loaded"  # the model that is there, where several may be; other names are drawn at random
# What a schema can't say: that a text is a formula, or the place of a model.
ANY_TEXT = """
[[operations]]
include-path = "/mathml"

[operations.checks]
positive_data_acceptance.expected-statuses = [200, 422]
"""
ASKS_FOR_IT = f"""
[dictionaries.names]
values = ["{LOADED}"]

[[operations]]
include-path-regex = "^/models/.name./invoke$"

[operations.parameters."path.name"]
dictionary = "names"
probability = 0.8

[[operations]]
include-path = "/models"
include-method = "POST"

[operations.checks]
positive_data_acceptance.expected-statuses = [200, 400, 404, 409]
"""


@pytest.mark.parametrize(
    ("key", "mode"),
    [(None, {"SERVE_PAGE": "1"}), ("key", {"SERVE_PAGE": "1"}), (None, {"SAGEMAKER_MULTI_MODEL": "true"})],
)
def test_answers_are_as_promised(tiny_base_dir, tmp_path, key, mode):
    with Server(tiny_base_dir, {**mode, **({"SERVE_API_KEY": key} if key else {})}) as server:
        url = f"http://127.0.0.1:{server.wait_until_ready().port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, *OPTIONS]
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        for name, value in authorization.items():
            command += ["--header", f"{name}: {value}"]
        if "SAGEMAKER_MULTI_MODEL" in mode:
            load_model(server, tiny_base_dir / "model")
        (tmp_path / "schemathesis.toml").write_text(ASKS_FOR_IT if "SAGEMAKER_MULTI_MODEL" in mode else ANY_TEXT)
        path = f"{ROOT}:{ROOT / 'code'}"
        hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": path}
        done = subprocess.run(command, cwd=tmp_path, env=hooks, capture_output=True, text=True, timeout=120)
        seen = scrape(server, **authorization)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Fuzzing" in done.stdout and "failed" not in done.stdout
    requests = {tuple(labels): count for (name, *labels), count in seen.items() if name == COUNT}
    recognized = sum(count for (route, status), count in requests.items() if "/invo" in route and status == "200")
    assert recognized > 10  # answers were looked at, not refusals alone


def load_model(server: Server, folder: Path) -> None:
    body = json.dumps({"model_name": LOADED, "url": str(folder)}).encode()
    assert server.request("POST", "/models", body).status == 200


def test_every_option_is_there_with_its_bounds_and_default(tiny_server):
    described = tiny_server.request("GET", "/openapi.json").json()
    parameters = described["paths"]["/invocations"]["post"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert {name: schema["default"] for name, schema in schemas.items()} == vars(inference.Options())
    assert {name: schema["maximum"] for name, schema in schemas.items() if "maximum" in schema} == inference.LIMITS
    assert schemas["turn"]["enum"] == ["auto", "off"]
    for model in ("Picture", "Pictures", "Instances"):
        assert schemas.keys() < described["components"]["schemas"][model]["properties"].keys()


def test_every_type_of_picture_is_there_and_taken(tiny_server):
    operation = tiny_server.request("GET", "/openapi.json").json()["paths"]["/invocations"]["post"]
    described = {kind for kind in operation["requestBody"]["content"] if kind.startswith("image/")}
    assert described == set(inference.PICTURE_TYPES.values()) > {"image/png", "image/jpeg", "image/webp", "image/tiff"}
    for name, kind in inference.PICTURE_TYPES.items():
        picture = io.BytesIO()
        Image.fromarray(formula_picture()).save(picture, name)
        assert tiny_server.invoke(picture.getvalue(), kind).status == 200


@pytest.mark.parametrize(
    "query", ["", "?n_best=3", "?tokens=true&constrained=1", "?tokens=1&n_best=2&views=1&turn=off"]
)
def test_answers_to_options_are_as_described(tiny_server, query):
    answer = tiny_server.request("POST", f"/invocations{query}", png(formula_picture())).json()
    openapi.Prediction.model_validate(answer, strict=True, extra="forbid")


@pytest.mark.parametrize(
    "fields",
    [{"X-Long": "x" * 10_000}, {f"X-{number}": "x" for number in range(101)}, {"X-Endless": "x" * 300_000}],
    ids=["long", "many", "endless"],
)
def test_a_head_that_is_too_large_is_answered_as_described(tiny_server, fields):
    described = tiny_server.request("GET", "/openapi.json").json()["paths"]["/ping"]["get"]["responses"]["431"]
    reply = tiny_server.request("GET", "/ping", headers=fields)
    assert (reply.status, reply.headers["Content-Type"]) == (431, "application/json")
    assert reply.code in codes(described)


def test_every_code_in_the_source_is_described():
    """As an answer's, under its status: of a server with the page and a key, or with several models."""
    modes = ({"SERVE_PAGE": "1", "SERVE_API_KEY": "key"}, {"SAGEMAKER_MULTI_MODEL": "true"})
    described: set[tuple[int, str]] = set()
    for mode in modes:
        for operations in openapi.document(Settings.from_environment(mode))["paths"].values():
            for operation in (each for name, each in operations.items() if name != "parameters"):
                described |= {(int(s), code) for s, answer in operation["responses"].items() for code in codes(answer)}
    raised = {found for path in SOURCES for found in raised_in(path)}
    assert len(raised) > 30
    assert raised - UNREAD == described - {(404, "not_found"), (405, "method_not_allowed")}  # Flask's own


def codes(answer: dict) -> list[str]:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return schema["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"] if "allOf" in schema else []


def raised_in(path: Path) -> set[tuple[int, str]]:
    """Status and code of each ServeError and RequestError that is made there."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    made = [call.args for call in calls if ast.unparse(call.func).endswith(("ServeError", "RequestError"))]
    return {
        (status.value, str(code.value))
        for status, code, *_ in made
        if isinstance(status, ast.Constant) and isinstance(status.value, int) and isinstance(code, ast.Constant)
    }
