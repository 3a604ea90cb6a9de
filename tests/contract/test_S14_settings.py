"""S14: the variables with which SageMaker's SDK sets workers, timeout, log level, batch size and batch delay."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
import torch

from container.resources import suggested_threads
from container.serve.workers import suggested_workers
from inference import NETWORKS, PreprocessSpec, Recognizer
from recognizer.export import Trained, export
from recognizer.latex import Vocabulary
from recognizer.models import build
from tests.support.handlers import count_pictures, replace_handler
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png
from tests.support.tiny_recognizer import SMALL, TOKENS

PICTURES = [png(formula_picture(seed)) for seed in range(8)]


def test_S14_workers(tiny_base_dir):
    with Server(tiny_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as server:
        server.wait_until_ready()
        assert len(server.workers()) == 2
        assert server.invoke(PICTURES[0]).status == 200


def test_S14_address(tiny_base_dir):
    """All of the machine's by default, as a container needs; one, for a server that is nobody else's."""
    with Server(tiny_base_dir, {"SERVE_HOST": "127.0.0.2"}) as server:
        server.wait_for_log(f"Listening at: http://127.0.0.2:{server.port} ")
        with pytest.raises(ConnectionRefusedError):
            server.ping()
        connection = HTTPConnection("127.0.0.2", server.port, timeout=60)
        connection.request("GET", "/execution-parameters")
        assert connection.getresponse().status == 200


def test_S14_workers_come_to_share_lasting_connections(own_base_dir):
    """All are opened while one worker can't accept; each ends after a few seconds, and the next one is anybody's."""
    replace_handler(
        own_base_dir,
        "import os, time\n"
        "def model_fn(model_dir): ...\n"
        "def transform_fn(model, body, content_type, accept):\n"
        "    until = time.thread_time() + 0.01\n"
        "    while time.thread_time() < until: pass\n"
        "    return str(os.getpid())\n",
    )
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as server, ThreadPoolExecutor(16) as pool:
        stopped, _ = server.wait_until_ready().workers()
        connections = [server.connect() for _ in range(16)]

        def ask(connection: HTTPConnection) -> int:
            connection.request("POST", "/invocations", b"")
            return int(connection.getresponse().read())

        os.kill(stopped, signal.SIGSTOP)
        assert stopped not in map(ask, connections)
        os.kill(stopped, signal.SIGCONT)
        deadline = time.monotonic() + 30
        while not 4 <= (share := [*pool.map(ask, connections)].count(stopped)) <= 12:
            assert time.monotonic() < deadline, share


def open_one(server: Server) -> tuple[HTTPConnection, int]:
    """A connection that lasts, and the worker that has it."""
    connection = server.connect()
    connection.request("POST", "/invocations", b"")
    return connection, int(connection.getresponse().read())


def test_S14_workers_share_connections_as_they_come(own_base_dir):
    """Whoever was awake first took them: 23 of 32 were at one worker, whose clients waited twice as long."""
    replace_handler(
        own_base_dir,
        "import os\n"
        "def model_fn(model_dir): ...\n"
        "def transform_fn(model, body, content_type, accept): return str(os.getpid())\n",
    )
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as server, ThreadPoolExecutor(32) as pool:
        workers = server.wait_until_ready().workers()
        connections = [*pool.map(open_one, [server] * 32)]
        assert 12 <= [pid for _, pid in connections].count(workers[0]) <= 20
        for worker in tuple(workers):
            os.kill(worker, signal.SIGKILL)
            server.wait_for_log('"ready"', times=len(workers) + 1)
            (heir,) = {*server.workers()} - {*workers}
            workers.append(heir)
            connections += [open_one(server) for _ in range(16)]  # the other has kept its own
            assert [pid for _, pid in connections].count(heir) >= 9, "not all: it tells its number once a second"


def test_S14_by_default_a_worker_for_each_core(tiny_base_dir):
    with Server(tiny_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": ""}) as server:
        server.wait_until_ready()
        assert len(server.workers()) == suggested_workers(tiny_base_dir / "model")
        assert server.invoke(PICTURES[0]).status == 200


def test_S2_S14_ping_waits_for_the_slowest_worker(own_base_dir):
    replace_handler(
        own_base_dir,
        "import os, pathlib, time\n"
        "def model_fn(model_dir):\n"
        "    try:\n"
        "        (pathlib.Path(model_dir).parent / 'first').touch(exist_ok=False)\n"
        "    except FileExistsError:\n"
        "        time.sleep(2)\n"
        "def transform_fn(model, body, content_type, accept): return str(os.getpid())\n",
    )
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as server:
        server.wait_until_ready()
        replies = [server.invoke(b"") for _ in range(40)]
        assert {reply.status for reply in replies} == {200}
        assert server.ping().status == 200


def test_S14_the_model_is_loaded_after_the_fork(tiny_base_dir):
    """CUDA can't be used across a fork, so the process that forks must have nothing of the model in it."""
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        assert "onnxruntime" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "onnxruntime" in Path(f"/proc/{server.workers()[0]}/maps").read_text()


def test_S14_threads_fit_the_container(own_base_dir):
    """Shared among the workers, and counted from the cgroup instead of the host's cores."""
    replace_handler(
        own_base_dir,
        "import os\n"
        "def model_fn(model_dir): ...\n"
        "def transform_fn(model, body, content_type, accept): return os.environ['OMP_NUM_THREADS']\n",
    )
    command = ["env", "--unset", "OMP_NUM_THREADS", sys.executable, "-m", "container.serve"]
    for workers in (1, 2):
        with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)}, command) as server:
            server.wait_until_ready()
            assert int(server.invoke(b"").body) == max(1, suggested_threads() // workers)


def test_S14_precision_that_the_model_lacks_is_said(tiny_base_dir):
    """SERVE_PRECISION is read by the model's inference.py; a model of earlier versions has fp32 alone."""
    with Server(tiny_base_dir, {"SERVE_PRECISION": "int8"}) as server:
        server.wait_for_log("has no int8 networks")
        assert server.ping().status == 503


def test_S14_precision(tmp_path):
    """An exported model has its networks twice, and the variable says which of them answer."""
    torch.manual_seed(7)
    vocabulary = Vocabulary.from_labels([TOKENS])
    model = build("fast", len(vocabulary), 20, SMALL["fast"]).eval()
    pictures = [formula_picture(seed) for seed in range(4)]
    export(Trained(model, "fast", SMALL["fast"], vocabulary, PreprocessSpec(), 20), pictures, tmp_path / "model")
    expected = {name: Recognizer.load(tmp_path / "model", 1, name).predict(pictures[:1])[0] for name in NETWORKS}
    with Server(tmp_path, {"SERVE_PRECISION": "int8"}) as server:
        answer = server.wait_until_ready().invoke(PICTURES[0]).json()
        assert json.loads(server.wait_for_log('"ready"'))["precision"] == "int8"
    assert answer["latex"] == expected["int8"].latex
    assert answer["confidence"] == pytest.approx(expected["int8"].confidence, rel=1e-3)
    assert answer["confidence"] != pytest.approx(expected["fp32"].confidence, rel=1e-3)


def test_S14_the_log_says_what_serves(tiny_base_dir):
    """Which of the two a model runs on, and in which precision, nobody sees from its answers."""
    with Server(tiny_base_dir) as server:
        ready = json.loads(server.wait_for_log('"ready"'))
    assert (ready["version"], ready["precision"]) == ("tiny-1", "fp32")
    assert ready["providers"] == ["CPUExecutionProvider"]


def test_S14_timeout_is_the_requests_deadline(own_base_dir):
    count_pictures(own_base_dir, 0.3)
    with Server(own_base_dir, {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "0.1"}) as server:
        server.wait_until_ready()
        assert server.invoke(PICTURES[0]).code == "deadline_exceeded"


@pytest.mark.parametrize(("level", "shown"), [("10", True), ("debug", True), ("20", False), ("WARNING", False)])
def test_S14_log_level(tiny_base_dir, level, shown):
    with Server(tiny_base_dir, {"SAGEMAKER_CONTAINER_LOG_LEVEL": level}) as server:
        server.wait_until_ready()
        server.terminate()
        log = server.finish()[1]
    assert ('"/ping"' in log) == shown
    assert ('"INFO"' in log) == (level != "WARNING")


@pytest.mark.parametrize(("size", "most"), [("1", 1), ("3", 3), ("8", 8)])
def test_S14_batch_size(own_base_dir, tiny_server, size, most):
    """Concurrent requests share calls of the model, up to the size; each gets the answer it gets alone."""
    expected = [tiny_server.invoke(picture).json()["latex"] for picture in PICTURES]
    count_pictures(own_base_dir, 0.3)
    with Server(own_base_dir, {"SAGEMAKER_TS_BATCH_SIZE": size}) as server, ThreadPoolExecutor(8) as pool:
        server.wait_until_ready()
        replies = list(pool.map(server.invoke, PICTURES))
        server.terminate()
        log = server.finish()[1]
    assert [reply.json()["latex"] for reply in replies] == expected
    sizes = [int(text) for text in re.findall(r"pictures: (\d+)", log)]
    assert sum(sizes) == len(PICTURES)
    assert max(sizes) <= most
    assert most == 1 or max(sizes) > 1


def test_S14_batch_delay_costs_a_lone_request_nothing(tiny_base_dir):
    with Server(tiny_base_dir, {"SAGEMAKER_TS_MAX_BATCH_DELAY": "2000"}) as server:
        server.wait_until_ready()
        started = time.monotonic()
        assert server.invoke(PICTURES[0]).status == 200
        assert time.monotonic() - started < 1
