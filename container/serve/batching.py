"""One thread that owns the model: items of concurrent requests share its calls (dynamic batching).

While the model works on one call, the items of other requests gather; the next call takes them together. So a
lone request never waits, and many requests cost little more than one. What waits is bounded by the admission of
requests (service.py), not here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Batcher(Generic[Item, Result]):
    """Calls `run` with up to `max_size` items at a time, in the order of their arrival, from one thread.

    Args:
        run: items -> results, in the same order. If it fails for several items, it is tried with each alone, so
            that one bad picture doesn't spoil the answers of its neighbours.
        max_size: most items of one call.
        max_delay: longest wait in seconds for a fuller batch, and only while `more_expected()`.
        more_expected: whether further items are known to be on their way.
        is_wanted: asked when an item's turn comes; one that nobody wants any more is cancelled instead.
        on_waiting: told by how much the number of items that wait has changed.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        max_size: int,
        max_delay: float = 0.0,
        more_expected: Callable[[], bool] = lambda: False,
        is_wanted: Callable[[Item], bool] = lambda item: True,
        on_waiting: Callable[[int], None] = lambda change: None,
    ) -> None:
        self._run, self._max_size, self._max_delay, self._more_expected = run, max_size, max_delay, more_expected
        self._is_wanted, self._on_waiting = is_wanted, on_waiting
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._running: list[tuple[Item, Future[Result]]] = []
        self._running_since: float | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> list[Future[Result]]:
        """Queues the items. A future that is cancelled before its turn costs the model nothing."""
        entries: list[tuple[Item, Future[Result]]] = [(item, Future()) for item in items]
        with self._changed:
            self._waiting.extend(entries)
            self._on_waiting(len(entries))
            self._changed.notify()
        return [future for _, future in entries]

    def abandon(self, error: Exception) -> None:
        """Fails everything that waits or runs, for a server that must stop now."""
        with self._changed:
            entries = [*self._running, *self._waiting]
            self._on_waiting(-len(self._waiting))
            self._waiting.clear()
        for _, future in entries:
            with suppress(InvalidStateError):
                future.set_exception(error)

    def close(self, seconds: float | None) -> bool:
        """Ends the thread once nothing waits any more, and returns whether it has ended within `seconds`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def busy_seconds(self) -> float:
        """How long the current call has been running; 0 when idle."""
        since = self._running_since
        return 0.0 if since is None else time.monotonic() - since

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        while (batch := self._collect()) is not None:
            self._running_since = time.monotonic()
            self._answer(batch)
            self._running_since, self._running = None, []

    def _collect(self) -> list[tuple[Item, Future[Result]]] | None:
        """The next batch; None once the batcher is closed and nothing waits."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            deadline = time.monotonic() + self._max_delay
            while len(self._waiting) < self._max_size and self._more_expected():
                if (left := deadline - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            self._running, before = [], len(self._waiting)
            while self._waiting and len(self._running) < self._max_size:
                item, future = self._waiting.popleft()
                if not self._is_wanted(item):
                    future.cancel()
                if future.set_running_or_notify_cancel():
                    self._running.append((item, future))
            self._on_waiting(len(self._waiting) - before)
            return self._running

    def _answer(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        if not batch:
            return
        try:
            results = self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"the model gave {len(results)} answers to {len(batch)} items")
        except Exception as error:
            if len(batch) > 1:
                log.warning("a batch of %d failed; trying each alone", len(batch), exc_info=True)
                for entry in batch:
                    self._answer([entry])
            else:
                with suppress(InvalidStateError):
                    batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            with suppress(InvalidStateError):  # abandoned meanwhile
                future.set_result(result)
