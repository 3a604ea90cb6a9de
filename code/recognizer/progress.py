"""Progress of a long job: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts pictures and shows rate and time left on the standard error stream.

    Args:
        total: how many there will be.
        label: what is being made.
        enabled: False shows nothing.
    """

    def __init__(self, total: int, label: str, enabled: bool = True) -> None:
        self.total, self.label, self.enabled = total, label, enabled
        self.done = 0
        self._start = self._last = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit="picture") if enabled and sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int) -> None:
        """`count` more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self.enabled and (self.done == self.total or time.monotonic() - self._last >= SECONDS_BETWEEN_LINES):
            self._last = time.monotonic()
            rate = self.done / max(self._last - self._start, 1e-6)
            print(
                f"{self.label}: {self.done}/{self.total} ({100 * self.done // max(self.total, 1)} %), "
                f"{rate:.0f} pictures/s, {(self.total - self.done) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
