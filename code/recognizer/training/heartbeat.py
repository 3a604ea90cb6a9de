"""Signs of life between the processes of a job, so that it ends within a minute when one of them is lost.

A killed process closes its connections, and those that wait for it fail at once. A hanging one, a host that is gone
and a network that parted don't; and an exchange can't tell them from rank 0 that validates, or teaches symbols, for an
hour. So a thread of each process counts up in the store where all have met, whatever its main thread does, and watches
the others count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from torch.distributed import PrefixStore, Store

from recognizer.training.reason import state_reason

BEAT_SECONDS = 2.0
# In own beats, not by the clock: when a machine stood still, everybody on it did. Twenty seconds, for torchrun takes 30
# more to end a rank that hangs.
SILENT_BEATS = 10
MEETING = timedelta(minutes=5)  # processes of one job start within a few minutes of each other
LEFT = "left"


class LostRankError(Exception):
    """Processes of the job that aren't there: which, and what to look at."""


def end_process(reason: str) -> NoReturn:
    """States the reason and ends the process at once: its main thread waits for the lost one and hears nothing."""
    state_reason(reason)
    os._exit(1)


class Heartbeat:
    """Beats and watches from `start` to `stop`; calls `lost` with the reason, in its thread, if a rank falls silent."""

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        lost: Callable[[str], None] = end_process,
        seconds: float = BEAT_SECONDS,
    ) -> None:
        own: Store = store.clone()  # type: ignore[attr-defined]  # a connection: others block theirs as they wait
        self._store = PrefixStore("heartbeat", own)
        self._store.set_timeout(timedelta(seconds=seconds * SILENT_BEATS))
        self._own, self._others = str(rank), [str(other) for other in range(world_size) if other != rank]
        self._lost, self._seconds = lost, seconds
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self, meeting: timedelta = MEETING) -> None:
        """Returns when all processes have come.

        Raises:
            LostRankError: some haven't in this time.
        """
        self._store.set(self._own, "0")
        try:
            self._store.wait(self._others, meeting)
        except RuntimeError as error:
            missing = [rank for rank in self._others if not self._store.check([rank])]
            raise LostRankError(
                f"rank {', '.join(missing)} of the job hasn't come within {meeting.total_seconds():.0f} s: look for "
                "the reason in the log of its host, and whether the hosts reach each other"
            ) from error
        self._thread.start()

    def stop(self, done: bool) -> None:
        """Ends the beats. Who leaves with its work done isn't missed by those that still go on."""
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join()
        if done:
            with suppress(RuntimeError):  # the store has left before us
                self._store.set(self._own, LEFT)

    def _run(self) -> None:
        beats, heard, silent = 0, dict.fromkeys(self._others, ""), dict.fromkeys(self._others, 0)
        while not self._leaving.wait(self._seconds):
            beats += 1
            try:
                self._store.set(self._own, str(beats))
                beaten = [value.decode() for value in self._store.multi_get(self._others)]
            except RuntimeError as error:
                self._miss(f"the process where the ranks meet doesn't answer ({error})")
                return
            now = dict(zip(self._others, beaten, strict=True))
            silent = {rank: silent[rank] + 1 if beat == heard[rank] != LEFT else 0 for rank, beat in now.items()}
            heard = now
            longest = max(silent, key=lambda rank: silent[rank])
            if silent[longest] >= SILENT_BEATS:
                self._miss(f"rank {longest} has given no sign of life for {silent[longest] * self._seconds:.0f} s")
                return

    def _miss(self, what: str) -> None:
        if not self._leaving.is_set():
            self._lost(
                f"{what}: its process hangs or was ended, or its host or the network is down; look at the end of its "
                "host's log. The run can go on from its last checkpoint"
            )
