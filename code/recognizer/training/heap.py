"""Freed memory is kept for the next step: a step on a CPU frees what the next one needs, hundreds of megabytes.

glibc gives large blocks back to the system at once, which must then clear every page of them anew: a sixth of a step's
time. https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST = 2**31 - 1  # bytes; an int


def keep_freed_memory() -> None:
    """For this process and what it forks; no part of the heap is given back, and large blocks come from it too."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; other systems have none
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, LARGEST)
        mallopt(M_MMAP_THRESHOLD, LARGEST)
