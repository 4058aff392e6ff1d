"""Memory for batches, used again when nobody holds it any longer.

A batch of some ten megabytes is more than the C library keeps for itself: it would come fresh from the
system each time, which clears every page of it first. That halves the speed of a warm read. Large buffers
ask for huge pages and begin at one: with small pages, or 16 bytes after a page, a copy is a tenth slower.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import sys
import threading
from typing import Any, Protocol

import numpy as np

KEPT = 3  # the batch in use, the one being filled, and one more for a reader that looks ahead
HUGE_PAGE = 2 << 20
FREE = 2  # references to a buffer that nobody holds: its container's, and getrefcount's own argument


class Memory(Protocol):
    """Where the memory of a large array comes from."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array of any content."""


class Buffers:
    """Hands out arrays; one that was dropped, with all views and tensors of it, is handed out again."""

    def __init__(self) -> None:
        self._buffers: list[tuple[np.ndarray, int]] = []  # each with where its first huge page begins
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Buffers], tuple[()]]:
        return Buffers, ()  # another process has its own memory

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array of any content.

        Args:
            shape: of the array.
            dtype: of the array.
        """
        needed = math.prod(shape) * dtype.itemsize
        with self._lock:
            held = []
            for buffer in self._buffers:
                # A view of a view has the buffer itself as its base, so its references count all users.
                if sys.getrefcount(buffer[0]) != FREE:
                    held.append(buffer)
                elif buffer[0].nbytes - buffer[1] >= needed:
                    return _part(buffer, needed, shape, dtype)
            # What nobody holds is too small, and would stay so.
            self._buffers = [*held, _new(needed)][-KEPT:]
            return _part(self._buffers[-1], needed, shape, dtype)


def _new(size: int) -> tuple[np.ndarray, int]:
    if size < HUGE_PAGE:
        return np.empty(size, dtype=np.uint8), 0
    area = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        with contextlib.suppress(OSError):  # a kernel without them
            area.madvise(mmap.MADV_HUGEPAGE)
    buffer = np.frombuffer(area, dtype=np.uint8)
    return buffer, -buffer.__array_interface__["data"][0] % HUGE_PAGE


def _part(
    buffer: tuple[np.ndarray, int], size: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    memory, start = buffer
    return memory[start : start + size].view(dtype).reshape(shape)
