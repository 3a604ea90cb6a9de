"""A running model and the way to it: requests admitted, waited for, given up in time."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from container.resources import suggested_threads
from container.serve import errors, logs, records
from container.serve.batching import Batcher
from container.serve.capture import Capture
from container.serve.errors import ServeError
from container.serve.handler import Call, Handler, Reply, forget_code, load_handler
from container.serve.metrics import Metrics
from container.serve.picture_memory import PictureMemory
from container.serve.settings import Settings
from container.serve.streaming import TokenQueue, stream_events

RETRY_SECONDS = 10  # from a load that failed to the next try, in another process
GIVE_UP_SECONDS = 1  # beyond a request's time: by then it has its 503, and what is left of its work is given up
STUCK_SECONDS = 60  # beyond a request's time: from then on nobody waits for the call, and it isn't going to end
LANES = 2  # calls of a model at a time; Python's lock, which they take turns at, leaves little room for a third

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A picture, or a whole call of a stranger's handler, on its way to the model."""

    item: Any
    since: float  # time.monotonic()
    is_wanted: Callable[[], bool]  # whether its client still waits, and the time for it isn't over


class Sent(NamedTuple):
    """Pictures on their way to the model, of a whole request or of a window of its records."""

    request: Any
    futures: list[Future[Any]]
    deadline: float  # time.monotonic()


class Answered(NamedTuple):
    """Rows of the answer, errors among them, and the model's failure behind each such row (else None)."""

    request: Any
    rows: list[Any]
    failures: list[Exception | None]


class Shared:
    """What all models of one process share: the room for requests, metrics, the sample that is kept."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.capture = Capture.from_settings(settings)
        # One bound for all models: what it bounds, threads and bodies in memory, belongs to the process.
        self._lock, self._inside = threading.Lock(), 0
        self.cores = max(1, suggested_threads() // settings.worker_count)
        # A crowd that comes at once decodes a few at a time: a hundred threads at it kept /ping waiting for seconds.
        self.decoding = threading.BoundedSemaphore(self.cores)
        self.picture_memory = PictureMemory()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one request, from the last byte of its body to the last of its answer.

        Raises:
            ServeError: 503 `overloaded`.
        """
        with self._lock:
            self.check_room()
            self._inside += 1
        try:
            with self.metrics.requests_admitted.track_inprogress():
                yield
        finally:
            with self._lock:
                self._inside -= 1

    def check_room(self) -> None:
        """Raises: ServeError: 503 `overloaded`, as `slot` would now."""
        if self._inside >= self.settings.queue_size:
            raise errors.overloaded(self._inside)


class Service:
    """One model, shared by all threads of this process."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._settings, self._metrics = shared, shared.settings, shared.metrics
        self._lock = threading.Lock()
        self._arriving = 0  # requests admitted that have not handed their pictures over yet
        self._problem: str | None = "the model is being loaded"
        self._failed_at: float | None = None  # when loading ended without a model
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
            submitted = "" if self._settings.multi_model else self._settings.submit_directory
            self._handler = load_handler(model_dir, self._settings.program, runs_own_code, submitted)
        except (Exception, SystemExit) as error:
            self._problem = f"the model can't be served: {error}"
            self._failed_at = time.monotonic()
            raise
        self._batcher = self._make_batcher(self._handler)
        self._model_info(1)
        self._problem = None
        seconds = round(time.monotonic() - started, 3)
        model = self._handler.model
        facts = {name: getattr(model, name) for name in ("version", "precision", "providers") if hasattr(model, name)}
        log.info("ready", extra={"fields": {"model_dir": str(model_dir), "load_seconds": seconds, **facts}})
        return model_dir

    def problem(self) -> str | None:
        """Why no request can be answered now, or None. Takes no time and no lock."""
        if self._problem is None and (batcher := self._batcher):
            if not batcher.is_alive() and not self._is_closing:
                return "a thread of the model's has died"
            if (busy := batcher.busy_seconds()) > self._settings.request_timeout:
                return f"the model has been working on one batch for {busy:.0f} s"
        return self._problem

    def is_broken(self) -> bool:
        """Whether nothing but a new process can answer again: no model, a dead thread, or a call without end."""
        if self._failed_at is not None:
            return time.monotonic() - self._failed_at > RETRY_SECONDS
        if self._problem or not (batcher := self._batcher) or self._is_closing:
            return False
        return not batcher.is_alive() or batcher.busy_seconds() > self._settings.request_timeout + STUCK_SECONDS

    @contextmanager
    def admit(self) -> Iterator[Service]:
        """For a request whose body may still be arriving; what can be refused by now needn't arrive.

        Raises:
            ServeError: 503 `not_ready` or `overloaded`.
        """
        if problem := self.problem():
            raise errors.not_ready(problem)
        self._shared.check_room()
        yield self

    def room(self) -> AbstractContextManager[None]:
        """Room for an admitted request whose body is there. Raises: ServeError: 503 `overloaded`."""
        return self._shared.slot()

    def body_room(self, size: int) -> AbstractContextManager[None]:
        """Room for a body that is read as a whole. Raises: ServeError: 503 `overloaded`."""
        return self._shared.picture_memory.body(size)

    def answer(self, call: Call, is_wanted: Callable[[], bool], deadline: float) -> Reply:
        """Answers an admitted request.

        Args:
            is_wanted: whether its client still waits. The model is spared what nobody waits for.
            deadline: of time.monotonic().

        Raises:
            ServeError: 503 `deadline_exceeded` or `overloaded`, 499 `client_gone`, 400 `too_nested`.
            Exception: what the handler's functions raise.
        """
        if not self._loaded_handler().joins_requests:
            (future,) = self._submit([call], deadline, is_wanted)
            _raise_if_all_failed(self._wait([future], deadline))
            result: Reply = future.result()
            return result
        sent = self._send(lambda handler: handler.decode(call), deadline, is_wanted, needs_room=True)
        answered = self._receive(sent, logs.REQUEST.get()["request_id"])
        _raise_if_all_failed(answered.failures)
        return self._encode(answered, call.accept)

    def takes_records(self, content_type: str) -> bool:
        """Whether bodies of this type are for `answer_records`."""
        return self._loaded_handler().takes_records(content_type)

    def answer_records(
        self, call: Call, body: IO[bytes], is_wanted: Callable[[], bool], deadline: float, at_once: bool
    ) -> Generator[Reply, None, None]:
        """Answers an admitted request with a record on each line of `body`, in parts of one content type.

        Only a window of records is decoded and one more with the model at a time: memory doesn't grow with the body,
        and other requests wait for no more than that.

        Args:
            deadline: of time.monotonic(), for all of it; under batch transform, which waits for up to an hour, each
                window has a request's time instead.
            at_once: gives one part, the whole answer, with the errors of `answer`. Else, if `call.accept` asks for
                lines, a part for each window: the first raises those errors, and further ones have an error row for
                each record that the model fails for.

        Raises:
            ConnectionResetError: the answer that has begun can't be ended: late, stopping, or its client gone. The
                connection must be cut, so that nobody takes what was sent for the whole.
        """
        handler = self._loaded_handler()
        start = handler.encode_no_rows(call.accept)  # refuses a type that can't be given, before any work
        with closing(self._windows(call, body, is_wanted, deadline)) as windows:
            first = next(windows)
            if at_once or not handler.gives_lines(start.content_type):
                whole = Answered(first.request, list(first.rows), list(first.failures))
                for window in windows:
                    whole.rows.extend(window.rows)
                    whole.failures.extend(window.failures)
                _raise_if_all_failed(whole.failures)
                yield self._encode(whole, call.accept)
                return
            _raise_if_all_failed(first.failures)
            yield self._encode(first, call.accept)
            try:
                for window in windows:
                    yield _without_start(self._encode(window, call.accept), start)
            except Exception as error:
                raise self._broken_off(error) from None

    def stream(self, call: Call, is_wanted: Callable[[], bool], deadline: float) -> Iterator[str]:
        """Answers an admitted request with server-sent events, each token as soon as it is decided.

        The model goes on at its own speed, as for any picture, however slowly the client reads.

        Raises:
            RequestError, ServeError: what is refused, or fails, before the first event, for which it waits.
        """
        handler, request_id = self._loaded_handler(), logs.REQUEST.get()["request_id"]
        if not handler.can_stream:
            raise ServeError(406, "not_acceptable", "this model's own inference.py has no stream_fn; ask for JSON")
        with self._is_arriving(), self._metrics.time("decode_image"):
            request = self._decode(lambda: handler.decode(call), deadline, needs_room=True)
        if request.form != "one":
            raise ServeError(406, "not_acceptable", "text/event-stream answers one picture; ask for JSON for several")
        tokens = TokenQueue()
        (future,) = self._submit(handler.items(request, tokens.put), deadline, is_wanted)

        def answer() -> str:
            rows = [future.result()]
            self._note(request_id, request, rows)
            return str(handler.encode(request, rows, "application/json").body)

        events = stream_events(tokens.until(future, deadline), answer, self._interrupted)
        try:
            first = next(events)
        except (TimeoutError, CancelledError) as error:
            raise self._given_up(error) from None
        return _with_first(first, events)

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
        if joins and hasattr(handler.model, "on_stage"):
            handler.model.on_stage = self._metrics.stage

        def count(batch: list[Waiting]) -> None:
            now = time.monotonic()
            self._metrics.batch([now - waiting.since for waiting in batch])

        def run(batch: list[Waiting]) -> Sequence[Any]:
            items = [waiting.item for waiting in batch]
            with self._metrics.time("model"):
                if joins:
                    return handler.predict_items(items, lambda place: batch[place].is_wanted())
                return [handler.transform(call) for call in items]

        return Batcher(
            run,
            self._settings.batch_size if joins else 1,
            self._settings.max_batch_delay / 1000,
            more_expected=lambda: self._arriving > 0,
            kind=lambda waiting: waiting.item.kind if joins else None,
            is_wanted=lambda waiting: waiting.is_wanted(),
            on_waiting=self._metrics.items_waiting.inc,
            on_taken=count,
            lanes=min(LANES, self._shared.cores) if handler.is_builtin else 1,
        )

    def _windows(
        self, call: Call, body: IO[bytes], is_wanted: Callable[[], bool], deadline: float
    ) -> Generator[Answered, None, None]:
        """The answered windows of records, in order: one is decoded while the model works on the one before."""
        request_id = logs.REQUEST.get()["request_id"]
        sent: deque[Sent] = deque()
        number = 0
        try:
            for window in records.windows(body, self._settings.batch_size):
                if self._settings.is_batch:
                    deadline = time.monotonic() + self._settings.request_timeout
                decode = partial(Handler.decode_records, call=call, records=window)
                # A request that has begun isn't broken off: it holds two windows at most.
                sent.append(self._send(decode, deadline, is_wanted, needs_room=not sent and not number))
                if len(sent) > 1:
                    yield self._receive(sent.popleft(), f"{request_id}-{number}")
                    number += 1
            yield self._receive(sent.popleft(), f"{request_id}-{number}")
        finally:
            for waiting in sent:
                _cancel(waiting.futures)

    def _send(
        self, decode: Callable[[Handler], Any], deadline: float, is_wanted: Callable[[], bool], needs_room: bool
    ) -> Sent:
        handler = self._loaded_handler()
        with self._is_arriving(), self._metrics.time("decode_image"):
            request = self._decode(partial(decode, handler), deadline, needs_room)
        return Sent(request, self._submit(handler.items(request), deadline, is_wanted), deadline)

    def _receive(self, sent: Sent, name: str) -> Answered:
        """Waits for the rows of what was sent, which is captured under `name`."""
        handler = self._loaded_handler()
        failures = self._wait(sent.futures, sent.deadline)
        rows = [
            handler.error_row(_row_error(failure)) if failure else future.result()
            for future, failure in zip(sent.futures, failures, strict=True)
        ]
        self._note(name, sent.request, rows)
        return Answered(sent.request, rows, failures)

    def _note(self, name: str, request: Any, rows: list[Any]) -> None:
        self._metrics.answered(rows)
        if self._shared.capture:
            self._shared.capture.offer(name, request.pictures, rows)

    def _encode(self, answered: Answered, accept: str) -> Reply:
        with self._metrics.time("write"):
            return self._loaded_handler().encode(answered.request, answered.rows, accept)

    def _broken_off(self, error: Exception) -> ConnectionResetError:
        """Ends an answer in its middle: gunicorn takes the error for a client's, and closes the connection."""
        return ConnectionResetError(errno.ECONNRESET, self._interrupted(error).message)

    def _interrupted(self, error: Exception) -> ServeError:
        """Says why an answer that has begun, with a status that said nothing of it, isn't ended."""
        known = _row_error(self._given_up(error))
        log.warning("answer broken off: %s", known.message, extra={"fields": {"error_code": known.code}})
        self._metrics.refusal(known.code)
        return known

    def _given_up(self, error: Exception) -> Exception:
        """What the client is told of a future that wasn't waited for to its end; other errors as they are."""
        if isinstance(error, TimeoutError):
            return errors.deadline_exceeded(self._settings.request_timeout)
        return errors.client_gone() if isinstance(error, CancelledError) else error  # by the batcher: nobody wants it

    def _decode(self, decode: Callable[[], Any], deadline: float, needs_room: bool) -> Any:
        if not self._shared.decoding.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise errors.deadline_exceeded(self._settings.request_timeout)
        try:
            if needs_room:
                self._shared.picture_memory.check_room()
            request = decode()
            self._shared.picture_memory.hold(request.pictures)
            return request
        except RecursionError:  # Python's e-mail parser on a form's damaged header; a parser of the user's on deep JSON
            raise errors.too_nested() from None
        finally:
            self._shared.decoding.release()

    def _submit(self, items: Sequence[Any], deadline: float, is_wanted: Callable[[], bool]) -> list[Future[Any]]:
        if (batcher := self._batcher) is None or self._is_closing:
            raise errors.unloaded()
        now, given_up = time.monotonic(), deadline + GIVE_UP_SECONDS

        def still_wanted() -> bool:
            return time.monotonic() < given_up and is_wanted()

        return batcher.submit([Waiting(item, now, still_wanted) for item in items])

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
        """Where the model failed, for each future. Raises what the server gives up with."""
        try:
            failures = [_failure(future, deadline) for future in futures]
        except (TimeoutError, CancelledError) as error:
            _cancel(futures)
            raise self._given_up(error) from None
        for failure in failures:
            if isinstance(failure, ServeError):
                raise failure
        return failures


def _with_first(first: str, events: Iterator[str]) -> Iterator[str]:
    yield first
    yield from events


def _failure(future: Future[Any], deadline: float) -> Exception | None:
    failure = future.exception(max(0.0, deadline - time.monotonic()))
    assert failure is None or isinstance(failure, Exception)  # the batcher sets nothing else
    return failure


def _raise_if_all_failed(failures: Sequence[Exception | None]) -> None:
    if failures and failures[0] and all(failures):
        raise failures[0]


def _without_start(reply: Reply, start: Reply) -> Reply:
    size = len(start.body)
    return reply._replace(body=reply.body[size:]) if reply.body[:size] == start.body else reply


def _cancel(futures: Sequence[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


def _row_error(failure: Exception) -> ServeError:
    """The error in the place of one record whose neighbours were answered."""
    if known := errors.from_exception(failure):
        return known
    log.error("a record failed", exc_info=failure)
    return ServeError(500, "recognition_failed", "the model failed for this picture; the server's log has the reason")
