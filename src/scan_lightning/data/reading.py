"""Batches in a given order, read in this process or ahead of it in others.

This is a torch DataLoader's work; what it sends between processes goes through the memory of `handover.py`.
"""

from __future__ import annotations

import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from scan_lightning.data.batches import Tensors
from scan_lightning.data.buffers import Buffers, Memory
from scan_lightning.data.handover import Slots
from scan_lightning.errors import ScanError

Batch = TypeVar("Batch", bound=Tensors)
Task = tuple[int | None, list[int]]  # the slot to read into, None when there is none, and the positions

AHEAD = 2  # batches that a worker is asked for at a time
HELD = 3  # more slots: the batch in use, the one before it, and one that Lightning looks ahead


class Items(ABC, Generic[Batch]):
    """What is read a batch at a time, by position."""

    counts: npt.NDArray[np.int64]  # (n,) regions or tokens of each item

    def __len__(self) -> int:
        return len(self.counts)

    @property
    @abstractmethod
    def largest(self) -> int:
        """Bytes of one item at most."""

    @abstractmethod
    def read(self, positions: list[int], memory: Memory) -> Batch:
        """Read a batch.

        Args:
            positions: of its items.
            memory: where that of large arrays comes from.
        """


class Batches(Generic[Batch]):
    """The batches of an order, each time it is iterated.

    Args:
        items: what is read.
        order: the positions of each batch.
        size: items of a batch at most.
        workers: processes that read ahead; 0 reads in this one.
        pin: put batches into page-locked memory, for a GPU.
    """

    def __init__(
        self, items: Items[Batch], order: Iterable[list[int]], size: int, workers: int, pin: bool
    ) -> None:
        self._items, self._order, self._size = items, order, size
        self._workers, self._pin = workers, pin

    def __iter__(self) -> Iterator[Batch]:
        for slot, batch in self._loader:
            if isinstance(batch, ScanError):
                raise batch
            whole = batch if slot is None else self._slots.receive(slot, batch)
            yield whole.pin_memory() if self._pin else whole

    # Both are made by the process that iterates, at its first batch: its workers must share its own slots.

    @cached_property
    def _slots(self) -> Slots:
        shared = self._workers > 0 and sys.platform == "linux"
        return Slots(self._workers * AHEAD + HELD if shared else 0, self._size * self._items.largest)

    @cached_property
    def _loader(self) -> DataLoader[Any]:
        workers = self._workers
        return DataLoader(
            _Reader(self._items, self._slots),
            batch_sampler=_Tasks(self._order, self._slots),
            num_workers=workers,
            collate_fn=_as_is,
            prefetch_factor=AHEAD if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=_quiet_worker,
            # Forked workers share what the dataset holds; elsewhere forking is unsafe or there is none.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )


class _Tasks:
    """What workers are asked for."""

    def __init__(self, order: Iterable[list[int]], slots: Slots) -> None:
        self._order, self._slots = order, slots

    def __iter__(self) -> Iterator[Any]:
        self._slots.take_back()  # torch has waited until the workers were done with what was left over
        for positions in self._order:
            yield self._slots.take(), positions


class _Reader(Dataset[Any]):
    """Does a task. The user's fault is handed over: torch would bury it below a worker's traceback."""

    def __init__(self, items: Items[Any], slots: Slots) -> None:
        self._items, self._slots, self._buffers = items, slots, Buffers()

    def __getitems__(self, task: Task) -> tuple[int | None, Any]:
        slot, positions = task
        try:
            if slot is None:
                return None, self._items.read(positions, self._buffers)
            memory = self._slots.open(slot)
            return slot, memory.send(self._items.read(positions, memory))
        except ScanError as error:
            return None, error


def _as_is(batch: Any) -> Any:
    return batch


def _quiet_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; a worker that ends by itself would turn it into an error.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
