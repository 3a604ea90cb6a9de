"""Server-sent events (S12): a picture's tokens while the model decides them, then the whole answer.

`event: token` with `{"token": ...}` any number of times, then `event: done` with the answer as JSON, or `event: error`
with the error as JSON where it is too late for a status. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from container.serve.errors import ServeError

EVENT_STREAM = "text/event-stream"


def wants_events(accept: str) -> bool:
    """Whether an `Accept` header wants events before anything else: some clients list them behind JSON."""
    wanted = [kind for kind, quality in parse_accept_header(accept, MIMEAccept) if quality]
    return bool(wanted) and wanted[0].partition(";")[0].strip().lower() == EVENT_STREAM


class TokenQueue:
    """From the model's thread to the client's: what is put never waits for who reads."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[int, str] | None] = SimpleQueue()

    def put(self, number: int, token: str) -> None:
        self._queue.put((number, token))

    def until(self, future: Future[Any], deadline: float) -> Iterator[str]:
        """The tokens in order, each once, until the future is done.

        A batch in which another picture failed is tried again, and so puts its first tokens twice.

        Raises:
            TimeoutError: not done at the deadline (of time.monotonic); the future is cancelled.
        """
        future.add_done_callback(lambda _: self._queue.put(None))
        expected = 0
        try:
            while entry := self._queue.get(timeout=max(0.0, deadline - time.monotonic())):
                number, token = entry
                if number == expected:
                    expected += 1
                    yield token
        except Empty:
            raise TimeoutError from None
        finally:
            future.cancel()  # a client that has gone costs the model nothing if its turn is still to come


def stream_events(
    tokens: Iterator[str], answer: Callable[[], str], to_error: Callable[[Exception], ServeError]
) -> Iterator[str]:
    """The events of one answer; the last is `done` or `error`. What fails before the first event is raised."""
    has_begun = False
    try:
        for token in tokens:
            has_begun = True
            yield _event("token", json.dumps({"token": token}, ensure_ascii=False))
        yield _event("done", answer())
    except Exception as error:
        if not has_begun:
            raise
        yield _event("error", json.dumps(to_error(error).to_dict(), ensure_ascii=False))


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
