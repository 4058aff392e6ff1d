"""Images, captions and pairs of a store, read a batch at a time by their position in a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch, Tensors
from scan_lightning.data.captions import CaptionTokens
from scan_lightning.data.ragged import offsets_of, padded_index
from scan_lightning.data.store import Store

Rows = npt.NDArray[np.int64]
Batch = TypeVar("Batch", bound=Tensors, covariant=True)


class Items(Protocol[Batch]):
    """What is read a batch at a time."""

    def __len__(self) -> int: ...

    def read(self, positions: Sequence[int]) -> Batch:
        """Read a batch; no positions give a batch of no items."""


class Images:
    """Images of a store.

    Args:
        store: whose features are opened now: workers that are forked later share the open file.
        rows: (n,) which images.
        placed: yield rows of the table that `DeviceRegions` holds of these images, no regions.
    """

    def __init__(self, store: Store, rows: Rows, *, placed: bool = False) -> None:
        self.store, self.rows, self.placed = store, rows, placed
        self.counts: Rows = np.diff(store.region_offsets)[rows]
        self._offsets = offsets_of(self.counts)
        if not placed:
            store.read_regions(rows[:0])

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: Sequence[int]) -> ImageBatch:
        """Read a batch."""
        index = np.asarray(positions, np.int64)
        rows = self.rows[index]
        regions, counts = padded_index(self._offsets, index) if self.placed else self.store.read_regions(rows)
        return ImageBatch(torch.from_numpy(regions), torch.from_numpy(counts), torch.from_numpy(rows))


class Captions:
    """Captions of a store: their tokens, their rows (C,) and those of their images (C,)."""

    def __init__(self, tokens: CaptionTokens, rows: Rows, image_rows: Rows) -> None:
        self.tokens, self.rows, self.image_rows = tokens, rows, image_rows
        self.counts = tokens.counts

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: Sequence[int]) -> CaptionBatch:
        """Read a batch."""
        index = np.asarray(positions, np.int64)
        rows, image_rows = torch.from_numpy(self.rows[index]), torch.from_numpy(self.image_rows[index])
        return CaptionBatch(*self.tokens.padded(index), rows, image_rows)


class Pairs:
    """Every caption of a split with its image: pair i is caption i."""

    def __init__(self, images: Images, captions: Captions) -> None:
        self.images, self.captions = images, captions
        self._image_positions = np.searchsorted(images.rows, captions.image_rows)

    def __len__(self) -> int:
        return len(self.captions)

    def read(self, positions: Sequence[int]) -> PairBatch:
        """Read a batch."""
        images = self._image_positions[np.asarray(positions, np.int64)]
        return PairBatch(self.images.read(images.tolist()), self.captions.read(positions))
