"""Few heaps for many threads: what one thread has freed, another can use.

glibc gives threads heaps of their own, up to eight for each core, and each keeps its peak: under load a server's memory
grew for as long as there were threads that had not yet had a large picture. With two it stops after the first minute,
and answers as many requests. https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
"""

from __future__ import annotations

import ctypes
import os

M_ARENA_MAX = -8  # malloc.h
HEAPS = 2


def share_heaps() -> None:
    """For this process and what it forks; to be called before there are threads. MALLOC_ARENA_MAX goes before."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; other systems have none
    if mallopt and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(M_ARENA_MAX, HEAPS)
