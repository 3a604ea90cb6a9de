"""Whoever falls silent is missed, whoever is slow or has left isn't."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from recognizer.training.heartbeat import SILENT_BEATS, Heartbeat, LostRankError

SECONDS = 0.02  # a beat


@pytest.fixture
def store() -> TCPStore:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))


class Job:
    """Two ranks in one process; what the first one hears of the second."""

    def __init__(self, store: TCPStore) -> None:
        self.told = threading.Event()
        self.reasons: list[str] = []
        self.first = Heartbeat(store, 0, 2, self._lost, SECONDS)
        self.second = Heartbeat(store, 1, 2, self._lost, SECONDS)
        meeting = threading.Thread(target=self.first.start)
        meeting.start()
        self.second.start()
        meeting.join()

    def _lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.told.set()


@pytest.fixture
def job(store: TCPStore) -> Iterator[Job]:
    made = Job(store)
    yield made
    made.first.stop(done=True)
    made.second.stop(done=True)


def test_a_rank_that_falls_silent_is_missed_by_name(job: Job) -> None:
    job.second.stop(done=False)
    assert job.told.wait(60)
    assert job.reasons[0].startswith(f"rank 1 has given no sign of life for {SILENT_BEATS * SECONDS:.0f} s")
    assert "checkpoint" in job.reasons[0]


def test_a_rank_that_has_done_its_work_is_not_missed(job: Job) -> None:
    job.second.stop(done=True)
    assert not job.told.wait(3 * SILENT_BEATS * SECONDS)


def test_a_rank_that_never_comes_is_named(store: TCPStore) -> None:
    alone = Heartbeat(store, 0, 3, seconds=SECONDS)
    with pytest.raises(LostRankError, match=r"rank 1, 2 of the job hasn't come within 0 s"):
        alone.start(timedelta(milliseconds=50))
    alone.stop(done=False)
