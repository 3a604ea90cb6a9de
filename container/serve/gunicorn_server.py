"""gunicorn, set up in code for this one application: threads, nothing written to disk, a stop that loses nothing.

Nine things differ from gunicorn 27's threaded worker:
  * On SIGTERM it leaves connections that the kernel has accepted but it has not (they would be reset: its issue
    3397). Here those are taken in first, then the port is closed, so that new clients are refused at once.
  * It gives a connection a thread as soon as data is there, or for up to 5 s before. Here it waits until the request is
    there as a whole (connections.py), or its start, if the body is large; of those only so many at a time get a thread.
  * It answers /ping in one of its threads, of which a hundred may be at work. Here the main loop does.
  * It reads without a time limit. Here a request has to arrive, and be answered, before its deadline.
  * Its main loop waits for up to 2 s for each client to close its side. Here it goes on meanwhile.
  * It stays whatever becomes of the model. Here a worker that can't answer any more makes room for a new one.
  * It promises to keep a connection that it then closes, as a body was refused unread. Here it says that it closes.
  * Whichever worker is awake first takes a connection, so one may have 23 of 32. Here one that has more than another
    leaves it a moment for it, as one does that can't answer at the time.
  * It refuses what is no request in HTML. Here as all else, in JSON with a code.
"""

from __future__ import annotations

import logging
import math
import os
import resource
import shutil
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from container.serve import errors, logs
from container.serve.app import create_app
from container.serve.connections import GRACE_SECONDS, Arrived, Connection
from container.serve.metrics import Metrics, forget_worker, share_folder
from container.serve.multi_model import MultiModel
from container.serve.readiness import OpenConnections
from container.serve.settings import Settings
from container.serve.single_model import SingleModel

BROKEN_SECONDS = 1  # for what is inside a worker that can't answer
STOP_SECONDS = 27  # SageMaker kills 30 s after SIGTERM (S4)
GIVE_UP_SECONDS = 23  # by then, whatever is still inside gets its 503
LAST_SECONDS = GIVE_UP_SECONDS + 1  # by then, whatever is still arriving gets its 408
KEPT_SECONDS = 5  # a connection among several workers: the busiest ones may all be at one, and others be idle
LEFT_SECONDS = 0.002  # a new connection to workers that have fewer
LEAVE_SECONDS = 2  # for a client to close its side; closed before, the connection would be reset and lose the answer
KEEPALIVE_SECONDS = 65  # above the idle time of usual load balancers: they close first, so no request is lost
OTHER_FILES = 100  # a worker opens besides its connections, at most
SWITCH_SECONDS = 0.0005  # a thread that computes gives way to /ping after this; Python's default is ten times as long
SPARE_THREADS = 16  # besides those for admitted and arriving requests: for /ping and for saying 503
PING = b"GET /ping "
CLOSING = ("503", "408")  # other workers may have room; what is left of a late body is no request


WSGIApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

log = logging.getLogger(__name__)


class Server(BaseApplication):
    """gunicorn's application: its options, and the app that each worker builds after the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = MultiModel(settings) if settings.multi_model else SingleModel(settings)
        self.open_connections = OpenConnections(2 * settings.worker_count)  # at a reload there are twice as many
        self.metrics_folder = share_folder(memory_dir())
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host  # IPv6's in brackets
        threads = 2 * self.settings.queue_size + SPARE_THREADS  # for requests that are there, and for large ones
        options = {
            "bind": f"{host}:{self.settings.port}",
            "workers": self.settings.worker_count,
            "worker_class": Worker,
            "threads": threads,
            "worker_connections": connection_limit(threads + 1000),
            "timeout": 480,  # of a worker's main loop, which only a library that blocks all threads can hold up
            "graceful_timeout": STOP_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "worker_tmp_dir": memory_dir(),
            "worker_exit": lambda server, worker: worker.leave(),
            "pre_fork": lambda server, worker: worker.take_place(),
            "child_exit": lambda server, worker: worker.forget(),
            "on_exit": lambda server: shutil.rmtree(self.metrics_folder, ignore_errors=True),
            "control_socket_disable": True,  # it would be written to the home directory
            "logger_class": logs.GunicornLogger,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        sys.setswitchinterval(SWITCH_SECONDS)
        self.metrics = Metrics()
        self.models.start(self.metrics)
        return closing_after_some(create_app(self.settings, self.models, self.metrics))


def closing_after_some(app: WSGIApplication) -> WSGIApplication:
    """Ends the connection after a 503, so that the client's next try can reach a worker that has room, after a 408, and
    after an answer to a request whose body wasn't read to its end."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, *further: Any) -> Any:
            if status.startswith(CLOSING) or _is_unread(environ["wsgi.input"]):
                start_response.__self__.force_close()  # gunicorn ignores the header with which others say it
            return start_response(status, *further)

        return app(environ, start)

    return application


def _is_unread(body: Any) -> bool:
    """Whether some of a request's body (gunicorn.http.body) is still to come, or its end can't be found."""
    return body.failed or bool(getattr(body.reader, "length", 0) or getattr(body.reader, "parser", None))


def _refusal_of(problem: ParseException) -> errors.ServeError:
    """The answer to what gunicorn could make no request of."""
    reason = str(problem)
    if isinstance(problem, LimitRequestLine):
        return errors.ServeError(414, "uri_too_long", reason)
    if isinstance(problem, LimitRequestHeaders):
        return errors.ServeError(431, "head_too_large", reason)
    if isinstance(problem, ExpectationFailed):
        return errors.ServeError(417, "expectation_failed", reason)
    if isinstance(problem, UnsupportedTransferCoding):
        return errors.ServeError(501, "not_implemented", reason)
    return errors.ServeError(400, "bad_request", reason)


class Worker(ThreadWorker):
    """gunicorn's threaded worker with the differences that the head of this file lists."""

    alive: bool  # its main loop goes on

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # A connection is in one of these, in the order of their timeouts, or has a thread: silent ones, those with a
        # part of a request, those that are closed on our side.
        self.keepalived_conns: deque[Connection] = deque()
        self.pending_conns: deque[Connection] = deque()
        self.leaving_conns: deque[Connection] = deque()
        self.uploads: set[Connection] = set()  # of those with a thread: it has to read the body
        self.last = math.inf  # time.monotonic() by which requests have to be there; known when it stops

    def take_place(self) -> None:
        """Before the fork, in the parent."""
        self.place = self.app.open_connections.take_place()

    def forget(self) -> None:
        """In the parent, once this worker has died."""
        self.app.open_connections.free(self.place)
        forget_worker(self.pid)

    def accept(self, listener: Any) -> bool:
        """Takes one connection in, if there is one."""
        if self.alive and self._kept() > self.app.open_connections.least():
            time.sleep(LEFT_SECONDS)
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        self.nr_conns += 1
        self._await_request(Connection(self.cfg, client, address, listener.getsockname()))
        return True

    def _kept(self) -> float:
        """Connections on which a request may come, or is being answered; while none can be, it should get no other."""
        can_answer = self.alive and self.app.models.can_answer()
        return self.nr_conns - len(self.leaving_conns) if can_answer else OpenConnections.NOBODY

    def handle(self, conn: Connection) -> Any:
        logs.REQUEST.set({})  # this thread's request before had ids
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answers what gunicorn could make no request of, or a fault of ours below Flask."""
        if isinstance(exc, ParseException):
            self._say(client, _refusal_of(exc))
        else:
            log.error("request failed", exc_info=exc)
            self._say(client, errors.ServeError(500, "internal_error", "the server failed; its log has the reason"))

    def handle_request(self, req: Any, conn: Connection) -> bool:
        if self.cfg.workers > 1 and time.monotonic() - conn.opened > KEPT_SECONDS:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """A thread is done with the connection, whose answer may have promised to keep it."""
        self.uploads.discard(conn)
        if fs.cancelled() or fs.exception() or not fs.result():
            self._leave(conn)
            return
        conn.take_back()
        if conn.received:
            self._begin(conn)
        else:
            self._await_request(conn)

    def murder_pending(self) -> None:
        """gunicorn's main loop calls this when it has woken up: ends what has taken too long."""
        now = time.monotonic()
        while self.pending_conns and self.pending_conns[0].timeout <= now:
            connection = self._stop_waiting(self.pending_conns, self.pending_conns[0])
            self._refuse(connection, errors.late())
        while self.leaving_conns and self.leaving_conns[0].timeout <= now:
            self._close(self._stop_waiting(self.leaving_conns, self.leaving_conns[0]))
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def _make_room(self) -> None:
        """Gives up the connection that has waited longest, so that a new one, such as /ping's, can be accepted."""
        queues = [queue for queue in (self.keepalived_conns, self.pending_conns, self.leaving_conns) if queue]
        if queues:
            longest = min(queues, key=lambda queue: queue[0].waits_since)
            self._close(self._stop_waiting(longest, longest[0]))

    def _await_request(self, connection: Connection) -> None:
        seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
        self._wait(self.keepalived_conns, connection, time.monotonic() + seconds, self._on_first_bytes)

    def _on_first_bytes(self, connection: Connection, _: Any) -> None:
        if not connection.receive():
            return
        self._stop_waiting(self.keepalived_conns, connection)
        if connection.received:
            self._begin(connection)
        else:
            self._close(connection)

    def _begin(self, connection: Connection) -> None:
        connection.sock.began = time.monotonic()
        connection.sock.deadline = min(connection.sock.began + self.app.settings.request_timeout, self.last)
        connection.sock.slowest = math.inf
        if connection.arrived() is Arrived.PART:
            self._wait(self.pending_conns, connection, connection.sock.deadline, self._on_further_bytes)
        else:
            self._hand_over(connection)

    def _on_further_bytes(self, connection: Connection, _: Any) -> None:
        if connection.receive() and connection.arrived() is not Arrived.PART:
            self._hand_over(self._stop_waiting(self.pending_conns, connection))

    def _hand_over(self, connection: Connection) -> None:
        """To a thread, which won't have to wait for the client; or else as one of a few."""
        arrived = connection.arrived()
        if arrived is Arrived.TOO_LONG:
            self._refuse(connection, errors.head_too_large())
        elif arrived is Arrived.START and len(self.uploads) >= self.app.settings.queue_size:
            self._refuse(connection, errors.overloaded(len(self.uploads)))
        elif arrived is Arrived.WHOLE and connection.received.startswith(PING) and connection.takes_answer():
            self._answer_here(connection)
        else:
            if arrived is Arrived.START:
                self.uploads.add(connection)
                connection.sock.slowest = time.monotonic() + GRACE_SECONDS
            self.enqueue_req(connection)

    def _answer_here(self, connection: Connection) -> None:
        """In the main loop, for what is answered at once: a thread would wait for its turn among a hundred others."""
        answered: Future[bool] = Future()
        answered.set_result(self.handle(connection))
        logs.REQUEST.set({})
        self.method_queue.defer(self.finish_request, connection, answered)

    def _refuse(self, connection: Connection, error: errors.ServeError) -> None:
        self._say(connection.sock, error)
        self._leave(connection)

    def _say(self, client: socket.socket, error: errors.ServeError) -> None:
        log.info("refused", extra={"fields": {"status": error.status, "error_code": error.code}})
        self.app.metrics.refusal(error.code)
        with suppress(OSError):
            client.send(errors.to_bytes(error), socket.MSG_DONTWAIT)

    def _leave(self, connection: Connection) -> None:
        """Closes our side, and waits a while for the client to have read what was sent and to close its own."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
        else:
            self._wait(self.leaving_conns, connection, time.monotonic() + LEAVE_SECONDS, self._on_last_bytes)

    def _on_last_bytes(self, connection: Connection, _: Any) -> None:
        connection.receive()
        connection.received.clear()
        if connection.is_ended:
            self._close(self._stop_waiting(self.leaving_conns, connection))

    def _wait(
        self,
        queue: deque[Connection],
        connection: Connection,
        timeout: float,
        on_readable: Callable[[Connection, Any], None],
    ) -> None:
        connection.waits_since, connection.timeout = time.monotonic(), timeout
        queue.append(connection)
        self.poller.register(connection.sock, EVENT_READ, partial(on_readable, connection))

    def _stop_waiting(self, queue: deque[Connection], connection: Connection) -> Connection:
        queue.remove(connection)
        self.poller.unregister(connection.sock)
        return connection

    def _close(self, connection: Connection) -> None:
        self.nr_conns -= 1
        connection.close()

    def notify(self) -> None:
        """gunicorn's main loop calls this at least once a second."""
        super().notify()
        self.app.open_connections.tell(self.place, self._kept())
        problem = self.app.models.ping_problem()  # the metric `formula_model_ready` follows
        if self.alive and self.app.models.needs_new_process():
            log.critical("this worker makes room for a new one: %s", problem)
            self.alive = False

    def is_parent_alive(self) -> bool:
        """Whether the server is there; without it the main loop ends, and that is a stop as after SIGTERM."""
        self.alive = self.alive and bool(super().is_parent_alive())
        return self.alive

    def set_accept_enabled(self, enabled: bool) -> None:
        """gunicorn's main loop turns accepting off when it leaves: there the stop begins."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive and self.last == math.inf:
            self._begin_stop()

    def _begin_stop(self) -> None:
        for listener in self.sockets:
            while self.accept(listener):
                pass
            listener.close()
        self.last = time.monotonic() + LAST_SECONDS
        for connection in (*self.pending_conns, *self.uploads):
            connection.sock.deadline = connection.timeout = min(connection.sock.deadline, self.last)
        self.app.models.stop(BROKEN_SECONDS if self.app.models.needs_new_process() else GIVE_UP_SECONDS)

    def leave(self) -> None:
        """At the end of the process: before Python would end it, if a model is still being loaded.

        The load has been given up with the stop, and C++ aborts if it is torn down under it.
        """
        if self.booted and not self.alive and self.app.models.is_loading():
            os._exit(0)


def connection_limit(wanted: int) -> int:
    """Raises the limit of open files as far as needed and allowed; returns how many connections fit below it.

    gunicorn's worker dies when it can't open one more; connections above the limit wait in the kernel's queue.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - OTHER_FILES))


def memory_dir() -> str | None:
    """Where workers show that they live, and what they count: in memory, which exists under a read-only root too.

    None leaves the choice to Python's tempfile, which names the folders it tried when there is none.
    """
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None
