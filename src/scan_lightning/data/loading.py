"""The loaders of a store: shuffled pairs to train on, blocks of a split to evaluate.

Neither is a torch DataLoader to the outside: Lightning would change the samplers of one.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from scan_lightning.data.batches import PairBatch, Tensors
from scan_lightning.data.items import Items, Pairs
from scan_lightning.data.order import BatchOrder
from scan_lightning.errors import ScanError

Batch = TypeVar("Batch", bound=Tensors)


class TrainLoader:
    """The shuffled pairs of a split, an epoch each time it is iterated.

    Where an iteration begins is asked when its first batch is: a Trainer knows by then from which batch of
    which epoch it resumes. Without a Trainer each iteration is the next epoch.

    Args:
        pairs: what to load.
        order: which pairs in which batch.
        workers: processes that read ahead; 0 reads in this one.
        pin: copy batches to page-locked memory, for a GPU.
        repeat: yield the order of epoch 0 in every epoch.
        position: returns the epoch and the batches of it that are done; None when nobody knows.
    """

    def __init__(
        self,
        pairs: Pairs,
        order: BatchOrder,
        *,
        workers: int = 0,
        pin: bool = False,
        repeat: bool = False,
        position: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self._order, self._repeat, self._position = order, repeat, position
        self._epoch = 0
        self._batches = Batches(pairs, order, workers, pin)

    def __len__(self) -> int:
        """Batches of a complete epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[PairBatch]:
        epoch, batch = self._position() or (self._epoch, 0)
        self._epoch = epoch + 1
        self._order.step = (0 if self._repeat else epoch) * len(self) + batch
        yield from self._batches

    def state_dict(self) -> dict[str, int]:
        """Nothing: the position is the trainer's. Without it Lightning warns that a loader cannot resume."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Do nothing."""


class BlockLoader(Generic[Batch]):
    """A split in the store's order, in blocks of equal size; ranks take blocks in turn.

    Which items share a block never depends on the number of ranks, so neither does any rounding.

    Args:
        dataset: `Images` or `Captions`.
        block: items of a block.
        workers: processes that read ahead.
        pin: copy batches to page-locked memory, for a GPU.
        rank: which process.
        world: how many processes.
    """

    def __init__(
        self,
        dataset: Items[Batch],
        block: int,
        *,
        workers: int = 0,
        pin: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.dataset, self.world = dataset, world
        size = len(dataset)
        self.blocks = [range(start, min(start + block, size)) for start in range(0, size, block)]
        # Without a block of its own a process gets an empty one: Lightning refuses a loader of no batches.
        self.mine = self.blocks[rank::world] or [range(0)]
        self._batches = Batches(dataset, [list(part) for part in self.mine], workers, pin)

    def __len__(self) -> int:
        """Blocks of this process."""
        return len(self.mine)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


class Batches(Generic[Batch]):
    """The batches of an order (the positions of each), by torch's DataLoader, each time it is iterated."""

    def __init__(self, items: Items[Batch], order: Iterable[list[int]], workers: int, pin: bool) -> None:
        self._items, self._order, self._workers, self._pin = items, order, workers, pin

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        while True:
            try:
                batch = next(batches, None)
            except (ConnectionError, EOFError, FileNotFoundError) as error:
                if "in DataLoader worker process" in str(error):  # raised by the reader
                    raise
                # It was killed while it handed over a tensor; torch words it so when it notices first.
                raise RuntimeError("DataLoader worker exited unexpectedly") from error
            if batch is None:
                return
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
