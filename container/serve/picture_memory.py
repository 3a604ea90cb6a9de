"""How much memory the pictures of this process's requests take, so that a crowd can't take all of it.

A blank picture of 1600 x 1600 pixels is a file of a few kilobytes, and 7.7 MB when it is decoded; a list may hold
fifty. What is read as a whole before it is decoded may have the payload's limit, 25 MB or far more.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from container.serve import errors

LIMIT_MB = 512  # beyond it no further request is read or decoded; those that are may bring what a request may


class PictureMemory:
    """Of all requests of a process: a decoded picture counts for as long as anything refers to it."""

    def __init__(self) -> None:
        self._held = 0
        self._lock = threading.RLock()  # a picture may go while another is being counted, in the same thread

    def check_room(self) -> None:
        """Raises: ServeError: 503 `overloaded`."""
        if self._held >= LIMIT_MB * 2**20:
            raise errors.no_picture_memory(LIMIT_MB)

    @contextmanager
    def body(self, size: int) -> Iterator[None]:
        """Counts a body of so many bytes until its request is answered. Raises: ServeError: 503 `overloaded`."""
        self.check_room()
        self._add(size)
        try:
            yield
        finally:
            self._add(-size)

    def hold(self, pictures: Iterable[Any]) -> None:
        """Counts the pictures among these until they are gone."""
        for picture in pictures:
            if isinstance(picture, np.ndarray):
                self._add(picture.nbytes)
                weakref.finalize(picture, self._add, -picture.nbytes).atexit = False

    def _add(self, count: int) -> None:
        with self._lock:
            self._held += count
