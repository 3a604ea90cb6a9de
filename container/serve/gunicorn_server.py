"""gunicorn, set up in code for this one application: threads, nothing written to disk, a stop that loses nothing.

Four things differ from gunicorn 27's threaded worker:
  * On SIGTERM it leaves connections that the kernel has accepted but it has not (they would be reset: its issue
    3397). Here those are taken in first, then the port is closed, so that new clients are refused at once.
  * It gives each new connection a thread for up to 5 s, data or none. Here a thread is taken once data is there:
    idle connections can't keep /ping waiting.
  * It reads without a time limit. Here a client that stops in the middle of its request is dropped.
  * It stays whatever becomes of the model. Here a worker that can't answer any more makes room for a new one.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from container.serve import logs
from container.serve.app import create_app
from container.serve.metrics import Metrics, forget_worker, share_folder
from container.serve.multi_model import MultiModel
from container.serve.settings import Settings
from container.serve.single_model import SingleModel

BROKEN_SECONDS = 1  # for what is inside a worker that can't answer
STOP_SECONDS = 27  # SageMaker kills 30 s after SIGTERM (S4)
GIVE_UP_SECONDS = 23  # by then, whatever is still inside gets its 503
READ_SECONDS = 20  # longest pause of a client within a request
KEEPALIVE_SECONDS = 65  # above the idle time of usual load balancers: they close first, so no request is lost
OTHER_FILES = 100  # a worker opens besides its connections, at most
SWITCH_SECONDS = 0.0005  # a thread that computes gives way to /ping after this; Python's default is ten times as long
SPARE_THREADS = 16  # besides those for admitted requests: for /ping and for saying 503

WSGIApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

log = logging.getLogger(__name__)


class Server(BaseApplication):
    """gunicorn's application: its options, and the app that each worker builds after the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = MultiModel(settings) if settings.multi_model else SingleModel(settings)
        self.metrics_folder = share_folder(memory_dir())
        super().__init__()

    def load_config(self) -> None:
        threads = self.settings.queue_size + SPARE_THREADS
        options = {
            "bind": f"0.0.0.0:{self.settings.port}",
            "workers": self.settings.worker_count,
            "worker_class": Worker,
            "threads": threads,
            "worker_connections": connection_limit(threads + 1000),
            "timeout": 480,  # of a worker's main loop, which only a library that blocks all threads can hold up
            "graceful_timeout": STOP_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "worker_tmp_dir": memory_dir(),
            "child_exit": lambda server, worker: forget_worker(worker.pid),
            "on_exit": lambda server: shutil.rmtree(self.metrics_folder, ignore_errors=True),
            "control_socket_disable": True,  # it would be written to the home directory
            "logger_class": logs.GunicornLogger,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        sys.setswitchinterval(SWITCH_SECONDS)
        metrics = Metrics()
        self.models.start(metrics)
        return closing_if_unavailable(create_app(self.settings, self.models, metrics))


def closing_if_unavailable(app: WSGIApplication) -> WSGIApplication:
    """Ends the connection after a 503, so that the client's next try can reach a worker that has room."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, *further: Any) -> Any:
            if status.startswith("503"):
                start_response.__self__.force_close()  # gunicorn ignores the header with which others say it
            return start_response(status, *further)

        return app(environ, start)

    return application


class Connection(TConn):
    """A connection whose reads and writes time out."""

    def init(self) -> None:
        super().init()
        self.sock.settimeout(READ_SECONDS)


class Worker(ThreadWorker):
    """gunicorn's threaded worker with the differences that the head of this file lists."""

    alive: bool  # its main loop goes on

    def accept(self, listener: Any) -> bool:
        """Takes one connection in, if there is one; it gets a thread when its first bytes arrive."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(connection)
        self.poller.register(client, EVENT_READ, partial(self.on_pending_socket_readable, connection))
        return True

    def notify(self) -> None:
        """gunicorn's main loop calls this at least once a second."""
        super().notify()
        problem = self.app.models.ping_problem()  # the metric `formula_model_ready` follows
        if self.alive and self.app.models.needs_new_process():
            log.critical("this worker makes room for a new one: %s", problem)
            self.alive = False

    def set_accept_enabled(self, enabled: bool) -> None:
        """gunicorn's main loop turns accepting off when it leaves: there the stop begins."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            self._begin_stop()

    def _begin_stop(self) -> None:
        for listener in self.sockets:
            while self.accept(listener):
                pass
            listener.close()
        linger = time.monotonic() + STOP_KEEPALIVE_LINGER
        for connection in self.pending_conns:  # silent so far: not for long any more
            connection.timeout = min(connection.timeout, linger)
        self.app.models.stop(BROKEN_SECONDS if self.app.models.needs_new_process() else GIVE_UP_SECONDS)


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
