"""S1: runs on port 8080 or SAGEMAKER_BIND_TO_PORT; a setting that can't be used ends the start and is named."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from container.serve.settings import Settings
from tests.support.server import ROOT, Server

LISTEN = "0A"  # a socket's state in /proc/net/tcp


def test_S01_default_port_is_8080():
    assert Settings.from_environment({}).port == 8080


def test_S01_bind_to_port(tiny_server):
    assert tiny_server.ping().status == 200  # the fixture gives each server a port of its own


def test_S01_it_listens_nowhere_else(tiny_server):
    """SageMaker lets a container have the ports of SAGEMAKER_SAFE_PORT_RANGE; it needs none of them."""
    pids = [tiny_server.process.pid, *tiny_server.workers()]
    held = {name for pid in pids for name in open_files(pid)}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in held]
    assert listening == [f"00000000:{tiny_server.port:04X}"]


def open_files(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(file.readlink())


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--port=9000", 2)])
def test_S01_serve_takes_no_arguments_and_says_where_settings_come_from(option: str, code: int) -> None:
    """It started on port 8080 whatever was asked."""
    done = subprocess.run([sys.executable, "-m", "container.serve", option], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code and "SAGEMAKER_BIND_TO_PORT=9000" in done.stdout


def test_S01_healthy_within_5_seconds(tiny_base_dir):
    started = time.monotonic()
    with Server(tiny_base_dir) as server:
        server.wait_until_ready()
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("name", "value"), [("SAGEMAKER_BIND_TO_PORT", "http"), ("SAGEMAKER_TS_BATCH_SIZE", "0")]
)  # fmt: skip
def test_S01_wrong_setting_is_refused_by_name(tiny_base_dir, name, value):
    with Server(tiny_base_dir, {name: value}) as server:
        status, log = server.finish()
    assert status == 2
    assert f"serve: {name}={value!r}: input should be" in log
    assert "Traceback" not in log
