"""SERVE_API_KEY: without the key nothing but /ping is answered; without the variable everything is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from container.serve.settings import Settings
from launch.invoke import InvokeError, invoke
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

KEY = "s3cret-schlüssel"
PICTURE = png(formula_picture())


def as_header(text: str) -> str:
    """What http.client sends as UTF-8."""
    return text.encode().decode("latin-1")


@pytest.fixture(scope="module")
def guarded(tiny_base_dir: Path) -> Iterator[Server]:
    with Server(tiny_base_dir, {"SERVE_API_KEY": KEY + "\n"}) as server:
        yield server.wait_until_ready()  # by /ping, which stays open


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ", f"Basic {KEY}", KEY, "Bearer s3cret", f"Bearer {KEY}x", "Bearer \xff"]
)
def test_without_the_key_nothing_is_answered(guarded, sent):
    headers = {"Authorization": as_header(sent)} if sent else {}
    reply = guarded.invoke(PICTURE, **headers)
    assert (reply.status, reply.code) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer" and KEY.encode() not in reply.body
    assert guarded.request("GET", "/execution-parameters", headers=headers).code == "unauthorized"
    assert guarded.request("GET", "/nowhere", headers=headers).code == "unauthorized"
    assert guarded.ping().status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_key_the_answer_is_the_usual_one(guarded, tiny_server, scheme):
    reply = guarded.invoke(PICTURE, Authorization=as_header(f"{scheme} {KEY}"))
    assert reply.status == 200 and reply.json() == tiny_server.invoke(PICTURE).json()


def test_a_key_may_end_in_a_letter_whose_last_byte_is_a_space_in_latin_1(tiny_base_dir):
    with Server(tiny_base_dir, {"SERVE_API_KEY": "voilà"}) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE, Authorization=as_header("Bearer voilà")).status == 200


def test_the_key_is_in_no_log(tiny_base_dir):
    with Server(tiny_base_dir, {"SERVE_API_KEY": KEY, "SAGEMAKER_CONTAINER_LOG_LEVEL": "10"}) as server:
        server.wait_until_ready().invoke(PICTURE, Authorization=as_header(f"Bearer {KEY}"))
        server.terminate()
        _, log = server.finish()
    assert '"/invocations"' in log and "s3cret" not in log


def test_the_settings_do_not_show_it():
    assert "s3cret" not in repr(Settings.from_environment({"SERVE_API_KEY": KEY}))


def test_invoke_brings_it(tiny_base_dir, tmp_path, monkeypatch):
    (tmp_path / "formula.png").write_bytes(PICTURE)
    with Server(tiny_base_dir, {"SERVE_API_KEY": KEY}) as server:
        server.wait_until_ready()
        with pytest.raises(InvokeError, match="401"):
            invoke(tmp_path / "formula.png", "127.0.0.1", server.port)
        monkeypatch.setenv("SERVE_API_KEY", KEY)
        assert '"latex"' in invoke(tmp_path / "formula.png", "127.0.0.1", server.port)
