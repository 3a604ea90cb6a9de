"""How many processes serve when nobody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from container.serve import workers
from container.serve.settings import Settings

GIB = 1024**3


@pytest.mark.parametrize(
    ("cores", "memory", "model_mb", "expected"),
    [
        (1, 4 * GIB, 20, 1),
        (2, 4 * GIB, 20, 2),  # ml.t2.medium
        (8, 16 * GIB, 20, 8),  # ml.c5.2xlarge
        (8, 2 * GIB, 20, 3),  # serverless: what its memory holds
        (8, 16 * GIB, 1024, 4),  # a large model of the user's
        (4, GIB // 2, 20, 1),  # too little for one: it is tried all the same
    ],
)
def test_a_process_for_each_core_while_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, model_mb: int, expected: int
) -> None:
    machine(monkeypatch, tmp_path / "no-gpu", cores, memory)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(model_mb * 1024 * 1024)
    assert workers.suggested_workers(tmp_path) == expected


def test_one_process_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (driver := tmp_path / "nvidiactl").touch()
    machine(monkeypatch, driver, 8, 32 * GIB)
    assert workers.suggested_workers(tmp_path / "nothing") == 1


def test_what_is_said_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path / "no-gpu", 4, 32 * GIB)
    variables = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    assert Settings.from_environment(variables).worker_count == 4
    assert Settings.from_environment({**variables, "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}).worker_count == 1


def machine(monkeypatch: pytest.MonkeyPatch, driver: Path, cores: int, memory: int) -> None:
    monkeypatch.setattr(workers, "GPU_DRIVER", driver)
    monkeypatch.setattr(workers, "suggested_threads", lambda: cores)
    monkeypatch.setattr(workers, "memory_limit", lambda: memory)
