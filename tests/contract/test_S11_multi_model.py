"""S11: models of a multi-model endpoint are loaded, listed, asked and unloaded by name; strangers' ones are looked at.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from container.serve.model_location import SHIPPED
from tests.support.handlers import hold_back, replace_handler, slow_down
from tests.support.metrics import scrape
from tests.support.server import Reply, Server
from tests.support.tiny_model import formula_picture, png

PICTURE = png(formula_picture())
MULTI = {"SAGEMAKER_MULTI_MODEL": "true"}
OWN_CODE = {**MULTI, "SERVE_MODELS_CODE": "run"}
# One tiny model counts as a little over 48 MB.
ROOM_FOR_TWO = {**MULTI, "SERVE_MODELS_MEMORY_MB": "120"}


class Models(Server):
    """A server of several models, asked as SageMaker asks it."""

    def load(self, name: str, url: Path | str) -> Reply:
        body = json.dumps({"model_name": name, "url": str(url)}).encode()
        return self.request("POST", "/models", body, {"Content-Type": "application/json"})

    def unload(self, name: str) -> Reply:
        return self.request("DELETE", f"/models/{quote(name, safe='')}")

    def ask(self, name: str, **headers: str) -> Reply:
        path = f"/models/{quote(name, safe='')}/invoke"
        return self.request("POST", path, PICTURE, {"Content-Type": "image/png", **headers})

    def names(self, query: str = "") -> list[str]:
        return [model["modelName"] for model in self.request("GET", f"/models{query}").json()["models"]]


@pytest.fixture(scope="module")
def server(tiny_base_dir):
    with Models(tiny_base_dir, MULTI) as server:
        yield server.wait_until_ready()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.03)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def archive_of(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, ".")
    return path


def test_S11_a_models_life(server, tiny_base_dir, tiny_server):
    """Healthy with no model; loaded, shown, asked, unloaded, gone."""
    url = str(tiny_base_dir / "model")
    shown = {"modelName": "a", "modelUrl": url}
    assert server.request("GET", "/models").json() == {"models": []}
    assert (server.ask("a").status, server.ask("a").code) == (404, "model_not_loaded")
    assert server.load("a", url).status == 200
    assert (server.load("a", url).status, server.load("a", url).code) == (409, "model_already_loaded")
    assert server.request("GET", "/models").json() == {"models": [shown]}
    assert server.request("GET", "/models/a").json() == shown
    assert server.ask("a").json() == tiny_server.invoke(PICTURE).json()
    assert server.unload("a").status == 200
    replies = [server.unload("a"), server.request("GET", "/models/a"), server.ask("a")]
    assert [(reply.status, reply.code) for reply in replies] == [(404, "model_not_loaded")] * 3
    assert server.ping().status == 200
    assert server.invoke(PICTURE).code == "not_found"


@pytest.mark.parametrize("name", ["a/b.tar.gz", "/a//b/", "x/invoke", "..", "100% é ?#+&;", "invoke"])
def test_S11_any_name(server, tiny_base_dir, name):
    assert server.load(name, tiny_base_dir / "model").status == 200
    assert server.names() == [name]
    assert server.request("GET", f"/models/{quote(name, safe='')}").json()["modelName"] == name
    assert server.ask(name).status == 200
    assert server.unload(name).status == 200


def test_S11_pages_of_the_list(server, tiny_base_dir):
    names = ["e", "b", "d/1", "a", "c"]
    for name in names:
        assert server.load(name, tiny_base_dir / "model").status == 200
    seen, query = [], "?limit=2"
    while query:
        page = server.request("GET", f"/models{query}").json()
        seen.append([model["modelName"] for model in page["models"]])
        token = page.get("nextPageToken")
        query = token and f"?limit=2&next_page_token={quote(token, safe='')}"
        if len(seen) == 1:
            server.unload("a")  # which shifts no later page
    assert seen == [["a", "b"], ["c", "d/1"], ["e"]]
    for name in server.names():
        server.unload(name)
    for limit in ("0", "x", "1001", "1" * 500):
        assert server.request("GET", f"/models?limit={limit}").code == "invalid_limit"


def test_S11_the_targets_name_is_in_the_log(server):
    server.ask("nobody", **{"X-Amzn-SageMaker-Target-Model": "eu/formulas.tar.gz"})
    assert '"eu/formulas.tar.gz"' in server.wait_for_log('"target_model"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model_name": "a"}',
        b'{"model_name": 1, "url": "/"}',
        b'{"model_name": "", "url": "/"}',
    ],
)
def test_S11_wrong_body(server, body):
    reply = server.request("POST", "/models", body)
    assert (reply.status, reply.code) == (400, "invalid_body")


def test_S11_where_no_model_is(server, tiny_base_dir):
    (tiny_base_dir / "empty").mkdir(exist_ok=True)
    replies = {
        url: server.load("a", url)
        for url in (f"{tiny_base_dir}/missing", f"{tiny_base_dir}/empty", "/etc", "model", "s3://a/b", "\0", "x" * 4000)
    }
    assert [(reply.status, reply.code) for reply in replies.values()] == [(404, "model_not_found")] * 2 + [
        (400, "invalid_url")
    ] * 5
    assert server.names() == []


def test_S11_concurrent_loads_of_one_name(own_base_dir):
    """One wins; for the others the name is taken while it is still being loaded."""
    replace_handler(
        own_base_dir, "import time\ndef model_fn(model_dir): time.sleep(1)\ndef transform_fn(*_): return ''\n"
    )
    with Models(own_base_dir, OWN_CODE) as server, ThreadPoolExecutor(4) as pool:
        server.wait_until_ready()
        replies = pool.map(lambda _: server.load("a", own_base_dir / "model"), range(4))
        assert sorted(reply.status for reply in replies) == [200, 409, 409, 409]
        assert server.names() == ["a"]


def test_S11_unloading_under_traffic_loses_no_request(own_base_dir):
    """Two models; one is unloaded and loaded again all the time. Its clients get answers or 404."""
    slow_down(own_base_dir, 0.05)
    with Models(own_base_dir, OWN_CODE) as server:
        server.wait_until_ready()
        for name in ("steady", "restless"):
            assert server.load(name, own_base_dir / "model").status == 200
        statuses: dict[str, list[int]] = {"steady": [], "restless": []}
        is_over = threading.Event()

        def ask(name: str) -> None:
            while not is_over.is_set():
                statuses[name].append(server.ask(name).status)

        clients = [threading.Thread(target=ask, args=[name]) for name in [*statuses] * 4]
        for client in clients:
            client.start()
        changes = []
        for number in range(6):
            wait_until(lambda: statuses["restless"].count(200) > 4 * number)  # noqa: B023  (called at once)
            changes += [server.unload("restless").status, server.load("restless", own_base_dir / "model").status]
        is_over.set()
        for client in clients:
            client.join()
        server.wait_until_idle()
        seen = scrape(server)
    assert set(changes) == {200}
    assert set(statuses["steady"]) == {200}
    assert set(statuses["restless"]) <= {200, 404}
    assert (seen["formula_models_loaded",], seen["formula_model_unloads_total", "asked"]) == (2, 6)
    assert seen["formula_model_info", "tiny-1"] == 2


def test_S11_unload_returns_when_the_accepted_are_answered(own_base_dir):
    go = hold_back(own_base_dir)
    with Models(own_base_dir, OWN_CODE) as server, ThreadPoolExecutor(5) as pool:
        server.wait_until_ready()
        server.load("a", own_base_dir / "model")
        asked = [pool.submit(server.ask, "a") for _ in range(3)]
        wait_until(lambda: scrape(server)["formula_requests_admitted",] == 3)
        unloading = pool.submit(server.unload, "a")
        wait_until(lambda: not server.names())
        assert server.ask("a").status == 404
        assert server.load("a", own_base_dir / "model").status == 200  # the name is free at once
        assert scrape(server)["formula_models_memory_bytes",] > 2 * 48 * 2**20  # the old one still counts
        assert not unloading.done()
        go.touch()
        assert {future.result().status for future in asked} == {200}
        assert unloading.result().status == 200


def test_S11_what_an_unload_cannot_wait_for_gets_503(own_base_dir):
    """The deadline of requests holds for the drain too; the model's memory stays counted while it is at work."""
    go = hold_back(own_base_dir)
    variables = {**OWN_CODE, "SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"}
    with Models(own_base_dir, variables) as server, ThreadPoolExecutor(1) as pool:
        server.wait_until_ready()
        server.load("a", own_base_dir / "model")
        asked = pool.submit(server.ask, "a")
        wait_until(lambda: scrape(server)["formula_requests_admitted",] == 1)
        assert server.unload("a").status == 200
        assert asked.result().status == 503
        assert scrape(server)["formula_models_memory_bytes",] > 0
        assert server.ping().status == 503
        go.touch()
        wait_until(lambda: scrape(server)["formula_models_memory_bytes",] == 0)
        assert server.ping().status == 200


def test_S11_an_unloaded_models_memory_is_free(own_base_dir):
    """Each load of the shipped model takes 15 MB or more."""
    shutil.copytree(SHIPPED, own_base_dir / "shipped", ignore=shutil.ignore_patterns("*.safetensors"))
    with Models(own_base_dir, MULTI) as server:
        server.wait_until_ready()
        used = []
        for _ in range(8):
            assert server.load("a", own_base_dir / "shipped").status == 200
            assert server.ask("a").status == 200
            assert server.unload("a").status == 200
            used.append(resident_mb(*server.workers()))
        assert scrape(server)["formula_models_memory_bytes",] == 0
    assert used[-1] - used[0] < 40


def test_S11_a_stream_counts_until_its_end(server, tiny_base_dir):
    server.load("a", tiny_base_dir / "model")
    reply = server.ask("a", Accept="text/event-stream")
    assert b"event: done" in reply.body
    assert server.unload("a").status == 200


def test_S11_without_memory_507_and_after_an_unload_room(tiny_base_dir):
    with Models(tiny_base_dir, ROOM_FOR_TWO) as server:
        server.wait_until_ready()
        url = tiny_base_dir / "model"
        assert [server.load(name, url).status for name in "ab"] == [200, 200]
        refused = server.load("c", url)
        assert (refused.status, refused.code) == (507, "insufficient_memory")
        assert "of the 120 MB" in refused.json()["error"]["message"]
        assert server.names() == ["a", "b"]
        assert server.unload("a").status == 200
        assert server.load("c", url).status == 200
        seen = scrape(server)
    assert seen["formula_model_loads_total", "ok"] == 3
    assert seen["formula_model_loads_total", "insufficient_memory"] == 1
    assert 96 < seen["formula_models_memory_bytes",] / 2**20 < 120


def test_S11_networks_of_the_other_precision_take_no_memory(own_base_dir):
    with (own_base_dir / "model" / "encoder.int8.onnx").open("wb") as file:
        file.truncate(100 * 2**20)
    with Models(own_base_dir, ROOM_FOR_TWO) as server:
        server.wait_until_ready()
        assert server.load("a", own_base_dir / "model").status == 200
        assert scrape(server)["formula_models_memory_bytes",] < 50 * 2**20


def test_S11_the_least_recently_used_makes_room_if_allowed(tiny_base_dir):
    with Models(tiny_base_dir, {**ROOM_FOR_TWO, "SERVE_MODELS_EVICT": "true"}) as server:
        server.wait_until_ready()
        url = tiny_base_dir / "model"
        for name in "ab":
            server.load(name, url)
        assert server.ask("a").status == 200
        assert server.load("c", url).status == 200
        assert server.names() == ["a", "c"]
        assert scrape(server)["formula_model_unloads_total", "evicted"] == 1


def test_S11_a_busy_model_is_not_evicted(own_base_dir):
    go = hold_back(own_base_dir)
    variables = {**OWN_CODE, "SERVE_MODELS_MEMORY_MB": "60", "SERVE_MODELS_EVICT": "true"}
    with Models(own_base_dir, variables) as server, ThreadPoolExecutor(1) as pool:
        server.wait_until_ready()
        server.load("a", own_base_dir / "model")
        asked = pool.submit(server.ask, "a")
        wait_until(lambda: scrape(server)["formula_requests_admitted",] == 1)
        assert server.load("b", own_base_dir / "model").code == "insufficient_memory"
        go.touch()
        assert asked.result().status == 200


def test_S11_one_process_serves_and_the_log_says_so(tiny_base_dir):
    with Models(tiny_base_dir, {**MULTI, "SAGEMAKER_MODEL_SERVER_WORKERS": "3"}) as server:
        server.wait_until_ready()
        assert len(server.workers()) == 1
        assert "SAGEMAKER_MODEL_SERVER_WORKERS=3 isn't followed" in server.wait_for_log("isn't followed")


def kill_process(server: Models) -> None:
    """As the kernel does when memory runs out; returns when another process has taken its place."""
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    server.wait_for_log(f"pid:{worker}) was sent SIGKILL")
    wait_until(lambda: server.ping().status in (200, 503))


def test_S11_unhealthy_for_good_after_a_crash_that_lost_models(tiny_base_dir):
    """SageMaker takes them for loaded, so only a new container helps; no load and no further crash makes it well."""
    with Models(tiny_base_dir, MULTI) as server:
        server.wait_until_ready()
        for name in "ab":
            assert server.load(name, tiny_base_dir / "model").status == 200
        kill_process(server)
        reply = server.ping()
        assert (reply.status, reply.code) == (503, "models_lost")
        assert "with 2 loaded models" in reply.json()["error"]["message"]
        assert "start the container anew" in server.wait_for_log('"CRITICAL"')
        assert scrape(server)["formula_model_ready",] == 0
        assert server.ask("a").code == "model_not_loaded"
        assert [server.load("a", tiny_base_dir / "model").status, server.unload("a").status] == [200, 200]
        assert server.ping().code == "models_lost"
        kill_process(server)
        assert server.ping().code == "models_lost"


def test_S11_well_after_a_crash_that_lost_nothing(tiny_base_dir):
    """All had been unloaded, and SageMaker knows that."""
    with Models(tiny_base_dir, MULTI) as server:
        server.wait_until_ready()
        assert server.load("a", tiny_base_dir / "model").status == 200
        assert server.unload("a").status == 200
        kill_process(server)
        assert server.ping().status == 200
        assert server.load("a", tiny_base_dir / "model").status == 200
        assert server.ask("a").status == 200


def test_S11_an_archive_is_unpacked_and_removed_again(own_base_dir, tmp_path):
    path = archive_of(own_base_dir / "model", own_base_dir / "model.tar.gz")
    with Models(own_base_dir, {**MULTI, "TMPDIR": str(tmp_path)}) as server:
        server.wait_until_ready()
        assert server.load("a", path).status == 200
        assert server.ask("a").status == 200
        assert list(tmp_path.glob("model-*"))
        server.unload("a")
        assert not list(tmp_path.glob("model-*"))
        assert server.load("a", path).status == 200
        server.terminate()
        assert server.finish()[0] == 0
    assert not list(tmp_path.glob("model-*"))


def test_S11_hostile_archives_write_nothing(tiny_base_dir, own_base_dir, tmp_path):
    archives: dict[str, dict[str, object]] = {
        "../out.txt": {},
        "/out.txt": {},
        "a.pkl": {},
        "model.json": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        "a.txt": {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
        "b.txt": {"type": tarfile.CHRTYPE},
        "c.txt": {"type": tarfile.FIFOTYPE},
        "big.txt": {"size": 2**40},
    }
    (tmp_path / "no-archive.tar.gz").write_bytes(b"no archive")
    with Models(own_base_dir, {**MULTI, "TMPDIR": str(tmp_path)}) as server:
        server.wait_until_ready()
        for name, fields in archives.items():
            info = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            with tarfile.open(own_base_dir / "bad.tar.gz", "w:gz") as tar:
                tar.addfile(info)
            reply = server.load("bad", own_base_dir / "bad.tar.gz")
            assert (reply.status, reply.code) == (400, "unsafe_model"), name
            assert name in reply.json()["error"]["message"]
        (own_base_dir / "bad.tar.gz").write_bytes(b"no archive")
        assert server.load("bad", own_base_dir / "bad.tar.gz").code == "unsafe_model"
        assert not list(tmp_path.glob("model-*"))
        assert server.names() == []


def test_S11_a_folder_is_looked_at_too(server, own_base_dir, tiny_base_dir):
    folder = Path(shutil.copytree(own_base_dir / "model", tiny_base_dir / "linked", dirs_exist_ok=True))
    (folder / "weights.onnx").symlink_to("/etc/passwd")
    assert server.load("a", folder).code == "unsafe_model"


OWN = "def model_fn(model_dir): ...\ndef transform_fn(model, body, content_type, accept): return 'own'\n"


@pytest.mark.parametrize(("choice", "answer"), [("refuse", None), ("ignore", "tiny-1"), ("run", "own")])
def test_S11_own_code_of_a_model(own_base_dir, choice, answer):
    replace_handler(own_base_dir, OWN)
    with Models(own_base_dir, {**MULTI, "SERVE_MODELS_CODE": choice}) as server:
        server.wait_until_ready()
        reply = server.load("a", own_base_dir / "model")
        if answer is None:
            assert (reply.status, reply.code) == (400, "own_code_refused")
            assert "SERVE_MODELS_CODE=ignore" in reply.json()["error"]["message"]
        else:
            assert answer in server.ask("a").body.decode()


def test_S11_own_code_of_two_models_does_not_mix(own_base_dir):
    """A helper of the same name would be the first model's for both; once that is unloaded the name is free."""
    replace_handler(own_base_dir, f"import helper\n{OWN}")
    (own_base_dir / "model" / "code" / "helper.py").write_text("")
    other = shutil.copytree(own_base_dir / "model", own_base_dir / "other")
    with Models(own_base_dir, OWN_CODE) as server:
        server.wait_until_ready()
        assert server.load("a", own_base_dir / "model").status == 200
        reply = server.load("b", other)
        assert (reply.status, reply.code) == (400, "unusable_model")
        assert "helper" in reply.json()["error"]["message"]
        server.unload("a")
        assert server.load("b", other).status == 200


def test_S11_a_damaged_model_is_refused_and_leaves_nothing(server, own_base_dir, tiny_base_dir):
    folder = Path(shutil.copytree(own_base_dir / "model", tiny_base_dir / "damaged", dirs_exist_ok=True))
    (folder / "decoder.onnx").write_bytes(b"damaged")
    reply = server.load("a", folder)
    assert (reply.status, reply.code) == (400, "unusable_model")
    assert b"Traceback" not in reply.body
    assert server.names() == []
    assert server.ping().status == 200
