"""What the server counts and times, for Prometheus, summed over the workers.

Each worker writes into files of its own in a folder that all share (prometheus-client's multiprocess mode); whichever
worker is asked for /metrics reads them all. The library looks for that folder when it is imported: `share_folder`
must have run before.
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RENDER_PAUSES = (0.01, 0.1, 0.5)  # seconds before another try
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def share_folder(parent: str | None) -> str:
    """Makes the empty folder in which the workers to come share their numbers, and returns its path."""
    folder = tempfile.mkdtemp(prefix="serve-metrics-", dir=parent)
    os.environ[FOLDER_VARIABLE] = folder
    return folder


class Metrics:
    """The metrics of one worker; made after the fork, once a process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # `share_folder` has run by now

        own = CollectorRegistry()  # not the global one: what is shown is read from the files
        histogram, counter = partial(Histogram, registry=own), partial(Counter, registry=own)
        gauge = partial(Gauge, registry=own)
        self.request_seconds = histogram(
            "formula_request_seconds",
            "From a request's first byte to its answer's end",
            ["route", "status"],
            buckets=SECONDS,
        )
        self.stage_seconds = histogram(
            "formula_stage_seconds",
            "decode_image, queue, model (a call; of its time: encoder, decoder, for each batch), write",
            ["stage"],
            buckets=SECONDS,
        )
        self.batch_pictures = histogram("formula_batch_pictures", "Pictures in a call of the model", buckets=PICTURES)
        self.requests_admitted = gauge("formula_requests_admitted", "Requests inside", multiprocess_mode="livesum")
        self.items_waiting = gauge("formula_items_waiting", "Pictures not yet in a call", multiprocess_mode="livesum")
        self.tokens = counter("formula_tokens", "Tokens answered; their rate is tokens/s")
        self.refused = counter("formula_refused_requests", "Error answers by code", ["code"])
        self.model_ready = gauge("formula_model_ready", "1 if every worker can answer", multiprocess_mode="livemin")
        self.model_info = gauge(
            "formula_model_info",
            "How many models of this version are loaded",
            ["version"],
            multiprocess_mode="livemax",
        )
        self.models_loaded = gauge("formula_models_loaded", "Models in the list", multiprocess_mode="livesum")
        self.models_memory = gauge(
            "formula_models_memory_bytes", "Estimate for the models", multiprocess_mode="livesum"
        )
        self.model_loads = counter("formula_model_loads", "By code; ok: loaded", ["code"])
        self.model_unloads = counter("formula_model_unloads", "asked or evicted", ["why"])

    def time(self, stage: str) -> Any:
        """A context manager that times one of the stages."""
        return self.stage_seconds.labels(stage).time()

    def stage(self, name: str, seconds: float) -> None:
        self.stage_seconds.labels(name).observe(seconds)

    def batch(self, waited: Sequence[float]) -> None:
        """A lane takes pictures for a call of the model; seconds that each of them has waited."""
        for seconds in waited:
            self.stage("queue", seconds)
        self.batch_pictures.observe(len(waited))

    def answered(self, rows: Sequence[Any]) -> None:
        self.tokens.inc(sum(len(getattr(row, "tokens", ())) for row in rows))  # an error has none

    def request(self, route: str, status: int, seconds: float, code: str | None) -> None:
        self.request_seconds.labels(route, str(status)).observe(seconds)
        if code:
            self.refusal(code)

    def refusal(self, code: str) -> None:
        """By itself: of a request that reached no route, or an answer broken off long after its status was sent."""
        self.refused.labels(code).inc()


def render() -> bytes:
    """The numbers of all workers in Prometheus's text format (CONTENT_TYPE)."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    for pause in RENDER_PAUSES:
        try:
            return generate_latest(registry)
        except struct.error:  # a worker has just made its file, and it is still empty
            time.sleep(pause)
    return generate_latest(registry)


def forget_worker(pid: int) -> None:
    """A dead worker's gauges no longer count; what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)
