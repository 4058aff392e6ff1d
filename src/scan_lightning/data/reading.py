"""Batches in a given order, read in this process or ahead of it in others by torch's DataLoader."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from scan_lightning.data.batches import Tensors
from scan_lightning.data.items import Items
from scan_lightning.errors import ScanError

Batch = TypeVar("Batch", bound=Tensors)


class Batches(Generic[Batch]):
    """The batches of an order, each time it is iterated.

    Args:
        items: what is read.
        order: the positions of each batch.
        workers: processes that read ahead; 0 reads in this one.
        pin: copy batches to page-locked memory, for a GPU.
    """

    def __init__(self, items: Items[Batch], order: Iterable[list[int]], workers: int, pin: bool) -> None:
        self._items, self._order, self._workers, self._pin = items, order, workers, pin

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, ScanError):
                raise batch
            yield batch

    @cached_property
    def _loader(self) -> DataLoader[Any]:
        workers = self._workers
        return DataLoader(
            _Reader(self._items),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_identity,
            pin_memory=self._pin,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_interrupt,
            # Forked workers share what the items hold; elsewhere forking is unsafe or there is none.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )


class _Reader(Dataset[Any]):
    """Reads a batch. A ScanError is returned: torch would bury it below a worker's traceback."""

    def __init__(self, items: Items[Any]) -> None:
        self._items = items

    def __getitems__(self, positions: list[int]) -> Any:
        try:
            return self._items.read(positions)
        except ScanError as error:
            return error


def _identity(batch: Any) -> Any:
    return batch


def _ignore_interrupt(_: int) -> None:
    # Ctrl-C reaches the whole process group; a worker that ends by itself would turn it into an error.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
