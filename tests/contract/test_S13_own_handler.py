"""S13: the model's code/inference.py may override the handler's functions, in whole or in part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.handlers import add_to_handler, replace_handler
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())

ALL_FOUR = """
import helper  # a neighbour in code/

def model_fn(model_dir):
    return {"dir": model_dir}

def input_fn(body, content_type):
    return body, content_type

def predict_fn(data, model):
    return helper.describe(*data, model)

def output_fn(prediction, accept):
    return prediction, "text/x-own"
"""
HELPER = """
def describe(body, content_type, model):
    return f"{type(body).__name__} {len(body)} {content_type} {model['dir']}"
"""
TRANSFORM = """
def model_fn(model_dir, context):
    return context.system_properties["model_dir"]

def transform_fn(model, body, content_type, accept):
    return f"{model}|{type(body).__name__}|{content_type}|{accept}"
"""
OUTPUT_ONLY = """
def output_fn(answer, accept):
    return f"own: {answer.rows[0].latex}", "text/plain"
"""


def test_S13_all_functions(own_base_dir):
    replace_handler(own_base_dir, ALL_FOUR)
    (own_base_dir / "model" / "code" / "helper.py").write_text(HELPER)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        reply = server.invoke(b"12345", "application/x-own")
        assert reply.body.decode() == f"bytes 5 application/x-own {own_base_dir / 'model'}"
        assert reply.headers["Content-Type"] == "text/x-own"
        assert server.invoke("ü".encode(), "text/csv").body.startswith(b"str 1 ")  # text, as AWS's toolkit gives it


def test_S13_transform_fn(own_base_dir):
    replace_handler(own_base_dir, TRANSFORM)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        reply = server.invoke(b"{}", "application/json", Accept="text/plain")
        assert reply.body.decode() == f"{own_base_dir / 'model'}|str|application/json|text/plain"
        assert reply.headers["Content-Type"].startswith("text/plain")


def test_S13_default_accept(own_base_dir):
    replace_handler(own_base_dir, TRANSFORM)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        assert server.invoke(b"x", Accept="*/*").body.endswith(b"|application/json")
    with Server(own_base_dir, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}) as server:
        server.wait_until_ready()
        assert server.invoke(b"x").body.endswith(b"|text/csv")


def test_S13_one_function(own_base_dir, tiny_server):
    expected = tiny_server.invoke(PICTURE).json()["latex"]
    replace_handler(own_base_dir, OUTPUT_ONLY)
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).body.decode() == f"own: {expected}"


def test_S13_no_handler_in_the_model(own_base_dir, tiny_server):
    (own_base_dir / "model" / "code" / "inference.py").unlink()
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).json() == tiny_server.invoke(PICTURE).json()


def test_S13_program_by_name(own_base_dir):
    replace_handler(own_base_dir, OUTPUT_ONLY)
    (own_base_dir / "model" / "code" / "other.py").write_text(OUTPUT_ONLY.replace("own:", "other:"))
    with Server(own_base_dir, {"SAGEMAKER_PROGRAM": "other.py"}) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).body.startswith(b"other: ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def transform_fn(model, body, content_type, accept): ...\ndef input_fn(body, kind): ...", "transform_fn"),
        ("import not_in_this_image", "not_in_this_image"),
        ("def predict_fn(data): ...", "must take 2 arguments"),
        ("def model_fn(model_dir):\n    raise SystemExit('no licence')", "no licence"),
        ("def model_fn(model_dir) return", "expected ':'"),
    ],
)  # fmt: skip
def test_S13_unusable_handler_is_said_plainly(own_base_dir, source, message):
    replace_handler(own_base_dir, source)
    with Server(own_base_dir) as server:
        assert message in server.wait_for_log("CRITICAL")
        assert message in server.ping().json()["error"]["message"]
        assert server.ping().status == 503


def test_S13_a_strangers_functions_run_one_request_at_a_time(own_base_dir):
    """AWS's toolkit never calls them from two threads, so they may not be made for it."""
    replace_handler(
        own_base_dir,
        "import threading, time\n"
        "busy = threading.Lock()\n"
        "def model_fn(model_dir): ...\n"
        "def transform_fn(model, body, content_type, accept):\n"
        "    if not busy.acquire(blocking=False):\n"
        "        raise RuntimeError('called twice at a time')\n"
        "    time.sleep(0.05)\n"
        "    busy.release()\n"
        "    return body\n",
    )
    with Server(own_base_dir) as server, ThreadPoolExecutor(8) as pool:
        server.wait_until_ready()
        replies = list(pool.map(server.invoke, [b"%d" % number for number in range(8)]))
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(8)]


ALONE = """
import threading
_busy, _ours = threading.Lock(), predict_fn


def predict_fn(request, model, context=None):
    if not _busy.acquire(blocking=False):
        raise RuntimeError("called twice at a time")
    threading.Event().wait(0.05)
    _busy.release()
    return _ours(request, model)
"""


def test_S13_our_functions_with_a_change_run_one_call_at_a_time(own_base_dir):
    """Their pictures share calls, as ours do, but nobody has said that two calls may overlap."""
    add_to_handler(own_base_dir, ALONE)
    with Server(own_base_dir, {"SAGEMAKER_TS_BATCH_SIZE": "1"}) as server, ThreadPoolExecutor(8) as pool:
        server.wait_until_ready()
        assert [reply.status for reply in pool.map(server.invoke, [PICTURE] * 8)] == [200] * 8


def test_S13_a_fault_of_the_handler_shows_no_traceback(own_base_dir):
    replace_handler(own_base_dir, "def model_fn(model_dir): ...\ndef input_fn(body, content_type): return 1 / 0\n")
    with Server(own_base_dir) as server:
        server.wait_until_ready()
        reply = server.invoke(PICTURE)
        assert (reply.status, reply.code) == (500, "internal_error")
        assert b"ZeroDivision" not in reply.body and b"Traceback" not in reply.body
        line = server.wait_for_log("ZeroDivisionError")
        assert reply.headers["X-Request-Id"] in line
        assert reply.headers["X-Request-Id"] in reply.json()["error"]["message"]


def test_S13_functions_that_the_sdk_has_not_packed_into_the_model_are_found_or_missed(own_base_dir, tmp_path):
    """SAGEMAKER_SUBMIT_DIRECTORY is a mounted folder in local mode. On AWS it is an archive that nobody downloads, and
    the image's own functions answered in the place of the user's, without a word."""
    (tmp_path / "mine.py").write_text(OUTPUT_ONLY)
    with Server(own_base_dir, {"SAGEMAKER_PROGRAM": "mine.py", "SAGEMAKER_SUBMIT_DIRECTORY": str(tmp_path)}) as server:
        assert server.wait_until_ready().invoke(PICTURE).body.startswith(b"own: ")
    archive = "s3://bucket/sourcedir.tar.gz"
    with Server(own_base_dir, {"SAGEMAKER_PROGRAM": "mine.py", "SAGEMAKER_SUBMIT_DIRECTORY": archive}) as server:
        server.wait_for_log("give the Model a source_dir too")
        assert server.ping().status == 503
