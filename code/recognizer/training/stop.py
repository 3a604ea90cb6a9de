"""A request to stop (SIGTERM from SageMaker, Ctrl-C from a person): the loop finishes its step, saves, and ends."""

from __future__ import annotations

import signal
from types import FrameType


class StopSignal:
    """True once SIGTERM or SIGINT has arrived; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received: str | None = None

    def listen(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
        print(f"{self.received} received: saving a checkpoint, then stopping", flush=True)

    def __bool__(self) -> bool:
        return self.received is not None
