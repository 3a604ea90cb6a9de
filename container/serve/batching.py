"""A few threads that call the model, the lanes: items of concurrent requests share its calls (dynamic batching).

While all lanes are at work, the items of other requests gather; the next call takes them together. So a lone request
never waits, and many requests cost little more than one. Two lanes keep two cores busy: in a call of one, Python and
the networks take turns. What waits is bounded by the admission of requests (service.py), not here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Call(NamedTuple):
    """Items of which a lane is working on the answers."""

    since: float  # time.monotonic()
    entries: list[Any]  # (Item, Future[Result])


class GivenUp(NamedTuple):
    """In the place of a result: why there is none."""

    reason: Exception


class Batcher(Generic[Item, Result]):
    """Calls `run` with up to `max_size` items at a time, in the order of their arrival, from `lanes` threads.

    Args:
        run: items -> results, in the same order; for an item that it has given up, a `GivenUp`. If it fails for
            several items, it is tried with each alone, so that one bad picture doesn't spoil the answers of its
            neighbours.
        max_size: most items of one call.
        max_delay: longest wait in seconds for a fuller batch, and only while `more_expected()`.
        more_expected: whether further items are known to be on their way.
        kind: items of one call are of the same; what waits of another kind is left to the next call.
        is_wanted: asked when an item's turn comes; one that nobody wants any more is cancelled instead.
        on_waiting: told by how much the number of items that wait has changed.
        on_taken: told what a lane has taken to call `run` with, once, whatever becomes of it.
        lanes: most calls at a time.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result | GivenUp]],
        max_size: int,
        max_delay: float = 0.0,
        more_expected: Callable[[], bool] = lambda: False,
        kind: Callable[[Item], object] = lambda item: None,
        is_wanted: Callable[[Item], bool] = lambda item: True,
        on_waiting: Callable[[int], None] = lambda change: None,
        on_taken: Callable[[list[Item]], None] = lambda items: None,
        lanes: int = 1,
    ) -> None:
        self._run, self._max_size, self._max_delay, self._more_expected = run, max_size, max_delay, more_expected
        self._kind, self._is_wanted, self._on_waiting, self._on_taken = kind, is_wanted, on_waiting, on_taken
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._running: dict[int, Call] = {}  # by lane
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=[lane], name=f"model-{lane}", daemon=True) for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

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
            entries = [entry for call in list(self._running.values()) for entry in call.entries] + [*self._waiting]
            self._on_waiting(-len(self._waiting))
            self._waiting.clear()
        for _, future in entries:
            with suppress(InvalidStateError):
                future.set_exception(error)

    def close(self, seconds: float | None) -> bool:
        """Ends the lanes once nothing waits any more, and returns whether they have ended within `seconds`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def busy_seconds(self) -> float:
        """How long the oldest of the current calls has been running; 0 when idle."""
        now = time.monotonic()
        return max((now - call.since for call in list(self._running.values())), default=0.0)

    def is_alive(self) -> bool:
        """Whether all lanes are there; they end when the batcher is closed."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self, lane: int) -> None:
        while (batch := self._collect(lane)) is not None:
            if batch:
                self._on_taken([item for item, _ in batch])
                self._answer(batch)
            del self._running[lane]

    def _collect(self, lane: int) -> list[tuple[Item, Future[Result]]] | None:
        """The next batch, which may be empty; None once the batcher is closed and nothing waits."""
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
            batch: list[tuple[Item, Future[Result]]] = []
            others: list[tuple[Item, Future[Result]]] = []
            before = len(self._waiting)
            kind = self._kind(self._waiting[0][0]) if self._waiting else None  # another lane may have taken all
            while self._waiting and len(batch) < self._max_size:
                item, future = self._waiting.popleft()
                if self._kind(item) != kind:
                    others.append((item, future))
                    continue
                if not self._is_wanted(item):
                    future.cancel()
                if future.set_running_or_notify_cancel():
                    batch.append((item, future))
            self._waiting.extendleft(reversed(others))
            self._on_waiting(len(self._waiting) - before)
            if self._waiting:
                self._changed.notify()  # there is work for another lane
            self._running[lane] = Call(time.monotonic(), batch)
            return batch

    def _answer(self, batch: list[tuple[Item, Future[Result]]]) -> None:
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
                if isinstance(result, GivenUp):
                    future.set_exception(result.reason)
                else:
                    future.set_result(result)
