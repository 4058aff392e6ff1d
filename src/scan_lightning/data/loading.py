"""From the store to padded batches: one sorted read a batch, in as many processes as asked for.

Neither loader here is a torch DataLoader to the outside: what Lightning would change in one (samplers,
epochs) is decided by `order.py` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch, Tensors
from scan_lightning.data.buffers import Memory
from scan_lightning.data.cache import MemoryRegions, region_index
from scan_lightning.data.captions import CaptionTokens
from scan_lightning.data.gather import offsets_of
from scan_lightning.data.order import BatchOrder
from scan_lightning.data.reading import Batches, Items
from scan_lightning.data.store import Store

Rows = npt.NDArray[np.int64]
Batch = TypeVar("Batch", bound=Tensors)
INTEGER = 8  # bytes of a count, a token or a row


class Images(Items[ImageBatch]):
    """Images of a store, a batch at a time.

    Args:
        store: where they are; opened in each process on first use.
        rows: (n,) which image rows.
        held: the regions of these images in memory, to be read instead of the store.
        placed: give rows of the table that holds these images' regions on the device, no regions.
    """

    def __init__(
        self, store: Store, rows: Rows, *, held: MemoryRegions | None = None, placed: bool = False
    ) -> None:
        self.store, self.rows, self.held, self.placed = store, rows, held, placed
        offsets = store.region_offsets
        self.counts = offsets[rows + 1] - offsets[rows]
        self._offsets = offsets_of(self.counts)
        self._bytes = INTEGER if placed else store.feature_dim * store.feature_dtype.itemsize  # of a region

    @property
    def largest(self) -> int:
        """Bytes of the largest image and its count."""
        return int(self.counts.max(initial=1)) * self._bytes + INTEGER

    def read(self, positions: list[int], memory: Memory) -> ImageBatch:
        """Read a batch."""
        if self.placed:
            index, counts = region_index(self._offsets, np.asarray(positions, np.int64))
            return ImageBatch(torch.from_numpy(index), torch.from_numpy(counts))
        if not positions:  # a rank's share of a last batch smaller than the number of ranks
            dtype = torch.from_numpy(np.empty(0, self.store.feature_dtype)).dtype
            empty = torch.zeros(0, 1, self.store.feature_dim, dtype=dtype)
            return ImageBatch(empty, torch.zeros(0, dtype=torch.int64))
        if self.held is not None:
            regions, counts = self.held.read(np.asarray(positions, np.int64), memory)
        else:
            regions, counts = self.store.read_regions(self.rows[positions], memory)
        return ImageBatch(torch.from_numpy(regions), torch.from_numpy(counts))


class Captions(Items[CaptionBatch]):
    """Captions, a batch at a time.

    Args:
        tokens: of each caption.
        images: (C,) the position of each caption's image within the split.
    """

    def __init__(self, tokens: CaptionTokens, images: Rows) -> None:
        self.tokens, self.images = tokens, images
        self.counts = tokens.counts

    @property
    def largest(self) -> int:
        """Bytes of the longest caption, its count and its image."""
        return (int(self.counts.max(initial=1)) + 2) * INTEGER

    def read(self, positions: list[int], memory: Memory) -> CaptionBatch:
        """Read a batch; captions are small and need no memory from elsewhere."""
        index = np.asarray(positions, np.int64)
        return CaptionBatch(*self.tokens.padded(index), torch.from_numpy(self.images[index]))


class Pairs(Items[PairBatch]):
    """Every caption of a split with its image: pair i is caption i."""

    def __init__(self, images: Images, captions: Captions) -> None:
        self.images, self.captions = images, captions
        self.counts = captions.counts

    @property
    def largest(self) -> int:
        """Bytes of the largest image and the longest caption."""
        return self.images.largest + self.captions.largest

    def read(self, positions: list[int], memory: Memory) -> PairBatch:
        """Read a batch."""
        captions = self.captions.read(positions, memory)
        return PairBatch(self.images.read(captions.images.tolist(), memory), captions)


class TrainLoader:
    """The shuffled pairs of a split, epoch after epoch, from any step on.

    Iterating gives the rest of the epoch that `step` stands in. The step counts batches handed over, over all
    epochs; it is looked at when the first batch is asked for, so it may be set after `iter()`.

    Args:
        pairs: what to load.
        order: which pairs in which batch.
        workers: processes that read ahead; 0 reads in this one.
        pin: put batches into page-locked memory, for a GPU.
    """

    def __init__(self, pairs: Pairs, order: BatchOrder, *, workers: int = 0, pin: bool = False) -> None:
        self.step = 0
        self._order = order
        self._batches = Batches(pairs, order, order.largest, workers, pin)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[PairBatch]:
        self._order.step = self.step
        for batch in self._batches:
            self.step += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where the loader stands; Lightning saves it with a checkpoint."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved place."""
        self.step = state["step"]


class BlockLoader(Generic[Batch]):
    """A split in its own order, in blocks cut by index; ranks take blocks in turn.

    Which items share a block never depends on the number of ranks, so neither does any rounding.

    Args:
        dataset: `Images` or `Captions`.
        block: items of a block.
        workers: processes that read ahead.
        pin: put batches into page-locked memory, for a GPU.
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
        self._batches = Batches(dataset, [list(part) for part in self.mine], block, workers, pin)

    def __len__(self) -> int:
        """Blocks of this process."""
        return len(self.mine)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)
