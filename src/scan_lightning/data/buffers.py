"""Memory for batches, used again when nobody holds it any longer.

A batch of some ten megabytes is more than the C library keeps for itself: it would come fresh from the
system each time, which clears every page of it first. That halves the speed of a warm read.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np

KEPT = 3  # the batch in use, the one being filled, and one more for a reader that looks ahead
_FREE = 2  # references to a buffer that nobody holds: the list's, and getrefcount's own argument


class Buffers:
    """Hands out arrays; one that was dropped, with all views and tensors of it, is handed out again."""

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Buffers], tuple[()]]:
        return Buffers, ()  # another process has its own memory

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array of any content.

        Args:
            shape: of the array.
            dtype: of the array.
        """
        needed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self._lock:
            # A view of a view has the buffer itself as its base, so its references count all users.
            unused = [index for index in range(len(self._buffers)) if self._unused(index)]
            for index in unused:
                if self._buffers[index].nbytes >= needed:
                    return self._buffers[index][:needed].view(dtype).reshape(shape)
            for index in reversed(unused):  # too small, and would stay so
                del self._buffers[index]
            buffer = np.empty(needed, dtype=np.uint8)
            self._buffers = [*self._buffers, buffer][-KEPT:]
            return buffer.view(dtype).reshape(shape)

    def _unused(self, index: int) -> bool:
        return sys.getrefcount(self._buffers[index]) == _FREE
