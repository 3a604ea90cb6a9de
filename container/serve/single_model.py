"""The one model in /opt/ml/model: loaded in the background by each worker; /ping waits for all of them."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager

from container.serve import errors
from container.serve.errors import ServeError
from container.serve.metrics import Metrics
from container.serve.model_location import find_model_or_shipped
from container.serve.readiness import LoadedWorkers
from container.serve.service import Service, Shared
from container.serve.settings import Settings

log = logging.getLogger(__name__)


class SingleModel:
    """What this process serves.

    Not before `start()` is anything of the model touched, and `start()` returns at once: gunicorn has forked by
    then (CUDA can't be used across a fork), and /ping answers while the model is being loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded = LoadedWorkers(settings.worker_count)

    def start(self, metrics: Metrics) -> None:
        self._metrics, self._service = metrics, Service(Shared(self._settings, metrics))
        self._loading = threading.Thread(target=self._load, name="load", daemon=True)
        self._loading.start()

    def ping_problem(self) -> ServeError | None:
        """Why /ping can't say yet that every request will be answered, or None."""
        problem = self._service.problem()
        self._metrics.model_ready.set(problem is None)
        if not problem and not self._loaded.are_all():
            problem = "another worker is still loading the model"
        return errors.not_ready(problem) if problem else None

    def can_answer(self) -> bool:
        """Whether this process can, whatever becomes of the others."""
        return self._service.problem() is None

    def needs_new_process(self) -> bool:
        """Whether this process should give way to another. Not before all have served: the first must say why not."""
        return self._loaded.are_all() and self._service.is_broken()

    def is_loading(self) -> bool:
        return self._loading.is_alive()

    def admit(self) -> AbstractContextManager[Service]:
        return self._service.admit()

    def stop(self, seconds: float) -> None:
        self._service.stop(seconds)

    def _load(self) -> None:
        try:
            self._service.load(lambda: find_model_or_shipped(self._settings.model_root))
        except (Exception, SystemExit):
            log.critical(self._service.problem(), exc_info=True)
            return
        self._loaded.add_this_one()
