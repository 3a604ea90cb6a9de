"""Jobs in several processes, their results in order: how pictures are drawn and packed by all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2

Job = TypeVar("Job")
Done = TypeVar("Done")


def in_processes(function: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    """Results in the order of the jobs; what has not begun is cancelled when one fails or nobody wants the rest."""
    if workers == 1:
        yield from map(function, jobs)
        return
    # spawn, not fork: V8 and the thread pools of OpenCV and torch don't survive a fork of a process that has used them.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one_thread() -> None:
    cv2.setNumThreads(1)
