"""How many processes serve when nobody says so."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
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
        (192, 384 * GIB, 20, 64),  # as many as a setting may ask for
        (8, 2 * GIB, 20, 2),  # what its memory holds
        (8, 16 * GIB, 1024, 3),  # a large model of the user's
        (4, GIB // 2, 20, 1),  # too little for one: it is tried all the same
    ],
)
def test_a_process_for_each_core_while_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, model_mb: int, expected: int
) -> None:
    machine(monkeypatch, cores, memory)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(model_mb * 1024 * 1024)
    assert workers.suggested_workers(tmp_path) == expected


@pytest.mark.parametrize(
    ("cuda_build", "device", "uses"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_gpu_is_used_by_the_cuda_build_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda_build: bool, device: bool, uses: bool
) -> None:
    def distribution(name: str) -> None:
        if not cuda_build:
            raise PackageNotFoundError(name)

    monkeypatch.setattr(workers, "distribution", distribution)
    monkeypatch.setattr(workers, "GPU_DEVICES", (tmp_path if device else tmp_path / "none",))
    assert workers.uses_gpu() == uses


def test_one_process_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 8, 32 * GIB)
    monkeypatch.setattr(workers, "uses_gpu", lambda: True)
    assert workers.suggested_workers(tmp_path) == 1


def test_threads_that_are_set_are_each_processs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 8, 32 * GIB)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert workers.suggested_workers(tmp_path) == 2


@pytest.mark.parametrize("asked", [None, "", " ", "0", "many", "²"])
def test_processes_share_the_cores_where_no_threads_are_asked_for(
    asked: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable was one that is set: each of the processes took all cores."""
    machine(monkeypatch, 8, 32 * GIB)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert workers.suggested_workers(tmp_path) == 8
    assert [workers.threads_of_each(count) for count in (1, 2, 8, 9)] == [8, 4, 1, 1]


def test_threads_that_are_asked_for_are_had(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 8, 32 * GIB)
    monkeypatch.setenv("OMP_NUM_THREADS", " 3")
    assert workers.threads_of_each(8) == 3


def test_a_folder_that_cant_be_read_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the model tells what is wrong with it; the start doesn't end here."""
    machine(monkeypatch, 2, 4 * GIB)
    (tmp_path / "weights.bin").symlink_to(tmp_path / "gone")
    assert workers.suggested_workers(tmp_path) == workers.suggested_workers(tmp_path / "nothing") == 2


def test_what_is_said_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, 4, 32 * GIB)
    variables = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    assert Settings.from_environment(variables).worker_count == 4
    assert Settings.from_environment({**variables, "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}).worker_count == 1


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, memory: int) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "uses_gpu", lambda: False)
    monkeypatch.setattr(workers, "suggested_threads", lambda: cores)
    monkeypatch.setattr(workers, "memory_limit", lambda: memory)
