"""Memory in which workers hand batches over: made before they fork, used again when a batch was dropped.

torch makes shared memory anew for each tensor. The system then clears and maps every page of it, which takes
many times as long as to read the batch. Here whoever asks for a batch names a slot that nobody holds, the
worker reads into it, and what is sent is where in the slot each tensor lies.
"""

from __future__ import annotations

import math
import mmap
import sys
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from scan_lightning.data.batches import Tensors
from scan_lightning.data.buffers import FREE

Batch = TypeVar("Batch", bound=Tensors)

ALIGNED = 64  # bytes: a line of the processor's cache
SPARE = 4096  # bytes of a slot for what alignment takes


class Slots:
    """Equally large pieces of memory that forked processes share; pages never written to take none.

    Args:
        count: how many.
        size: bytes of a batch at most.
    """

    def __init__(self, count: int, size: int) -> None:
        self._memory = [np.frombuffer(mmap.mmap(-1, size + SPARE), dtype=np.uint8) for _ in range(count)]
        self._sent: set[int] = set()

    def take(self) -> int | None:
        """Name a slot to read into, to be got back by `receive`; None when all are in use."""
        for slot in range(len(self._memory)):
            # A view of a view has the slot itself as its base, so its references count all users.
            if slot not in self._sent and sys.getrefcount(self._memory[slot]) == FREE:
                self._sent.add(slot)
                return slot
        return None

    def take_back(self) -> None:
        """Forget what was sent and not received; no worker may be at it any more."""
        self._sent.clear()

    def open(self, slot: int) -> OpenSlot:
        """In a worker: the memory to read a batch into."""
        return OpenSlot(self._memory[slot])

    def receive(self, slot: int, batch: Batch) -> Batch:
        """Return a batch of places as one of tensors; the slot is free again when all of them are gone."""
        memory = torch.from_numpy(self._memory[slot])
        received = batch.map(lambda place: place.look_up(memory))
        self._sent.discard(slot)
        return received


class OpenSlot:
    """A slot while it is filled, one array after the other."""

    def __init__(self, memory: np.ndarray) -> None:
        self._memory, self._end = memory, 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array of any content, as `Buffers.empty` gives it."""
        start = self._end
        self._end += -(-math.prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
        stop = start + math.prod(shape) * dtype.itemsize
        return self._memory[start:stop].view(dtype).reshape(shape)

    def send(self, batch: Batch) -> Batch:
        """Return a batch as places in the slot; a tensor that was made elsewhere is copied."""
        return batch.map(self._place)

    def _place(self, tensor: Tensor) -> Place:
        array = tensor.numpy()
        start = _address(array) - _address(self._memory)
        if not (0 <= start < len(self._memory) and array.flags.c_contiguous):
            inside = self.empty(array.shape, array.dtype)
            inside[...] = array
            start = _address(inside) - _address(self._memory)
        return Place(start, tensor.nbytes, tensor.dtype, tuple(tensor.shape))


@dataclass(frozen=True)
class Place:
    """Where in a slot a tensor lies."""

    start: int
    nbytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def look_up(self, memory: Tensor) -> Tensor:
        """Return the tensor."""
        return memory[self.start : self.start + self.nbytes].view(self.dtype).view(self.shape)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
