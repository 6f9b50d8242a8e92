"""Memory that is used again: to touch fresh pages costs more than to fill a large array.

An array as large as a layer's weights comes from the system page by page, at a third of a millisecond a
megabyte, and goes back when it is dropped. Where every step makes one, the last step's memory serves.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .switches import PLAIN

SMALLEST = 1 << 20  # bytes; what is smaller comes from the allocator's own store


class _Lent:
    """What arrays over one piece of memory have in common; when the last is gone, so is this."""

    __slots__ = ("__array_interface__", "_idle", "_memory")

    def __init__(self, memory: NDArray[np.float32], shape: tuple[int, ...], idle: list[Any]) -> None:
        self.__array_interface__ = {**memory.__array_interface__, "shape": shape}
        self._memory, self._idle = memory, idle

    def __del__(self) -> None:
        if not self._idle:
            self._idle.append(self._memory)


class Recycled:
    """Arrays of float32 whose memory is kept for the next of the same size; one piece lies idle at most.

    A view of such an array keeps its memory from being used again, like the array itself.
    """

    def __init__(self) -> None:
        self._idle: list[NDArray[np.float32]] = []

    def release(self) -> None:
        """Give idle memory back to the system."""
        self._idle.clear()

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of ``shape`` with anything in it."""
        size = math.prod(shape)
        if size * 4 < SMALLEST or "pages" in PLAIN:
            return np.empty(shape, np.float32)
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = _pages(size)
        if memory.size != size:
            memory = _pages(size)
        lent: NDArray[np.float32] = np.asarray(_Lent(memory, shape, self._idle))
        return lent


def _pages(size: int) -> NDArray[np.float32]:
    """Memory that goes back to the system when it is dropped; an allocator keeps pieces of some megabytes."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.empty(size, np.float32)
    pages = mmap.mmap(-1, size * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system may have none
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.float32)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of mallopt's settings, malloc.h
LARGEST_KEPT = 32 << 20  # bytes
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "glibc.malloc")


def keep_freed_memory() -> bool:
    """Let glibc's allocator keep up to 64 MB that were freed, as it does once an array of 32 MB was freed.

    Before that its limits follow the largest array so far: a step that frees several of some megabytes
    gives them back and takes them from the system again, page by page. Whether it did so.
    """
    chosen = " ".join([*os.environ, os.environ.get("GLIBC_TUNABLES", "")])
    if "malloc" in PLAIN or any(name in chosen for name in _OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, 2 * LARGEST_KEPT))
