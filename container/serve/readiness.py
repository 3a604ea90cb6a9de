"""What workers leave for each other to know.

Which have loaded the model (S2), what a dead one had loaded (S11), how many connections each has.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import termios
import time
from array import array
from contextlib import suppress

SILENT_SECONDS = 2  # a worker that hasn't told its number for so long is stopped, or held up by a library


class LoadedWorkers:
    """/ping waits for all of them, as any of them may get the next request.

    A count that the workers of one server share: a pipe made before the fork, into which each puts one byte.

    A worker that takes the place of a dead one is counted again: once all have been ready, the others go on.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def add_this_one(self) -> None:
        with suppress(BlockingIOError):  # full, after tens of thousands of restarts: there were enough
            os.write(self._write, b"+")

    def are_all(self) -> bool:
        """Looks at the number of bytes without taking any."""
        count = array("i", [0])
        fcntl.ioctl(self._read, termios.FIONREAD, count)
        return count[0] >= self._expected


class LoadedModels:
    """How many models a process has loaded: a number in memory made before the fork, so a kill -9 leaves it there."""

    def __init__(self) -> None:
        self._number = memoryview(mmap.mmap(-1, array("L").itemsize)).cast("L")

    def get(self) -> int:
        return self._number[0]

    def set(self, number: int) -> None:
        self._number[0] = number


class OpenConnections:
    """How many connections each worker has, in memory made before the fork.

    The server gives each worker a place for its number, and takes it back when the worker has died.
    """

    NOBODY = math.inf  # in the place of one that should get no connection

    def __init__(self, places: int) -> None:
        self._rows = memoryview(mmap.mmap(-1, 2 * places * array("d").itemsize)).cast("d")  # a number, and when
        self._free = list(range(places))

    def take_place(self) -> int | None:
        """For a worker to come; None, if signals have brought more workers than there are places: it isn't counted."""
        return self._free.pop(0) if self._free else None

    def free(self, place: int | None) -> None:
        if place is not None:
            self.tell(place, self.NOBODY)
            self._free.append(place)

    def tell(self, place: int | None, number: float) -> None:
        """A worker tells its number; once a second at least, or it is taken for one that is stopped."""
        if place is not None:
            self._rows[2 * place], self._rows[2 * place + 1] = number, time.monotonic()

    def least(self) -> float:
        """Of all workers; NOBODY if there is none that can take one."""
        oldest = time.monotonic() - SILENT_SECONDS
        numbers, moments = self._rows[::2], self._rows[1::2]
        return min(
            (number for number, told in zip(numbers, moments, strict=True) if told > oldest), default=self.NOBODY
        )
