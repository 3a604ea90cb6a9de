"""Thread counts come from the cgroup, in both of its versions (failure table: thread oversubscription)."""

import os
from pathlib import Path

import pytest

from container import resources


@pytest.fixture(autouse=True)
def no_own_group(monkeypatch, tmp_path):
    """The quota of the machine that runs the tests must not leak in."""
    monkeypatch.setattr(resources, "PROC_SELF_CGROUP", tmp_path / "no-such-file")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")
    return folder


def test_v2_quota_keeps_the_fraction_and_threads_round_down(tmp_path):
    root = write(tmp_path / "cg", cpu__max="150000 100000")
    assert resources.cpu_limit(root) == 1.5
    assert resources.suggested_threads(root) == 1


def test_v2_without_limit_gives_the_affinity(tmp_path):
    root = write(tmp_path / "cg", cpu__max="max 100000")
    assert resources.cpu_limit(root) == 64
    assert resources.suggested_threads(root) == 64


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_v1_quota(tmp_path, folder):
    write(tmp_path / "cg" / folder, cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    assert resources.cpu_limit(tmp_path / "cg") == 3


def test_v1_without_limit(tmp_path):
    write(tmp_path / "cg" / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert resources.cpu_limit(tmp_path / "cg") == 64


def test_tightest_ancestor_counts(tmp_path, monkeypatch):
    own = tmp_path / "self"
    own.write_text("0::/slice/job\n")
    monkeypatch.setattr(resources, "PROC_SELF_CGROUP", own)
    write(tmp_path / "cg" / "slice", cpu__max="200000 100000")
    write(tmp_path / "cg" / "slice" / "job", cpu__max="max 100000")
    assert resources.cpu_limit(tmp_path / "cg") == 2


def test_less_than_one_cpu_is_still_one_thread(tmp_path):
    root = write(tmp_path / "cg", cpu__max="50000 100000")
    assert resources.cpu_limit(root) == 0.5
    assert resources.suggested_threads(root) == 1


def test_garbage_in_the_quota_file_is_no_limit(tmp_path):
    root = write(tmp_path / "cg", cpu__max="what is this")
    assert resources.cpu_limit(root) == 64


def test_shm_size_of_a_missing_folder_is_zero(tmp_path):
    assert resources.shm_bytes(tmp_path / "none") == 0
    assert resources.shm_bytes(tmp_path) > 0


def test_memory_limit_of_either_version(tmp_path):
    assert resources.memory_limit(write(tmp_path / "v2", memory__max="1048576")) == 2**20
    v1 = write(tmp_path / "v1" / "memory", memory__limit_in_bytes="2097152")
    assert resources.memory_limit(v1.parent) == 2**21


def test_memory_without_a_limit_is_the_machines(tmp_path):
    machine = resources.memory_limit(tmp_path)
    assert machine > 2**25
    assert resources.memory_limit(write(tmp_path / "v2", memory__max="max")) == machine
    v1 = write(tmp_path / "v1" / "memory", memory__limit_in_bytes="9223372036854771712")
    assert resources.memory_limit(v1.parent) == machine
