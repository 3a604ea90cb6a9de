"""What goes into the images, checked before a build: no engine needed."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.support.containers import ROOT

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
LOCKS = sorted((ROOT / "docker/locks").glob("*.txt"))
PROGRAMS = [ROOT / "docker/bin/train", ROOT / "docker/bin/serve", ROOT / "docker/install-locked"]


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_builds_without_the_buildx_plugin(path):
    """Debian's client has BuildKit, but fetches no frontend: no `# syntax=` line, no heredocs."""
    text = path.read_text()
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE)
    assert "<<" not in text


@pytest.fixture
def compose_serve():
    return yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["serve"]


def test_compose_closes_the_server_with_the_shells_key(compose_serve):
    assert {"SERVE_PAGE=1", "SERVE_API_KEY"} <= set(compose_serve["environment"])


@pytest.mark.parametrize("status", [200, 503])
def test_composes_health_check_asks_the_server_and_no_proxy(compose_serve, status):
    class Ping(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/ping" else 404)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _, _, *words = compose_serve["healthcheck"]["test"]
    words = [word.replace("8080", str(server.server_port)) for word in words]
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *words], env=proxy, capture_output=True)
    server.shutdown()
    assert (done.returncode == 0) is (status == 200), done.stderr


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_T1_S1_programs_have_a_shebang_and_the_run_bit(path):
    assert path.read_bytes().startswith(b"#!")
    assert path.stat().st_mode & 0o111 == 0o111
    staged = subprocess.run(["git", "ls-files", "--stage", path], cwd=ROOT, capture_output=True, text=True)
    assert staged.stdout.startswith("100755"), staged.stdout  # a clone has it as well


def test_T1_S1_line_endings_are_LF():
    """A CRLF after a shebang is `exec format error`, or a program that isn't found."""
    text_files = [path for path in tracked_files() if path.suffix in {".py", ".sh", ".txt", ".in", ".Dockerfile", ""}]
    assert len(text_files) > 30
    assert [path for path in text_files if b"\r\n" in path.read_bytes()] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_requirement_has_a_hash(path):
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", path.read_text(), flags=re.MULTILINE))
    entries = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[\w.\-]+(\[[\w,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_locks_agree_with_each_other():
    """Both images hold the same numpy, ONNX Runtime and OpenCV: what the export checked is what is served."""
    versions: dict[str, set[str]] = {}
    for name in ("torch-cpu", "torch-cuda", "build", "train", "serve", "dev"):
        text = (ROOT / f"docker/locks/{name}.txt").read_text()
        for package, version in re.findall(r"^([\w.\-]+)==([^\s;+]+)", text, re.MULTILINE):
            versions.setdefault(package, set()).add(version)
    assert {"numpy", "onnxruntime", "opencv-python-headless", "torch"} <= versions.keys()
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
