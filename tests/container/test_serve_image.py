"""The serving image at work: real containers with the small arithmetic model of tests/support, asked over HTTP."""

from __future__ import annotations

import base64
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launch.invoke import invoke
from tests.support.containers import DOCKER, LABEL, OFFLINE, ORDINARY_USER, READ_ONLY, docker, logs, wait_for_log
from tests.support.handlers import change_stream, slow_down, slow_down_loading
from tests.support.server import ROOT, Server, free_port
from tests.support.tiny_model import formula_picture, png

pytestmark = pytest.mark.container

PICTURE = png(formula_picture())
HEALTHY_SECONDS = 5
PING = """
import http.client, time
for _ in range(100):  # one process is ready, the one that answers may load yet
    connection = http.client.HTTPConnection("127.0.0.1", 8080)
    connection.request("GET", "/ping")
    status = connection.getresponse().status
    if status == 200:
        break
    time.sleep(0.1)
print(status)
"""
INVOKE = """
import base64, http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 8080)
connection.request("POST", "/invocations", base64.b64decode(sys.argv[1]), {"Content-Type": "image/png"})
print(connection.getresponse().read().decode())
"""
WORKERS = """
import os, pathlib
stats = {p.parent.name: p.read_text().rpartition(")")[2].split() for p in pathlib.Path("/proc").glob("[0-9]*/stat")}
workers = [int(pid) for pid, fields in stats.items() if fields[1] == "1" and int(pid) != os.getpid()]
"""
COUNT_WORKERS = WORKERS + "print(len(workers))"
KILL_WORKER = WORKERS + "os.kill(workers[0], 9)"


class ContainerServer(Server):
    """`docker run ... IMAGE serve` behind the interface of a server process; signals reach process 1."""

    def __init__(self, image: str, base_dir: Path, *options: str) -> None:
        port = free_port()
        command = [*DOCKER, "run", "--rm", "--label", LABEL, "--publish", f"127.0.0.1:{port}:8080"]
        command += ["--volume", f"{base_dir}:/opt/ml:ro", *options, image, "serve"]
        super().__init__(base_dir, dict(os.environ), command)
        self.port = port


@pytest.fixture(scope="module")
def base_dir(tiny_base_dir: Path) -> Path:
    for path in (tiny_base_dir, *tiny_base_dir.rglob("*"), *tiny_base_dir.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))  # for the ordinary user
    return tiny_base_dir


def test_S1_healthy_within_5_seconds(serve_image, base_dir):
    started = time.monotonic()
    with ContainerServer(serve_image, base_dir) as server:
        server.wait_until_ready()
        assert time.monotonic() - started < HEALTHY_SECONDS
        assert server.ping().body == b""


@pytest.mark.parametrize("user", [[], ORDINARY_USER], ids=["root", "ordinary user"])
def test_S5_answers_with_a_read_only_root(serve_image, base_dir, tiny_server, user):
    """No /tmp either: what the container answers is what a plain process answers."""
    with ContainerServer(serve_image, base_dir, "--read-only", *user) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).json() == tiny_server.invoke(PICTURE).json()


def test_invoke_client(serve_image, base_dir, tmp_path):
    """What `make invoke` runs."""
    picture = tmp_path / "formula.png"
    picture.write_bytes(PICTURE)
    with ContainerServer(serve_image, base_dir) as server:
        server.wait_until_ready()
        assert invoke(picture, "127.0.0.1", server.port, "text/plain") == server.invoke(PICTURE).json()["latex"]


def test_S1_bind_to_port(serve_image, base_dir):
    port = free_port()
    options = ["--publish", f"127.0.0.1:{port}:{port}", "--env", f"SAGEMAKER_BIND_TO_PORT={port}"]
    with ContainerServer(serve_image, base_dir, *options) as server:
        server.port = port
        assert server.wait_until_ready().ping().status == 200


def test_T18_serves_without_network(serve_image, base_dir, tiny_server):
    """Asked from inside, for nothing outside can reach it; and nothing tried to reach out."""
    options = ["--volume", f"{base_dir}:/opt/ml:ro", *OFFLINE, *ORDINARY_USER, "--read-only", "--detach"]
    started = docker("run", "--rm", "--label", LABEL, *options, serve_image, "serve")
    container = started.out.strip()
    try:
        wait_for_log(container, '"ready"', 30)
        assert docker("exec", container, "python3", "-c", PING).out.strip() == "200"
        answer = docker("exec", container, "python3", "-c", INVOKE, base64.b64encode(PICTURE).decode()).out
        assert json.loads(answer) == tiny_server.invoke(PICTURE).json()
        assert "telemetry" not in logs(container).lower()
    finally:
        docker("rm", "--force", container)


def test_S4_sigterm_to_the_container_loses_nothing(serve_image, own_base_dir):
    slow_down(own_base_dir, 0.5)
    options = ["--env", "SAGEMAKER_TS_BATCH_SIZE=2"]
    with ContainerServer(serve_image, own_base_dir, *options) as server, ThreadPoolExecutor(24) as pool:
        server.wait_until_ready()
        replies = [pool.submit(server.invoke, PICTURE) for _ in range(24)]
        time.sleep(0.5)
        server.terminate()
        assert [reply.result().status for reply in replies] == [200] * 24
        assert server.finish(30)[0] == 0


def test_what_is_no_model_is_named(serve_image, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved.pt").touch()
    with ContainerServer(serve_image, tmp_path) as server:
        server.wait_for(503)
        assert "/opt/ml/model" in server.ping().json()["error"]["message"]


def test_without_a_model_of_your_own_the_shipped_one_reads(serve_image, tmp_path):
    """`docker run IMAGE serve` and nothing else."""
    shipped = json.loads((ROOT / "weights" / "model.json").read_text())
    started = time.monotonic()
    with ContainerServer(serve_image, tmp_path, "--read-only") as server:
        server.wait_until_ready()
        assert time.monotonic() - started < HEALTHY_SECONDS
        assert server.invoke(PICTURE).json()["model_version"] == shipped["version"]


def test_S2_a_dead_model_process_is_told_and_replaced(serve_image, own_base_dir):
    """The new process takes 5 s to load the model, so that it's seen however long the engine takes to kill the old."""
    slow_down_loading(own_base_dir, 5)
    options = ["--env", "SAGEMAKER_MODEL_SERVER_WORKERS=1", "--name", "s2"]
    with ContainerServer(serve_image, own_base_dir, *options) as server:
        server.wait_until_ready()
        docker("exec", "s2", "python3", "-c", KILL_WORKER)
        server.wait_for(503)
        server.wait_for(200)
        assert server.invoke(PICTURE).status == 200


def test_S2_S3_a_stuck_model_is_told_and_a_full_queue_refused_at_once(serve_image, own_base_dir):
    slow_down(own_base_dir, 3)
    settings = ["SAGEMAKER_MODEL_SERVER_WORKERS=1", "SAGEMAKER_MODEL_SERVER_TIMEOUT=1", "SERVE_QUEUE_SIZE=2"]
    options = [option for setting in settings for option in ("--env", setting)]
    with ContainerServer(serve_image, own_base_dir, *options) as server, ThreadPoolExecutor(2) as pool:
        server.wait_until_ready()
        inside = [pool.submit(server.invoke, PICTURE) for _ in range(2)]
        time.sleep(0.4)
        started = time.monotonic()
        refused = server.invoke(PICTURE)
        assert server.ping().status == 200
        assert time.monotonic() - started < 0.5
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
        assert {reply.result().code for reply in inside} == {"deadline_exceeded"}
        server.wait_for(503)
        assert server.wait_until_ready().ping().status == 200


def test_S14_workers_and_log_level(serve_image, base_dir):
    options = ["--env", "SAGEMAKER_MODEL_SERVER_WORKERS=3", "--env", "SAGEMAKER_CONTAINER_LOG_LEVEL=40"]
    with ContainerServer(serve_image, base_dir, *options, "--name", "s14") as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).status == 200
        assert docker("exec", "s14", "python3", "-c", COUNT_WORKERS).out.strip() == "3"
        server.terminate()
        status, log = server.finish(30)
    assert status == 0
    assert "INFO" not in log  # the engine's client may have a word of its own there


def test_S6_S7_headers_and_limits(serve_image, base_dir):
    with ContainerServer(serve_image, base_dir, "--env", "SAGEMAKER_MAX_PAYLOAD_IN_MB=1") as server:
        server.wait_until_ready()
        text = server.invoke(PICTURE, Accept="text/plain", **{"X-Amzn-SageMaker-Inference-Id": "row-7"})
        assert text.headers["Content-Type"].startswith("text/plain") and text.body
        line = json.loads(server.wait_for_log("row-7"))
        assert (line["inference_id"], line["request_id"]) == ("row-7", text.headers["X-Request-Id"])
        refused = server.invoke(b"\0" * 2**21)
        assert (refused.status, refused.code) == (413, "payload_too_large")


def test_S9_S10_batch_transform(serve_image, base_dir):
    """Its parameters, and lines of which a bad one keeps its place."""
    with ContainerServer(serve_image, base_dir, "--env", "SAGEMAKER_BATCH=true") as server:
        server.wait_until_ready()
        parameters = server.request("GET", "/execution-parameters").json()
        record = json.dumps({"image": base64.b64encode(PICTURE).decode()})
        body = "\n".join([record, "{", record] * 20).encode()
        rows = [json.loads(line) for line in server.invoke(body, "application/jsonlines").body.splitlines()]
    assert {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"} <= set(parameters)
    assert [("latex" in row, "error" in row) for row in rows] == [(True, False), (False, True), (True, False)] * 20


def test_S11_a_models_life(serve_image, base_dir):
    with ContainerServer(serve_image, base_dir, "--env", "SAGEMAKER_MULTI_MODEL=true") as server:
        server.wait_for(200)
        body = json.dumps({"model_name": "one", "url": "/opt/ml/model"}).encode()
        assert server.request("POST", "/models", body, {"Content-Type": "application/json"}).status == 200
        asked = server.request("POST", "/models/one/invoke", PICTURE, {"Content-Type": "image/png"})
        assert asked.status == 200 and asked.json()["latex"]
        assert server.request("DELETE", "/models/one").status == 200
        assert server.request("GET", "/models/one").status == 404


def test_S12_tokens_as_they_come(serve_image, own_base_dir):
    """The model waits for a sign that is only given once its first token has arrived."""
    change_stream(own_base_dir, "while not Path('/opt/ml/sign').exists(): time.sleep(0.01)")
    with ContainerServer(serve_image, own_base_dir) as server:
        server.wait_until_ready()
        connection = server.connect()
        connection.request("POST", "/invocations", PICTURE, {"Accept": "text/event-stream"})
        response = connection.getresponse()
        first = response.readline()
        (own_base_dir / "sign").touch()
        rest = response.read().decode()
        connection.close()
        whole = server.invoke(PICTURE).json()
    assert str(response.headers["Content-Type"]).startswith("text/event-stream")
    assert first == b"event: token\n"
    assert json.loads(rest.split("data: ")[-1]) == whole


def test_S13_a_models_own_handler(serve_image, own_base_dir):
    slow_down(own_base_dir, 0.2)
    with ContainerServer(serve_image, own_base_dir) as server:
        server.wait_until_ready()
        started = time.monotonic()
        assert server.invoke(PICTURE).status == 200
        assert time.monotonic() - started >= 0.2


def test_S15_a_gigabyte_and_no_shared_memory(serve_image, tmp_path):
    """The smallest serverless container, with the shipped weights: one worker, and it reads."""
    limits = ["--memory", "1g", "--memory-swap", "1g", *READ_ONLY, "--ipc", "none"]
    with ContainerServer(serve_image, tmp_path, *limits, "--name", "s15") as server:
        server.wait_until_ready()
        assert server.invoke(PICTURE).status == 200
        assert docker("exec", "s15", "python3", "-c", COUNT_WORKERS).out.strip() == "1"
        assert docker("exec", "s15", "ls", "/dev/shm").code != 0
