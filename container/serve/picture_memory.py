"""How much memory the decoded pictures of this process take, so that a crowd of tiny files can't take all of it.

A blank picture of 1600 x 1600 pixels is a file of a few kilobytes, and 7.7 MB when it is decoded; a list may hold
fifty.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from container.serve import errors

LIMIT_MB = 512  # beyond it no further request is decoded; those who are at it may bring as much as a request may


class PictureMemory:
    """Of all requests of a process: a picture counts for as long as anything refers to it."""

    def __init__(self) -> None:
        self._held = 0
        self._lock = threading.RLock()  # a picture may go while another is being counted, in the same thread

    def check_room(self) -> None:
        """Raises: ServeError: 503 `overloaded`."""
        if self._held >= LIMIT_MB * 2**20:
            raise errors.no_picture_memory(LIMIT_MB)

    def hold(self, pictures: Iterable[Any]) -> None:
        """Counts the pictures among these until they are gone."""
        for picture in pictures:
            if isinstance(picture, np.ndarray):
                self._add(picture.nbytes)
                weakref.finalize(picture, self._add, -picture.nbytes).atexit = False

    def _add(self, count: int) -> None:
        with self._lock:
            self._held += count
