"""Processes on one machine have its cores between them."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

import inference
from recognizer.data.workers import plan_workers
from recognizer.training.cores import share_cores


def no_cgroup(_: str) -> NoReturn:
    raise FileNotFoundError


@pytest.mark.parametrize(
    ("processes", "threads", "share"),
    [("4", "1", 12), ("96", "1", 1), ("4", "6", 6), ("1", "1", 1)],
    ids=["torchrun's", "more than cores", "the user's", "one process"],
)
def test_a_process_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, processes: str, threads: str, share: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(48))
    monkeypatch.setattr(inference, "Path", no_cgroup)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    share_cores()
    assert inference.default_threads() == share
    assert plan_workers(1).workers == max(1, share - 1)
