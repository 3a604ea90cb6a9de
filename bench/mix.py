"""A client of every kind at once, for the soak: mostly pictures, some JSON, lines, streams, nonsense, and hang-ups."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

WEIGHTS = {"picture": 60, "json": 15, "lines": 8, "stream": 7, "bad": 5, "hang up": 5}
PADDING = (0, 0, 0, 150_000)  # bytes after a picture's end: a few of them make a body that is answered in parts
TIMEOUT = 120  # seconds
BAD = (
    (b"no picture", {"Content-Type": "image/png"}),
    (b"", {"Content-Type": "image/png"}),
    (b"{", {"Content-Type": "application/json"}),
    (b"[" * 5000, {"Content-Type": "application/json"}),
    (b"x", {"Content-Type": "video/mp4"}),
    (b"--x\r\n\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
)


class Outcome(NamedTuple):
    kind: str  # of WEIGHTS
    code: str  # "ok", the error's stable code, "hung up", or the name of the exception that ended the connection
    seconds: float


class Client:
    """Asks one request after the other over a connection that it keeps, except where it hangs up."""

    def __init__(self, port: int, pictures: Sequence[bytes], seed: int) -> None:
        self._port, self._pictures, self._random = port, pictures, Random(seed)
        self._connection = self._connect()

    def ask(self, kind: str | None = None) -> Outcome:
        """One request of the kind, or of one drawn by WEIGHTS, until its answer is complete."""
        kind = kind or self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        started = time.monotonic()
        try:
            code = self._hang_up() if kind == "hang up" else self._answer(*self._request(kind))
        except (OSError, http.client.HTTPException) as error:
            code = type(error).__name__
            self.close()
        return Outcome(kind, code, time.monotonic() - started)

    def close(self) -> None:
        self._connection.close()  # http.client connects anew with the next request

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)

    def _request(self, kind: str) -> tuple[bytes, dict[str, str]]:
        if kind == "bad":
            return self._random.choice(BAD)
        if kind == "json":
            images = [self._base64() for _ in range(self._random.randint(1, 4))]
            return json.dumps({"images": images}).encode(), {"Content-Type": "application/json"}
        if kind == "lines":
            padding = self._random.choice(PADDING)
            lines = [json.dumps({"image": self._base64(padding)}) for _ in range(self._random.randint(2, 12))]
            return "\n".join(lines).encode(), {"Content-Type": "application/jsonlines"}
        headers = {"Content-Type": "image/png"}
        return self._picture(), headers | ({"Accept": "text/event-stream"} if kind == "stream" else {})

    def _answer(self, body: bytes, headers: dict[str, str]) -> str:
        self._connection.request("POST", "/invocations", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        return "ok" if response.status == 200 else str(json.loads(answer)["error"]["code"])

    def _hang_up(self) -> str:
        """In the middle of the body, of the wait, or of a stream."""
        body, connection = self._picture(), self._connect()
        place = self._random.choice(("body", "wait", "stream"))
        try:
            connection.putrequest("POST", "/invocations")
            connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Accept", "text/event-stream" if place == "stream" else "*/*")
            connection.endheaders(body[: len(body) // 2] if place == "body" else body)
            if place == "stream":
                connection.getresponse().readline()
        finally:
            connection.close()
        return "hung up"

    def _picture(self) -> bytes:
        return self._random.choice(self._pictures)

    def _base64(self, padding: int = 0) -> str:
        return base64.b64encode(self._picture() + bytes(padding)).decode()
