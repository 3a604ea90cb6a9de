"""The web page's files over HTTP: off by default, right types, revalidated, guarded; the key is for /mathml only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from container.serve.page import FOLDER, LONGEST_LATEX, TYPES
from tests.support.server import Server

ROUTES = [("GET", "/"), ("GET", "/page/page.js"), ("POST", "/mathml")]
KEY = {"Authorization": "Bearer s3cret"}


@pytest.fixture(scope="module")
def guarded(tiny_base_dir: Path) -> Iterator[Server]:
    with Server(tiny_base_dir, {"SERVE_PAGE": "true", "SERVE_API_KEY": "s3cret"}) as server:
        yield server.wait_until_ready()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_off_unless_it_is_asked_for(tiny_server, method, path):
    reply = tiny_server.request(method, path)
    assert (reply.status, reply.code) == (404, "not_found")


def test_off_on_sagemaker_even_if_it_is_asked_for(tiny_base_dir):
    with Server(tiny_base_dir, {"SERVE_PAGE": "1", "SAGEMAKER_REGION": "eu-west-1"}) as server:
        server.wait_until_ready()
        replies = [server.request(*route) for route in ROUTES]
        described = server.request("GET", "/openapi.json").json()["paths"]
    assert [(reply.status, reply.code) for reply in replies] == [(404, "not_found")] * len(ROUTES)
    assert described.keys().isdisjoint({"/", "/page/{name}", "/mathml"})


@pytest.mark.parametrize("path", ["/", *(f"/page/{file.name}" for file in sorted(FOLDER.iterdir()))])
def test_every_file_is_open_typed_guarded_and_revalidated(guarded, path):
    reply = guarded.request("GET", path)
    assert reply.status == 200
    assert reply.headers["Content-Type"].partition(";")[0] == TYPES[Path(path).suffix or ".html"]
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    again = guarded.request("GET", path, headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", ".", "style.css%00"])
def test_nothing_else_is_a_file_of_it(guarded, name):
    reply = guarded.request("GET", f"/page/{name}", headers=KEY)
    assert (reply.status, reply.code) == (404, "not_found")


def test_mathml_needs_the_key(guarded):
    assert guarded.request("POST", "/mathml", b"x").code == "unauthorized"
    reply = guarded.request("POST", "/mathml", "α^2".encode(), KEY)
    assert reply.headers["Content-Type"].startswith("application/mathml+xml")
    assert "<msup>" in reply.body.decode() and "α" in reply.body.decode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (rb"\frac", 422, "not_typesettable"),
        (b"", 422, "not_typesettable"),
        (b"\xff", 400, "invalid_text"),
        (b"x" * (LONGEST_LATEX + 1), 413, "payload_too_large"),
    ],
)
def test_mathml_refuses_in_the_servers_form(guarded, body, status, code):
    reply = guarded.request("POST", "/mathml", body, KEY)
    assert (reply.status, reply.code) == (status, code)
    assert b"Traceback" not in reply.body
