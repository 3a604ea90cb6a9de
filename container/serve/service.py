"""The running model and the way to it: loaded in the background, requests admitted, waited for, given up in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from container.resources import suggested_threads
from container.serve import errors, logs
from container.serve.batching import Batcher
from container.serve.capture import Capture
from container.serve.errors import ServeError
from container.serve.handler import Call, Handler, Reply, load_handler
from container.serve.metrics import Metrics
from container.serve.model_location import find_model_or_shipped
from container.serve.readiness import LoadedWorkers
from container.serve.settings import Settings
from container.serve.streaming import TokenQueue, stream_events

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A picture, or a whole call of a stranger's handler, on its way to the model."""

    item: Any
    since: float  # time.monotonic()
    is_wanted: Callable[[], bool]  # whether its client still waits


class Service:
    """One model, shared by all threads of this process.

    Not before `start()` is anything of the model touched, and `start()` returns at once: gunicorn has forked by
    then (CUDA can't be used across a fork), and /ping answers while the model is being loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded = LoadedWorkers(settings.workers)
        self._slots = threading.BoundedSemaphore(settings.queue_size)
        # A crowd that comes at once decodes a few at a time: a hundred threads at it kept /ping waiting for seconds.
        self._decoding = threading.BoundedSemaphore(max(1, suggested_threads() // settings.workers))
        self._lock = threading.Lock()
        self._arriving = 0  # requests admitted that have not handed their pictures over yet
        self._problem: str | None = "the model has not been loaded yet"
        self._handler: Handler | None = None
        self._batcher: Batcher[Waiting, Any] | None = None

    def start(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._capture = Capture.from_settings(self._settings)
        self._problem = "the model is being loaded"
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def problem(self) -> str | None:
        """Why no request can be answered now, or None. Takes no time and no lock."""
        if self._problem is None and self._batcher:
            if not self._batcher.is_alive():
                return "the model's thread has died"
            if (busy := self._batcher.busy_seconds()) > self._settings.request_timeout:
                return f"the model has been working on one batch for {busy:.0f} s"
        return self._problem

    def ping_problem(self) -> str | None:
        """Why /ping can't say yet that every request will be answered, or None."""
        problem = self.problem()
        self._metrics.model_ready.set(problem is None)
        return problem or (None if self._loaded.are_all() else "another worker is still loading the model")

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Room for one request, from its first byte to its last.

        Raises:
            ServeError: 503 `not_ready` or `overloaded`.
        """
        if problem := self.problem():
            raise errors.not_ready(problem)
        if not self._slots.acquire(blocking=False):
            raise errors.overloaded(self._settings.queue_size)
        try:
            with self._metrics.requests_admitted.track_inprogress():
                yield
        finally:
            self._slots.release()

    def answer(self, call: Call, is_wanted: Callable[[], bool]) -> Reply:
        """Answers an admitted request.

        Args:
            is_wanted: whether its client still waits. The model is spared what nobody waits for.

        Raises:
            ServeError: 503 `deadline_exceeded`, 499 `client_gone`, 400 `too_nested`.
            Exception: what the handler's functions raise.
        """
        assert self._handler and self._batcher
        deadline = time.monotonic() + self._settings.request_timeout
        if not self._handler.joins_requests:
            (future,) = self._submit([call], is_wanted)
            self._wait([future], deadline)
            return future.result()
        with self._is_arriving(), self._metrics.time("decode"):
            request = self._decode(call, deadline)
        futures = self._submit(self._handler.items(request), is_wanted)
        failures = self._wait(futures, deadline)
        rows = [
            self._handler.error_row(_row_error(failure)) if failure else future.result()
            for future, failure in zip(futures, failures, strict=True)
        ]
        with self._metrics.time("encode"):
            reply = self._handler.encode(request, rows, call.accept)
        self._metrics.answered(rows)
        if self._capture:
            self._capture.offer(logs.REQUEST.get()["request_id"], request.pictures, rows)
        return reply

    def stream(self, call: Call, is_wanted: Callable[[], bool]) -> Iterator[str]:
        """Answers an admitted request with server-sent events, each token as soon as it is decided.

        The model goes on at its own speed, as for any picture, however slowly the client reads.

        Raises:
            RequestError, ServeError: what can be refused before the first event.
        """
        assert self._handler and self._batcher
        handler, deadline = self._handler, time.monotonic() + self._settings.request_timeout
        if not handler.can_stream:
            raise ServeError(406, "not_acceptable", "this model's own inference.py has no stream_fn; ask for JSON")
        with self._is_arriving(), self._metrics.time("decode"):
            request = self._decode(call, deadline)
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
        if self._batcher:
            timer = threading.Timer(seconds, self._batcher.abandon, [errors.shutting_down()])
            timer.daemon = True
            timer.start()

    def _load(self) -> None:
        started = time.monotonic()
        try:
            model_dir = find_model_or_shipped(self._settings.model_root)
            handler = load_handler(model_dir, self._settings.program)
        except (Exception, SystemExit) as error:
            self._problem = f"the model can't be served: {error}"
            log.critical(self._problem, exc_info=True)
            return
        self._handler, self._batcher = handler, self._make_batcher(handler)
        self._metrics.model_info.labels(getattr(handler.model, "version", "")).set(1)
        self._problem = None
        self._loaded.add_this_one()
        seconds = round(time.monotonic() - started, 3)
        log.info("ready", extra={"fields": {"model_dir": str(model_dir), "load_seconds": seconds}})

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
            on_waiting=self._metrics.items_waiting.set,
        )

    def _decode(self, call: Call, deadline: float) -> Any:
        assert self._handler
        if not self._decoding.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise errors.deadline_exceeded(self._settings.request_timeout)
        try:
            return self._handler.decode(call)
        except RecursionError:  # Python's e-mail parser on a form's damaged header; a parser of the user's on deep JSON
            raise errors.too_nested() from None
        finally:
            self._decoding.release()

    def _submit(self, items: Sequence[Any], is_wanted: Callable[[], bool]) -> list[Future[Any]]:
        assert self._batcher
        now = time.monotonic()
        return self._batcher.submit([Waiting(item, now, is_wanted) for item in items])

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
