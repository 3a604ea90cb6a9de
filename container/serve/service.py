"""A running model and the way to it: requests admitted, waited for, given up in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from container.resources import suggested_threads
from container.serve import errors, logs
from container.serve.batching import Batcher
from container.serve.capture import Capture
from container.serve.errors import ServeError
from container.serve.handler import Call, Handler, Reply, forget_code, load_handler
from container.serve.metrics import Metrics
from container.serve.settings import Settings
from container.serve.streaming import TokenQueue, stream_events

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A picture, or a whole call of a stranger's handler, on its way to the model."""

    item: Any
    since: float  # time.monotonic()
    is_wanted: Callable[[], bool]  # whether its client still waits


class Shared:
    """What all models of one process share: the room for requests, metrics, the sample that is kept."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.capture = Capture.from_settings(settings)
        # One bound for all models: what it bounds, threads and bodies in memory, belongs to the process.
        self._slots = threading.BoundedSemaphore(settings.queue_size)
        # A crowd that comes at once decodes a few at a time: a hundred threads at it kept /ping waiting for seconds.
        self.decoding = threading.BoundedSemaphore(max(1, suggested_threads() // settings.worker_count))

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one request, from its first byte to its last.

        Raises:
            ServeError: 503 `overloaded`.
        """
        if not self._slots.acquire(blocking=False):
            raise errors.overloaded(self.settings.queue_size)
        try:
            with self.metrics.requests_admitted.track_inprogress():
                yield
        finally:
            self._slots.release()


class Service:
    """One model, shared by all threads of this process."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._settings, self._metrics = shared, shared.settings, shared.metrics
        self._lock = threading.Lock()
        self._arriving = 0  # requests admitted that have not handed their pictures over yet
        self._problem: str | None = "the model is being loaded"
        self._is_closing = False
        self._handler: Handler | None = None
        self._batcher: Batcher[Waiting, Any] | None = None

    def load(self, find: Callable[[], Path], runs_own_code: bool = True) -> Path:
        """Loads the model in the folder that `find` gives, and returns the folder.

        Raises:
            Exception, SystemExit: why the model can't be served; from then on `problem` says it.
        """
        started = time.monotonic()
        try:
            model_dir = find()
            self._handler = load_handler(model_dir, self._settings.program, runs_own_code)
        except (Exception, SystemExit) as error:
            self._problem = f"the model can't be served: {error}"
            raise
        self._batcher = self._make_batcher(self._handler)
        self._model_info(1)
        self._problem = None
        seconds = round(time.monotonic() - started, 3)
        log.info("ready", extra={"fields": {"model_dir": str(model_dir), "load_seconds": seconds}})
        return model_dir

    def problem(self) -> str | None:
        """Why no request can be answered now, or None. Takes no time and no lock."""
        if self._problem is None and (batcher := self._batcher):
            if not batcher.is_alive() and not self._is_closing:
                return "the model's thread has died"
            if (busy := batcher.busy_seconds()) > self._settings.request_timeout:
                return f"the model has been working on one batch for {busy:.0f} s"
        return self._problem

    @contextmanager
    def admit(self) -> Iterator[Service]:
        """Room for one request at this model, from its first byte to its last.

        Raises:
            ServeError: 503 `not_ready` or `overloaded`.
        """
        if problem := self.problem():
            raise errors.not_ready(problem)
        with self._shared.slot():
            yield self

    def answer(self, call: Call, is_wanted: Callable[[], bool]) -> Reply:
        """Answers an admitted request.

        Args:
            is_wanted: whether its client still waits. The model is spared what nobody waits for.

        Raises:
            ServeError: 503 `deadline_exceeded`, 499 `client_gone`, 400 `too_nested`.
            Exception: what the handler's functions raise.
        """
        handler, deadline = self._loaded_handler(), time.monotonic() + self._settings.request_timeout
        if not handler.joins_requests:
            (future,) = self._submit([call], is_wanted)
            self._wait([future], deadline)
            return future.result()
        with self._is_arriving(), self._metrics.time("decode"):
            request = self._decode(handler, call, deadline)
        futures = self._submit(handler.items(request), is_wanted)
        failures = self._wait(futures, deadline)
        rows = [
            handler.error_row(_row_error(failure)) if failure else future.result()
            for future, failure in zip(futures, failures, strict=True)
        ]
        with self._metrics.time("encode"):
            reply = handler.encode(request, rows, call.accept)
        self._metrics.answered(rows)
        if self._shared.capture:
            self._shared.capture.offer(logs.REQUEST.get()["request_id"], request.pictures, rows)
        return reply

    def stream(self, call: Call, is_wanted: Callable[[], bool]) -> Iterator[str]:
        """Answers an admitted request with server-sent events, each token as soon as it is decided.

        The model goes on at its own speed, as for any picture, however slowly the client reads.

        Raises:
            RequestError, ServeError: what can be refused before the first event.
        """
        handler, deadline = self._loaded_handler(), time.monotonic() + self._settings.request_timeout
        if not handler.can_stream:
            raise ServeError(406, "not_acceptable", "this model's own inference.py has no stream_fn; ask for JSON")
        with self._is_arriving(), self._metrics.time("decode"):
            request = self._decode(handler, call, deadline)
        if request.form != "one":
            raise ServeError(406, "not_acceptable", "text/event-stream answers one picture; ask for JSON for several")
        tokens = TokenQueue()
        (future,) = self._submit(handler.items(request, tokens.put), is_wanted)

        def answer() -> str:
            rows = [future.result()]
            self._metrics.answered(rows)
            return str(handler.encode(request, rows, "application/json").body)

        return stream_events(
            tokens.until(future, deadline),
            answer,
            lambda error: (
                errors.deadline_exceeded(self._settings.request_timeout)
                if isinstance(error, TimeoutError)
                else _row_error(error)
            ),
        )

    def stop(self, seconds: float) -> None:
        """Lets what is inside be answered; what is left after `seconds` gets 503 instead of a cut connection.

        Requests are still admitted: they come from connections that were accepted before the stop.
        """
        timer = threading.Timer(seconds, self.abandon, [errors.shutting_down()])
        timer.daemon = True
        timer.start()

    def abandon(self, error: ServeError) -> None:
        """Answers what waits or runs with the error."""
        if batcher := self._batcher:
            batcher.abandon(error)

    def close(self, seconds: float | None) -> bool:
        """Lets go of a model that no request is at any more; returns whether its thread ended within `seconds`."""
        self._is_closing = True
        handler, batcher = self._handler, self._batcher
        if not batcher or not handler:
            return True
        if not batcher.close(seconds):
            return False
        self._model_info(-1)
        self._handler = self._batcher = None  # they hold the networks, and each other
        forget_code(handler.model_dir)
        return True

    def _model_info(self, change: int) -> None:
        assert self._handler
        self._metrics.model_info.labels(getattr(self._handler.model, "version", "")).inc(change)

    def _loaded_handler(self) -> Handler:
        """The handler of an admitted request's model, which may have been given up while the request was arriving."""
        if self._handler is None:
            raise errors.unloaded()
        return self._handler

    def _make_batcher(self, handler: Handler) -> Batcher[Waiting, Any]:
        joins = handler.joins_requests
        run = handler.predict_items if joins else lambda calls: [handler.transform(call) for call in calls]

        def run_timed(batch: list[Waiting]) -> Sequence[Any]:
            now = time.monotonic()
            self._metrics.batch([now - waiting.since for waiting in batch])
            with self._metrics.time("model"):
                return run([waiting.item for waiting in batch])

        return Batcher(
            run_timed,
            self._settings.batch_size if joins else 1,
            self._settings.max_batch_delay / 1000,
            more_expected=lambda: self._arriving > 0,
            is_wanted=lambda waiting: waiting.is_wanted(),
            on_waiting=self._metrics.items_waiting.inc,
        )

    def _decode(self, handler: Handler, call: Call, deadline: float) -> Any:
        if not self._shared.decoding.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise errors.deadline_exceeded(self._settings.request_timeout)
        try:
            return handler.decode(call)
        except RecursionError:  # Python's e-mail parser on a form's damaged header; a parser of the user's on deep JSON
            raise errors.too_nested() from None
        finally:
            self._shared.decoding.release()

    def _submit(self, items: Sequence[Any], is_wanted: Callable[[], bool]) -> list[Future[Any]]:
        if (batcher := self._batcher) is None or self._is_closing:
            raise errors.unloaded()
        now = time.monotonic()
        return batcher.submit([Waiting(item, now, is_wanted) for item in items])

    @contextmanager
    def _is_arriving(self) -> Iterator[None]:
        with self._lock:
            self._arriving += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= 1

    def _wait(self, futures: Sequence[Future[Any]], deadline: float) -> list[Exception | None]:
        """Where the model failed, for each future; raised instead if it failed for all, or the server gives up."""
        try:
            failures = [_failure(future, deadline) for future in futures]
        except TimeoutError:
            for future in futures:
                future.cancel()
            raise errors.deadline_exceeded(self._settings.request_timeout) from None
        except CancelledError:  # by the batcher, as nobody wants it
            raise errors.client_gone() from None
        raised = [failure for failure in failures if failure]
        if raised and (len(raised) == len(failures) or any(isinstance(failure, ServeError) for failure in raised)):
            raise next((failure for failure in raised if isinstance(failure, ServeError)), raised[0])
        return failures


def _failure(future: Future[Any], deadline: float) -> Exception | None:
    failure = future.exception(max(0.0, deadline - time.monotonic()))
    assert failure is None or isinstance(failure, Exception)  # the batcher sets nothing else
    return failure


def _row_error(failure: Exception) -> ServeError:
    """The error in the place of one record whose neighbours were answered."""
    if known := errors.from_exception(failure):
        return known
    log.error("a record failed", exc_info=failure)
    return ServeError(500, "recognition_failed", "the model failed for this picture; the server's log has the reason")
