"""Freed memory kept for what comes next, instead of given back and asked for again.

A spectrogram or a layer of a network is megabytes; glibc hands each such block back to the system
when it is freed, and the next one costs a page fault per 4 kB: up to a third of a network's time.
"""

import ctypes
import platform
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_BYTES = 1 << 30
_ARENAS = 2


@cache
def keep_freed_memory() -> None:
    """Tell the allocator of this process to reuse large blocks (Linux with glibc; else nothing).

    Threads share two arenas instead of keeping freed memory for themselves; for that it has to be
    said before they start.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
