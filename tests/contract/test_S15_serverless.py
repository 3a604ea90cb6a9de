"""S15: serverless inference: no GPU, 1 to 6 GB of memory, no shared memory; one worker is advised.

The image's size is asserted in tests/container/test_images.py, and that a container so small answers in
test_serve_image.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from container.serve import workers
from container.serve.settings import Settings
from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

GIB = 1024**3
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.mark.parametrize(("gib", "cores", "most"), [(1, 6, 1), (2, 6, 2), (6, 6, 6)])
def test_S15_a_small_container_has_few_processes(
    monkeypatch: pytest.MonkeyPatch, gib: int, cores: int, most: int
) -> None:
    """One in the smallest; in larger ones as many as their memory holds, unless the advised one is asked for."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "uses_gpu", lambda: False)
    monkeypatch.setattr(workers, "suggested_threads", lambda: cores)
    monkeypatch.setattr(workers, "memory_limit", lambda: gib * GIB)
    assert 1 <= workers.suggested_workers(WEIGHTS) <= most
    advised = Settings.from_environment({"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    assert advised.worker_count == 1


def test_S15_the_advised_worker_answers(tiny_base_dir) -> None:
    with Server(tiny_base_dir, {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "4"}) as server:
        server.wait_until_ready()
        assert len(server.workers()) == 1
        assert server.invoke(png(formula_picture())).status == 200
