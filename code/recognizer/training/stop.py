"""A request to stop (SIGTERM from SageMaker, Ctrl-C from a person): the loop finishes its step, saves, and ends.

Before there is anything to save, what goes on is left where it is: SageMaker waits two minutes, and drawing or reading
a data set may take longer.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

BEFORE_TRAINING = "stopped before the training began; the same command begins it, or goes on"

V8 = "py_mini_racer"
MOMENT = 0.02  # seconds


class _Interrupted(BaseException):
    """Not an Exception, so that nothing on its way takes it for a failure that it knows what to do about."""


class StopSignal:
    """True once SIGTERM or SIGINT has arrived; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._interrupts = False

    def listen(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        return self

    def interrupt(self, work: Callable[[], object]) -> None:
        """Does the work, in the main thread, up to its end or to a request to stop; none of it after one."""
        try:
            self._interrupts = True
            if not self:
                work()
        except _Interrupted:
            pass
        finally:
            self._interrupts = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
        with suppress(RuntimeError):  # the signal came in the middle of another line
            print(f"{self.received} received: stopping, what is learned is kept; a second one ends at once", flush=True)
        signal.signal(signal.SIGALRM, self._leave)
        self._leave(number, frame)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Leaves the work, unless V8 is at work, whose thread would answer to nobody: then a moment later."""
        if not self._interrupts:
            return
        if _is_in(V8, frame):
            signal.setitimer(signal.ITIMER_REAL, MOMENT)
            return
        self._interrupts = False
        raise _Interrupted

    def __bool__(self) -> bool:
        return self.received is not None


def _is_in(package: str, frame: FrameType | None) -> bool:
    """Whether a function of the package is at work, or what it has called."""
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] != package:
        frame = frame.f_back
    return frame is not None


NEVER = StopSignal()  # of who can't be asked to stop
