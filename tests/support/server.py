"""A real server process for tests: started on a free port, asked over HTTP, its log read line by line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of an error answer."""
        return str(self.json()["error"]["code"])


class Server:
    """`python -m container.serve` with a base directory whose `model` is served; a context manager.

    Args:
        base_dir: stands for /opt/ml.
        environment: further variables of the contract.
        command: what is run instead, for a changed interpreter or another user.
    """

    def __init__(
        self,
        base_dir: Path,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "container.serve"),
    ) -> None:
        self.port = free_port()
        self._lines: list[str] = []
        variables = {
            "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
            "SAGEMAKER_BASE_DIR": str(base_dir),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",  # what it counts and bounds is then in one process
        }
        self.process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**variables, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(35)
            finally:
                self.process.kill()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ping(self) -> Reply:
        return self.request("GET", "/ping")

    def invoke(self, body: bytes | Iterable[bytes], content_type: str = "image/png", **headers: str) -> Reply:
        return self.request("POST", "/invocations", body, {"Content-Type": content_type, **headers})

    def wait_until_ready(self) -> Self:
        return self.wait_for(200)

    def wait_for(self, status: int) -> Self:
        """Until /ping answers with this status."""
        deadline, last = time.monotonic() + START_SECONDS, "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                reply = self.ping()
                if reply.status == status:
                    return self
                last = f"{reply.status} {reply.body!r}"
            except OSError as error:
                last = repr(error)
            time.sleep(0.03)
        raise AssertionError(f"/ping answered {last}, not {status}; the log:\n{''.join(self._lines)}")

    def wait_until_idle(self) -> None:
        """Until no request is inside: a stream gives its room back a moment after its client has gone."""
        self.wait_for_metric("formula_requests_admitted 0.0")

    def wait_for_metric(self, sample: str) -> None:
        """Until /metrics has this line."""
        deadline = time.monotonic() + START_SECONDS
        while f"\n{sample}\n".encode() not in (last := self.request("GET", "/metrics").body):
            assert time.monotonic() < deadline, last.decode()
            time.sleep(0.03)

    def wait_for_log(self, text: str, times: int = 1) -> str:
        """The first line of the log that holds the text, or the second, ..."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = [line for line in list(self._lines) if text in line]
            if len(found) >= times:
                return found[times - 1]
            time.sleep(0.03)
        raise AssertionError(f"the log never said {text!r}:\n{''.join(self._lines)}")

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self._lines)]

    def workers(self) -> list[int]:
        """Process ids of gunicorn's workers."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def peak_memory(self) -> int:
        """Bytes: the most memory that the only worker has had."""
        (pid,) = self.workers()
        (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self, seconds: float = 35) -> tuple[int, str]:
        """Waits for the end: exit status and all that was logged."""
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status, "".join(self._lines)

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._lines.append(line)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
